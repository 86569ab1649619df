//! What [`AuditLog`](crate::AuditLog) promises: each change that matters has its record, written with it.

use std::net::IpAddr;

use coyote_protocol::RevocationReason;

use super::World;
use super::fixture::{
    AUTHORIZED, LEASE, MINUTE, NOW, cause, cause_at, copy, expect_conflict, expect_lease_lost, problem,
};
use super::race::{CONTENDERS, ROUNDS, race};
use crate::{
    Account, AccountChange, Actor, AuditEvent, AuditFilter, AuditRecord, Cause, Conflict, IssuanceOutcome,
    RequestId, ValidationOutcome,
};

/// Opened, changed, given another key, closed.
pub async fn what_happens_to_an_account_is_recorded(world: World) {
    let account = world.account().await;
    let (id, old, new) = (account.id, account.key.thumbprint(), world.key());
    let agree = AccountChange { agree_to_terms_of_service: true, ..Default::default() };
    world.storage.update_account(&id, agree, &cause_at(NOW + MINUTE)).await.unwrap();
    world.storage.change_account_key(&id, &old, new.clone(), &cause_at(NOW + MINUTE * 2)).await.unwrap();
    let close = AccountChange { deactivate: true, ..Default::default() };
    world.storage.update_account(&id, close, &cause_at(NOW + MINUTE * 3)).await.unwrap();

    let expected = [
        (3, AuditEvent::AccountDeactivated { account: id }),
        (2, AuditEvent::AccountKeyChanged { account: id, old, new: new.thumbprint() }),
        (1, AuditEvent::AccountChanged { account: id }),
        (0, AuditEvent::AccountCreated { account: id, key: old }),
    ];
    let expected =
        expected.map(|(minutes, event)| AuditRecord::new(event, &cause_at(NOW + MINUTE * minutes)));
    assert_eq!(world.audit_of(id).await, expected);
}

/// And nothing in between.
pub async fn how_an_issuance_ended_is_recorded_and_no_step_on_the_way(world: World) {
    let account = world.account().await;
    let certificate = world.certificate(&account).await;
    let (refused, lease) = world.processing_order(&account).await;
    let outcome = IssuanceOutcome::Refused(problem("no"));
    world.storage.finish_issuance(lease, outcome, &cause()).await.unwrap();

    let order = world.storage.order(&account.id, &certificate.order).await.unwrap();
    let issued = AuditEvent::CertificateIssued {
        certificate: certificate.id,
        order: order.id,
        serial: certificate.serial,
        identifiers: order.identifiers,
    };
    assert_eq!(world.audit_of(order.id).await, [AuditRecord::new(issued.clone(), &cause())]);
    let refused = AuditEvent::IssuanceRefused { order: refused.id, problem: problem("no") };
    let created = AuditEvent::AccountCreated { account: account.id, key: account.key.thumbprint() };
    assert_eq!(everything(&world).await, [refused, issued, created]);
}

/// RFC 8555 section 7.6.
pub async fn a_revocation_is_recorded(world: World) {
    let account = world.account().await;
    let certificate = world.certificate(&account).await;
    let reason = RevocationReason::KeyCompromise;
    world.revoke(&certificate.id, reason, &cause()).await.unwrap();
    let event =
        AuditEvent::CertificateRevoked { certificate: certificate.id, serial: certificate.serial, reason };
    assert_eq!(world.audit_of(certificate.id).await, [AuditRecord::new(event, &cause())]);
}

/// That it was made, and each time that it was taken back; its accounts are on record as accounts.
pub async fn what_happens_to_an_external_account_key_is_recorded(world: World) {
    let key = world.external_account_key(None).await;
    world.store_account(world.new_account_of(&key)).await;
    let again = world.storage.create_external_account_key(key.clone(), &cause()).await;
    expect_conflict(again, Conflict::IdInUse);
    let later = cause_at(NOW + MINUTE);
    for cause in [&cause(), &later] {
        world.storage.revoke_external_account_key(&key.directory, &key.kid, cause).await.unwrap();
    }
    let created = AuditEvent::ExternalAccountKeyCreated { kid: key.kid.clone() };
    let revoked = AuditEvent::ExternalAccountKeyRevoked { kid: key.kid.clone() };
    let expected = [(revoked.clone(), &later), (revoked, &cause()), (created, &cause())]
        .map(|(event, cause)| AuditRecord::new(event, cause));
    assert_eq!(world.audit_of(&key.kid).await, expected);
}

/// Whatever the reason.
pub async fn what_did_not_happen_is_not_recorded(world: World) {
    let account = world.account().await;
    let id = world.certificate(&account).await.id;
    world.revoke(&id, RevocationReason::Unspecified, &cause()).await.unwrap();
    let (_, lost) = world.processing_order(&account).await;
    let other = world.account().await;
    world.close(&other).await;
    let before = everything(&world).await;

    let again = Account { key: account.key.clone(), ..world.new_account() };
    world.storage.create_account(again, &cause()).await.unwrap();
    let revoked = world.revoke(&id, RevocationReason::KeyCompromise, &cause()).await;
    expect_conflict(revoked, Conflict::AlreadyRevoked);
    let updated = world.storage.update_account(&other.id, AccountChange::default(), &cause()).await;
    expect_conflict(updated, Conflict::AccountNotValid);
    let old = account.key.thumbprint();
    let changed = world.storage.change_account_key(&account.id, &old, other.key, &cause()).await;
    expect_conflict(changed, Conflict::KeyInUse(other.id));
    let refused = IssuanceOutcome::Refused(problem("no"));
    expect_lease_lost(world.storage.finish_issuance(lost, refused, &cause_at(NOW + LEASE)).await);
    let unknown = world.new_account_of(&world.new_external_account_key());
    let bound = world.storage.create_account(unknown, &cause()).await;
    expect_conflict(bound, Conflict::ExternalAccountKeyNotUsable);
    assert_eq!(everything(&world).await, before);
}

/// However many try.
pub async fn what_happens_once_in_a_race_is_recorded_once(world: World) {
    let account = world.account().await;
    for round in 0..ROUNDS {
        let (order, lease) = world.processing_order(&account).await;
        let finished = race((0..CONTENDERS).map(|_| {
            let (world, lease) = (world.clone(), copy(&lease));
            let certificate = world.new_certificate(&order);
            async move {
                let outcome = IssuanceOutcome::Issued(Box::new(certificate));
                world.storage.finish_issuance(lease, outcome, &cause()).await.ok()
            }
        }));
        let finished: Vec<_> = finished.await.into_iter().flatten().collect();
        let records = world.audit_of(order.id).await;
        assert_eq!((finished.len(), records.len()), (1, 1), "round {round}");
        let issued = finished[0].certificate;
        let recorded = matches!(records[0].event, AuditEvent::CertificateIssued { certificate, .. }
            if Some(certificate) == issued);
        assert!(recorded, "round {round}: the one that was issued is recorded: {records:?}");
    }
}

/// Whoever it was, in whatever script their name is.
pub async fn a_record_says_who_did_it_in_which_request_and_from_where(world: World) {
    let account = world.account().await;
    let addresses = [None, Some("192.0.2.1"), Some("2001:db8::1"), Some("::ffff:192.0.2.1")];
    let actors = [
        Actor::Anonymous,
        Actor::Account(account.id),
        Actor::Server,
        Actor::Operator("Zoë \"O'Brien\"; DROP TABLE audit;-- \\ \u{1f43a}".into()),
    ];
    for (actor, address) in actors.into_iter().zip(addresses) {
        let client = address.map(|address| address.parse::<IpAddr>().unwrap());
        let request = RequestId::from_bytes(world.bits());
        let cause = Cause { now: NOW + MINUTE, request, actor, client, trace: None };
        world.storage.update_account(&account.id, AccountChange::default(), &cause).await.unwrap();
        let latest = world.audit_of(account.id).await.remove(0);
        assert_eq!(latest, AuditRecord::new(AuditEvent::AccountChanged { account: account.id }, &cause));
    }
}

/// In the order in which they happened, also where the clock did not move.
pub async fn the_latest_records_come_first_and_no_more_than_were_asked_for(world: World) {
    let mut accounts = Vec::new();
    for _ in 0..7 {
        accounts.push(world.account().await);
    }
    accounts.reverse();
    let created =
        |account: &Account| AuditEvent::AccountCreated { account: account.id, key: account.key.thumbprint() };
    let expected: Vec<_> = accounts.iter().map(created).collect();
    for limit in [0, 1, 3, 7, 10] {
        let records = world.storage.audit(&AuditFilter { subject: None, limit }).await.unwrap();
        assert_eq!(events(&records), expected[..expected.len().min(limit as usize)]);
    }
    assert_eq!(world.audit_of("nothing").await, []);
}

/// Validations are the server's daily work, not changes that somebody answers for.
pub async fn validations_are_not_recorded(world: World) {
    let account = world.account().await;
    let before = everything(&world).await;
    let lease = world.begin_validation(&world.authorization(&account).await).await;
    world.storage.retry_validation(lease, problem("no"), NOW, &cause()).await.unwrap();
    let lease = world.claim_one(NOW).await;
    let outcome = ValidationOutcome::Valid { expires: NOW + AUTHORIZED };
    world.storage.finish_validation(lease, outcome, &cause()).await.unwrap();
    assert_eq!(everything(&world).await, before);
}

async fn everything(world: &World) -> Vec<AuditEvent> {
    events(&world.storage.audit(&AuditFilter { subject: None, limit: 1_000 }).await.unwrap())
}

fn events(records: &[AuditRecord]) -> Vec<AuditEvent> {
    records.iter().map(|record| record.event.clone()).collect()
}
