//! What [`JobQueue::renew_lease`](crate::JobQueue::renew_lease) promises.

use super::World;
use super::fixture::{LEASE, MILLISECOND, MINUTE, NOW, cause, cause_at, copy, expect_lease_lost, problem};
use super::race::{CONTENDERS, ROUNDS, race};
use crate::{IssuanceOutcome, JobId, Lease, LeaseTerms, ValidationOutcome};

/// The lease that the worker has is good for as long as was agreed last, and nobody else is given the job.
pub async fn a_lease_that_is_renewed_is_good_until_its_new_end(world: World) {
    let account = world.account().await;
    let (order, lease) = world.processing_order(&account).await;
    let end = NOW + LEASE * 3;
    for expires in [NOW + LEASE * 2, end] {
        world.storage.renew_lease(&lease, expires, &cause_at(expires - LEASE - MILLISECOND)).await.unwrap();
        assert_eq!(world.next_due().await, Some(expires));
    }
    let last = cause_at(end - MILLISECOND);
    assert_eq!(world.claim(last.now).await, []);
    world.storage.reserve_serial(&lease, world.serial(), &last).await.unwrap();
    let refused = IssuanceOutcome::Refused(problem("no"));
    let ended = world.storage.finish_issuance(lease, refused, &last).await.unwrap();
    assert_eq!(ended.id, order.id);
    assert_eq!(world.next_due().await, None);
}

/// The attempt stays the one that it was.
pub async fn a_job_whose_lease_was_renewed_is_given_again_when_that_ends(world: World) {
    let account = world.account().await;
    let lost = world.begin_validation(&world.authorization(&account).await).await;
    let end = NOW + LEASE * 2;
    world.storage.renew_lease(&lost, end, &cause()).await.unwrap();
    let taken_over = world.claim_one(end).await;
    assert_eq!((taken_over.job, taken_over.attempts), (lost.job, 2));
    expect_lease_lost(world.storage.release_job(lost, NOW, &cause_at(end)).await);
}

/// Its work, its attempts, when it was due, and the other jobs.
pub async fn a_renewal_changes_nothing_but_the_end_of_its_lease(world: World) {
    let account = world.account().await;
    let lease = world.begin_validation(&world.authorization(&account).await).await;
    let other = world.begin_validation(&world.authorization(&account).await).await;
    world.storage.renew_lease(&lease, NOW + LEASE * 2, &cause()).await.unwrap();
    let claimed = world.claim_one(NOW + LEASE).await;
    assert_eq!(claimed.job, other.job, "the other lease ends when it did");

    world.storage.release_job(copy(&lease), NOW + MINUTE * 5, &cause()).await.unwrap();
    let again = world.claim(NOW + MINUTE * 5).await.into_iter().find(|again| again.job == lease.job).unwrap();
    assert_eq!((&again.work, again.attempts), (&lease.work, 2));
}

/// However it was lost: it ended, was spent or taken over, or never was.
pub async fn a_lease_that_is_lost_cannot_be_renewed(world: World) {
    let account = world.account().await;
    let ended = world.begin_validation(&world.authorization(&account).await).await;
    let (_, spent) = world.processing_order(&account).await;
    let longer = NOW + LEASE * 10;
    let forged = Lease { terms: world.lease_until(longer), ..copy(&ended) };
    let unknown = Lease { job: JobId::from_bytes(world.bits()), ..copy(&ended) };
    let prolonged = Lease { terms: LeaseTerms { expires: longer, ..ended.terms }, ..copy(&ended) };
    world.storage.release_job(copy(&spent), NOW + LEASE * 5, &cause()).await.unwrap();

    for (lease, now) in
        [(&forged, NOW), (&unknown, NOW), (&spent, NOW), (&ended, NOW + LEASE), (&prolonged, NOW + LEASE)]
    {
        expect_lease_lost(world.storage.renew_lease(lease, longer, &cause_at(now)).await);
    }
    assert_eq!(world.next_due().await, Some(NOW + LEASE), "the lease stands as it was");
    let taken_over = world.claim_one(NOW + LEASE).await;
    expect_lease_lost(world.storage.renew_lease(&ended, longer, &cause_at(NOW + LEASE)).await);
    assert_eq!(world.next_due().await, Some(taken_over.terms.expires));

    let outcome = ValidationOutcome::Invalid(problem("no"));
    world.storage.finish_validation(copy(&taken_over), outcome, &cause_at(NOW + LEASE)).await.unwrap();
    expect_lease_lost(world.storage.renew_lease(&taken_over, longer, &cause_at(NOW + LEASE)).await);
}

/// Whichever comes first.
pub async fn of_a_renewal_and_a_takeover_at_the_same_time_one_happens(world: World) {
    let account = world.account().await;
    for round in 0..ROUNDS {
        let lease = world.begin_validation(&world.authorization(&account).await).await;
        let late = NOW + LEASE * 3;
        let (renews, claims, held) = (world.clone(), world.clone(), copy(&lease));
        let renew = tokio::spawn(async move { renews.storage.renew_lease(&held, late, &cause()).await });
        // The clock of who takes over is fast.
        let claim = tokio::spawn(async move { claims.claim(NOW + LEASE).await });
        let (renewed, claimed) = (renew.await.unwrap(), claim.await.unwrap());
        assert_eq!(renewed.is_ok(), claimed.is_empty(), "round {round}: {renewed:?}, {claimed:?}");
        let holder = claimed.into_iter().next().unwrap_or(lease);
        let failed = ValidationOutcome::Invalid(problem("no"));
        world.storage.finish_validation(holder, failed, &cause_at(NOW + LEASE)).await.unwrap();
    }
}

/// A worker's heartbeat and its work do not get into each other's way: what was settled stays so.
pub async fn a_job_that_is_settled_while_its_lease_is_renewed_stays_settled(world: World) {
    let account = world.account().await;
    for round in 0..ROUNDS {
        let lease = world.begin_validation(&world.authorization(&account).await).await;
        let (settles, held) = (world.clone(), copy(&lease));
        let settle = tokio::spawn(async move {
            let failed = ValidationOutcome::Invalid(problem("no"));
            settles.storage.finish_validation(held, failed, &cause()).await.map(|_| ())
        });
        let renewals = race((0..CONTENDERS).map(|_| {
            let (world, held) = (world.clone(), copy(&lease));
            async move { world.storage.renew_lease(&held, NOW + LEASE * 3, &cause()).await }
        }));
        renewals.await;
        settle.await.unwrap().unwrap();
        assert_eq!(world.next_due().await, None, "round {round}: the job is done");
        expect_lease_lost(world.storage.renew_lease(&lease, NOW + LEASE * 3, &cause()).await);
    }
}
