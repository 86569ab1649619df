//! dns-account-01: dns-01 at a name that the account has to itself. draft-ietf-acme-dns-account-label.

use async_trait::async_trait;
use coyote_protocol::{ChallengeType, DnsName, Identifier};
use openssl::sha::sha256;

use super::dns_01::{digest_at, not_for_addresses};
use super::{Attempt, ChallengeValidator, ValidationFailure};

/// How many characters the account's label has, its underscore and the dot after it included.
const LABEL: usize = 18;

/// Validates dns-account-01 challenges, for DNS names and for wildcards.
///
/// It asks for the TXT records of `_LABEL._acme-challenge.NAME`, where LABEL follows from the URL of the account: so several
/// accounts, say of different data centres, can each have that name delegated to them. All else is as with
/// [`Dns01`](super::Dns01).
#[derive(Clone, Copy, Debug, Default)]
pub struct DnsAccount01;

#[async_trait]
impl ChallengeValidator for DnsAccount01 {
    fn challenge_type(&self) -> ChallengeType {
        ChallengeType::DNS_ACCOUNT_01
    }

    fn offers(&self, identifier: &Identifier) -> bool {
        base(identifier).is_some_and(|base| base.len() + LABEL <= DnsName::MAX_LENGTH)
    }

    async fn validate(&self, attempt: Attempt<'_>) -> Result<(), ValidationFailure> {
        let base = base(attempt.identifier).ok_or_else(|| not_for_addresses("dns-account-01"))?;
        digest_at(&format!("_{}.{base}", account_label(attempt.account_url)), &attempt).await
    }
}

/// What the account's label goes in front of; none for an address.
fn base(identifier: &Identifier) -> Option<String> {
    match identifier {
        Identifier::Dns(name) | Identifier::Wildcard(name) => Some(format!("_acme-challenge.{name}")),
        Identifier::Ip(_) => None,
    }
}

/// The first 80 bits of the SHA-256 of the URL, in base32 (RFC 4648 section 6) of lower case.
fn account_label(account_url: &str) -> String {
    let mut bits = sha256(account_url.as_bytes())
        .into_iter()
        .take(10)
        .fold(0u128, |bits, byte| bits << 8 | u128::from(byte));
    let mut label = Vec::new();
    for _ in 0..16 {
        let digit = u8::try_from(bits & 31).unwrap_or_default();
        label.push(char::from(if digit < 26 { b'a' + digit } else { b'2' + digit - 26 }));
        bits >>= 5;
    }
    label.into_iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use coyote_protocol::ProblemType;

    use super::*;
    use crate::validate::testing::{World, key_authorization};

    /// By `printf %s URL | openssl sha256 -binary | head -c10 | base32 | tr A-Z a-z`.
    #[test]
    fn the_label_follows_from_the_url_of_the_account() {
        assert_eq!(account_label("https://example.com/acme/acct/ExampleAccount"), "ujmmovf2vn55tgye");
        assert_eq!(account_label("https://ca.test/acme/account/1"), LABEL_OF_TESTS);
    }

    const LABEL_OF_TESTS: &str = "7idc2oyuhqnastvf";

    #[tokio::test]
    async fn the_digest_counts_at_the_name_of_the_account_only() {
        let digest = key_authorization().dns_digest().into_bytes();
        let mut world = World::at(1, 1);
        world.names.texts.insert("_7idc2oyuhqnastvf._acme-challenge.a.test", vec![digest.clone()]);
        world.ask(&DnsAccount01, "dns", "a.test").await.expect_valid();

        let mut world = World::at(1, 1);
        world.names.texts.insert("_acme-challenge.a.test", vec![digest.clone()]);
        world.names.texts.insert("_ujmmovf2vn55tgye._acme-challenge.a.test", vec![digest]);
        let outcome = world.ask(&DnsAccount01, "dns", "*.a.test").await;
        let detail = format!("DNS has no TXT record for _{LABEL_OF_TESTS}._acme-challenge.a.test");
        outcome.expect_transient(ProblemType::Dns, &detail);
    }

    #[test]
    fn an_address_and_a_name_that_is_too_long_are_not_offered() {
        let name = |text: &str| Identifier::parse("dns", text).unwrap();
        assert!(DnsAccount01.offers(&name("*.a.test")));
        assert!(!DnsAccount01.offers(&Identifier::parse("ip", "192.0.2.1").unwrap()));
        let label = "a".repeat(60);
        let long = format!("{}.{label}.{label}.{label}", "a".repeat(36));
        assert_eq!(long.len() + "_acme-challenge.".len() + LABEL, DnsName::MAX_LENGTH);
        assert!(DnsAccount01.offers(&name(&long)));
        assert!(!DnsAccount01.offers(&name(&format!("a{long}"))));
    }
}
