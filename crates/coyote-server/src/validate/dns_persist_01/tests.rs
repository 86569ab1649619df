//! dns-persist-01 against what a record may say.

use super::*;
use crate::validate::testing::{Outcome, World};

const OWNER: &str = "_validation-persist.a.test";
const OURS: &str = "us.test; accounturi=https://ca.test/acme/account/1";

fn validator() -> DnsPersist01 {
    DnsPersist01::new([DnsName::parse("us.test").unwrap()]).unwrap()
}

/// Validates a name where `a.test` has these records. It is the second 1,800,000,000.
async fn finds(name: &str, texts: &[&str]) -> Outcome {
    let mut world = World::at(1, 1);
    world.names.texts.insert(OWNER, texts.iter().map(|text| text.as_bytes().to_vec()).collect());
    world.ask(&validator(), "dns", name).await
}

#[tokio::test]
async fn a_record_that_names_the_ca_and_the_account_proves_the_name() {
    for text in [
        OURS.to_owned(),
        format!("{OURS}; policy=wildcard"),
        format!("{OURS}; persistUntil=1800000000"),
        format!("{OURS}; x-unknown=y; policy=unknown"),
        OURS.replace("us.test", "US.test"),
    ] {
        finds("a.test", &[&text]).await.expect_valid();
        finds("a.test", &["v=spf1 -all", "other.test; accounturi=x", &text]).await.expect_valid();
    }
}

#[tokio::test]
async fn a_record_that_does_not_is_told_apart() {
    let twice = format!("{OURS}; accounturi=https://ca.test/acme/account/1");
    for (text, what) in [
        ("other.test; accounturi=https://ca.test/acme/account/1", "does not name this CA"),
        ("us.test", "does not name this account"),
        ("us.test; accounturi=https://ca.test/acme/account/2", "does not name this account"),
        (&twice, "cannot be read"),
        (&format!("{OURS}; policy=wildcard; policy=wildcard"), "cannot be read"),
        (&format!("{OURS}; persistUntil=2030-01-01T00:00:00Z"), "cannot be read"),
        (&format!("{OURS}; persistUntil=-1"), "cannot be read"),
        (&format!("{OURS}; persistUntil=1799999999"), "is past its persistUntil"),
    ] {
        let detail = format!("{OWNER} has 1 TXT record, which {what}");
        finds("a.test", &[text]).await.expect_definitive(ProblemType::Unauthorized, &detail);
    }
}

#[tokio::test]
async fn a_wildcard_needs_a_record_that_says_so() {
    finds("*.a.test", &[&format!("{OURS}; policy=WILDCARD")]).await.expect_valid();
    let detail = format!("{OWNER} has 1 TXT record, which does not say policy=wildcard");
    finds("*.a.test", &[OURS]).await.expect_definitive(ProblemType::Unauthorized, &detail);
}

#[tokio::test]
async fn a_record_that_is_not_there_may_come() {
    let outcome = World::at(1, 1).ask(&validator(), "dns", "a.test").await;
    outcome.expect_transient(ProblemType::Dns, &format!("DNS has no TXT record for {OWNER}"));
}

#[test]
fn the_challenge_says_what_the_record_must_in_the_words_of_each_draft() {
    let of = |draft| Value::from(validator().with_draft(draft).members("https://ca.test/1"));
    assert_eq!(of(DnsPersistDraft::Draft00), json!({"issuer-domain-names": ["us.test"]}));
    let expected = json!({"issuer-domain-names": ["us.test"], "accounturi": "https://ca.test/1"});
    assert_eq!(of(DnsPersistDraft::Draft01), expected);
    assert!(!validator().has_token());
}

#[tokio::test]
async fn the_printed_record_is_one_that_proves_the_name() {
    let record = DnsPersistRecord {
        name: DnsName::parse("a.test").unwrap(),
        issuer: DnsName::parse("us.test").unwrap(),
        account_url: "https://ca.test/acme/account/1".into(),
        wildcard: true,
        until: Some(Timestamp::from_seconds(1_900_000_000)),
    };
    let line = record.to_string();
    assert!(line.starts_with("_validation-persist.a.test. IN TXT ("), "{line}");
    let strings: String = line.split('"').skip(1).step_by(2).collect();
    finds("*.a.test", &[&strings]).await.expect_valid();
}
