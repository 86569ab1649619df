//! What becomes of the work of a process that died, hangs, or is only slow.

use std::{sync::Arc, time::Duration};

use coyote_protocol::ChallengeType;
use coyote_server::{Acme, Limits};
use coyote_storage::CertificateStore;
use serde_json::json;
use tokio::{runtime::Builder, sync::oneshot, task::spawn_blocking, time::sleep};

use crate::{
    account::{Account, Object},
    parts::{FOR_EVER, START, StoppedClock, TestValidator, wrong_answer},
    world::World,
};

const SECOND: Duration = Duration::from_secs(1);

fn validator() -> TestValidator {
    TestValidator::new(ChallengeType::HTTP_01)
}

/// A process that does this and then dies: what it had begun is never ended.
pub(crate) async fn dying<T: Send + 'static>(last: impl AsyncFnOnce() -> T + Send + 'static) -> T {
    let process = move || {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(last())
    };
    spawn_blocking(process).await.unwrap()
}

/// Says that the challenge of the order's only name is met, and answers the authorization's URL.
async fn begin(account: &Account, order: &Object) -> String {
    let url = order.list("authorizations").remove(0);
    let challenge = account.read(&url).await.challenge();
    let answer = account.post(&challenge.url, &json!({})).await.expect(200);
    assert_eq!(answer.json["status"], "processing");
    url
}

#[tokio::test(start_paused = true)]
async fn a_validation_of_a_process_that_died_is_done_by_another_once_the_lease_is_over() {
    let world = World::new();
    world.validator.take(FOR_EVER);
    let account = world.account().await;
    let order = account.order(&["a.example"]).await;
    let (there, what) = (account.clone(), order.clone());
    let _ = dying(async move || begin(&there, &what).await).await;
    let other = validator();
    let heir = world.beside(&other).build().unwrap();
    world.run(&heir);
    let account = account.at(&heir);

    sleep(4 * SECOND).await;
    assert_eq!((account.read(&order.url).await.text("status"), other.looks()), ("pending".into(), 0));
    sleep(3 * SECOND).await;
    assert_eq!((account.read(&order.url).await.text("status"), other.looks()), ("ready".into(), 1));
}

#[tokio::test(start_paused = true)]
async fn an_issuance_of_a_process_that_died_is_done_by_another_with_a_serial_of_its_own() {
    let world = World::new();
    let account = world.account().await;
    let order = account.ready_order(&["a.example"]).await;
    world.issuer.take(FOR_EVER);
    let (there, what) = (account.clone(), order.clone());
    let answer = dying(async move || there.finalize(&what).await).await;
    assert_eq!(answer.json["status"], "processing");
    world.issuer.take(Duration::ZERO);
    let heir = world.beside(&validator()).build().unwrap();
    world.run(&heir);

    let order = account.at(&heir).settled(&order).await;

    assert_eq!(order.text("status"), "valid");
    let serials = world.issuer.serials();
    assert!(serials.len() == 2 && serials[0] != serials[1], "{serials:?}");
    for serial in &serials {
        let of = world.storage.reserved_serial(serial).await.unwrap();
        assert!(order.url.ends_with(&of.to_string()), "{serial} is on record");
    }
    assert!(world.storage.certificate_by_serial(&serials[0]).await.is_err());
    assert!(world.storage.certificate_by_serial(&serials[1]).await.is_ok());
}

/// Else it would do so for ever.
#[tokio::test(start_paused = true)]
async fn work_that_kills_each_process_that_does_it_is_given_up() {
    let world = World::new();
    let other = validator();
    let two = Limits { issuance_attempts: 2, validation_attempts: 2, ..Limits::default() };
    let process = || world.beside(&other).with_limits(two.clone()).build().unwrap();
    let account = Account::open(&process()).await;
    let ready = account.ready_order(&["a.example"]).await;
    let pending = account.order(&["b.example"]).await;
    world.issuer.take(FOR_EVER);
    other.take(FOR_EVER);

    let (first, orders) = (account.clone(), [ready.clone(), pending.clone()]);
    dying(async move || {
        let _ = first.finalize(&orders[0]).await.expect(200);
        let _ = begin(&first, &orders[1]).await;
    })
    .await;
    let (second, issuer, looking) = (process(), world.issuer.clone(), other.clone());
    dying(async move || {
        tokio::spawn(second.run_jobs(std::future::pending()));
        while issuer.serials().len() < 2 || looking.looks() < 3 {
            sleep(SECOND).await;
        }
    })
    .await;
    let heir = process();
    world.run(&heir);
    let account = account.at(&heir);
    sleep(30 * SECOND).await;

    assert_eq!((world.issuer.serials().len(), other.looks()), (2, 3), "nobody has tried again");
    let order = account.read(&ready.url).await;
    assert_eq!(order.text("status"), "invalid");
    assert_eq!(order.json["error"]["type"], "urn:ietf:params:acme:error:serverInternal");
    assert_eq!(account.read(&pending.url).await.text("status"), "invalid");
}

#[tokio::test(start_paused = true)]
async fn who_is_slow_and_alive_keeps_the_work_to_itself() {
    let world = World::new();
    world.validator.take(9 * SECOND);
    let other = validator();
    let rival = world.beside(&other).build().unwrap();
    world.run(&rival);
    let account = world.account().await;
    let order = account.order(&["a.example"]).await;
    let _ = begin(&account, &order).await;

    sleep(10 * SECOND).await;

    assert_eq!(account.read(&order.url).await.text("status"), "ready");
    assert_eq!((world.validator.looks(), other.looks()), (1, 0));
}

/// A process for which time stands still does not know that its lease is over.
#[tokio::test(start_paused = true)]
async fn the_word_of_one_who_has_lost_the_lease_changes_nothing() {
    let world = World::new();
    let late = validator();
    late.take(40 * SECOND);
    late.fail([wrong_answer()]);
    let hanging = hanging(&world, &late);
    let heir = world.beside(&world.validator).build().unwrap();
    world.run(&heir);
    let account = Account::open(&hanging).await;
    let order = account.order(&["a.example"]).await;
    let authorization = begin(&account, &order).await;

    let account = account.at(&heir);
    sleep(25 * SECOND).await; // the lease of a validation is renewed for longer
    let valid = account.read(&authorization).await.json;
    assert_eq!(valid["status"], "valid");

    sleep(20 * SECOND).await;
    assert_eq!(late.looks(), 1, "it has said its word");
    assert_eq!(account.read(&authorization).await.json, valid);
    assert_eq!(account.read(&order.url).await.text("status"), "ready");
}

#[tokio::test(start_paused = true)]
async fn two_who_sign_for_one_order_make_one_certificate() {
    let world = World::new();
    let hanging = hanging(&world, &world.validator);
    let heir = world.beside(&world.validator).build().unwrap();
    let account = Account::open(&hanging).await;
    let order = account.ready_order(&["a.example"]).await;
    world.issuer.take(20 * SECOND);
    let _ = account.finalize(&order).await.expect(200);
    world.issuer.take(Duration::ZERO);
    world.run(&heir);

    let account = account.at(&heir);
    let order = account.settled(&order).await;
    let chain = account.chain(&order).await;
    sleep(30 * SECOND).await;

    assert!(account.chain(&account.read(&order.url).await).await == chain, "the same octets for ever");
    let serials = world.issuer.serials();
    assert!(world.storage.certificate_by_serial(&serials[0]).await.is_err(), "signed too late");
    assert!(world.storage.certificate_by_serial(&serials[1]).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn work_that_there_is_no_room_for_is_done_when_there_is() {
    let world = World::limited(|limits| limits.concurrent_validations = 1);
    world.validator.take(SECOND);
    world.run(&world.acme);
    let account = world.account().await;
    let mut orders = Vec::new();
    for name in ["a.example", "b.example", "c.example"] {
        let order = account.order(&[name]).await;
        let _ = begin(&account, &order).await;
        orders.push(order);
    }

    sleep(10 * SECOND).await;

    for order in orders {
        assert_eq!(account.read(&order.url).await.text("status"), "ready");
    }
    assert_eq!(world.validator.looks(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_asked_to_stop_ends_what_it_has_begun() {
    let world = World::new();
    world.validator.take(3 * SECOND);
    let (stop, stopped) = oneshot::channel::<()>();
    let work = tokio::spawn(world.acme.clone().run_jobs(async { stopped.await.unwrap() }));
    let account = world.account().await;
    let order = account.order(&["a.example"]).await;
    let _ = begin(&account, &order).await;

    stop.send(()).unwrap();
    work.await.unwrap();

    assert_eq!(account.read(&order.url).await.text("status"), "ready");
}

/// A process whose clock stands still.
fn hanging(world: &World, validator: &TestValidator) -> Arc<Acme> {
    let limits = Limits { validation_time: 60 * SECOND, ..Limits::default() };
    let builder = world.beside(validator).with_clock(Arc::new(StoppedClock(START)));
    builder.with_limits(limits).build().unwrap()
}
