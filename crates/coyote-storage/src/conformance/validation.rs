//! What [`AuthorizationStore`](crate::AuthorizationStore) promises of validations: how they begin, go on and end.

use coyote_protocol::{AuthorizationStatus, ChallengeStatus, OrderStatus};

use super::World;
use super::fixture::{
    AUTHORIZED, LEASE, MILLISECOND, MINUTE, NOW, PENDING, cause, cause_at, expect_conflict, expect_not_found,
    problem,
};
use super::race::{CONTENDERS, ROUNDS, race};
use crate::{
    Authorization, BeginValidation, Challenge, ChallengeId, Conflict, DirectoryId, ValidationOutcome, Work,
};

/// RFC 8555 section 7.5.1.
pub async fn a_challenge_that_begins_is_processing_and_the_caller_has_its_job(world: World) {
    let account = world.account().await;
    let authorization = world.authorization(&account).await;
    let begin = world.validation_of(&authorization);
    let begun = world.storage.begin_validation(begin.clone(), &cause()).await.unwrap();

    let mut expected = authorization.clone();
    expected.challenges[0].began = Some(NOW);
    assert_eq!(begun.authorization, expected);
    assert_eq!(world.reload_authorization(&authorization).await, expected);
    let lease = begun.lease.expect("the lease that was asked for");
    assert_eq!(lease.work, Work::validation(&authorization, begin.challenge));
    assert_eq!((lease.job, lease.attempts, Some(lease.terms)), (lease.work.job(), 1, begin.lease));
}

/// A client may ask twice, before and after the end of it.
pub async fn a_challenge_that_begins_again_begins_once(world: World) {
    let account = world.account().await;
    let authorization = world.authorization(&account).await;
    let lease = world.begin_validation(&authorization).await;
    let later = cause_at(NOW + MILLISECOND);

    let again = world.storage.begin_validation(world.validation_of(&authorization), &later).await.unwrap();
    assert_eq!(again.lease, None, "the lease is somebody else's");
    assert_eq!(again.authorization.challenges[0].began, Some(NOW));

    let outcome = ValidationOutcome::Valid { expires: NOW + AUTHORIZED };
    let valid = world.storage.finish_validation(lease, outcome, &later).await.unwrap();
    let again = world.storage.begin_validation(world.validation_of(&authorization), &later).await.unwrap();
    assert_eq!((again.authorization, again.lease), (valid, None));
    assert_eq!(world.claim(NOW + LEASE).await, [], "there is no second job");
}

/// The others are told that it has begun.
pub async fn of_many_who_begin_a_challenge_one_gets_the_lease(world: World) {
    let account = world.account().await;
    for round in 0..ROUNDS {
        let authorization = world.authorization(&account).await;
        let begun = race((0..CONTENDERS).map(|_| {
            let begin = world.validation_of(&authorization);
            let world = world.clone();
            async move { world.storage.begin_validation(begin, &cause()).await.unwrap() }
        }));
        let mut leases: Vec<_> = begun.await.into_iter().filter_map(|begun| begun.lease).collect();
        assert_eq!(leases.len(), 1, "round {round}: one of them has the lease");
        let outcome = ValidationOutcome::Valid { expires: NOW + AUTHORIZED };
        let valid = world.storage.finish_validation(leases.remove(0), outcome, &cause()).await;
        assert_eq!(valid.unwrap().status(NOW), AuthorizationStatus::Valid, "round {round}: and it is good");
    }
}

/// Also if it exists, in another authorization of the same account.
pub async fn a_challenge_that_is_not_the_authorizations_is_not_found(world: World) {
    let account = world.account().await;
    let (authorization, other) = (world.authorization(&account).await, world.authorization(&account).await);
    for challenge in [ChallengeId::from_bytes(world.bits()), other.challenges[0].id] {
        let begin = BeginValidation { challenge, ..world.validation_of(&authorization) };
        expect_not_found(world.storage.begin_validation(begin, &cause()).await);
    }
    assert_eq!(world.reload_authorization(&other).await, other);
    assert_eq!(world.next_due().await, None, "there is no job");
}

/// RFC 8555 section 7.1.6: an authorization is decided once.
pub async fn a_challenge_of_a_decided_authorization_cannot_begin(world: World) {
    let account = world.account().await;
    let given_up = world.authorization(&account).await;
    world.storage.deactivate_authorization(&account.id, &given_up.id, &cause()).await.unwrap();
    let valid = world.authorization(&account).await;
    world.validate(&valid).await;
    let expired = world.authorization(&account).await;

    for (authorization, now, status) in [
        (given_up, NOW, AuthorizationStatus::Deactivated),
        (valid, NOW, AuthorizationStatus::Valid),
        (expired, NOW + PENDING, AuthorizationStatus::Invalid),
    ] {
        let second = authorization.challenges[1].id;
        let begin = BeginValidation { challenge: second, ..world.validation_of(&authorization) };
        let answer = world.storage.begin_validation(begin, &cause_at(now)).await;
        expect_conflict(answer, Conflict::AuthorizationNotPending(status));
    }
    assert_eq!(world.next_due().await, None, "there is no job");
}

/// RFC 8555 section 7.3.6.
pub async fn a_closed_account_cannot_begin_a_challenge(world: World) {
    let account = world.account().await;
    let authorization = world.authorization(&account).await;
    world.close(&account).await;
    let answer = world.storage.begin_validation(world.validation_of(&authorization), &cause()).await;
    expect_conflict(answer, Conflict::AccountNotValid);
    assert_eq!(world.reload_authorization(&authorization).await, authorization);
    assert_eq!(world.next_due().await, None, "there is no job");
}

/// A caller that does not validate leaves the job to whoever claims it.
pub async fn a_challenge_that_begins_without_a_lease_has_a_job_at_once(world: World) {
    let account = world.account().await;
    let authorization = world.authorization(&account).await;
    let begin = BeginValidation { lease: None, ..world.validation_of(&authorization) };
    let begun = world.storage.begin_validation(begin, &cause()).await.unwrap();
    assert_eq!(begun.lease, None);
    assert_eq!(world.next_due().await, Some(NOW));
    let lease = world.claim_one(NOW).await;
    assert_eq!(
        (lease.attempts, lease.work),
        (1, Work::validation(&authorization, authorization.challenges[0].id))
    );
}

/// So a validation that was begun is done, even if who began it is no more.
pub async fn the_job_of_a_challenge_that_began_with_a_lease_is_free_when_the_lease_ends(world: World) {
    let account = world.account().await;
    let authorization = world.authorization(&account).await;
    let born = world.begin_validation(&authorization).await;
    assert_eq!(world.next_due().await, Some(NOW + LEASE));
    assert_eq!(world.claim(NOW + LEASE - MILLISECOND).await, []);
    let taken_over = world.claim_one(NOW + LEASE).await;
    assert_eq!((taken_over.attempts, taken_over.work), (2, born.work));
}

/// RFC 8555 section 7.1.6.
pub async fn a_challenge_that_is_met_makes_its_authorization_valid(world: World) {
    let account = world.account().await;
    let order = world.order(&account, &["a.test"]).await;
    let lease = world.begin_validation(&order.authorizations[0]).await;
    let (now, expires) = (NOW + MILLISECOND, NOW + AUTHORIZED);
    let outcome = ValidationOutcome::Valid { expires };
    let valid = world.storage.finish_validation(lease, outcome, &cause_at(now)).await.unwrap();

    assert_eq!(valid.status(expires - MILLISECOND), AuthorizationStatus::Valid);
    assert_eq!(valid.status(expires), AuthorizationStatus::Expired);
    assert_eq!(valid.challenges[0].validated(), Some(now));
    assert_eq!(valid.challenges[1], order.authorizations[0].challenges[1]);
    assert_eq!(world.reload_authorization(&valid).await, valid);
    assert_eq!(world.reload(&order).await.status(now), OrderStatus::Ready);
    assert_eq!(world.next_due().await, None, "the job is done");
}

/// RFC 8555 sections 7.1.6 and 8.
pub async fn a_challenge_that_fails_says_why_and_makes_its_authorization_invalid(world: World) {
    let account = world.account().await;
    let order = world.order(&account, &["a.test"]).await;
    let lease = world.begin_validation(&order.authorizations[0]).await;
    let failed = ValidationOutcome::Invalid(problem("no answer"));
    let failed = world.storage.finish_validation(lease, failed, &cause()).await.unwrap();

    assert_eq!(failed.status(NOW), AuthorizationStatus::Invalid);
    assert_eq!(failed.challenges[0].status(), ChallengeStatus::Invalid);
    assert_eq!(failed.challenges[0].errors, [problem("no answer")]);
    assert_eq!(world.reload_authorization(&failed).await, failed);
    assert_eq!(world.next_due().await, None, "the job is done");
}

/// RFC 8555 section 8.2: the challenge stays `processing`, and says why it failed so far.
pub async fn an_attempt_that_is_to_be_repeated_is_remembered_and_its_job_comes_back_when_due(world: World) {
    let account = world.account().await;
    let authorization = world.authorization(&account).await;
    let lease = world.begin_validation(&authorization).await;
    let due = NOW + MINUTE * 5;
    let retried = world.storage.retry_validation(lease, problem("once"), due, &cause()).await.unwrap();
    assert_eq!(retried.challenges[0].status(), ChallengeStatus::Processing);
    assert_eq!(retried.challenges[0].errors, [problem("once")]);
    assert_eq!(world.reload_authorization(&retried).await, retried);

    assert_eq!(world.next_due().await, Some(due));
    assert_eq!(world.claim(due - MILLISECOND).await, []);
    let lease = world.claim_one(due).await;
    assert_eq!(lease.attempts, 2);
    let retried = world.storage.retry_validation(lease, problem("twice"), due, &cause_at(due)).await.unwrap();
    assert_eq!(retried.challenges[0].errors, [problem("once"), problem("twice")]);
    assert_eq!(world.claim_one(due).await.attempts, 3);
}

/// Enough to see what goes on, and never more.
pub async fn a_challenge_remembers_its_last_errors_oldest_first(world: World) {
    let account = world.account().await;
    let authorization = world.authorization(&account).await;
    let mut lease = world.begin_validation(&authorization).await;
    let errors: Vec<_> = (0..12).map(|attempt| problem(&format!("attempt {attempt}"))).collect();
    for error in &errors {
        world.storage.retry_validation(lease, error.clone(), NOW, &cause()).await.unwrap();
        lease = world.claim_one(NOW).await;
    }
    let kept = world.reload_authorization(&authorization).await.challenges[0].errors.clone();
    assert_eq!(kept, errors[errors.len() - Challenge::ERRORS_KEPT..]);
}

/// It was given up, or the other challenge was met, or it is too late.
pub async fn an_attempt_is_not_repeated_when_nobody_waits_for_it(world: World) {
    let account = world.account().await;
    let given_up = world.authorization(&account).await;
    let lease = world.begin_validation(&given_up).await;
    let before = world.storage.deactivate_authorization(&account.id, &given_up.id, &cause()).await.unwrap();
    let answer = world.storage.retry_validation(lease, problem("late"), NOW, &cause()).await.unwrap();
    assert_eq!(answer, before);

    let expired = world.authorization(&account).await;
    drop(world.begin_validation(&expired).await);
    let before = world.reload_authorization(&expired).await;
    let lease = world.claim_one(NOW + PENDING).await;
    let cause = cause_at(NOW + PENDING);
    let answer = world.storage.retry_validation(lease, problem("late"), NOW, &cause).await.unwrap();
    assert_eq!(answer, before);
    assert_eq!(world.next_due().await, None, "both jobs have ended");
}

/// RFC 8555 section 7.1.6: the outcome comes too late to count.
pub async fn an_outcome_changes_nothing_when_the_authorization_is_decided(world: World) {
    let account = world.account().await;
    let authorization = world.authorization(&account).await;
    let outcomes =
        [ValidationOutcome::Valid { expires: NOW + AUTHORIZED }, ValidationOutcome::Invalid(problem("late"))];
    let leases = begin_both(&world, &authorization).await;
    let decided =
        world.storage.deactivate_authorization(&account.id, &authorization.id, &cause()).await.unwrap();
    for (lease, outcome) in leases.into_iter().zip(outcomes) {
        let answer = world.storage.finish_validation(lease, outcome, &cause()).await.unwrap();
        assert_eq!(answer, decided);
    }
    assert_eq!(world.reload_authorization(&authorization).await, decided);
    assert_eq!(world.next_due().await, None, "both jobs have ended");
}

/// The other one is left as it was.
pub async fn of_two_challenges_of_one_authorization_the_first_to_end_decides(world: World) {
    let account = world.account().await;
    for round in 0..ROUNDS {
        let authorization = world.authorization(&account).await;
        let [one, other] = begin_both(&world, &authorization).await;
        let outcomes = [
            ValidationOutcome::Valid { expires: NOW + AUTHORIZED },
            ValidationOutcome::Invalid(problem("no")),
        ];
        let finished = race([one, other].into_iter().zip(outcomes).map(|(lease, outcome)| {
            let world = world.clone();
            async move { world.storage.finish_validation(lease, outcome, &cause()).await.unwrap() }
        }));
        let finished = finished.await;
        let stored = world.reload_authorization(&authorization).await;
        let ended = stored.challenges.iter().filter(|challenge| challenge.verdict.is_some());
        assert_eq!(ended.count(), 1, "round {round}: one of them decides: {stored:?}");
        assert!(finished.iter().all(|answer| *answer == stored), "round {round}: {finished:?}");
    }
}

/// A client may answer both.
pub async fn two_challenges_of_one_authorization_have_a_job_each(world: World) {
    let account = world.account().await;
    let authorization = world.authorization(&account).await;
    let leases = begin_both(&world, &authorization).await;
    assert_ne!(leases[0].job, leases[1].job);
    let claimed = world.claim(NOW + LEASE).await;
    assert_eq!(claimed.len(), 2);
    assert!(leases.iter().all(|lease| claimed.iter().any(|claimed| claimed.work == lease.work)));
}

/// The job is the business of the directory that the account is in.
pub async fn the_job_of_a_challenge_is_of_its_accounts_directory(world: World) {
    let directory = DirectoryId::new("other");
    let account = crate::Account { directory: directory.clone(), ..world.new_account() };
    let account = world.store_account(account).await;
    let authorization = world.authorization(&account).await;
    drop(world.begin_validation(&authorization).await);
    assert_eq!(world.next_due().await, None);
    assert_eq!(world.storage.next_due(&directory).await.unwrap(), Some(NOW + LEASE));
}

async fn begin_both(world: &World, authorization: &Authorization) -> [crate::Lease; 2] {
    let first = world.begin_validation(authorization).await;
    let challenge = authorization.challenges[1].id;
    let second = BeginValidation { challenge, ..world.validation_of(authorization) };
    let second = world.storage.begin_validation(second, &cause()).await.unwrap().lease;
    [first, second.expect("a lease on the second challenge")]
}
