//! Servers over one store hear of one another's changes, and do not wait until they look.

use std::{sync::Arc, time::Duration};

use coyote_protocol::ChallengeType;
use coyote_server::{Acme, Limits};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    account::Account,
    parts::{TestValidator, no_answer},
    world::World,
};

const SECOND: Duration = Duration::from_secs(1);

/// Nobody looks of their own accord, and answers wait as long as they have to.
fn only_when_woken() -> Limits {
    let hour = Duration::from_secs(3600);
    Limits { job_poll_interval: hour, linger: 60 * SECOND, ..Limits::default() }
}

/// One replica begins what it is asked for and no more; the other does the jobs.
fn replicas(limits: Limits) -> (World, Arc<Acme>, TestValidator) {
    let front = World::with(|builder| builder.with_limits(limits));
    let validator = TestValidator::new(ChallengeType::HTTP_01);
    let worker = front.beside(&validator).with_limits(only_when_woken()).build().unwrap();
    front.run(&worker);
    (front, worker, validator)
}

/// Says that the order's challenge is met, and answers the authorization's URL and what is said of the challenge.
async fn begin(account: &Account, name: &str) -> (String, String) {
    let order = account.order(&[name]).await;
    let url = order.list("authorizations").remove(0);
    let challenge = account.read(&url).await.challenge();
    let answer = account.post(&challenge.url, &json!({})).await.expect(200);
    (url, answer.json["status"].as_str().unwrap().to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_job_that_one_replica_puts_off_is_begun_by_another_when_it_is_due() {
    let (front, _worker, there) = replicas(only_when_woken());
    sleep(SECOND).await; // the worker has looked, and found nothing
    let account = front.account().await;
    front.validator.fail([no_answer()]);
    let (_, status) = begin(&account, "a.example").await;
    assert_eq!((status.as_str(), there.looks()), ("processing", 0));
    sleep(2 * SECOND).await;
    assert_eq!(there.looks(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_job_for_which_one_replica_has_no_room_is_begun_by_another_at_once() {
    let limits = Limits { concurrent_validations: 1, linger: Duration::ZERO, ..only_when_woken() };
    let (front, _worker, there) = replicas(limits);
    sleep(SECOND).await;
    let account = front.account().await;
    front.validator.take(30 * SECOND);
    for name in ["a.example", "b.example"] {
        assert_eq!(begin(&account, name).await.1, "processing");
    }
    sleep(SECOND / 10).await;
    assert_eq!((front.validator.looks(), there.looks()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_waits_at_one_replica_is_given_when_another_has_done_the_job() {
    let (front, _worker, there) = replicas(only_when_woken());
    let hearing = front.acme.clone();
    tokio::spawn(async move { hearing.hear_replicas().await });
    sleep(SECOND).await;
    let account = front.account().await;
    there.take(5 * SECOND);
    front.validator.fail([no_answer()]);
    let (url, status) = begin(&account, "a.example").await;
    assert_eq!(status, "processing", "it is left to the worker");

    let asked = Instant::now();
    assert_eq!(account.read(&url).await.text("status"), "valid");
    assert!(asked.elapsed() < 8 * SECOND, "answered after {:?}", asked.elapsed());
    assert_eq!(there.looks(), 1);
}
