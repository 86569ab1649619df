//! dns-persist-01: a record that stays says which account may have certificates. draft-ietf-acme-dns-persist.

use std::fmt;

use async_trait::async_trait;
use coyote_protocol::{ChallengeType, DnsName, Identifier, ProblemType, Timestamp};
use serde_json::{Map, Value, json};

use super::caa::property::Issue;
use super::dns_01::{no_texts, not_for_addresses};
use super::{Attempt, ChallengeValidator, ResolveError, ValidationFailure};
use crate::trace::TraceEvent;

/// How a challenge is put into words, which changed from draft to draft. The record is the same in these.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum DnsPersistDraft {
    /// -00: the challenge has `issuer-domain-names`.
    Draft00,
    /// -01: and `accounturi`, what the record must say.
    #[default]
    Draft01,
}

/// Validates dns-persist-01 challenges, for DNS names and for wildcards.
///
/// It asks for the TXT records of `_validation-persist.NAME`, of this very name and no other: an alias at NAME itself leads
/// nowhere. One of them must name the CA and the URL of the account, for a wildcard with `policy=wildcard`, and must not be
/// past its `persistUntil`. There is no token: the record outlives the challenge, and can be there before it.
#[derive(Clone, Debug)]
pub struct DnsPersist01 {
    issuers: Vec<DnsName>,
    draft: DnsPersistDraft,
}

impl DnsPersist01 {
    /// For a CA that goes by these names, in the words of the latest draft known here. `None` without a name.
    pub fn new(issuers: impl IntoIterator<Item = DnsName>) -> Option<Self> {
        let issuers: Vec<_> = issuers.into_iter().collect();
        (!issuers.is_empty()).then_some(Self { issuers, draft: DnsPersistDraft::default() })
    }

    /// In the words of this draft.
    #[must_use]
    pub fn with_draft(self, draft: DnsPersistDraft) -> Self {
        Self { draft, ..self }
    }

    fn check(&self, text: &[u8], attempt: &Attempt<'_>) -> Result<(), Mismatch> {
        let record = Issue::parse(text).ok_or(Mismatch::Malformed)?;
        let is_ours = |name: &str| self.issuers.iter().any(|ours| ours.as_str().eq_ignore_ascii_case(name));
        if !record.issuer.is_some_and(is_ours) {
            return Err(Mismatch::Issuer);
        }
        let parameter = |name| record.parameter(name).map_err(|_| Mismatch::Malformed);
        let (account, policy, until) =
            (parameter("accounturi")?, parameter("policy")?, parameter("persistUntil")?);
        if account != Some(attempt.account_url) {
            return Err(Mismatch::Account);
        }
        if let Some(until) = until {
            let is_decimal = !until.is_empty() && until.bytes().all(|byte| byte.is_ascii_digit());
            let seconds = until.parse().ok().filter(|_| is_decimal).ok_or(Mismatch::Malformed)?;
            if attempt.now > Timestamp::from_seconds(seconds) {
                return Err(Mismatch::Expired);
            }
        }
        let covers_wildcards = policy.is_some_and(|policy| policy.eq_ignore_ascii_case("wildcard"));
        if attempt.wildcard && !covers_wildcards { Err(Mismatch::Wildcard) } else { Ok(()) }
    }
}

/// The record that lets an account have certificates, as one line of a zone file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DnsPersistRecord {
    /// The name that is to be certified.
    pub name: DnsName,
    /// What the CA goes by.
    pub issuer: DnsName,
    /// The URL of the account.
    pub account_url: String,
    /// Whether names one label below may be certified, too.
    pub wildcard: bool,
    /// When it ends, if it does.
    pub until: Option<Timestamp>,
}

impl fmt::Display for DnsPersistRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, issuer, account_url, wildcard, until } = self;
        write!(f, "_validation-persist.{name}. IN TXT (\"{issuer};\" \" accounturi={account_url}")?;
        if *wildcard {
            f.write_str("; policy=wildcard")?;
        }
        if let Some(until) = until {
            write!(f, "; persistUntil={}", until.as_millis().div_euclid(1000))?;
        }
        f.write_str("\")")
    }
}

/// Why a record does not do; the later, the closer it comes.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, thiserror::Error)]
enum Mismatch {
    #[error("does not name this CA")]
    Issuer,
    #[error("cannot be read")]
    Malformed,
    #[error("does not name this account")]
    Account,
    #[error("is past its persistUntil")]
    Expired,
    #[error("does not say policy=wildcard")]
    Wildcard,
}

#[async_trait]
impl ChallengeValidator for DnsPersist01 {
    fn challenge_type(&self) -> ChallengeType {
        ChallengeType::DNS_PERSIST_01
    }

    fn offers(&self, identifier: &Identifier) -> bool {
        owner(identifier).is_some_and(|owner| owner.len() <= DnsName::MAX_LENGTH)
    }

    fn has_token(&self) -> bool {
        false
    }

    fn members(&self, account_url: &str) -> Map<String, Value> {
        let names: Vec<_> = self.issuers.iter().map(DnsName::as_str).collect();
        let mut members = Map::from_iter([("issuer-domain-names".to_owned(), json!(names))]);
        if self.draft == DnsPersistDraft::Draft01 {
            members.insert("accounturi".to_owned(), json!(account_url));
        }
        members
    }

    async fn validate(&self, attempt: Attempt<'_>) -> Result<(), ValidationFailure> {
        let Attempt { network, trace, .. } = attempt;
        let owner = owner(attempt.identifier).ok_or_else(|| not_for_addresses("dns-persist-01"))?;
        let asking = network.resolver().texts(&owner, trace);
        let texts = tokio::time::timeout(network.limits().attempt_deadline, asking)
            .await
            .unwrap_or(Err(ResolveError::TimedOut))
            .map_err(|error| no_texts(&owner, &error))?;
        let mut closest = Mismatch::Issuer;
        for text in &texts {
            match self.check(text, &attempt) {
                Ok(()) => return Ok(()),
                Err(mismatch) => closest = closest.max(mismatch),
            }
        }
        let expected = format!("a TXT record of {owner} should name the account {}", attempt.account_url);
        trace.record(TraceEvent::note(expected));
        let detail = match texts.len() {
            1 => format!("{owner} has 1 TXT record, which {closest}"),
            count => format!("{owner} has {count} TXT records, the closest of which {closest}"),
        };
        Err(ValidationFailure::definitive(ProblemType::Unauthorized, detail))
    }
}

fn owner(identifier: &Identifier) -> Option<String> {
    match identifier {
        Identifier::Dns(name) | Identifier::Wildcard(name) => Some(format!("_validation-persist.{name}")),
        Identifier::Ip(_) => None,
    }
}

#[cfg(test)]
mod tests;
