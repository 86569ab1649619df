//! Names that belong to a registry.

use async_trait::async_trait;
use coyote_protocol::{DnsName, Identifier, ProblemType};
use coyote_storage::BoxError;
use publicsuffix::{List, Psl, Type};

use super::{Applicant, Policy, Verdict};

/// Refuses names that are public suffixes, such as `com` and `co.uk`, and their wildcards: who controls one of these
/// is a registry, and a wildcard for it would stand for all its customers. CA/Browser Forum Baseline Requirements,
/// section 3.2.2.6.
///
/// A suffix is what the ICANN section of the list names. Those of the private section (`github.io`) are their owners'
/// own, and a name that the list does not know may be one of the inside.
#[derive(Clone, Debug)]
pub struct PublicSuffixes(List);

/// A text is not a public suffix list.
#[derive(Debug, thiserror::Error)]
#[error("this is not a public suffix list")]
pub struct InvalidPublicSuffixes(#[source] BoxError);

impl PublicSuffixes {
    /// Reads a list as <https://publicsuffix.org> publishes it.
    ///
    /// # Errors
    ///
    /// [`InvalidPublicSuffixes`].
    pub fn parse(text: &str) -> Result<Self, InvalidPublicSuffixes> {
        let invalid = |error: publicsuffix::Error| InvalidPublicSuffixes(error.to_string().into());
        let list: List = text.parse().map_err(invalid)?;
        // The parser takes any text; without this one it would be a list that knows nothing.
        let suffixes = Self(list);
        match DnsName::parse("com").is_ok_and(|com| suffixes.contain(&com)) {
            true => Ok(suffixes),
            false => Err(InvalidPublicSuffixes("it has no ICANN section with com in it".into())),
        }
    }

    /// Whether a registry has this name.
    pub fn contain(&self, name: &DnsName) -> bool {
        let suffix = self.0.suffix(name.as_str().as_bytes());
        suffix.is_some_and(|suffix| suffix.typ() == Some(Type::Icann) && suffix == name.as_str())
    }

    /// Whether a registry has every name one label below, whatever the label: where the list says `*.ck` and not `ck`.
    fn contain_what_is_below(&self, name: &DnsName) -> bool {
        DnsName::parse(&format!("any-label.{name}")).is_ok_and(|below| self.contain(&below))
    }
}

#[async_trait]
impl Policy for PublicSuffixes {
    async fn identifier(
        &self,
        _applicant: &Applicant<'_>,
        identifier: &Identifier,
    ) -> Result<Verdict, BoxError> {
        let (name, refused) = match identifier {
            Identifier::Dns(name) => (name, self.contain(name)),
            Identifier::Wildcard(name) => (name, self.contain(name) || self.contain_what_is_below(name)),
            Identifier::Ip(_) => return Ok(Verdict::allow()),
        };
        if !refused {
            return Ok(Verdict::allow());
        }
        let detail = format!("{identifier} is, or stands for, a public suffix: it belongs to a registry");
        Ok(Verdict::deny(ProblemType::RejectedIdentifier, detail)
            .by(format!("public_suffixes: {name} is one, or above them")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
// ===BEGIN ICANN DOMAINS===
com
uk
co.uk
*.ck
!www.ck
公司.cn
// ===END ICANN DOMAINS===
// ===BEGIN PRIVATE DOMAINS===
github.io
// ===END PRIVATE DOMAINS===
";

    #[test]
    fn what_a_registry_has_is_a_public_suffix_and_what_its_customers_have_is_not() {
        let suffixes = PublicSuffixes::parse(LIST).unwrap();
        let contain = |name: &str| suffixes.contain(&DnsName::parse(name).unwrap());
        for suffix in ["com", "COM", "co.uk", "uk", "a.ck", "xn--55qx5d.cn"] {
            assert!(contain(suffix), "{suffix}");
        }
        for other in ["a.com", "a.co.uk", "www.ck", "github.io", "a.github.io", "localhost", "corp", "xcom"] {
            assert!(!contain(other), "{other}");
        }
    }

    #[test]
    fn a_wildcard_must_not_stand_for_public_suffixes() {
        let suffixes = PublicSuffixes::parse(LIST).unwrap();
        let below = |name: &str| suffixes.contain_what_is_below(&DnsName::parse(name).unwrap());
        assert!(below("ck"), "*.ck stands for a.ck, which is one");
        for other in ["com", "a.com", "www.ck", "a.ck", "corp"] {
            assert!(!below(other), "{other}");
        }
    }

    #[test]
    fn another_file_is_no_list() {
        for text in ["", "<html>", "# keys\nab cd\n"] {
            assert!(PublicSuffixes::parse(text).is_err(), "{text:?}");
        }
    }
}
