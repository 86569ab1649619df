//! What is configured takes effect.

use std::{fs, time::SystemTime};

use coyote_jose::base64url;
use coyote_protocol::Timestamp;
use integration_tests::{Account, Csr, Key, Response, World, leaf};
use openssl::{pkey::PKey, sha::sha256};
use serde_json::json;

fn order(account: &Account, name: &str) -> Response {
    let identifiers = json!({"identifiers": [{"type": "dns", "value": name}]});
    account.post(&account.client.resource("newOrder"), &identifiers)
}

/// RFC 8555 section 6.6.
#[test]
fn orders_beyond_the_rate_are_refused_until_it_allows_more_across_restarts() {
    let mut world = World::with(|setup| {
        setup
            .with("rate_limits", "orders_per_account = \"2/1h\"")
            .with("rate_limits", "help = \"https://ca.example/limits\"")
    });
    let account = world.client.account();
    let first = order(&account, "a.example.org").expect(201);
    assert_eq!(first.header("RateLimit-Policy"), Some("\"new-order\";q=2;w=3600"));
    let _ = order(&account, "b.example.org").expect(201);

    world.crash();
    let refused = order(&account, "c.example.org");

    refused.expect_problem(429, "rateLimited");
    assert_eq!(refused.links("help"), ["https://ca.example/limits"]);
    let wait: u32 = refused.header("Retry-After").expect("when to come back").parse().expect("seconds");
    assert!((1..=1800).contains(&wait), "the next comes free after half an hour, not {wait} s");
    let _ = order(&world.client.account(), "c.example.org").expect(201);
}

#[test]
fn accounts_beyond_the_rate_of_an_address_are_refused() {
    let world = World::with(|setup| setup.with("rate_limits", "accounts_per_address = \"1/1h\""));
    let first = world.client.account();
    let refused = world.client.new_account(&Key::new(), &json!({}));
    refused.expect_problem(429, "rateLimited");
    let _ = world.client.new_account(&first.key, &json!({})).expect(200);
}

/// For weeks, whatever becomes of the server.
#[test]
fn a_name_that_goes_on_failing_is_paused_and_no_other() {
    let mut world = World::with(|setup| setup.with("rate_limits", "failing_names = \"2/28d\""));
    let account = world.client.account();
    for _ in 0..2 {
        let authorization = account.authorizations(&account.order(&["a.example.org"])).remove(0);
        let _ = account.post(&authorization.challenge("http-01").url, &json!({})).expect(200);
        assert_eq!(account.settled(&authorization.url).status(), "invalid");
        world.crash();
    }

    let paused = order(&account, "a.example.org");

    paused.expect_problem(429, "rateLimited");
    let wait: u32 = paused.header("Retry-After").expect("when to come back").parse().expect("seconds");
    let days = wait / 86_400;
    assert!((13..=14).contains(&days), "one attempt comes free in half of the time, not in {days} days");
    let _ = order(&account, "b.example.org").expect(201);
    let _ = order(&world.client.account(), "a.example.org").expect(201);
}

#[test]
fn who_fails_too_often_to_prove_a_name_gets_no_order_for_it() {
    let world = World::with(|setup| setup.with("rate_limits", "failed_validations = \"1/1h\""));
    let account = world.client.account();
    let authorization = account.authorizations(&account.order(&["a.example.org"])).remove(0);
    let _ = account.post(&authorization.challenge("http-01").url, &json!({})).expect(200);
    assert_eq!(account.settled(&authorization.url).status(), "invalid");

    order(&account, "a.example.org").expect_problem(429, "rateLimited");
    let _ = order(&account, "b.example.org").expect(201);
}

/// RFC 8555 sections 6.7 and 11.1.
#[test]
fn keys_that_the_policy_does_not_take_are_refused() {
    let blocked = Key::generate("ES384");
    let hash = sha256(&blocked.private().public_key_to_der().expect("a key"));
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let list = tempfile::NamedTempFile::new().expect("a file");
    fs::write(list.path(), format!("# leaked\n{hash}\n")).expect("a file can be written");
    let world = World::with(|setup| {
        setup
            .with("policy", "curves = [\"P-384\"]")
            .with("policy", "ed25519 = false")
            .with("policy", "min_rsa_bits = 3072")
            .with("policy", "max_rsa_bits = 3072")
            .with("policy", &format!("blocked_keys = {:?}", list.path()))
    });
    let new_account = |key: &Key| world.client.new_account(key, &json!({}));

    for key in [Key::new(), Key::generate("EdDSA"), Key::rsa(2048), Key::rsa(4096), blocked.clone()] {
        new_account(&key).expect_problem(400, "badPublicKey");
    }
    let _ = new_account(&Key::rsa(3072)).expect(201);

    let account = world.client.account_of(Key::generate("ES384"));
    let order = account.ready_order(&["a.example.org"], &world.responder);
    let csr = |key: &PKey<_>| Csr::with_key(&["a.example.org"], key).to_der();
    account.finalize(&order, &csr(Key::new().private())).expect_problem(400, "badCSR");
    account.finalize(&order, &csr(blocked.private())).expect_problem(400, "badCSR");
    let _ = account.finalize(&order, &csr(Key::generate("ES384").private())).expect(200);
}

/// RFC 8555 section 7.3.3.
#[test]
fn who_agreed_to_earlier_terms_has_to_agree_again_once_they_have_changed() {
    const TERMS: &str = "https://ca.example/terms";
    let mut world = World::with(|setup| {
        setup
            .with("directory", &format!("terms_of_service = \"{TERMS}\""))
            .with("directory", "terms_since = \"2999-01-01T00:00:00Z\"")
    });
    let account = world.client.account();
    let _ = order(&account, "a.example.org").expect(201);

    let file = world.acmed.path("acmed.toml");
    let config = fs::read_to_string(&file).expect("a configuration");
    let config = config.replace("2999-01-01T00:00:00Z", &now().to_string());
    fs::write(&file, config).expect("a file can be written");
    world.crash();

    let refused = order(&account, "b.example.org");
    refused.expect_problem(403, "userActionRequired");
    assert_eq!(refused.links("terms-of-service"), [TERMS]);
    let _ = account.post(&account.url, &json!({"termsOfServiceAgreed": true})).expect(200);
    let _ = order(&account, "b.example.org").expect(201);
}

/// RFC 9773 section 4.2.
#[test]
fn the_page_about_revocations_is_named_for_what_is_revoked() {
    const PAGE: &str = "https://ca.example/revoked";
    let world = World::with(|setup| setup.with("directory", &format!("renewal_explanation = \"{PAGE}\"")));
    let account = world.client.account();
    let leaf = leaf(&account.issue(&["a.example.org"], &world.responder));
    let authority = leaf.authority_key_id().expect("an authority").as_slice();
    let serial = leaf.serial_number().to_bn().expect("a number").to_vec();
    let id = format!("{}.{}", base64url::encode(authority), base64url::encode(serial));
    let url = format!("{}/{id}", world.client.resource("renewalInfo"));
    let info = || world.client.http.get(&world.client.http.target(&url)).expect(200).json();

    assert_eq!(info()["explanationURL"], json!(null), "there is nothing to explain");
    let certificate = base64url::encode(leaf.to_der().expect("a certificate"));
    let _ =
        account.post(&world.client.resource("revokeCert"), &json!({"certificate": certificate})).expect(200);
    assert_eq!(info()["explanationURL"], PAGE);
}

fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock");
    Timestamp::from_millis(i64::try_from(now.as_millis()).expect("a time"))
}
