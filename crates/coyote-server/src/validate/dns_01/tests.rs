//! dns-01 against what DNS may say. The tests whose names start with `v30` to `v36` are those of the catalogue of bad
//! inputs; what a name server can send by way of an answer is the resolver's to cope with, and its tests'.

use coyote_jose::Thumbprint;
use coyote_protocol::{Identifier, KeyAuthorization, ProblemType};

use super::*;
use crate::trace::TraceEvent;
use crate::validate::testing::{Outcome, World, key_authorization, token};

const OWNER: &str = "_acme-challenge.a.test";

fn digest() -> Vec<u8> {
    key_authorization().dns_digest().into_bytes()
}

/// Validates `a.test` where a name has these TXT records.
async fn finds(owner: &'static str, texts: &[&[u8]]) -> Outcome {
    let mut world = World::at(1, 1);
    world.names.texts.insert(owner, texts.iter().map(|text| text.to_vec()).collect());
    world.ask(&Dns01, "dns", "a.test").await
}

#[track_caller]
fn expect_wrong(outcome: &Outcome, detail: &str) {
    outcome.expect_definitive(ProblemType::IncorrectResponse, detail);
}

#[tokio::test]
async fn the_digest_of_the_key_authorization_is_valid() {
    finds(OWNER, &[&digest()]).await.expect_valid();
}

#[tokio::test]
async fn one_right_record_among_others_is_enough() {
    finds(OWNER, &[b"v=spf1 -all", &digest()]).await.expect_valid();
    finds(OWNER, &[&digest(), b"", &[0xff; 1000]]).await.expect_valid();
    finds(OWNER, &[&digest(), &digest()]).await.expect_valid();
}

#[tokio::test]
async fn a_wildcard_is_proved_at_its_base_name() {
    let mut world = World::at(1, 1);
    world.names.texts.insert(OWNER, vec![digest()]);
    world.ask(&Dns01, "dns", "*.a.test").await.expect_valid();
}

#[tokio::test]
async fn an_address_is_neither_offered_nor_valid() {
    let address = Identifier::parse("ip", "192.0.2.1").unwrap();
    assert!(!Dns01.offers(&address), "RFC 8738 section 7");

    let outcome = World::at(1, 1).ask(&Dns01, "ip", "192.0.2.1").await;

    let detail = "dns-01 does not prove control of an IP address";
    outcome.expect_definitive(ProblemType::Unauthorized, detail);
}

#[test]
fn names_and_wildcards_are_offered_unless_nothing_fits_in_front_of_them() {
    let label = "a".repeat(60);
    let longest = format!("{}.{label}.{label}.{label}.test", "a".repeat(DnsName::MAX_LENGTH - 16 - 188));
    assert_eq!(format!("_acme-challenge.{longest}").len(), DnsName::MAX_LENGTH);
    for (name, expected) in [("a.test", true), (&longest, true), (&format!("a{longest}"), false)] {
        for identifier in [name.to_owned(), format!("*.{name}")] {
            let identifier = Identifier::parse("dns", &identifier).unwrap();
            assert_eq!(Dns01.offers(&identifier), expected, "{identifier}");
        }
    }
}

#[tokio::test]
async fn v30_the_digest_at_another_name_is_not_seen() {
    for elsewhere in ["a.test", "_acme-challenge.test", "_acme-challenge.www.a.test"] {
        let outcome = finds(elsewhere, &[&digest()]).await;
        outcome.expect_transient(ProblemType::Dns, "DNS has no TXT record for _acme-challenge.a.test");
    }
}

#[tokio::test]
async fn v31_another_form_of_the_digest_is_wrong_and_the_client_is_told_which() {
    let right = key_authorization();
    let digest = right.dns_digest();
    let hex: String = right.digest().iter().map(|octet| format!("{octet:02X}")).collect();
    let more = "one with more than the digest, such as padding, white space or quotation marks";
    for (text, guess) in [
        (right.as_str().as_bytes().to_vec(), "one with the key authorization itself"),
        (hex.into_bytes(), "one with the digest in hexadecimal instead of base64url"),
        (right.digest().to_vec(), "one with the digest in binary instead of base64url"),
        (Vec::new(), "an empty one"),
        (format!("{digest}=").into_bytes(), more),
        (format!("{digest}\n").into_bytes(), more),
        (format!(" {digest}").into_bytes(), more),
        (format!("\"{digest}\"").into_bytes(), more),
        (format!("{digest}\0").into_bytes(), more),
    ] {
        let expected = format!(
            "{OWNER} has 1 TXT record, which is not the digest of the key authorization; there is {guess}"
        );
        expect_wrong(&finds(OWNER, &[&text]).await, &expected);
    }
    for text in [digest.to_ascii_uppercase(), digest[1..].to_owned(), format!("{}é", &digest[..42])] {
        let expected = format!("{OWNER} has 1 TXT record, which is not the digest of the key authorization");
        expect_wrong(&finds(OWNER, &[text.as_bytes()]).await, &expected);
    }
}

#[test]
fn v31_base64_with_the_other_alphabet_is_seen_to_be_that() {
    // A key whose digest has letters that differ between the alphabets.
    let key = (0..=255).map(|octet| KeyAuthorization::new(&token(), Thumbprint::from_bytes([octet; 32])));
    let right = key.into_iter().find(|key| key.dns_digest().contains('-')).unwrap();
    let standard = right.dns_digest().replace('-', "+").replace('_', "/") + "=";
    assert_eq!(
        guess(standard.as_bytes(), &right),
        Some("one with the digest in base64 instead of base64url")
    );
}

#[tokio::test]
async fn v32_the_digest_for_another_account_is_wrong() {
    let other = KeyAuthorization::new(&token(), Thumbprint::from_bytes([2; 32])).dns_digest();
    let outcome = finds(OWNER, &[other.as_bytes(), b"v=spf1 -all"]).await;
    expect_wrong(
        &outcome,
        "_acme-challenge.a.test has 2 TXT records, none of which is the digest of the key authorization",
    );
    outcome.expect_untold(&other);
    outcome.expect_untold("spf1");
}

#[tokio::test]
async fn v33_a_record_that_dns_does_not_have_may_be_there_in_a_moment() {
    let fail = async |failure| {
        let mut world = World::at(1, 1);
        world.names.failures.insert(OWNER, failure);
        world.ask(&Dns01, "dns", "a.test").await
    };
    for (failure, detail) in [
        (ResolveError::NoSuchName, "DNS says that _acme-challenge.a.test does not exist (NXDOMAIN)"),
        (ResolveError::NoRecords, "DNS has no TXT record for _acme-challenge.a.test"),
        (
            ResolveError::Server("SERVFAIL".to_owned()),
            "DNS answered SERVFAIL when asked for the TXT records of _acme-challenge.a.test",
        ),
        (
            ResolveError::TooManyAliases,
            "DNS has too many aliases on the way to the TXT records of _acme-challenge.a.test",
        ),
        (
            ResolveError::TimedOut,
            "DNS did not answer in time when asked for the TXT records of _acme-challenge.a.test",
        ),
    ] {
        fail(failure).await.expect_transient(ProblemType::Dns, detail);
    }
}

#[tokio::test(start_paused = true)]
async fn v33_a_resolver_that_never_answers_is_not_waited_for() {
    let mut world = World::at(1, 1);
    world.names.silent.push(OWNER);

    let outcome = world.ask(&Dns01, "dns", "a.test").await;

    outcome.expect_transient(
        ProblemType::Dns,
        "DNS did not answer in time when asked for the TXT records of _acme-challenge.a.test",
    );
}

#[tokio::test]
async fn v36_a_thousand_records_are_all_looked_at() {
    let many = vec![[b'x'; 43]; 1000];
    let mut texts: Vec<&[u8]> = many.iter().map(|text| &text[..]).collect();
    expect_wrong(
        &finds(OWNER, &texts).await,
        "_acme-challenge.a.test has 1000 TXT records, none of which is the digest of the key authorization",
    );
    let right = digest();
    texts.push(&right);
    finds(OWNER, &texts).await.expect_valid();
}

#[tokio::test]
async fn the_trace_of_a_wrong_value_says_what_was_expected() {
    let outcome = finds(OWNER, &[b"wrong"]).await;
    let expected = format!("a TXT record of {OWNER} should say {}", key_authorization().dns_digest());
    let events = outcome.trace.events();
    assert!(events.iter().any(|timed| timed.event == TraceEvent::note(&expected)), "\n{}", outcome.trace);
}
