//! What [`CertificateStore`](crate::CertificateStore) promises of certificates that were issued.

use coyote_protocol::{RevocationReason, Timestamp};

use super::World;
use super::fixture::{
    CERTIFIED, DAY, MILLISECOND, MINUTE, NOW, cause, cause_at, expect_conflict, expect_not_found,
    expect_one_success,
};
use super::race::{CONTENDERS, ROUNDS, race};
use crate::{Account, Certificate, CertificateId, Conflict, IssuanceOutcome, Revocation, Serial};

/// Byte for byte, and its other chains in the same order.
pub async fn a_certificate_reads_back_as_it_was_stored(world: World) {
    let account = world.account().await;
    let (order, lease) = world.processing_order(&account).await;
    let certificate = Certificate {
        chain: "-----BEGIN CERTIFICATE-----\r\nMIIB\n-----END CERTIFICATE-----\n\n  trailing \t".into(),
        alternates: vec!["b\n".into(), "a\n".into(), String::new(), "b\n".into()],
        not_after: Timestamp::from_millis(253_402_300_799_000),
        ..world.new_certificate(&order)
    };
    let outcome = IssuanceOutcome::Issued(Box::new(certificate.clone()));
    world.storage.finish_issuance(lease, outcome, &cause()).await.unwrap();
    assert_eq!(world.storage.certificate(&account.id, &certificate.id).await.unwrap(), certificate);
    assert_eq!(world.storage.certificate_by_serial(&certificate.serial).await.unwrap(), certificate);
}

/// Otherwise ids could be probed for.
pub async fn a_foreign_certificate_and_an_unknown_one_get_the_same_answer(world: World) {
    let (account, stranger) = (world.account().await, world.account().await);
    let certificate = world.certificate(&account).await;
    expect_not_found(world.storage.certificate(&stranger.id, &certificate.id).await);
    let unknown = CertificateId::from_bytes(world.bits());
    expect_not_found(world.storage.certificate(&account.id, &unknown).await);
}

/// Serial numbers of every length that there is, and with high and low first bytes.
pub async fn a_certificate_is_found_by_its_very_serial(world: World) {
    let account = world.account().await;
    let serials = [&[1][..], &[1, 0], &[0x7f; 20], &[0xff; 19], &[0x80], &[0x10, 0, 0, 0, 0, 0, 0, 0, 1]];
    for magnitude in serials {
        let serial = Serial::from_bytes(magnitude).unwrap();
        let certificate = certificate_with(&world, &account, serial.clone(), NOW + CERTIFIED).await;
        assert_eq!(world.storage.certificate_by_serial(&serial).await.unwrap(), certificate);
    }
    expect_not_found(world.storage.certificate_by_serial(&Serial::from_bytes(&[1, 0, 0]).unwrap()).await);
}

/// RFC 8555 section 7.6.
pub async fn a_certificate_that_is_revoked_says_when_and_why(world: World) {
    let account = world.account().await;
    for reason in RevocationReason::ALL {
        let certificate = world.certificate(&account).await;
        let now = NOW + MINUTE;
        let revoked = world.revoke(&certificate.id, *reason, &cause_at(now)).await.unwrap();
        let expected = Certificate {
            revocation: Some(Revocation { at: now, reason: *reason }),
            issuer_told: Some(now),
            ..certificate.clone()
        };
        assert_eq!(revoked, expected);
        assert_eq!(world.storage.certificate(&account.id, &certificate.id).await.unwrap(), expected);
    }
}

/// RFC 8555 section 7.6, `alreadyRevoked`.
pub async fn a_certificate_is_revoked_once_and_the_first_reason_stands(world: World) {
    let account = world.account().await;
    let id = world.certificate(&account).await.id;
    let first = world.revoke(&id, RevocationReason::KeyCompromise, &cause()).await.unwrap();
    let again = world.revoke(&id, RevocationReason::Unspecified, &cause_at(NOW + DAY)).await;
    expect_conflict(again, Conflict::AlreadyRevoked);
    assert_eq!(world.storage.certificate(&account.id, &id).await.unwrap(), first);

    let unknown = CertificateId::from_bytes(world.bits());
    let answer = world.revoke(&unknown, RevocationReason::Unspecified, &cause()).await;
    expect_not_found(answer);
}

/// And its reason stands.
pub async fn of_many_who_revoke_a_certificate_one_succeeds(world: World) {
    let account = world.account().await;
    for _ in 0..ROUNDS {
        let id = world.certificate(&account).await.id;
        let revoked = race((0..CONTENDERS).map(|contender| {
            let (world, reason) = (world.clone(), RevocationReason::ALL[contender]);
            async move { world.revoke(&id, reason, &cause()).await }
        }));
        let winner = expect_one_success(revoked.await, Conflict::AlreadyRevoked);
        assert_eq!(world.storage.certificate(&account.id, &id).await.unwrap(), winner);
    }
}

/// Whoever they were issued to, and no certificate besides. RFC 5280 section 3.3: until they expire.
pub async fn revocations_are_of_the_revoked_certificates_that_have_not_expired(world: World) {
    let (one, other) = (world.account().await, world.account().await);
    let expires = NOW + DAY;
    let short = certificate_with(&world, &one, world.serial(), expires).await;
    let long = certificate_with(&world, &other, world.serial(), expires + MILLISECOND).await;
    certificate_with(&world, &one, world.serial(), expires + DAY).await;
    assert_eq!(world.storage.revocations(NOW, None, 100).await.unwrap(), []);
    for certificate in [&short, &long] {
        let reason = RevocationReason::Superseded;
        world.revoke(&certificate.id, reason, &cause()).await.unwrap();
    }

    let revocation = Revocation { at: NOW, reason: RevocationReason::Superseded };
    let mut both = [(short.serial, revocation), (long.serial.clone(), revocation)];
    both.sort_by(|(one, _), (other, _)| one.cmp(other));
    assert_eq!(world.storage.revocations(expires, None, 100).await.unwrap(), both);
    let after = expires + MILLISECOND;
    assert_eq!(world.storage.revocations(after, None, 100).await.unwrap(), [(long.serial, revocation)]);
    assert_eq!(world.storage.revocations(after + MILLISECOND, None, 100).await.unwrap(), []);
}

/// In the order of [`Serial`], from any serial on, whether it is that of a revoked certificate or not.
pub async fn pages_of_revocations_make_up_the_whole_list(world: World) {
    let account = world.account().await;
    let mut serials = Vec::new();
    for magnitude in [&[2][..], &[1, 0], &[0x7f; 20], &[0x80], &[1], &[0x20, 1], &[2, 0, 0], &[0xff; 19]] {
        let serial = Serial::from_bytes(magnitude).unwrap();
        let certificate = certificate_with(&world, &account, serial.clone(), NOW + CERTIFIED).await;
        let reason = RevocationReason::Unspecified;
        world.revoke(&certificate.id, reason, &cause()).await.unwrap();
        serials.push(serial);
    }
    serials.sort();
    for length in [1, 3, 8, 100] {
        let mut seen: Vec<Serial> = Vec::new();
        loop {
            let page = world.storage.revocations(NOW, seen.last(), length).await.unwrap();
            assert!(page.len() <= length as usize, "pages of {length}");
            if page.is_empty() {
                break;
            }
            seen.extend(page.into_iter().map(|(serial, _)| serial));
            assert!(seen.len() <= serials.len(), "pages of {length} have an end");
        }
        assert_eq!(seen, serials, "pages of {length}");
    }
    let between = Serial::from_bytes(&[2, 0]).unwrap();
    let rest = world.storage.revocations(NOW, Some(&between), 100).await.unwrap();
    assert!(rest.iter().all(|(serial, _)| *serial > between), "{rest:?}");
    assert_eq!(rest.len(), serials.iter().filter(|serial| **serial > between).count());
}

async fn certificate_with(
    world: &World,
    account: &Account,
    serial: Serial,
    not_after: Timestamp,
) -> Certificate {
    let order = world.ready_order(account, &["a.test"]).await;
    let begin = crate::BeginIssuance { serial, ..world.issuance_of(&order) };
    let begun = world.storage.begin_issuance(begin, &cause()).await.unwrap();
    let certificate = Certificate { not_after, ..world.new_certificate(&begun.order) };
    let outcome = IssuanceOutcome::Issued(Box::new(certificate.clone()));
    world.storage.finish_issuance(begun.lease.unwrap(), outcome, &cause()).await.unwrap();
    certificate
}
