//! dns-01: a digest of the key authorization is in a TXT record of the name. RFC 8555 section 8.4.

use async_trait::async_trait;
use coyote_protocol::{ChallengeType, DnsName, Identifier, KeyAuthorization, ProblemType};

use super::told::no_lookup;
use super::{Attempt, ChallengeValidator, ResolveError, ValidationFailure};
use crate::trace::TraceEvent;

/// Validates dns-01 challenges, for DNS names and for wildcards, never for IP addresses (RFC 8738 section 7).
///
/// It asks for the TXT records of `_acme-challenge.NAME`, where NAME is a wildcard's without `*.`, and follows
/// aliases. One record with the right value suffices, whatever the others say: a name and its wildcard are proved
/// side by side.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dns01;

#[async_trait]
impl ChallengeValidator for Dns01 {
    fn challenge_type(&self) -> ChallengeType {
        ChallengeType::DNS_01
    }

    /// A name that is so long that nothing fits in front of it cannot be proved.
    fn offers(&self, identifier: &Identifier) -> bool {
        owner(identifier).is_some_and(|owner| owner.len() <= DnsName::MAX_LENGTH)
    }

    async fn validate(&self, attempt: Attempt<'_>) -> Result<(), ValidationFailure> {
        let owner = owner(attempt.identifier).ok_or_else(|| not_for_addresses("dns-01"))?;
        digest_at(&owner, &attempt).await
    }
}

/// Whether a TXT record of this name is the digest of the key authorization.
pub(super) async fn digest_at(owner: &str, attempt: &Attempt<'_>) -> Result<(), ValidationFailure> {
    let Attempt { network, trace, .. } = attempt;
    let asking = network.resolver().texts(owner, trace);
    let texts = tokio::time::timeout(network.limits().attempt_deadline, asking)
        .await
        .unwrap_or(Err(ResolveError::TimedOut))
        .map_err(|error| no_texts(owner, &error))?;
    check(owner, &texts, attempt.key_authorization).inspect_err(|_| {
        let expected = attempt.key_authorization.dns_digest();
        trace.record(TraceEvent::note(format!("a TXT record of {owner} should say {expected}")));
    })
}

/// RFC 8738 section 7.
pub(super) fn not_for_addresses(method: &str) -> ValidationFailure {
    let detail = format!("{method} does not prove control of an IP address");
    ValidationFailure::definitive(ProblemType::Unauthorized, detail)
}

/// The name whose TXT records are asked for; none for an address.
fn owner(identifier: &Identifier) -> Option<String> {
    match identifier {
        Identifier::Dns(name) | Identifier::Wildcard(name) => Some(format!("_acme-challenge.{name}")),
        Identifier::Ip(_) => None,
    }
}

/// Whether one of the values is the one that was asked for.
fn check(owner: &str, texts: &[Vec<u8>], expected: &KeyAuthorization) -> Result<(), ValidationFailure> {
    let digest = expected.dns_digest();
    if texts.iter().any(|text| text == digest.as_bytes()) {
        return Ok(());
    }
    let guess = texts.iter().find_map(|text| guess(text, expected));
    let guess = guess.map_or(String::new(), |what| format!("; there is {what}"));
    let detail = match texts.len() {
        1 => format!("{owner} has 1 TXT record, which is not the digest of the key authorization{guess}"),
        count => format!(
            "{owner} has {count} TXT records, none of which is the digest of the key authorization{guess}"
        ),
    };
    Err(ValidationFailure::definitive(ProblemType::IncorrectResponse, detail))
}

/// What is wrong with a value, if that is easily seen, in the words of a fixed list: nothing of it is repeated.
fn guess(text: &[u8], expected: &KeyAuthorization) -> Option<&'static str> {
    let digest = expected.dns_digest();
    let bytes = expected.digest();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    // As base64url, if it is base64.
    let url: Vec<_> = text
        .iter()
        .map(|byte| match byte {
            b'+' => b'-',
            b'/' => b'_',
            other => *other,
        })
        .collect();
    if text.is_empty() {
        Some("an empty one")
    } else if contains(text, digest.as_bytes()) {
        Some("one with more than the digest, such as padding, white space or quotation marks")
    } else if contains(&url, digest.as_bytes()) {
        Some("one with the digest in base64 instead of base64url")
    } else if contains(text, expected.as_str().as_bytes()) {
        Some("one with the key authorization itself")
    } else if text.eq_ignore_ascii_case(hex.as_bytes()) {
        Some("one with the digest in hexadecimal instead of base64url")
    } else if text == bytes {
        Some("one with the digest in binary instead of base64url")
    } else {
        None
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// A record that is not there may be on its way to all name servers.
pub(super) fn no_texts(owner: &str, error: &ResolveError) -> ValidationFailure {
    let transient = |detail| ValidationFailure::transient(ProblemType::Dns, detail);
    match error {
        ResolveError::NoSuchName => transient(format!("DNS says that {owner} does not exist (NXDOMAIN)")),
        ResolveError::NoRecords => transient(format!("DNS has no TXT record for {owner}")),
        error => no_lookup(&format!("the TXT records of {owner}"), error),
    }
}

#[cfg(test)]
mod tests;
