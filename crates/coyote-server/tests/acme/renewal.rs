//! When to renew, and what is renewed. RFC 9773.

use std::time::Duration;

use coyote_protocol::{CertificateIdentifier, Timestamp};
use coyote_storage::DirectoryId;
use openssl::x509::X509;
use serde_json::json;
use tokio::time::sleep;

use crate::{
    account::{Account, Answer, Object, renewal_info},
    parts::{START, wrong_answer},
    world::World,
};

/// What a certificate is called. RFC 9773 section 4.1.
fn identifier(certificate: &X509) -> String {
    let authority = certificate.authority_key_id().unwrap().as_slice();
    let serial = certificate.serial_number().to_bn().unwrap().to_vec();
    CertificateIdentifier::new(authority, &serial).to_string()
}

async fn identifier_of(account: &Account, order: &Object) -> String {
    identifier(&account.chain(order).await[0])
}

fn window(answer: &Answer) -> (Timestamp, Timestamp) {
    let at = |end: &str| answer.json["suggestedWindow"][end].as_str().unwrap().parse().unwrap();
    (at("start"), at("end"))
}

#[tokio::test(start_paused = true)]
async fn the_window_is_in_the_last_half_of_a_life_and_ends_before_the_last_quarter() {
    let world = World::new();
    let account = world.account().await;
    let order = account.issue(&["a.example"]).await;
    let id = identifier_of(&account, &order).await;

    let answer = renewal_info(&world.acme, &id).await.expect(200);

    let (start, end) = window(&answer);
    let life = Duration::from_secs(90 * 24 * 3600);
    assert!(START + life / 2 < start && start < end && end < START + life * 3 / 4, "{}", answer.json);
    assert_eq!(answer.retry_after(), Some(6 * 3600));
    assert_eq!(answer.json["explanationURL"], json!(null), "there is nothing to explain");
    assert_eq!(answer.response.nonce, None, "it is a GET");
}

#[tokio::test(start_paused = true)]
async fn a_certificate_of_minutes_has_a_window_too() {
    let world = World::new();
    let account = world.account().await;
    let soon = (START + Duration::from_secs(90)).to_string();
    let order = account.ask(&["a.example"], json!({"notAfter": soon})).await.created();
    let order = account.certify(&account.validate(&order).await).await;
    let id = identifier_of(&account, &order).await;
    let (start, end) = window(&renewal_info(&world.acme, &id).await.expect(200));
    assert!(start < end && end < START + Duration::from_secs(90), "{start} to {end}");
}

#[tokio::test(start_paused = true)]
async fn the_window_of_what_is_revoked_is_over_and_a_page_says_why() {
    let page = "https://ca.example/incident";
    let world = World::with(|builder| builder.with_renewal_explanation(page));
    let account = world.account().await;
    let order = account.issue(&["a.example"]).await;
    let id = identifier_of(&account, &order).await;
    assert_eq!(renewal_info(&world.acme, &id).await.json["explanationURL"], json!(null));
    let _ = account.revoke(&order).await.expect(200);

    let answer = renewal_info(&world.acme, &id).await.expect(200);

    let (start, end) = window(&answer);
    assert!(start < end && end < START, "{}", answer.json);
    assert_eq!(answer.json["explanationURL"], page);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_issued_here_is_not_found() {
    let world = World::new();
    let account = world.account().await;
    let order = account.issue(&["a.example"]).await;
    let id = identifier_of(&account, &order).await;
    let (authority, serial) = id.split_once('.').unwrap();
    for other in [format!("{authority}.AQID"), format!("AQID.{serial}")] {
        let _ = renewal_info(&world.acme, &other).await.refused(404, "malformed");
    }
    for bad in ["", "x", "x.y.z", authority, ".", "%2e.%2e"] {
        let _ = renewal_info(&world.acme, bad).await.refused(400, "malformed");
    }
}

#[tokio::test(start_paused = true)]
async fn another_directorys_certificate_is_not_found_although_the_storage_is_the_same() {
    let world = World::new();
    let account = world.account().await;
    let order = account.issue(&["a.example"]).await;
    let id = identifier_of(&account, &order).await;
    let other = world.beside(&world.validator).with_directory(DirectoryId::new("other"));
    let other = other.build().unwrap();
    let stranger = Account::open(&other).await;
    let unknown = "AQID.AQID";

    let told = renewal_info(&other, &id).await.refused(404, "malformed");
    let of_unknown = renewal_info(&other, unknown).await.refused(404, "malformed");
    assert_eq!(told.json, of_unknown.json);

    let ask = async |id: &str| stranger.ask(&["a.example"], json!({"replaces": id})).await;
    let told = ask(&id).await.refused(400, "malformed");
    assert_eq!(told.json, ask(unknown).await.refused(400, "malformed").json);

    let _ = renewal_info(&world.acme, &id).await.expect(200);
}

#[tokio::test(start_paused = true)]
async fn an_order_says_which_certificate_it_replaces() {
    let world = World::new();
    let account = world.account().await;
    let first = account.issue(&["a.example"]).await;
    let id = identifier_of(&account, &first).await;

    let order = account.ask(&["b.example", "a.example"], json!({"replaces": id})).await.created();

    assert_eq!(order.text("replaces"), id);
    assert_eq!(account.read(&order.url).await.text("replaces"), id);
    let order = account.validate(&order).await;
    assert_eq!(account.certify(&order).await.text("replaces"), id);
}

#[tokio::test(start_paused = true)]
async fn only_ones_own_certificates_and_none_that_has_other_names_are_replaced() {
    let world = World::new();
    let (account, other) = (world.account().await, world.account().await);
    let order = account.issue(&["a.example"]).await;
    let id = identifier_of(&account, &order).await;
    let replacing = |id: &str| json!({"replaces": id});

    let _ = other.ask(&["a.example"], replacing(&id)).await.refused(403, "unauthorized");
    let _ = account.ask(&["b.example"], replacing(&id)).await.refused(400, "malformed");
    for garbage in ["x.y", "AQID.AQID", "", "x"] {
        let _ = account.ask(&["a.example"], replacing(garbage)).await.refused(400, "malformed");
    }
    let _ = account.ask(&["a.example"], json!({"replaces": 1})).await.refused(400, "malformed");
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_replaced_once_unless_it_came_to_nothing() {
    let world = World::limited(|limits| limits.authorization_reuse = Duration::ZERO);
    let account = world.account().await;
    let order = account.issue(&["a.example"]).await;
    let replacing = json!({"replaces": identifier_of(&account, &order).await});
    let ask = || account.ask(&["a.example"], replacing.clone());

    let second = ask().await.created();
    let _ = ask().await.refused(409, "alreadyReplaced");

    world.validator.fail([wrong_answer()]);
    assert_eq!(account.validate(&second).await.text("status"), "invalid");
    let third = ask().await.created();

    sleep(Duration::from_secs(24 * 3600)).await;
    assert_eq!(account.read(&third.url).await.text("status"), "invalid", "it has expired");
    let fourth = ask().await.created();
    let _ = account.certify(&account.validate(&fourth).await).await;
    let _ = ask().await.refused(409, "alreadyReplaced");
}
