//! Issuers that are told of revocations. RFC 8555 section 7.6.

use std::time::Duration;

use coyote_protocol::RevocationReason;
use coyote_storage::{Certificate, CertificateStore, Serial};
use tokio::time::sleep;

use crate::{
    account::{Account, Object},
    parts::{FOR_EVER, TestValidator},
    world::World,
};

const SECOND: Duration = Duration::from_secs(1);

/// An account with a certificate.
async fn certified(world: &World) -> (Account, Object, Serial) {
    let account = world.account().await;
    let order = account.issue(&["a.example"]).await;
    let serial = world.issuer.serials()[0].clone();
    (account, order, serial)
}

async fn record(world: &World, serial: &Serial) -> Certificate {
    world.storage.certificate_by_serial(serial).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_revocation_is_answered_when_it_is_on_record_and_the_issuer_is_told_meanwhile() {
    let world = World::new();
    let (account, order, serial) = certified(&world).await;
    world.issuer.take(3 * SECOND);
    let _ = account.revoke(&order).await.expect(200);
    let certificate = record(&world, &serial).await;
    assert!(certificate.revocation.is_some() && certificate.issuer_told.is_none());
    sleep(4 * SECOND).await;
    assert_eq!(world.issuer.told(), [(serial.clone(), RevocationReason::Unspecified)]);
    assert!(record(&world, &serial).await.issuer_told.is_some());
    let _ = account.revoke(&order).await.refused(400, "alreadyRevoked");
    assert_eq!(world.issuer.told().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_cannot_be_told_is_told_again_later_and_later() {
    let world = World::new();
    world.run(&world.acme);
    let (account, order, serial) = certified(&world).await;
    world.issuer.miss_revocations(3);
    let _ = account.revoke(&order).await.expect(200);
    sleep(SECOND / 2).await;
    for (seconds, times) in [(0, 1), (1, 2), (2, 3), (4, 4), (600, 4)] {
        sleep(seconds * SECOND).await;
        assert_eq!(world.issuer.told().len(), times, "after {seconds} more seconds");
    }
    assert!(record(&world, &serial).await.issuer_told.is_some());
}

/// It stands all the same.
#[tokio::test(start_paused = true)]
async fn a_revocation_that_the_issuer_refuses_is_given_up() {
    let world = World::new();
    world.run(&world.acme);
    let (account, order, serial) = certified(&world).await;
    world.issuer.refuse_revocations();
    let _ = account.revoke(&order).await.expect(200);
    sleep(600 * SECOND).await;
    assert_eq!(world.issuer.told().len(), 1);
    let certificate = record(&world, &serial).await;
    assert!(certificate.revocation.is_some() && certificate.issuer_refused.is_some());
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_is_never_reached_is_given_up_after_so_many_attempts() {
    let world = World::limited(|limits| limits.revocation_attempts = 3);
    world.run(&world.acme);
    let (account, order, serial) = certified(&world).await;
    world.issuer.miss_revocations(u64::MAX);
    let _ = account.revoke(&order).await.expect(200);
    sleep(600 * SECOND).await;
    assert_eq!(world.issuer.told().len(), 3);
    assert!(record(&world, &serial).await.issuer_refused.is_some());
}

/// As the bundled one does not.
#[tokio::test(start_paused = true)]
async fn an_issuer_that_needs_no_telling_is_told_nothing() {
    let world = World::new();
    world.issuer.ignore_revocations();
    let (account, order, serial) = certified(&world).await;
    let _ = account.revoke(&order).await.expect(200);
    sleep(SECOND).await;
    assert_eq!(world.issuer.told(), []);
    let certificate = record(&world, &serial).await;
    assert_eq!(certificate.issuer_told, certificate.revocation.map(|revocation| revocation.at));
}

#[tokio::test(start_paused = true)]
async fn a_revocation_of_a_process_that_died_is_told_by_another() {
    let world = World::new();
    let (account, order, serial) = certified(&world).await;
    world.issuer.take(FOR_EVER);
    let (there, what) = (account.clone(), order.clone());
    let _ = crate::leases::dying(async move || there.revoke(&what).await.expect(200)).await;
    world.issuer.take(Duration::ZERO);
    let heir = world.beside(&TestValidator::new(coyote_protocol::ChallengeType::HTTP_01)).build().unwrap();
    world.run(&heir);
    sleep(7 * SECOND).await;
    assert!(record(&world, &serial).await.issuer_told.is_some());
}
