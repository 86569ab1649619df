//! Signers that are slow, or away. RFC 8555 section 7.4.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use coyote_storage::{
    AuditEvent, AuditFilter, AuditLog, CertificateStore, Serial,
    conformance::{Fault, FaultyStorage},
};
use tokio::time::{Instant, sleep};

use crate::{account::Account, parts::FOR_EVER, world::World};

const SECOND: Duration = Duration::from_secs(1);

/// The serial numbers of all certificates that were ever issued.
async fn issued(world: &World) -> Vec<Serial> {
    let log = world.storage.audit(&AuditFilter { subject: None, limit: 1_000 }).await.unwrap();
    let serial = |event| match event {
        AuditEvent::CertificateIssued { serial, .. } => Some(serial),
        _ => None,
    };
    log.into_iter().filter_map(|record| serial(record.event)).collect()
}

async fn served(account: &Account, url: &str) -> Serial {
    let leaf = account.post_as_get(url).await.expect(200).chain().remove(0);
    Serial::from_bytes(&leaf.serial_number().to_bn().unwrap().to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_order_that_is_being_signed_is_not_finalized_again() {
    let world = World::new();
    world.issuer.take(3 * SECOND);
    let account = world.account().await;
    let order = account.ready_order(&["a.example"]).await;

    let answer = account.finalize(&order).await.expect(200);

    assert_eq!((answer.json["status"].as_str(), answer.retry_after()), (Some("processing"), Some(1)));
    assert_eq!(answer.location(), order.url);
    let _ = account.finalize(&order).await.refused(403, "orderNotReady");
    let answer = account.post_as_get(&order.url).await.expect(200);
    assert_eq!((answer.json["status"].as_str(), answer.retry_after()), (Some("processing"), Some(1)));
    let order = account.settled(&order).await;
    assert_eq!(order.text("status"), "valid");
    assert_eq!(world.issuer.serials().len(), 1, "one CSR, one signature");
    let _ = account.finalize(&order).await.refused(403, "orderNotReady");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_certificate_is_answered_when_it_is_there() {
    let world = World::limited(|limits| limits.linger = 10 * SECOND);
    world.issuer.take(2 * SECOND);
    let account = world.account().await;
    let order = account.ready_order(&["a.example"]).await;
    let begun = Instant::now();
    let answer = account.finalize(&order).await.expect(200);
    assert_eq!((answer.json["status"].as_str(), begun.elapsed().as_secs()), (Some("valid"), 2));
}

#[tokio::test(start_paused = true)]
async fn a_signer_that_was_away_is_asked_again_with_another_serial_and_makes_one_certificate() {
    let world = World::new();
    world.run(&world.acme);
    world.issuer.fail(2);
    let account = world.account().await;
    let order = account.ready_order(&["a.example"]).await;

    let answer = account.finalize(&order).await.expect(200);

    assert_eq!((answer.json["status"].as_str(), answer.retry_after()), (Some("processing"), Some(1)));
    assert!(!answer.json.to_string().contains("hsm0"), "{}", answer.json);
    let order = account.settled(&order).await;
    assert_eq!(order.text("status"), "valid", "{}", order.json);

    let tried = world.issuer.serials();
    assert_eq!(tried.iter().collect::<BTreeSet<_>>().len(), 3, "no serial is signed with twice: {tried:?}");
    assert_eq!(issued(&world).await, [tried[2].clone()]);
    assert_eq!(served(&account, &order.text("certificate")).await, tried[2]);
    for serial in &tried {
        let on_record = world.storage.reserved_serial(serial).await.unwrap();
        assert!(order.url.ends_with(&on_record.to_string()), "{serial} was on record before it was tried");
    }
}

#[tokio::test(start_paused = true)]
async fn a_signer_that_stays_away_ends_the_order_and_the_client_is_told_no_internals() {
    let world = World::limited(|limits| limits.issuance_attempts = 3);
    world.run(&world.acme);
    world.issuer.fail(u64::MAX);
    let account = world.account().await;
    let order = account.ready_order(&["a.example"]).await;
    let _ = account.finalize(&order).await.expect(200);

    let order = account.settled(&order).await;

    assert_eq!(order.text("status"), "invalid");
    assert_eq!(order.json["error"]["type"], "urn:ietf:params:acme:error:serverInternal");
    assert!(!order.json.to_string().contains("hsm0"), "{}", order.json);
    assert_eq!(world.issuer.serials().len(), 3);
    sleep(600 * SECOND).await;
    assert_eq!((world.issuer.serials().len(), issued(&world).await), (3, vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_signer_that_does_not_answer_is_given_up_and_asked_again() {
    let world = World::new();
    world.run(&world.acme);
    world.issuer.take(FOR_EVER);
    let account = world.account().await;
    let order = account.ready_order(&["a.example"]).await;
    let _ = account.finalize(&order).await.expect(200);
    world.issuer.take(Duration::ZERO);
    sleep(30 * SECOND).await;

    assert_eq!(account.settled(&order).await.text("status"), "valid");
    assert_eq!(issued(&world).await, [world.issuer.serials()[1].clone()]);
}

/// So that it does not come in vain. RFC 8555 section 7.4.
#[tokio::test(start_paused = true)]
async fn the_client_is_told_to_come_back_when_the_signer_is_asked_again() {
    let world = World::limited(|limits| limits.issuance_backoff = 90 * SECOND);
    world.run(&world.acme);
    world.issuer.fail(1);
    let account = world.account().await;
    let order = account.ready_order(&["a.example"]).await;
    assert_eq!(account.finalize(&order).await.retry_after(), Some(90));
    sleep(30 * SECOND).await;
    assert_eq!(account.post_as_get(&order.url).await.retry_after(), Some(60));
}

/// What is signed is not signed again for one answer that is missing, whether or not the store had heard the question.
#[tokio::test(start_paused = true)]
async fn a_certificate_that_cannot_be_stored_at_once_is_not_thrown_away() {
    let world = World::new();
    let storage = Arc::new(FaultyStorage::new(world.storage.clone()));
    let acme = world.through(storage.clone()).build().unwrap();
    let account = Account::open(&acme).await;
    for faults in [
        vec![Fault::Before, Fault::Before, Fault::Before],
        vec![Fault::After],
        vec![Fault::Before, Fault::After],
    ] {
        let order = account.ready_order(&["a.example"]).await;
        world.issuer.take(SECOND);
        let _ = account.finalize(&order).await.expect(200);
        let signed = world.issuer.serials();
        for (call, fault) in faults.iter().enumerate() {
            storage.fail(storage.calls() + call as u64, *fault);
        }
        sleep(3 * SECOND).await;
        let order = account.read(&order.url).await;
        assert_eq!(order.text("status"), "valid", "{faults:?}");
        assert_eq!(world.issuer.serials(), signed, "{faults:?}");
        assert_eq!(served(&account, &order.text("certificate")).await, *signed.last().unwrap());
    }
}

/// A store that stays away has another process sign, with another serial number.
#[tokio::test(start_paused = true)]
async fn a_certificate_that_cannot_be_stored_before_the_lease_is_over_is_signed_anew() {
    let world = World::new();
    let storage = Arc::new(FaultyStorage::new(world.storage.clone()));
    let acme = world.through(storage.clone()).build().unwrap();
    let account = Account::open(&acme).await;
    let order = account.ready_order(&["a.example"]).await;
    world.issuer.take(SECOND);
    let _ = account.finalize(&order).await.expect(200);
    for call in 0..20 {
        storage.fail(storage.calls() + call, Fault::Before);
    }
    sleep(10 * SECOND).await;
    world.run(&world.acme);
    let order = account.at(&world.acme).settled(&order).await;
    assert_eq!((order.text("status"), world.issuer.serials().len()), ("valid".into(), 2));
}
