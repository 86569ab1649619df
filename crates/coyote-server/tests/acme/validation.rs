//! Attempts to validate, and what the client sees of them. RFC 8555 section 8.2, erratum 5732.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    account::{Account, Object},
    parts::{FOR_EVER, no_answer, wrong_answer},
    world::World,
};

const SECOND: Duration = Duration::from_secs(1);
const CONNECTION: &str = "urn:ietf:params:acme:error:connection";

/// The authorization of a new order.
async fn authorization(account: &Account) -> Object {
    account.read(&account.order(&["a.example"]).await.list("authorizations")[0]).await
}

/// Reads until the challenge is decided.
async fn decided(account: &Account, authorization: &Object) -> Object {
    for _ in 0..1_000 {
        let authorization = account.read(&authorization.url).await;
        if !["pending", "processing"].contains(&&*authorization.challenge().text("status")) {
            return authorization;
        }
        sleep(SECOND / 10).await;
    }
    panic!("{} is not decided", authorization.url);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_answer_is_asked_again_later_and_later_and_the_client_sees_why() {
    let world = World::new();
    world.run(&world.acme);
    world.validator.fail([no_answer(), no_answer()]);
    let account = world.account().await;
    let authorization = authorization(&account).await;
    let begun = Instant::now();

    let answer = account.post(&authorization.challenge().url, &json!({})).await.expect(200);

    assert_eq!((answer.json["status"].as_str(), answer.retry_after()), (Some("processing"), Some(1)));
    assert_eq!(answer.json["error"]["type"], CONNECTION, "the first attempt has failed");
    let end = decided(&account, &authorization).await;
    assert_eq!(end.text("status"), "valid");
    assert_eq!(end.challenge().json["error"], json!(null), "what is valid shows no error");
    assert_eq!(world.validator.looks(), 3);
    let waited = begun.elapsed();
    assert!((3 * SECOND..4 * SECOND).contains(&waited), "one second, then two: {waited:?}");
}

/// So that it does not come in vain. RFC 8555 section 7.5.1.
#[tokio::test(start_paused = true)]
async fn the_client_is_told_to_come_back_when_the_next_attempt_is_due() {
    let world = World::limited(|limits| limits.validation_backoff = 20 * SECOND);
    world.run(&world.acme);
    world.validator.fail([no_answer()]);
    let account = world.account().await;
    let authorization = authorization(&account).await;
    let challenge = authorization.challenge().url;
    assert_eq!(account.post(&challenge, &json!({})).await.retry_after(), Some(20));
    sleep(15 * SECOND + SECOND / 2).await;
    for url in [&challenge, &authorization.url] {
        assert_eq!(account.post_as_get(url).await.retry_after(), Some(5), "rounded up: {url}");
    }
    sleep(5 * SECOND).await;
    let answer = account.post_as_get(&authorization.url).await;
    assert_eq!((answer.json["status"].as_str(), answer.retry_after()), (Some("valid"), None));
}

#[tokio::test(start_paused = true)]
async fn after_the_last_attempt_the_name_is_not_proved() {
    let world = World::new();
    world.run(&world.acme);
    world.validator.fail([no_answer(), no_answer(), no_answer()]);
    let account = world.account().await;
    let authorization = authorization(&account).await;
    let _ = account.post(&authorization.challenge().url, &json!({})).await.expect(200);

    let end = decided(&account, &authorization).await;

    assert_eq!(end.text("status"), "invalid");
    assert_eq!(end.challenge().json["error"]["type"], CONNECTION);
    assert_eq!(world.validator.looks(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_answer_is_final_at_once() {
    let world = World::new();
    world.run(&world.acme);
    world.validator.fail([wrong_answer()]);
    let account = world.account().await;
    let authorization = authorization(&account).await;

    let answer = account.post(&authorization.challenge().url, &json!({})).await.expect(200);

    assert_eq!(answer.json["status"], "invalid");
    sleep(60 * SECOND).await;
    assert_eq!(world.validator.looks(), 1);
    let _ = account.post(&authorization.challenge().url, &json!({})).await.refused(400, "malformed");
}

#[tokio::test(start_paused = true)]
async fn a_challenge_that_is_being_looked_at_is_not_looked_at_again() {
    let world = World::new();
    world.validator.take(2 * SECOND);
    let account = world.account().await;
    let authorization = authorization(&account).await;
    let challenge = authorization.challenge();
    for _ in 0..3 {
        let answer = account.post(&challenge.url, &json!({})).await.expect(200);
        assert_eq!(answer.json["status"], "processing");
    }
    assert_eq!(decided(&account, &authorization).await.text("status"), "valid");
    assert_eq!(world.validator.looks(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_does_not_end_is_ended() {
    let world = World::limited(|limits| limits.validation_attempts = 1);
    world.validator.take(FOR_EVER);
    let account = world.account().await;
    let authorization = authorization(&account).await;
    let begun = Instant::now();
    let _ = account.post(&authorization.challenge().url, &json!({})).await.expect(200);

    let end = decided(&account, &authorization).await;

    assert_eq!(end.challenge().json["error"]["type"], CONNECTION);
    let waited = begun.elapsed();
    assert!((10 * SECOND..12 * SECOND).contains(&waited), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn names_that_do_not_answer_do_not_hold_up_those_that_do() {
    let world = World::limited(|limits| limits.concurrent_validations = 1);
    world.run(&world.acme);
    let account = world.account().await;
    let mut hanging = Vec::new();
    world.validator.take(8 * SECOND);
    for _ in 0..20 {
        let authorization = authorization(&account).await;
        let _ = account.post(&authorization.challenge().url, &json!({})).await.expect(200);
        hanging.push(authorization);
    }
    sleep(5 * SECOND).await; // each has a quarter of a second to itself
    world.validator.take(Duration::ZERO);
    let good = authorization(&account).await;
    let begun = Instant::now();

    let _ = account.post(&good.challenge().url, &json!({})).await.expect(200);

    assert_eq!(decided(&account, &good).await.text("status"), "valid");
    assert!(begun.elapsed() < SECOND, "{:?}", begun.elapsed());
    for authorization in &hanging {
        let now = account.read(&authorization.url).await;
        assert_ne!(now.challenge().text("status"), "pending");
    }
    assert!(hanging.len() as u64 <= world.validator.looks());
}

#[tokio::test(start_paused = true)]
async fn those_that_wait_are_bounded_and_who_has_waited_longest_gives_way() {
    let world = World::limited(|limits| {
        limits.concurrent_validations = 2;
        limits.waiting_validations = 3;
        limits.validation_attempts = 1;
    });
    world.run(&world.acme);
    let account = world.account().await;
    world.validator.take(9 * SECOND);
    let mut hanging = Vec::new();
    for _ in 0..20 {
        let authorization = authorization(&account).await;
        let _ = account.post(&authorization.challenge().url, &json!({})).await.expect(200);
        hanging.push(authorization);
    }
    sleep(SECOND).await;
    assert!(world.validator.looks() < 20, "no more than there is room for");
    sleep(5 * SECOND).await;
    assert_eq!(world.validator.looks(), 20, "each has its turn, although none has ended by itself");

    let mut statuses = Vec::new();
    for authorization in &hanging {
        let challenge = account.read(&authorization.url).await.challenge();
        if challenge.text("status") == "invalid" {
            let problem = challenge.json["error"]["type"].as_str().unwrap();
            assert!(
                problem.ends_with(":serverInternal"),
                "it has given way, for no fault of its own: {problem}"
            );
        }
        statuses.push(challenge.text("status"));
    }
    let under_way = statuses.iter().filter(|status| *status == "processing").count();
    assert!((3..=5).contains(&under_way), "three wait, two are at work: {statuses:?}");
}
