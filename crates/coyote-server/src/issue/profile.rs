//! Profiles: what certificates look like, apart from whom they are for. draft-ietf-acme-profiles.

use std::collections::BTreeMap;
use std::time::Duration;

use coyote_protocol::{Problem, ProblemType, Timestamp};
use coyote_storage::Order;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What a key may be used for, as far as certificates issued here can say. RFC 5280 section 4.2.1.12.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExtendedKeyUsage {
    /// TLS servers.
    ServerAuth,
    /// TLS clients.
    ClientAuth,
}

/// A kind of certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Profile {
    /// What clients ask for it by.
    pub name: String,
    /// What clients are told about it: a sentence, or a URL.
    pub description: String,
    /// For how long a certificate is valid if the order does not say; 90 days by default. The last second counts, as
    /// RFC 5280 section 4.1.2.5 has it.
    pub validity: Duration,
    /// For how long, if the order does; 90 days by default.
    pub max_validity: Duration,
    /// How far before its signing a certificate's validity begins; five minutes by default, one hour at most. It is
    /// there for verifiers whose clocks are slow: five minutes is what systems that depend on time (Kerberos, for
    /// one) let clocks differ by. An order may ask for a notBefore as early as this, reckoned from its creation.
    pub backdate: Duration,
    /// What the key may be used for; TLS servers by default.
    pub extended_key_usages: Vec<ExtendedKeyUsage>,
    /// Whether the first DNS name of the order (that is not too long) also becomes the subject's commonName, for
    /// software that does not read the subjectAltName. It is left out by default.
    pub common_name: bool,
}

impl Profile {
    /// The longest that [`backdate`](Self::backdate) may be.
    pub const MAX_BACKDATE: Duration = Duration::from_secs(60 * 60);

    /// A profile with that name and the defaults.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            description: "certificates for TLS servers".into(),
            validity: 90 * DAY,
            max_validity: 90 * DAY,
            backdate: 5 * MINUTE,
            extended_key_usages: vec![ExtendedKeyUsage::ServerAuth],
            common_name: false,
        }
    }

    /// The first and the last second of the validity of a certificate for the order, were it signed `now`.
    ///
    /// What the order asks for it gets, or an error (RFC 8555 section 7.4): so it is worth asking when the order is
    /// made, too. What it leaves open is cut to fit the issuer's own validity.
    ///
    /// # Errors
    ///
    /// `malformed`, if what the order asks for begins before the order (less [`backdate`](Self::backdate)), ends
    /// before it begins or in the past, is longer than [`max_validity`](Self::max_validity), or ends after the
    /// issuer's certificate does; `serverInternal`, if that has ended.
    pub fn validity(
        &self,
        order: &Order,
        issuer_not_after: Timestamp,
        now: Timestamp,
    ) -> Result<(Timestamp, Timestamp), Problem> {
        let second = Duration::from_secs(1);
        let now = now.truncate_to_seconds();
        let issuer_not_after = issuer_not_after.truncate_to_seconds();
        if issuer_not_after <= now {
            return Err(Problem::new(ProblemType::ServerInternal, "the CA's certificate has expired"));
        }
        let not_before = match order.not_before {
            None => now - self.backdate,
            Some(asked) if asked < order.created - self.backdate => {
                return Err(malformed(format!(
                    "notBefore is more than {} seconds before the order",
                    self.backdate.as_secs()
                )));
            }
            Some(asked) => asked.truncate_to_seconds(),
        };
        let latest = not_before.min(now) + self.max_validity - second;
        let not_after = match order.not_after {
            None => (not_before + self.validity - second).min(latest).min(issuer_not_after),
            Some(asked) => {
                let asked = asked.truncate_to_seconds();
                if asked <= now {
                    return Err(malformed("notAfter is in the past"));
                }
                if asked > latest {
                    return Err(malformed(format!("notAfter may be {latest} at most")));
                }
                if asked > issuer_not_after {
                    let detail =
                        format!("notAfter may be {issuer_not_after} at most: the CA's certificate ends then");
                    return Err(malformed(detail));
                }
                asked
            }
        };
        if not_after <= not_before {
            return Err(malformed("notAfter is not later than notBefore"));
        }
        Ok((not_before, not_after))
    }

    fn check(&self) -> Result<(), InvalidProfile> {
        let invalid = |what| InvalidProfile { name: self.name.clone(), what };
        if self.name.is_empty() || self.name.chars().any(char::is_control) {
            return Err(invalid("the name is empty or has control characters"));
        }
        if self.backdate > Self::MAX_BACKDATE {
            return Err(invalid("the backdate is longer than one hour"));
        }
        if self.validity <= self.backdate + MINUTE {
            return Err(invalid("the validity is so short that a certificate would be of no use"));
        }
        if self.validity > self.max_validity {
            return Err(invalid("the validity is longer than the longest allowed"));
        }
        if self.extended_key_usages.is_empty() {
            return Err(invalid("the key may not be used for anything"));
        }
        Ok(())
    }
}

fn malformed(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemType::Malformed, detail)
}

/// A profile contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("profile {name:?}: {what}")]
pub struct InvalidProfile {
    name: String,
    what: &'static str,
}

/// The profiles that a server offers; there is always one, the default.
#[derive(Clone, Debug)]
pub struct Profiles {
    default: String,
    profiles: BTreeMap<String, Profile>,
}

impl Profiles {
    /// One profile, for orders that ask for none.
    ///
    /// # Errors
    ///
    /// [`InvalidProfile`].
    pub fn new(default: Profile) -> Result<Self, InvalidProfile> {
        Self { default: default.name.clone(), profiles: BTreeMap::new() }.with(default)
    }

    /// One more; it takes the place of one with the same name.
    ///
    /// # Errors
    ///
    /// [`InvalidProfile`].
    pub fn with(mut self, profile: Profile) -> Result<Self, InvalidProfile> {
        profile.check()?;
        self.profiles.insert(profile.name.clone(), profile);
        Ok(self)
    }

    /// The profile of that name; without one, the default.
    ///
    /// # Errors
    ///
    /// `invalidProfile`.
    pub fn find(&self, name: Option<&str>) -> Result<&Profile, Problem> {
        self.profiles.get(name.unwrap_or(&self.default)).ok_or_else(|| {
            Problem::new(ProblemType::InvalidProfile, "the server does not offer this profile")
        })
    }

    /// The name of the default.
    pub fn default_name(&self) -> &str {
        &self.default
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Profile> {
        self.profiles.values()
    }
}

impl Default for Profiles {
    /// One profile, `default`, with the defaults of [`Profile::new`].
    fn default() -> Self {
        let profile = Profile::new("default");
        Self { default: profile.name.clone(), profiles: BTreeMap::from([(profile.name.clone(), profile)]) }
    }
}

#[cfg(test)]
mod tests;
