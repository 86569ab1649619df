//! What is promised of the work of telling an issuer that a certificate is revoked.

use coyote_protocol::RevocationReason;

use super::World;
use super::fixture::{
    AUTHORIZED, CERTIFIED, LEASE, MILLISECOND, MINUTE, NOW, cause, cause_at, copy, expect_conflict,
    expect_lease_lost, expect_not_found, problem, sweep,
};
use super::race::{CONTENDERS, ROUNDS, race};
use crate::{
    Account, AuditEvent, AuditRecord, BeginRevocation, Certificate, Claim, Conflict, DirectoryId,
    IssuanceOutcome, Lease, RevocationOutcome, StorageError, Sweep, SweepReport, Telling, ValidationOutcome,
    Work, WorkKind,
};

const REASON: RevocationReason = RevocationReason::KeyCompromise;

/// Written with the revocation: a crash loses neither.
pub async fn a_revocation_that_is_to_be_told_has_a_job_and_the_caller_holds_it(world: World) {
    let account = world.account().await;
    let certificate = world.certificate(&account).await;
    let terms = world.lease_until(NOW + LEASE);
    let begin = owed(&certificate, Some(terms));
    let begun = world.storage.revoke_certificate(begin, &cause()).await.unwrap();
    let work = Work::revocation(&certificate);
    assert_eq!(begun.lease, Some(Lease { job: work.job(), work: work.clone(), attempts: 1, terms }));
    assert_eq!((begun.certificate.issuer_told, begun.certificate.issuer_refused), (None, None));
    assert_eq!(reload(&world, &certificate).await, begun.certificate);

    assert_eq!(world.next_due().await, Some(terms.expires));
    assert_eq!(world.claim(terms.expires - MILLISECOND).await, []);
    let taken_over = world.claim_one(terms.expires).await;
    assert_eq!((taken_over.attempts, taken_over.work), (2, work));
}

/// And is of the directory of the certificate's account.
pub async fn a_revocation_that_begins_without_a_lease_has_a_job_at_once(world: World) {
    let directory = DirectoryId::new("other");
    let there = Account { directory: directory.clone(), ..world.new_account() };
    let certificate = world.certificate(&world.store_account(there).await).await;
    let begun = world.storage.revoke_certificate(owed(&certificate, None), &cause()).await.unwrap();
    assert_eq!(begun.lease, None);
    assert_eq!(world.claim(NOW).await, [], "it is not of this directory");
    for (kind, jobs) in [(WorkKind::Issue, 0), (WorkKind::Revoke, 1)] {
        let terms = world.lease_until(NOW + LEASE);
        let claim = Claim { directory: directory.clone(), kind: Some(kind), limit: 10, terms };
        let claimed = world.storage.claim_jobs(&claim, &cause()).await.unwrap();
        assert_eq!(claimed.len(), jobs, "{kind:?}");
    }
}

/// So it costs nothing.
pub async fn a_revocation_that_needs_no_telling_has_no_job(world: World) {
    let certificate = world.certificate(&world.account().await).await;
    let now = NOW + MINUTE;
    let revoked = world.revoke(&certificate.id, REASON, &cause_at(now)).await.unwrap();
    assert_eq!((revoked.issuer_told, revoked.issuer_refused), (Some(now), None));
    assert_eq!(world.next_due().await, None);
    assert!(world.storage.sweep(&sweep(), &cause_at(now)).await.unwrap().is_empty());
}

/// The job ends, and what became of it is on record.
pub async fn a_telling_that_ends_says_how_and_ends_its_job(world: World) {
    let account = world.account().await;
    for outcome in [RevocationOutcome::Told, RevocationOutcome::GivenUp] {
        let (certificate, lease) = revoked(&world, &account).await;
        let now = NOW + MINUTE / 2;
        let told = world.storage.finish_revocation(lease, outcome, &cause_at(now)).await.unwrap();
        let (when, refused) = match outcome {
            RevocationOutcome::Told => (Some(now), None),
            RevocationOutcome::GivenUp => (None, Some(now)),
        };
        let expected = Certificate { issuer_told: when, issuer_refused: refused, ..certificate };
        assert_eq!(told, expected);
        assert_eq!(reload(&world, &told).await, expected);
        assert_eq!(world.next_due().await, None, "{outcome:?}: there is no job");
        assert!(world.storage.sweep(&sweep(), &cause_at(now)).await.unwrap().is_empty(), "{outcome:?}");

        let (certificate, serial) = (told.id, told.serial);
        let event = match outcome {
            RevocationOutcome::Told => AuditEvent::RevocationTold { certificate, serial },
            RevocationOutcome::GivenUp => AuditEvent::RevocationNotTold { certificate, serial },
        };
        assert_eq!(world.audit_of(certificate).await[0], AuditRecord::new(event, &cause_at(now)));
    }
}

/// Its attempts are counted.
pub async fn a_telling_that_is_to_be_repeated_comes_back_when_it_is_due(world: World) {
    let account = world.account().await;
    let (certificate, lease) = revoked(&world, &account).await;
    let due = NOW + MINUTE * 5;
    world.storage.release_job(lease, due, &cause()).await.unwrap();
    assert_eq!(world.claim(due - MILLISECOND).await, []);
    let again = world.claim_one(due).await;
    assert_eq!((again.attempts, again.work), (2, Work::revocation(&certificate)));
}

/// Its first reason stands, and the telling goes on as it was.
pub async fn a_certificate_that_is_revoked_again_is_told_of_once(world: World) {
    let account = world.account().await;
    let (certificate, lease) = revoked(&world, &account).await;
    let again = BeginRevocation { reason: RevocationReason::Superseded, ..owed(&certificate, None) };
    expect_conflict(world.storage.revoke_certificate(again, &cause()).await, Conflict::AlreadyRevoked);
    expect_conflict(world.revoke(&certificate.id, REASON, &cause()).await, Conflict::AlreadyRevoked);
    assert_eq!(reload(&world, &certificate).await, certificate);
    world.storage.finish_revocation(lease, RevocationOutcome::Told, &cause()).await.unwrap();
}

/// Nor by one who has a lease on something else.
pub async fn a_telling_cannot_be_settled_by_who_lost_it(world: World) {
    let account = world.account().await;
    let (certificate, lost) = revoked(&world, &account).await;
    let forged = Lease { terms: world.lease_until(NOW + LEASE), ..copy(&lost) };
    let (_, issuance) = world.processing_order(&account).await;
    let validation = world.begin_validation(&world.authorization(&account).await).await;
    for lease in [forged, issuance, validation] {
        let finished = world.storage.finish_revocation(lease, RevocationOutcome::Told, &cause()).await;
        expect_lease_lost(finished);
    }
    let valid = ValidationOutcome::Valid { expires: NOW + AUTHORIZED };
    expect_lease_lost(world.storage.finish_validation(copy(&lost), valid, &cause()).await);
    let refused = IssuanceOutcome::Refused(problem("no"));
    expect_lease_lost(world.storage.finish_issuance(copy(&lost), refused, &cause()).await);
    expect_lease_lost(world.storage.reserve_serial(&lost, world.serial(), &cause()).await);

    let now = cause_at(NOW + LEASE);
    let finished = world.storage.finish_revocation(lost, RevocationOutcome::Told, &now).await;
    expect_lease_lost(finished);
    assert_eq!(reload(&world, &certificate).await, certificate);
    assert!(world.claim(now.now).await.iter().any(|lease| lease.work == Work::revocation(&certificate)));
}

/// Even if each of them believes that it has the lease.
pub async fn of_many_who_end_a_telling_one_does(world: World) {
    let account = world.account().await;
    for round in 0..ROUNDS {
        let (certificate, lease) = revoked(&world, &account).await;
        let ended = race((0..CONTENDERS).map(|contender| {
            let (world, lease) = (world.clone(), copy(&lease));
            let outcome =
                if contender % 2 == 0 { RevocationOutcome::Told } else { RevocationOutcome::GivenUp };
            async move { world.storage.finish_revocation(lease, outcome, &cause()).await }
        }));
        let (won, lost): (Vec<_>, Vec<_>) = ended.await.into_iter().partition(Result::is_ok);
        assert!(
            lost.iter().all(|result| matches!(result, Err(StorageError::LeaseLost))),
            "round {round}: {lost:?}"
        );
        let [Ok(winner)] = &won[..] else { panic!("round {round}: one does: {won:?}") };
        assert_eq!(reload(&world, &certificate).await, *winner);
    }
}

/// Due now, and once; of all revocations, only those that somebody is still to be told of.
pub async fn a_revocation_that_lost_its_job_is_told_all_the_same(world: World) {
    let account = world.account().await;
    let (lost, _lease) = revoked(&world, &account).await;
    for outcome in [RevocationOutcome::Told, RevocationOutcome::GivenUp] {
        let (_, lease) = revoked(&world, &account).await;
        world.storage.finish_revocation(lease, outcome, &cause()).await.unwrap();
    }
    let (_kept, _lease) = revoked(&world, &account).await;
    world.lose_job(&Work::revocation(&lost)).await;

    let report = world.storage.sweep(&sweep(), &cause()).await.unwrap();
    assert_eq!(report, SweepReport { jobs_restored: 1, ..SweepReport::default() });
    assert!(world.storage.sweep(&sweep(), &cause()).await.unwrap().is_empty());
    let restored = world.claim_one(NOW).await;
    assert_eq!((restored.attempts, restored.work), (1, Work::revocation(&lost)));
}

/// Then nobody believes it any more, revoked or not.
pub async fn an_expired_certificate_takes_the_job_of_its_revocation_along(world: World) {
    let account = world.account().await;
    let (certificate, _lease) = revoked(&world, &account).await;
    let now = cause_at(NOW + CERTIFIED + MINUTE);
    let over = Sweep { remove_issued_before: now.now, ..sweep() };
    assert_eq!(world.storage.sweep(&over, &now).await.unwrap().certificates_removed, 1);
    expect_not_found(world.storage.certificate(&account.id, &certificate.id).await);
    assert_eq!(world.next_due().await, None);
    assert!(world.storage.sweep(&over, &now).await.unwrap().jobs_restored == 0);
}

/// A certificate that was just revoked, and the lease on telling the issuer.
async fn revoked(world: &World, account: &Account) -> (Certificate, Lease) {
    let certificate = world.certificate(account).await;
    let begin = owed(&certificate, Some(world.lease_until(NOW + LEASE)));
    let begun = world.storage.revoke_certificate(begin, &cause()).await.unwrap();
    (begun.certificate, begun.lease.expect("a lease on a revocation that has just begun"))
}

fn owed(certificate: &Certificate, lease: Option<crate::LeaseTerms>) -> BeginRevocation {
    BeginRevocation { certificate: certificate.id, reason: REASON, telling: Telling::Owed(lease) }
}

async fn reload(world: &World, certificate: &Certificate) -> Certificate {
    world.storage.certificate(&certificate.account, &certificate.id).await.unwrap()
}
