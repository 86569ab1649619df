//! What an `issue` or `issuewild` property says. RFC 8659 section 4.2, RFC 8657.

/// Why a property, or the lot of them, permits nothing; the later, the closer to a permission.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, thiserror::Error)]
pub(in crate::validate) enum Unsatisfied {
    /// One that must be understood is not.
    #[error("there is a critical property that is not known here")]
    NotUnderstood,
    #[error("they name other CAs, or none")]
    OtherIssuer,
    #[error("there is a value that is malformed, or has a parameter twice")]
    Malformed,
    #[error("they name another account")]
    OtherAccount,
    #[error("they do not name the validation method that was used")]
    OtherMethod,
}

/// A well-formed value.
#[derive(Debug, Eq, PartialEq)]
pub(in crate::validate) struct Issue<'a> {
    /// Who may issue: nobody if there is no name.
    pub(in crate::validate) issuer: Option<&'a str>,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Issue<'a> {
    /// Reads a value. `None` for one that is not to the letter of the grammar: it permits nothing.
    pub(in crate::validate) fn parse(value: &'a [u8]) -> Option<Self> {
        let text = trim(std::str::from_utf8(value).ok()?);
        let (issuer, parameters) = match text.split_once(';') {
            Some((issuer, rest)) => (trim(issuer), trim(rest)),
            None => (text, ""),
        };
        let issuer = match issuer {
            "" => None,
            name => Some(name).filter(|name| name.split('.').all(is_label))?.into(),
        };
        let parameters = match parameters {
            "" => Vec::new(),
            several => several.split(';').map(parameter).collect::<Option<_>>()?,
        };
        Some(Self { issuer, parameters })
    }

    /// RFC 8657 section 3.
    pub(in crate::validate) fn require_account(&self, account_url: &str) -> Result<(), Unsatisfied> {
        match self.parameter("accounturi")? {
            Some(url) if url != account_url => Err(Unsatisfied::OtherAccount),
            _ => Ok(()),
        }
    }

    /// RFC 8657 section 4.
    pub(in crate::validate) fn require_method(&self, method: &str) -> Result<(), Unsatisfied> {
        let Some(methods) = self.parameter("validationmethods")? else { return Ok(()) };
        let labels: Vec<_> = if methods.is_empty() { Vec::new() } else { methods.split(',').collect() };
        let is_method =
            |label: &&str| !label.is_empty() && label.bytes().all(|b| b == b'-' || b.is_ascii_alphanumeric());
        if !labels.iter().all(is_method) {
            return Err(Unsatisfied::Malformed);
        }
        if labels.contains(&method) { Ok(()) } else { Err(Unsatisfied::OtherMethod) }
    }

    /// The parameter of this name, of which there is one at most.
    pub(in crate::validate) fn parameter(&self, name: &str) -> Result<Option<&'a str>, Unsatisfied> {
        let mut values = self.parameters.iter().filter(|(tag, _)| tag.eq_ignore_ascii_case(name));
        match (values.next(), values.next()) {
            (Some(_), Some(_)) => Err(Unsatisfied::Malformed),
            (first, _) => Ok(first.map(|(_, value)| *value)),
        }
    }
}

/// `tag = value`.
fn parameter(text: &str) -> Option<(&str, &str)> {
    let (tag, value) = text.split_once('=')?;
    let (tag, value) = (trim(tag), trim(value));
    (is_label(tag) && value.bytes().all(|byte| byte.is_ascii_graphic())).then_some((tag, value))
}

/// Letters, digits, and hyphens between them.
fn is_label(text: &str) -> bool {
    let is_ldh = text.bytes().all(|byte| byte == b'-' || byte.is_ascii_alphanumeric());
    is_ldh && !text.is_empty() && !text.starts_with('-') && !text.ends_with('-')
}

/// Less the white space of the grammar, which is not all that Unicode has.
fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_to_the_letter_of_the_grammar() {
        let issue = |issuer, parameters| Some(Issue { issuer, parameters });
        for (text, expected) in [
            ("", issue(None, vec![])),
            (";", issue(None, vec![])),
            (" \t; ", issue(None, vec![])),
            ("us.test", issue(Some("us.test"), vec![])),
            (" us.test ; ", issue(Some("us.test"), vec![])),
            ("us.test; a = b=c", issue(Some("us.test"), vec![("a", "b=c")])),
            ("us.test;a=1 ; b2=", issue(Some("us.test"), vec![("a", "1"), ("b2", "")])),
            ("us.test; a=b;", None),
            ("us.test; a", None),
            ("us.test; a=b c", None),
            ("us.test; -a=b", None),
            ("us.test; =b", None),
            ("us.test a=b", None),
            ("us..test", None),
            ("-us.test", None),
            ("%%%%%", None),
            ("us.test; a=é", None),
            ("us.test\u{a0}", None),
            ("us.test\0", None),
        ] {
            assert_eq!(Issue::parse(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!(Issue::parse(b"us.test; a=\xff"), None);
    }

    #[test]
    fn a_parameter_that_is_there_twice_permits_nothing() {
        let issue = Issue::parse(b"us.test; accounturi=a; AccountURI=a").unwrap();
        assert_eq!(issue.require_account("a"), Err(Unsatisfied::Malformed));
        assert_eq!(issue.require_method("http-01"), Ok(()));
    }

    #[test]
    fn methods_are_a_list_in_which_unknown_ones_do_no_harm() {
        for (methods, expected) in [
            ("http-01", Ok(())),
            ("x-future,http-01", Ok(())),
            ("", Err(Unsatisfied::OtherMethod)),
            ("dns-01", Err(Unsatisfied::OtherMethod)),
            ("HTTP-01", Err(Unsatisfied::OtherMethod)),
            ("http-01,", Err(Unsatisfied::Malformed)),
            ("http-01,dns_01", Err(Unsatisfied::Malformed)),
        ] {
            let value = format!("us.test; validationmethods={methods}");
            let issue = Issue::parse(value.as_bytes()).unwrap();
            assert_eq!(issue.require_method("http-01"), expected, "{methods:?}");
        }
    }
}
