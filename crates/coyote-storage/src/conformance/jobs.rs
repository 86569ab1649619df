//! What [`JobQueue`](crate::JobQueue) promises to workers. What it promises to who holds a lease is in
//! [`leases`](super::leases).

use coyote_protocol::Timestamp;

use super::World;
use super::fixture::{LEASE, MILLISECOND, MINUTE, NOW, cause, cause_at, copy, expect_lease_lost, tally};
use super::race::{CONTENDERS, ROUNDS, race};
use crate::{Account, BeginValidation, Claim, DirectoryId, JobId, Lease, Work, WorkKind};

/// However many claim at the same time, in batches that overlap.
pub async fn no_job_is_given_to_two_workers(world: World) {
    let account = world.account().await;
    for round in 0..ROUNDS {
        let mut expected = Vec::new();
        for _ in 0..12 {
            expected.push(new_job(&world, &account, NOW).await);
        }
        let claimed = race((0..CONTENDERS).map(|_| {
            let world = world.clone();
            async move { claim(&world, NOW, 3).await }
        }));
        let claimed = claimed.await.into_iter().flatten().map(|lease| lease.job);
        let claimed = tally(claimed);
        assert!(claimed.values().all(|times| *times == 1), "round {round}: {claimed:?}");
        let mut all: Vec<_> = claimed.into_keys().collect();
        all.extend(world.claim(NOW).await.iter().map(|lease| lease.job));
        all.sort();
        expected.sort();
        assert_eq!(all, expected, "round {round}: and each is given to one");
    }
}

/// Servers of several directories may share a storage.
pub async fn a_worker_is_given_jobs_of_its_directory_only(world: World) {
    let other = DirectoryId::new("other");
    let here = world.account().await;
    let there = crate::Account { directory: other.clone(), ..world.new_account() };
    let there = world.store_account(there).await;
    let (job_here, job_there) = (new_job(&world, &here, NOW).await, new_job(&world, &there, NOW).await);

    assert_eq!(world.claim_one(NOW).await.job, job_here);
    let claim = Claim { directory: other, kind: None, limit: 10, terms: world.lease_until(NOW + LEASE) };
    let claimed = world.storage.claim_jobs(&claim, &cause()).await.unwrap();
    assert_eq!(claimed.iter().map(|lease| lease.job).collect::<Vec<_>>(), [job_there]);
}

/// However much there is of one kind, it does not keep a worker from the other.
pub async fn a_worker_is_given_jobs_of_the_kind_that_it_asks_for(world: World) {
    let account = world.account().await;
    let validation = new_job(&world, &account, NOW).await;
    for (kind, expected) in [(WorkKind::Issue, Vec::new()), (WorkKind::Validate, vec![validation])] {
        let terms = world.lease_until(NOW + LEASE);
        let claim = Claim { directory: DirectoryId::default(), kind: Some(kind), limit: 10, terms };
        let claimed = world.storage.claim_jobs(&claim, &cause()).await.unwrap();
        assert_eq!(claimed.iter().map(|lease| lease.job).collect::<Vec<_>>(), expected, "{kind:?}");
    }
}

/// So none waits for ever.
pub async fn jobs_that_are_due_longest_are_given_first(world: World) {
    let account = world.account().await;
    let mut jobs = Vec::new();
    for minutes in [4, 1, 3, 0, 2] {
        jobs.push((minutes, new_job(&world, &account, NOW + MINUTE * minutes).await));
    }
    jobs.sort();
    let now = NOW + MINUTE * 10;
    let mut claimed = Vec::new();
    for expected in [2, 2, 1, 0] {
        let leases = claim(&world, now, 2).await;
        assert_eq!(leases.len(), expected);
        claimed.extend(leases.iter().map(|lease| lease.job));
    }
    assert_eq!(claimed, jobs.into_iter().map(|(_, job)| job).collect::<Vec<_>>());
}

/// To the millisecond.
pub async fn a_job_is_not_given_before_it_is_due(world: World) {
    let account = world.account().await;
    let due = NOW + MINUTE;
    let job = new_job(&world, &account, due).await;
    assert_eq!(world.claim(due - MILLISECOND).await, []);
    assert_eq!(world.claim_one(due).await.job, job);
}

/// The lease says everything that its holder must know.
pub async fn a_lease_has_the_terms_that_were_asked_for_and_counts_the_attempt(world: World) {
    let account = world.account().await;
    let authorization = world.authorization(&account).await;
    let begin = BeginValidation { lease: None, ..world.validation_of(&authorization) };
    drop(world.storage.begin_validation(begin, &cause()).await.unwrap());
    let work = Work::validation(&authorization, authorization.challenges[0].id);
    let mut now = NOW;
    for attempts in 1..=4 {
        let terms = world.lease_until(now + LEASE);
        let claim = Claim { directory: DirectoryId::default(), kind: None, limit: 1, terms };
        let leases = world.storage.claim_jobs(&claim, &cause_at(now)).await.unwrap();
        assert_eq!(leases, [Lease { job: work.job(), work: work.clone(), attempts, terms }]);
        now = terms.expires;
    }
}

/// A worker that was killed has lost it.
pub async fn a_job_is_given_again_when_its_lease_ends(world: World) {
    let account = world.account().await;
    let job = new_job(&world, &account, NOW).await;
    drop(world.claim_one(NOW).await);
    assert_eq!(world.claim(NOW + LEASE - MILLISECOND).await, []);
    let again = world.claim_one(NOW + LEASE).await;
    assert_eq!((again.job, again.attempts), (job, 2));
}

/// Its attempts are not forgotten.
pub async fn a_job_that_is_given_back_is_given_again_when_it_is_due(world: World) {
    let account = world.account().await;
    let job = new_job(&world, &account, NOW).await;
    let lease = world.claim_one(NOW).await;
    let due = NOW + MINUTE * 3;
    world.storage.release_job(lease, due, &cause()).await.unwrap();
    assert_eq!(world.claim(due - MILLISECOND).await, []);
    let again = world.claim_one(due).await;
    assert_eq!((again.job, again.attempts), (job, 2));
}

/// And who has it now keeps it.
pub async fn a_job_that_was_taken_over_cannot_be_given_back_by_who_had_it_before(world: World) {
    let account = world.account().await;
    new_job(&world, &account, NOW).await;
    let lost = world.claim_one(NOW).await;
    let now = NOW + LEASE;
    let lease = world.claim_one(now).await;
    expect_lease_lost(world.storage.release_job(copy(&lost), now, &cause_at(now)).await);
    assert_eq!(world.claim(now).await, []);
    world.storage.release_job(lease, now, &cause_at(now)).await.unwrap();
}

/// So a worker can sleep until then.
pub async fn the_next_job_is_due_when_it_can_be_claimed(world: World) {
    let account = world.account().await;
    assert_eq!(world.next_due().await, None, "there are no jobs");
    new_job(&world, &account, NOW + MINUTE * 9).await;
    assert_eq!(world.next_due().await, Some(NOW + MINUTE * 9));
    new_job(&world, &account, NOW).await;
    assert_eq!(world.next_due().await, Some(NOW));

    let lease = world.claim_one(NOW).await;
    assert_eq!(world.next_due().await, Some(NOW + LEASE), "then the lease ends");
    world.storage.release_job(lease, NOW + MINUTE * 20, &cause()).await.unwrap();
    assert_eq!(world.next_due().await, Some(NOW + MINUTE * 9));

    let last = world.claim(NOW + MINUTE * 10).await;
    assert_eq!(last.len(), 1);
    assert_eq!(
        world.next_due().await,
        Some(NOW + MINUTE * 10 + LEASE),
        "due before, but the lease is in the way"
    );
    assert_eq!(world.storage.next_due(&DirectoryId::new("other")).await.unwrap(), None);
}

/// A job that becomes due then, and that nobody holds.
async fn new_job(world: &World, account: &Account, due: Timestamp) -> JobId {
    let authorization = world.authorization(account).await;
    let begin = BeginValidation { lease: None, ..world.validation_of(&authorization) };
    let work = Work::validation(&authorization, begin.challenge);
    drop(world.storage.begin_validation(begin, &cause_at(due)).await.unwrap());
    work.job()
}

async fn claim(world: &World, now: Timestamp, limit: u32) -> Vec<Lease> {
    let claim =
        Claim { directory: DirectoryId::default(), kind: None, limit, terms: world.lease_until(now + LEASE) };
    world.storage.claim_jobs(&claim, &cause_at(now)).await.unwrap()
}
