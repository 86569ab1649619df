//! What [`JobQueue::sweep`](crate::JobQueue::sweep) promises.

use coyote_protocol::RevocationReason;

use super::World;
use super::fixture::{
    CERTIFIED, DAY, LEASE, MILLISECOND, MINUTE, NOW, PENDING, cause, cause_at, expect_not_found, problem,
    reusing, sweep,
};
use super::race::{CONTENDERS, ROUNDS, race};
use crate::{
    Account, AccountChange, AuditFilter, Authorization, DirectoryId, IssuanceOutcome, Order, Sweep,
    SweepReport, ValidationOutcome, Work,
};

/// As long as nothing was lost and nothing is over.
pub async fn a_sweep_usually_finds_nothing_to_do(world: World) {
    let account = world.account().await;
    let authorization = world.authorization(&account).await;
    drop(world.begin_validation(&authorization).await);
    drop(world.processing_order(&account).await);
    world.ready_order(&account, &["a.test"]).await;
    world.certificate(&account).await;
    let next_due = world.next_due().await;
    // The leases have ended, but the jobs are there.
    for now in [NOW, NOW + LEASE * 2] {
        assert!(world.storage.sweep(&sweep(), &cause_at(now)).await.unwrap().is_empty());
    }
    assert_eq!(world.next_due().await, next_due);
}

/// Due now, in the directory it was in, and once.
pub async fn a_lost_job_is_restored(world: World) {
    let account = world.account().await;
    let authorization = world.authorization(&account).await;
    let validation = world.begin_validation(&authorization).await.work;
    let (order, _lease) = world.processing_order(&account).await;
    let kept = world.begin_validation(&world.authorization(&account).await).await.work;
    let lost = [validation, Work::issuance(&order)];
    for work in &lost {
        world.lose_job(work).await;
    }

    let now = NOW + MILLISECOND;
    let report = world.storage.sweep(&sweep(), &cause_at(now)).await.unwrap();
    assert_eq!(report, SweepReport { jobs_restored: 2, ..SweepReport::default() });
    assert!(world.storage.sweep(&sweep(), &cause_at(now)).await.unwrap().is_empty());
    assert_eq!(world.next_due().await, Some(now));
    let restored = world.claim(now).await;
    assert_eq!(restored.len(), 2);
    assert!(restored.iter().all(|lease| lost.contains(&lease.work) && lease.attempts == 1), "{restored:?}");
    assert_eq!(world.claim_one(NOW + LEASE).await.work, kept);
}

/// Whichever directory's server sweeps: a restored job is its own directory's again.
pub async fn a_sweep_is_of_all_directories(world: World) {
    let directory = DirectoryId::new("other");
    let there = Account { directory: directory.clone(), ..world.new_account() };
    let there = world.store_account(there).await;
    let lost = world.begin_validation(&world.authorization(&there).await).await.work;
    world.lose_job(&lost).await;
    let report = world.storage.sweep(&sweep(), &cause()).await.unwrap();
    assert_eq!(report, SweepReport { jobs_restored: 1, ..SweepReport::default() });
    assert_eq!(world.next_due().await, None, "it is not of this directory");
    assert_eq!(world.storage.next_due(&directory).await.unwrap(), Some(NOW));

    let now = cause_at(NOW + PENDING * 2);
    let over = Sweep { remove_expired_before: now.now, ..sweep() };
    assert_eq!(world.storage.sweep(&over, &now).await.unwrap().orders_removed, 1);
}

/// Only the lost one, when there are many, and only for work that somebody waits for.
pub async fn a_job_that_nobody_waits_for_is_not_restored(world: World) {
    let account = world.account().await;
    let given_up = world.authorization(&account).await;
    let given_up_work = world.begin_validation(&given_up).await.work;
    world.storage.deactivate_authorization(&account.id, &given_up.id, &cause()).await.unwrap();
    let expired = world.authorization(&account).await;
    let expired_work = world.begin_validation(&expired).await.work;
    for work in [&given_up_work, &expired_work] {
        world.lose_job(work).await;
    }
    let (_, lease) = world.processing_order(&account).await;
    let refused = IssuanceOutcome::Refused(problem("no"));
    world.storage.finish_issuance(lease, refused, &cause()).await.unwrap();
    world.certificate(&account).await;
    world.order(&account, &["never-begun.test"]).await;

    assert!(world.storage.sweep(&sweep(), &cause_at(NOW + PENDING)).await.unwrap().is_empty());
    assert_eq!(world.next_due().await, None);
}

/// However many sweep at the same time.
pub async fn of_many_sweeps_one_restores_a_lost_job(world: World) {
    let account = world.account().await;
    for round in 0..ROUNDS {
        let lease = world.begin_validation(&world.authorization(&account).await).await;
        world.lose_job(&lease.work).await;
        let reports = race((0..CONTENDERS).map(|_| {
            let world = world.clone();
            async move { world.storage.sweep(&sweep(), &cause()).await.unwrap() }
        }));
        let restored: u64 = reports.await.iter().map(|report| report.jobs_restored).sum();
        assert_eq!(restored, 1, "round {round}");
        let lease = world.claim_one(NOW).await;
        let failed = ValidationOutcome::Invalid(problem("no"));
        world.storage.finish_validation(lease, failed, &cause()).await.unwrap();
    }
}

/// With their authorizations and jobs; younger ones stay.
pub async fn orders_that_expired_long_ago_are_removed_with_all_they_have(world: World) {
    let account = world.account().await;
    let old = world.order(&account, &["a.test", "b.test"]).await;
    drop(world.begin_validation(&old.authorizations[0]).await);
    let expires = NOW + PENDING + MILLISECOND;
    let mut young = world.new_order(&account, &["a.test"]);
    young.expires = expires;
    young.authorizations[0].expires = expires;
    let young = world.store_order(young).await;

    let at_the_limit = Sweep { remove_expired_before: NOW + PENDING, ..sweep() };
    let now = cause_at(NOW + PENDING + DAY);
    assert!(world.storage.sweep(&at_the_limit, &now).await.unwrap().is_empty());
    let report =
        world.storage.sweep(&Sweep { remove_expired_before: expires, ..sweep() }, &now).await.unwrap();
    assert_eq!(
        report,
        SweepReport { orders_removed: 1, authorizations_removed: 2, ..SweepReport::default() }
    );

    expect_removed(&world, &old).await;
    assert_eq!(world.reload(&young).await, young);
    assert_eq!(world.storage.orders(&account.id, None, 10).await.unwrap().orders, [young.id]);
    assert_eq!(world.next_due().await, None, "the job is removed with what it works on");
}

/// Also when it expired before that order did.
pub async fn an_authorization_is_kept_as_long_as_an_order_has_it(world: World) {
    let account = world.account().await;
    let first = world.ready_order(&account, &["a.test"]).await;
    let shared = first.authorizations[0].clone();
    let expires = NOW + PENDING * 20;
    let second = Order { authorizations: Vec::new(), expires, ..world.new_order(&account, &["a.test"]) };
    let second = world.storage.create_order(reusing(second, [shared.id]), &cause()).await.unwrap();

    let now = cause_at(NOW + PENDING * 19);
    let over = Sweep { remove_expired_before: now.now, ..sweep() };
    let report = world.storage.sweep(&over, &now).await.unwrap();
    assert_eq!(report, SweepReport { orders_removed: 1, ..SweepReport::default() });
    expect_not_found(world.storage.order(&account.id, &first.id).await);
    assert_eq!(world.reload(&second).await.authorizations, [shared]);
}

/// A valid one may be used again.
pub async fn an_authorization_that_has_not_expired_outlives_its_order(world: World) {
    let account = world.account().await;
    let order = world.ready_order(&account, &["a.test"]).await;
    let authorization = order.authorizations[0].clone();
    let now = cause_at(NOW + PENDING + DAY);
    let over = Sweep { remove_expired_before: now.now, ..sweep() };
    let report = world.storage.sweep(&over, &now).await.unwrap();
    assert_eq!(report, SweepReport { orders_removed: 1, ..SweepReport::default() });
    assert_eq!(world.reload_authorization(&authorization).await, authorization);
    let names = [authorization.identifier.clone()];
    let reusable = world.storage.reusable_authorizations(&account.id, &names, now.now).await.unwrap();
    assert_eq!(reusable, [authorization]);
}

/// What was promised is kept, or refused, but never forgotten.
pub async fn an_order_that_is_processing_is_never_removed(world: World) {
    let account = world.account().await;
    let (order, _lost) = world.processing_order(&account).await;
    let now = cause_at(NOW + PENDING * 100);
    let everything = Sweep { remove_expired_before: now.now, remove_issued_before: now.now, ..sweep() };
    assert!(world.storage.sweep(&everything, &now).await.unwrap().is_empty());
    assert_eq!(world.reload(&order).await, order);

    let lease = world.claim_one(now.now).await;
    let refused = IssuanceOutcome::Refused(problem("too late"));
    world.storage.finish_issuance(lease, refused, &now).await.unwrap();
    let report = world.storage.sweep(&everything, &now).await.unwrap();
    assert_eq!((report.orders_removed, report.authorizations_removed), (1, 1));
}

/// It has to be in the CRL until then, however long ago its order expired.
pub async fn a_certificate_is_kept_until_it_has_expired_also_a_revoked_one(world: World) {
    let account = world.account().await;
    let (plain, revoked) = (world.certificate(&account).await, world.certificate(&account).await);
    let reason = RevocationReason::KeyCompromise;
    let revoked = world.revoke(&revoked.id, reason, &cause()).await.unwrap();

    let now = cause_at(NOW + CERTIFIED);
    let most = Sweep { remove_expired_before: now.now, remove_issued_before: now.now, ..sweep() };
    assert_eq!(world.storage.sweep(&most, &now).await.unwrap(), SweepReport::default());
    for certificate in [&plain, &revoked] {
        assert_eq!(world.storage.certificate(&account.id, &certificate.id).await.unwrap(), *certificate);
    }
    assert_eq!(world.storage.revocations(now.now, None, 10).await.unwrap().len(), 1);
}

/// But not its serial number, which must never be used again.
pub async fn an_expired_certificate_is_removed_with_its_order(world: World) {
    let account = world.account().await;
    let certificate = world.certificate(&account).await;
    let order = world.storage.order(&account.id, &certificate.order).await.unwrap();
    let now = cause_at(NOW + CERTIFIED + MINUTE);
    let over = Sweep { remove_expired_before: now.now, remove_issued_before: now.now, ..sweep() };
    let report = world.storage.sweep(&over, &now).await.unwrap();
    let expected = SweepReport {
        orders_removed: 1,
        authorizations_removed: 1,
        certificates_removed: 1,
        ..Default::default()
    };
    assert_eq!(report, expected);

    expect_removed(&world, &order).await;
    expect_not_found(world.storage.certificate(&account.id, &certificate.id).await);
    expect_not_found(world.storage.certificate_by_serial(&certificate.serial).await);
    assert_eq!(world.storage.reserved_serial(&certificate.serial).await.unwrap(), order.id);
}

/// So a sweep never holds everybody else up; the next one goes on.
pub async fn a_sweep_touches_no_more_rows_of_a_kind_than_it_may(world: World) {
    let account = world.account().await;
    let mut lost = Vec::new();
    for _ in 0..5 {
        world.order(&account, &["a.test"]).await;
        lost.push(world.begin_validation(&authorization_for_long(&world, &account).await).await.work);
    }
    for work in &lost {
        world.lose_job(work).await;
    }
    let now = cause_at(NOW + PENDING + DAY);
    let batch = Sweep { remove_expired_before: now.now, batch: 2, ..sweep() };
    for (jobs_restored, orders_removed) in [(2, 2), (2, 2), (1, 1)] {
        let report = world.storage.sweep(&batch, &now).await.unwrap();
        assert_eq!((report.jobs_restored, report.orders_removed), (jobs_restored, orders_removed));
        assert!(report.authorizations_removed <= 2);
    }
    world.storage.sweep(&batch, &now).await.unwrap();
    assert!(world.storage.sweep(&batch, &now).await.unwrap().is_empty(), "in the end there is nothing to do");
}

/// And the others not.
pub async fn audit_records_that_are_old_enough_are_removed(world: World) {
    let account = world.account().await;
    for minutes in 1..=3 {
        let change = AccountChange { agree_to_terms_of_service: true, ..Default::default() };
        let cause = cause_at(NOW + MINUTE * minutes);
        world.storage.update_account(&account.id, change, &cause).await.unwrap();
    }
    let old = Sweep { remove_audit_before: NOW + MINUTE * 2, ..sweep() };
    for batch in [1, 100] {
        let report = world.storage.sweep(&Sweep { batch, ..old }, &cause_at(NOW + DAY)).await.unwrap();
        assert_eq!(report, SweepReport { audit_removed: 1, ..SweepReport::default() });
    }
    let left = world.storage.audit(&AuditFilter { subject: None, limit: 10 }).await.unwrap();
    let times = left.iter().map(|record| record.at);
    assert_eq!(times.collect::<Vec<_>>(), [NOW + MINUTE * 3, NOW + MINUTE * 2]);
}

/// A pending one, of an order that a sweep keeps.
async fn authorization_for_long(world: &World, account: &crate::Account) -> Authorization {
    let mut order = world.new_order(account, &["long.test"]);
    order.expires = NOW + PENDING * 100;
    order.authorizations[0].expires = order.expires;
    world.store_order(order).await.authorizations.remove(0)
}

async fn expect_removed(world: &World, order: &Order) {
    expect_not_found(world.storage.order(&order.account, &order.id).await);
    for authorization in &order.authorizations {
        expect_not_found(world.storage.authorization(&order.account, &authorization.id).await);
    }
}
