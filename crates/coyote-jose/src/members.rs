//! JSON objects read so strictly that two parsers cannot differ over them.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;

use crate::error::Error;

/// More members than any header, JWK or JWS has a use for. Their names are compared pairwise, so there
/// has to be a limit.
const MAX_MEMBERS: usize = 64;

/// The members of a JSON object, no two of the same name, at any depth. RFC 7515 section 4.
#[derive(Debug, PartialEq)]
pub(crate) struct Members<'a>(Vec<(Cow<'a, str>, Value<'a>)>);

/// As much of a JSON value as JOSE asks about.
#[derive(Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Text(Cow<'a, str>),
    Object(Members<'a>),
    Other,
}

impl<'a> Members<'a> {
    /// Reads one JSON object. It borrows every string that has no escapes.
    ///
    /// serde_json's recursion limit bounds the depth, and with it the stack.
    pub(crate) fn parse(json: &'a [u8]) -> Result<Self, Error> {
        match serde_json::from_slice(json) {
            Ok(Value::Object(members)) => Ok(members),
            Ok(_) => Err(Error::Malformed("something that has to be a JSON object is not")),
            Err(error) if error.classify() == Category::Data => {
                Err(Error::Malformed("a JSON object has two members of one name, or too many"))
            }
            Err(_) => Err(Error::Malformed("something that has to be JSON is not")),
        }
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Value<'a>> {
        self.0.iter().find(|(member, _)| member == name).map(|(_, value)| value)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Takes a string out. `mistyped` is the complaint if it is there but not a string.
    pub(crate) fn take_text(
        &mut self,
        name: &str,
        mistyped: &'static str,
    ) -> Result<Option<Cow<'a, str>>, Error> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Err(Error::Malformed(mistyped)),
        }
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<Value<'a>> {
        let index = self.0.iter().position(|(member, _)| member == name)?;
        Some(self.0.swap_remove(index).1)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
        let mut members = Members(Vec::with_capacity(8));
        while let Some((Name(name), value)) = map.next_entry()? {
            if members.has(&name) || members.0.len() == MAX_MEMBERS {
                return Err(de::Error::custom("duplicate member, or too many"));
            }
            members.0.push((name, value));
        }
        Ok(Value::Object(members))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value<'de>, A::Error> {
        while seq.next_element::<Value<'de>>()?.is_some() {}
        Ok(Value::Other)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_string<E>(self, text: String) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(text)))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }
}

/// A member's name; `Cow` by itself would always be deserialized as owned.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(json: &str) -> &'static str {
        match Members::parse(json.as_bytes()) {
            Err(Error::Malformed(detail)) => detail,
            other => panic!("{json} is malformed, but got {other:?}"),
        }
    }

    #[test]
    fn strings_without_escapes_are_borrowed() {
        let mut members = Members::parse(br#"{"a":"b","c\u0041":"d\u0041","e":1,"f":{"g":[]}}"#).unwrap();

        assert!(matches!(members.take_text("a", ""), Ok(Some(Cow::Borrowed("b")))));
        assert_eq!(members.take_text("cA", "").unwrap().unwrap(), "dA");
        assert!(matches!(members.take_text("e", "typed"), Err(Error::Malformed("typed"))));
        assert!(members.take_text("z", "").unwrap().is_none());
    }

    #[test]
    fn a_name_given_twice_is_refused_at_every_depth() {
        for json in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":1}"#,
            r#"{"x":{"a":1,"b":2,"a":3}}"#,
            r#"{"x":[[{"a":1,"a":3}]]}"#,
        ] {
            assert!(refusal(json).contains("two members"), "{json}");
        }
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for json in ["", "x", "[]", "null", "1", "\"\"", "{", "{}x", "{'a':1}", r#"{"a":"\ud800"}"#] {
            refusal(json);
        }
        assert!(Members::parse(b"{\"a\":\"\xff\"}").is_err(), "not UTF-8");
    }

    #[test]
    fn depth_and_width_are_bounded() {
        refusal(&"[".repeat(100_000));
        refusal(&format!("{}\"a\":{}", "{", "[".repeat(100_000)));
        refusal(&"{\"a\":".repeat(100_000));
        let wide: Vec<String> = (0..=MAX_MEMBERS).map(|n| format!("\"{n}\":0")).collect();
        refusal(&format!("{{{}}}", wide.join(",")));
    }
}
