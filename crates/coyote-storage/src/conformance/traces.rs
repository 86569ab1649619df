//! What [`TraceLog`](crate::TraceLog) promises: what an attempt saw is kept with what came of it.

use std::sync::Arc;

use super::World;
use super::fixture::{AUTHORIZED, MINUTE, NOW, cause, cause_at, copy, expect_lease_lost, problem, sweep};
use crate::{
    AuthorizationId, Cause, IssuanceOutcome, OrderId, RequestId, Sweep, SweepReport, TraceKey, TraceRecord,
    TraceSubject, ValidationOutcome,
};

/// A validation that is to be tried again, and one that is over.
pub async fn the_trace_of_each_attempt_at_a_validation_is_kept(world: World) {
    let account = world.account().await;
    let authorization = world.authorization(&account).await;
    let lease = world.begin_validation(&authorization).await;
    let subject = TraceSubject::Authorization(authorization.id);
    let (first, second) = (seen(1, subject), seen(2, subject));

    let again = copy(&lease);
    world.storage.retry_validation(again, problem("no"), NOW, &bearing(&first)).await.unwrap();
    let lease = world.claim_one(NOW).await;
    let valid = ValidationOutcome::Valid { expires: NOW + AUTHORIZED };
    world.storage.finish_validation(lease, valid, &bearing(&second)).await.unwrap();

    let key = TraceKey::Authorization(authorization.id);
    assert_eq!(world.storage.traces(&key, 10).await.unwrap(), [second, first]);
}

/// An issuance that is to be tried again, and one that is over.
pub async fn the_trace_of_each_attempt_at_an_issuance_is_kept(world: World) {
    let account = world.account().await;
    let (order, lease) = world.processing_order(&account).await;
    let subject = TraceSubject::Order(order.id);
    let (first, second) = (seen(1, subject), seen(2, subject));

    world.storage.release_job(lease, NOW, &bearing(&first)).await.unwrap();
    let lease = world.claim_one(NOW).await;
    let refused = IssuanceOutcome::Refused(problem("no"));
    world.storage.finish_issuance(lease, refused, &bearing(&second)).await.unwrap();

    assert_eq!(world.storage.traces(&TraceKey::Order(order.id), 10).await.unwrap(), [second, first]);
}

/// Of each of its names, that is, and of no other order's.
pub async fn the_traces_of_an_order_are_also_those_of_its_authorizations(world: World) {
    let account = world.account().await;
    let order = world.order(&account, &["a.test", "b.test"]).await;
    let other = world.order(&account, &["c.test"]).await;
    let mut expected = Vec::new();
    for (n, authorization) in (1..).zip(order.authorizations.iter().chain(&other.authorizations)) {
        let lease = world.begin_validation(authorization).await;
        let record = seen(n, TraceSubject::Authorization(authorization.id));
        let over = ValidationOutcome::Invalid(problem("no"));
        world.storage.finish_validation(lease, over, &bearing(&record)).await.unwrap();
        expected.insert(0, record);
    }
    let (others, own) = expected.split_at(1);
    assert_eq!(world.storage.traces(&TraceKey::Order(order.id), 10).await.unwrap(), own);
    assert_eq!(world.storage.traces(&TraceKey::Order(other.id), 10).await.unwrap(), others);
}

/// By the run, by what it was about, and by the name.
pub async fn a_trace_is_found_by_each_of_its_keys_and_by_no_other(world: World) {
    let account = world.account().await;
    let authorization = world.authorization(&account).await;
    let lease = world.begin_validation(&authorization).await;
    let subject = TraceSubject::Authorization(authorization.id);
    let record = seen(1, subject);
    let over = ValidationOutcome::Invalid(problem("no"));
    world.storage.finish_validation(lease, over, &bearing(&record)).await.unwrap();

    for (key, found) in [
        (TraceKey::Request(record.request), true),
        (TraceKey::Authorization(authorization.id), true),
        (TraceKey::Name("a.test".to_owned()), true),
        (TraceKey::Request(RequestId::from_bytes(world.bits())), false),
        (TraceKey::Authorization(AuthorizationId::from_bytes(world.bits())), false),
        (TraceKey::Order(OrderId::from_bytes(world.bits())), false),
        (TraceKey::Name("test".to_owned()), false),
        (TraceKey::Name("a.test\0".to_owned()), false),
    ] {
        let expected: Vec<_> = found.then(|| record.clone()).into_iter().collect();
        assert_eq!(world.storage.traces(&key, 10).await.unwrap(), expected, "{key:?}");
    }
}

/// The newest of them.
pub async fn no_more_traces_are_given_than_are_wanted(world: World) {
    let account = world.account().await;
    let mut last = None;
    for n in 1..=3 {
        let authorization = world.authorization(&account).await;
        let lease = world.begin_validation(&authorization).await;
        let record = seen(n, TraceSubject::Authorization(authorization.id));
        let over = ValidationOutcome::Invalid(problem("no"));
        world.storage.finish_validation(lease, over, &bearing(&record)).await.unwrap();
        last = Some(record);
    }
    let key = TraceKey::Name("a.test".to_owned());
    assert_eq!(world.storage.traces(&key, 1).await.unwrap(), Vec::from_iter(last));
    assert_eq!(world.storage.traces(&key, 0).await.unwrap(), []);
}

/// The trace is part of what the lease is the right to.
pub async fn who_lost_the_lease_leaves_no_trace(world: World) {
    let account = world.account().await;
    let authorization = world.authorization(&account).await;
    let lease = world.begin_validation(&authorization).await;
    let late = copy(&lease);
    let over = ValidationOutcome::Invalid(problem("no"));
    world.storage.finish_validation(lease, over.clone(), &cause()).await.unwrap();

    let subject = TraceSubject::Authorization(authorization.id);
    let result = world.storage.finish_validation(late, over, &bearing(&seen(1, subject))).await;

    expect_lease_lost(result);
    assert_eq!(world.storage.traces(&TraceKey::Authorization(authorization.id), 10).await.unwrap(), []);
}

/// In as many sweeps as it takes.
pub async fn traces_that_are_old_enough_are_removed(world: World) {
    let account = world.account().await;
    for minutes in [0, 1, 2] {
        let authorization = world.authorization(&account).await;
        let lease = world.begin_validation(&authorization).await;
        let record = TraceRecord {
            at: NOW + MINUTE * minutes,
            ..seen(1, TraceSubject::Authorization(authorization.id))
        };
        let over = ValidationOutcome::Invalid(problem("no"));
        world.storage.finish_validation(lease, over, &bearing(&record)).await.unwrap();
    }
    let old = Sweep { remove_traces_before: NOW + MINUTE * 2, batch: 1, ..sweep() };
    for _ in 0..2 {
        let report = world.storage.sweep(&old, &cause_at(NOW + MINUTE * 3)).await.unwrap();
        assert_eq!(report, SweepReport { traces_removed: 1, ..SweepReport::default() });
    }
    let report = world.storage.sweep(&old, &cause_at(NOW + MINUTE * 3)).await.unwrap();
    assert!(report.is_empty(), "{report:?}");
    let left = world.storage.traces(&TraceKey::Name("a.test".to_owned()), 10).await.unwrap();
    assert_eq!(left.iter().map(|record| record.at).collect::<Vec<_>>(), [NOW + MINUTE * 2]);
}

/// What the `n`th attempt saw.
fn seen(n: u8, subject: TraceSubject) -> TraceRecord {
    TraceRecord {
        at: NOW,
        request: RequestId::from_bytes([n; 16]),
        subject,
        names: "a.test".to_owned(),
        timeline: format!("{{\"attempt\":{n},\"said\":\"\u{e9}\"}}"),
    }
}

fn bearing(record: &TraceRecord) -> Cause {
    Cause { trace: Some(Arc::new(record.clone())), ..cause() }
}
