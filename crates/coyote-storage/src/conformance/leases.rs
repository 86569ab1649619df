//! What the right to settle a job promises: one settles it, and who lost the right changes nothing.

use coyote_protocol::{AuthorizationStatus, OrderStatus};

use super::World;
use super::fixture::{
    AUTHORIZED, LEASE, MILLISECOND, MINUTE, NOW, cause, cause_at, copy, expect_lease_lost, expect_not_found,
    problem,
};
use super::race::{CONTENDERS, ROUNDS, race};
use crate::{Cause, IssuanceOutcome, Lease, LeaseTerms, Result, StorageError, ValidationOutcome};

/// Who took the job over settles it, undisturbed.
pub async fn a_validation_that_was_taken_over_cannot_be_settled_by_who_had_it_before(world: World) {
    let account = world.account().await;
    let authorization = world.authorization(&account).await;
    let lost = world.begin_validation(&authorization).await;
    let before = world.reload_authorization(&authorization).await;
    let now = cause_at(NOW + LEASE);
    let lease = world.claim_one(now.now).await;

    expect_validation_lost(&world, &lost, &now).await;
    assert_eq!(world.reload_authorization(&authorization).await, before);
    let outcome = ValidationOutcome::Valid { expires: NOW + AUTHORIZED };
    let valid = world.storage.finish_validation(lease, outcome, &now).await.unwrap();
    assert_eq!(valid.status(now.now), AuthorizationStatus::Valid);
}

/// Who took the job over settles it, undisturbed.
pub async fn an_issuance_that_was_taken_over_cannot_be_settled_by_who_had_it_before(world: World) {
    let account = world.account().await;
    let (order, lost) = world.processing_order(&account).await;
    let now = cause_at(NOW + LEASE);
    let lease = world.claim_one(now.now).await;

    expect_issuance_lost(&world, &lost, &now).await;
    assert_eq!(world.reload(&order).await, order);
    let outcome = IssuanceOutcome::Issued(Box::new(world.new_certificate(&order)));
    let valid = world.storage.finish_issuance(lease, outcome, &now).await.unwrap();
    assert_eq!(valid.status(now.now), OrderStatus::Valid);
}

/// Even if nobody has taken the job over yet: somebody may be about to.
pub async fn a_lease_is_lost_when_it_ends(world: World) {
    let account = world.account().await;
    let authorization = world.authorization(&account).await;
    let validation = world.begin_validation(&authorization).await;
    let (order, issuance) = world.processing_order(&account).await;
    let before = world.reload_authorization(&authorization).await;

    let now = cause_at(NOW + LEASE);
    expect_validation_lost(&world, &validation, &now).await;
    expect_issuance_lost(&world, &issuance, &now).await;
    assert_eq!(world.reload_authorization(&authorization).await, before);
    assert_eq!(world.reload(&order).await, order);
    let claimed = world.claim(now.now).await;
    assert!(claimed.iter().all(|lease| lease.attempts == 2), "both jobs are there: {claimed:?}");
    assert_eq!(claimed.len(), 2);
}

/// Until then it is good, to the millisecond.
pub async fn a_lease_is_good_until_it_ends(world: World) {
    let account = world.account().await;
    let (_, lease) = world.processing_order(&account).await;
    let last = cause_at(NOW + LEASE - MILLISECOND);
    world.storage.reserve_serial(&lease, world.serial(), &last).await.unwrap();
    let refused = IssuanceOutcome::Refused(problem("no"));
    world.storage.finish_issuance(lease, refused, &last).await.unwrap();
}

/// Whatever it was spent on, and whatever it is tried on.
pub async fn a_lease_is_spent_once(world: World) {
    let account = world.account().await;
    let finished = world.begin_validation(&world.authorization(&account).await).await;
    let retried = world.begin_validation(&world.authorization(&account).await).await;
    let (_, released) = world.processing_order(&account).await;
    let (_, issued) = world.processing_order(&account).await;
    let due = NOW + MINUTE * 5;

    let failed = ValidationOutcome::Invalid(problem("no"));
    world.storage.finish_validation(copy(&finished), failed, &cause()).await.unwrap();
    world.storage.retry_validation(copy(&retried), problem("no"), due, &cause()).await.unwrap();
    world.storage.release_job(copy(&released), due, &cause()).await.unwrap();
    let refused = IssuanceOutcome::Refused(problem("no"));
    world.storage.finish_issuance(copy(&issued), refused, &cause()).await.unwrap();

    for lease in [finished, retried] {
        expect_validation_lost(&world, &lease, &cause()).await;
    }
    for lease in [released, issued] {
        expect_issuance_lost(&world, &lease, &cause()).await;
    }
    assert_eq!(world.claim(due).await.len(), 2, "the two jobs that were given back are there");
}

/// Knowing which job there is does not help.
pub async fn a_lease_with_another_token_settles_nothing(world: World) {
    let account = world.account().await;
    let validation = world.begin_validation(&world.authorization(&account).await).await;
    let (order, issuance) = world.processing_order(&account).await;
    let forge = |lease: &Lease| Lease { terms: world.lease_until(NOW + LEASE), ..copy(lease) };
    expect_validation_lost(&world, &forge(&validation), &cause()).await;
    expect_issuance_lost(&world, &forge(&issuance), &cause()).await;

    let longer = LeaseTerms { expires: NOW + LEASE * 2, ..issuance.terms };
    let prolonged = Lease { terms: longer, ..copy(&issuance) };
    expect_issuance_lost(&world, &prolonged, &cause_at(NOW + LEASE)).await;
    assert_eq!(world.reload(&order).await, order);
}

/// Each kind of job has its own way to end.
pub async fn a_lease_on_one_kind_of_work_settles_no_other_kind(world: World) {
    let account = world.account().await;
    let authorization = world.authorization(&account).await;
    let validation = world.begin_validation(&authorization).await;
    let (order, issuance) = world.processing_order(&account).await;
    let before = world.reload_authorization(&authorization).await;

    let outcome = ValidationOutcome::Valid { expires: NOW + AUTHORIZED };
    expect_lease_lost(world.storage.finish_validation(copy(&issuance), outcome, &cause()).await);
    expect_lease_lost(world.storage.retry_validation(issuance, problem("no"), NOW, &cause()).await);
    expect_lease_lost(world.storage.reserve_serial(&validation, world.serial(), &cause()).await);
    let refused = IssuanceOutcome::Refused(problem("no"));
    expect_lease_lost(world.storage.finish_issuance(validation, refused, &cause()).await);
    assert_eq!(world.reload_authorization(&authorization).await, before);
    assert_eq!(world.reload(&order).await, order);
    assert_eq!(world.next_due().await, Some(NOW + LEASE), "the leases stand");
}

/// Even if each of them believes that it has it.
pub async fn of_many_who_settle_a_validation_with_one_lease_one_does(world: World) {
    let account = world.account().await;
    for round in 0..ROUNDS {
        let authorization = world.authorization(&account).await;
        let lease = world.begin_validation(&authorization).await;
        let settled = race((0..CONTENDERS).map(|contender| {
            let (world, lease) = (world.clone(), copy(&lease));
            async move {
                match contender % 3 {
                    0 => {
                        let outcome = ValidationOutcome::Valid { expires: NOW + AUTHORIZED };
                        world.storage.finish_validation(lease, outcome, &cause()).await.map(|_| ())
                    }
                    1 => {
                        world.storage.retry_validation(lease, problem("no"), NOW, &cause()).await.map(|_| ())
                    }
                    _ => world.storage.release_job(lease, NOW, &cause()).await,
                }
            }
        }));
        expect_one_settled(round, settled.await);
        let open =
            world.reload_authorization(&authorization).await.status(NOW) == AuthorizationStatus::Pending;
        let jobs = world.claim(NOW).await;
        assert_eq!(jobs.len(), usize::from(open), "round {round}: there is a job as long as it is open");
        for lease in jobs {
            let failed = ValidationOutcome::Invalid(problem("no"));
            world.storage.finish_validation(lease, failed, &cause()).await.unwrap();
        }
    }
}

/// The one that is late finds its lease gone, whoever is first.
pub async fn of_a_settlement_and_a_takeover_at_the_same_time_one_happens(world: World) {
    let account = world.account().await;
    for round in 0..ROUNDS {
        let lease = world.begin_validation(&world.authorization(&account).await).await;
        let (settles, claims) = (world.clone(), world.clone());
        let outcome = ValidationOutcome::Valid { expires: NOW + AUTHORIZED };
        let settle =
            async move { settles.storage.finish_validation(lease, outcome, &cause()).await.map(|_| ()) };
        let settle = tokio::spawn(settle);
        // The clock of who takes over is fast.
        let claim = tokio::spawn(async move { claims.claim(NOW + LEASE).await });
        let (settled, claimed) = (settle.await.unwrap(), claim.await.unwrap());
        assert_eq!(settled.is_ok(), claimed.is_empty(), "round {round}: {settled:?}, {claimed:?}");
        for lease in claimed {
            let failed = ValidationOutcome::Invalid(problem("no"));
            world.storage.finish_validation(lease, failed, &cause_at(NOW + LEASE)).await.unwrap();
        }
    }
}

fn expect_one_settled(round: usize, settled: Vec<Result<()>>) {
    let (won, lost): (Vec<_>, Vec<_>) = settled.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1, "round {round}: one of them settles it");
    assert!(
        lost.iter().all(|result| matches!(result, Err(StorageError::LeaseLost))),
        "round {round}: {lost:?}"
    );
}

/// In every way that there is.
async fn expect_validation_lost(world: &World, lease: &Lease, cause: &Cause) {
    let storage = &world.storage;
    for outcome in
        [ValidationOutcome::Valid { expires: NOW + AUTHORIZED }, ValidationOutcome::Invalid(problem("no"))]
    {
        expect_lease_lost(storage.finish_validation(copy(lease), outcome, cause).await);
    }
    expect_lease_lost(storage.retry_validation(copy(lease), problem("no"), NOW, cause).await);
    expect_lease_lost(storage.renew_lease(lease, cause.now + LEASE, cause).await);
    expect_lease_lost(storage.release_job(copy(lease), NOW, cause).await);
}

/// In every way that there is.
async fn expect_issuance_lost(world: &World, lease: &Lease, cause: &Cause) {
    let storage = &world.storage;
    let serial = world.serial();
    expect_lease_lost(storage.reserve_serial(lease, serial.clone(), cause).await);
    expect_not_found(storage.reserved_serial(&serial).await);
    expect_lease_lost(storage.renew_lease(lease, cause.now + LEASE, cause).await);
    expect_lease_lost(
        storage.finish_issuance(copy(lease), IssuanceOutcome::Refused(problem("no")), cause).await,
    );
    expect_lease_lost(storage.release_job(copy(lease), NOW, cause).await);
}
