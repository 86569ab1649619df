//! Work is begun when there is room for it, by whoever then has it alone.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use coyote_protocol::{ChallengeType, Identifier};
use coyote_server::{
    issue::Csr,
    policy::{Applicant, Policy, RateLimits, Verdict},
};
use coyote_storage::{BoxError, CertificateStore, MemoryStorage, Order, Quota};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::{
    parts::{TestValidator, wrong_answer},
    world::World,
};

const SECOND: Duration = Duration::from_secs(1);

/// What waits in the queue is nobody's until there is room to begin it.
#[tokio::test(start_paused = true)]
async fn an_order_that_waits_for_room_is_signed_once_however_many_workers_there_are() {
    let world = World::limited(|limits| limits.concurrent_issuances = 1);
    let other = world.beside(&TestValidator::new(ChallengeType::HTTP_01)).build().unwrap();
    let account = world.account().await;
    let (one, two) =
        (account.ready_order(&["one.example"]).await, account.ready_order(&["two.example"]).await);
    world.issuer.take(20 * SECOND);
    world.run(&world.acme);
    world.run(&other);

    let _ = account.finalize(&one).await.expect(200);
    let _ = account.finalize(&two).await.expect(200);
    sleep(60 * SECOND).await;

    let serials = world.issuer.serials();
    assert_eq!(serials.len(), 2, "each order is signed once: {serials:?}");
    assert_eq!(serials.iter().collect::<BTreeSet<_>>().len(), 2, "with a serial of its own");
}

#[tokio::test(start_paused = true)]
async fn validations_that_wait_for_room_are_not_given_up() {
    let world = World::limited(|limits| limits.concurrent_validations = 1);
    world.run(&world.acme);
    let account = world.account().await;
    world.validator.take(4 * SECOND);
    let mut orders = Vec::new();
    for n in 0..12 {
        let order = account.order(&[&format!("n{n}.example")]).await;
        let authorization = account.read(&order.list("authorizations")[0]).await;
        let _ = account.post(&authorization.challenge().url, &json!({})).await.expect(200);
        orders.push(order);
    }
    sleep(120 * SECOND).await;
    for order in orders {
        assert_eq!(account.read(&order.url).await.text("status"), "ready");
    }
}

/// Each kind of work has workers of its own.
#[tokio::test(start_paused = true)]
async fn validations_that_hang_do_not_keep_an_issuance_from_being_tried_again() {
    let world = World::limited(|limits| limits.concurrent_validations = 2);
    world.run(&world.acme);
    let honest = world.account().await;
    let ready = honest.ready_order(&["honest.example"]).await;
    let attacker = world.account().await;
    world.validator.take(3600 * SECOND);
    for n in 0..10 {
        let order = attacker.order(&[&format!("t{n}.example")]).await;
        let authorization = attacker.read(&order.list("authorizations")[0]).await;
        let _ = attacker.post(&authorization.challenge().url, &json!({})).await.expect(200);
    }
    world.issuer.fail(1);
    let _ = honest.finalize(&ready).await.expect(200);
    sleep(4 * SECOND).await;
    assert_eq!(honest.read(&ready.url).await.text("status"), "valid");
}

/// A policy that takes longer to decide than a lease lasts.
struct Slow;

#[async_trait]
impl Policy for Slow {
    async fn finalize(&self, _: &Applicant<'_>, _: &Order, _: &Csr) -> Result<Verdict, BoxError> {
        sleep(6 * SECOND).await;
        Ok(Verdict::allow())
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_begins_with_the_work_and_not_with_the_request() {
    let world = World::with(|builder| builder.with_policy(Slow));
    world.run(&world.acme);
    let account = world.account().await;
    let order = account.ready_order(&["a.example"]).await;
    world.issuer.take(3 * SECOND);
    let _ = account.finalize(&order).await.expect(200);
    assert_eq!(account.settled(&order).await.text("status"), "valid");
    sleep(30 * SECOND).await;
    assert_eq!(world.issuer.serials().len(), 1, "it is signed once");
}

#[tokio::test(start_paused = true)]
async fn an_account_that_was_closed_meanwhile_gets_no_certificate() {
    let world = World::new();
    let account = world.account().await;
    let order = account.ready_order(&["a.example"]).await;
    world.issuer.fail(1);
    let _ = account.finalize(&order).await.expect(200);
    let _ = account.post(&account.url, &json!({"status": "deactivated"})).await.expect(200);
    world.run(&world.acme);
    sleep(30 * SECOND).await;
    for serial in world.issuer.serials() {
        assert!(world.storage.certificate_by_serial(&serial).await.is_err(), "{serial} was issued");
    }
}

#[tokio::test(start_paused = true)]
async fn names_whose_validation_failed_too_often_are_not_looked_at_for_orders_made_before() {
    let mut limits = RateLimits::default();
    limits.failed_validations = Some(Quota { amount: 1, period: 3600 * SECOND });
    let world = World::with(|builder| builder.with_rate_limits(Arc::new(MemoryStorage::new()), limits));
    let account = world.account().await;
    let (first, second) =
        (account.order(&["victim.example"]).await, account.order(&["victim.example"]).await);
    world.validator.fail([wrong_answer()]);
    let _ = account.validate(&first).await;

    let authorization = account.read(&second.list("authorizations")[0]).await;
    let _ = account.post(&authorization.challenge().url, &json!({})).await.expect(429);
    assert_eq!(world.validator.looks(), 1);
}

#[tokio::test(start_paused = true)]
async fn draining_twice_is_draining_once() {
    let world = World::new();
    world.acme.drain().await;
    assert!(timeout(60 * SECOND, world.acme.drain()).await.is_ok(), "there is nothing left to wait for");
}

/// Its key is gone with the call, so a certificate that came later would be nobody's.
#[tokio::test(start_paused = true)]
async fn an_own_certificate_that_cannot_be_had_is_not_tried_again() {
    let world = World::new();
    world.run(&world.acme);
    world.issuer.fail(1);
    let names = [Identifier::parse("dns", "ca.example").unwrap()];
    assert!(world.acme.own_certificate(&names).await.is_err());
    sleep(60 * SECOND).await;
    assert_eq!(world.issuer.serials().len(), 1, "only the first attempt signed, or failed to");
}
