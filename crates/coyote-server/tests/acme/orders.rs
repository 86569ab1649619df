//! What an order may ask for. RFC 8555 section 7.4, draft-ietf-acme-profiles.

use std::time::Duration;

use coyote_protocol::Timestamp;
use coyote_server::issue::{Profile, Profiles};
use serde_json::json;
use tokio::time::sleep;

use crate::{parts::START, world::World};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::test(start_paused = true)]
async fn an_order_has_the_profile_that_it_asks_for_or_the_default() {
    let mut short = Profile::new("short");
    short.validity = 6 * DAY;
    short.description = "for six days".into();
    let profiles = Profiles::default().with(short).unwrap();
    let world = World::with(|builder| builder.with_profiles(profiles));
    assert_eq!(world.directory()["meta"]["profiles"]["short"], "for six days");
    let account = world.account().await;

    let order = account.ask(&["a.example"], json!({"profile": "short"})).await.created();
    assert_eq!(order.text("profile"), "short");
    let order = account.certify(&account.validate(&order).await).await;
    assert_eq!(order.text("profile"), "short");
    let leaf = account.chain(&order).await.remove(0);
    let life = leaf.not_before().diff(leaf.not_after()).unwrap();
    assert_eq!((life.days, life.secs), (5, 24 * 3600 - 1));

    assert_eq!(account.order(&["a.example"]).await.text("profile"), "default");
    for unknown in ["nope", "", "Short"] {
        let _ = account.ask(&["a.example"], json!({"profile": unknown})).await.refused(400, "invalidProfile");
    }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_valid_when_its_order_asks_for_it() {
    let world = World::new();
    let account = world.account().await;
    let (from, until) = (START + DAY, START + 10 * DAY);
    let asked = json!({"notBefore": from.to_string(), "notAfter": until.to_string()});
    let order = account.ask(&["a.example"], asked).await.created();
    assert_eq!((order.time("notBefore"), order.time("notAfter")), (from, until));
    let order = account.certify(&account.validate(&order).await).await;
    let leaf = account.chain(&order).await.remove(0);
    let at = |time: Timestamp| openssl::asn1::Asn1Time::from_unix(time.as_seconds()).unwrap();
    assert!(leaf.not_before() == at(from) && leaf.not_after() == at(until));
}

#[tokio::test(start_paused = true)]
async fn what_the_profile_does_not_allow_is_refused_when_the_order_is_made() {
    let world = World::new();
    let account = world.account().await;
    let second = Duration::from_secs(1);
    for (from, until, good) in [
        (Some(START - 5 * MINUTE), None, true),
        (Some(START - 5 * MINUTE - second), None, false),
        (None, Some(START + second), true),
        (None, Some(START), false),
        (None, Some(START + 90 * DAY - 5 * MINUTE - second), true),
        (None, Some(START + 90 * DAY), false),
        (Some(START + DAY), Some(START + DAY), false),
        (Some(START + 2 * DAY), Some(START + DAY), false),
        (Some(START + 80 * DAY), Some(START + 100 * DAY), false),
    ] {
        let mut asked = json!({});
        for (member, time) in [("notBefore", from), ("notAfter", until)] {
            if let Some(time) = time {
                asked[member] = time.to_string().into();
            }
        }
        let answer = account.ask(&["a.example"], asked.clone()).await;
        println!("{asked}: {}", answer.json);
        let _ = if good { answer.expect(201) } else { answer.refused(400, "malformed") };
    }
}

#[tokio::test(start_paused = true)]
async fn a_time_that_has_passed_meanwhile_ends_the_order() {
    let world = World::new();
    let account = world.account().await;
    let asked = json!({"notAfter": (START + MINUTE).to_string()});
    let order = account.ask(&["a.example"], asked).await.created();
    let order = account.validate(&order).await;
    sleep(2 * MINUTE).await;
    let _ = account.finalize(&order).await.expect(200);
    let order = account.settled(&order).await;
    assert_eq!(order.text("status"), "invalid");
    assert_eq!(order.json["error"]["type"], "urn:ietf:params:acme:error:malformed");
}
