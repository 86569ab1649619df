//! `[limits]`: the bounds of the server, from the table that the server itself has them in.

use std::fmt;

use coyote_server::{Bound, InvalidLimit, Limits};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, MapAccess, Visitor},
};

use super::{section::quote, time::Time};

/// Bounds that have their place in another section: the key there.
const ELSEWHERE: [(&str, &str); 6] = [
    ("linger", "validation.linger"),
    ("validation_time", "validation.timeout"),
    ("keep_expired", "retention.expired"),
    ("keep_issued", "retention.issued"),
    ("keep_traces", "retention.traces"),
    ("keep_audit", "retention.audit"),
];

/// The bounds as configured here.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LimitsSection(pub(crate) Limits);

impl LimitsSection {
    /// Writes the keys with what they are for. Without `all`, those that have their default are commented out.
    pub(crate) fn write(&self, text: &mut String, all: bool) {
        for ((key, about, bound), (_, _, default)) in
            self.0.table().into_iter().zip(Limits::default().table())
        {
            let mark = if all || bound != default { "" } else { "#" };
            if ELSEWHERE.iter().any(|(elsewhere, _)| *elsewhere == key) {
                continue;
            }
            let value = match bound {
                Bound::Count(count) => count.to_string(),
                Bound::Time(time) => quote(&Time(time).to_string()),
            };
            text.push_str(&format!("# {about}\n{mark}{key} = {value}\n"));
        }
    }
}

impl<'de> Deserialize<'de> for LimitsSection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = LimitsSection;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of limits")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut limits = Limits::default();
        while let Some(Key(key)) = map.next_key()? {
            map.next_value_seed(Value(&mut limits, &key))?;
        }
        Ok(LimitsSection(limits))
    }
}

/// The key of a limit that there is.
struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let key = String::deserialize(deserializer)?;
        if let Some((_, place)) = ELSEWHERE.iter().find(|(elsewhere, _)| *elsewhere == key) {
            return Err(D::Error::custom(format!("the limit `{key}` is the key `{place}`")));
        }
        if Limits::default().table().iter().all(|(known, ..)| *known != key) {
            return Err(D::Error::custom(InvalidLimit::Unknown(key)));
        }
        Ok(Self(key))
    }
}

/// Sets the limit of that key.
struct Value<'a>(&'a mut Limits, &'a str);

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a number, or a time such as \"10s\"")]
        enum Written {
            Count(u64),
            Time(Time),
        }
        let bound = match Written::deserialize(deserializer)? {
            Written::Count(count) => Bound::Count(count),
            Written::Time(Time(time)) => Bound::Time(time),
        };
        let Self(limits, key) = self;
        limits.set(key, bound).map_err(D::Error::custom)
    }
}
