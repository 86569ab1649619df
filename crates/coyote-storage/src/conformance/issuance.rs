//! What [`OrderStore`](crate::OrderStore) and [`CertificateStore`](crate::CertificateStore) promise of issuances: how
//! they begin, which serial numbers they may use, and how they end.

use coyote_protocol::OrderStatus;

use super::World;
use super::fixture::{
    LEASE, MILLISECOND, NOW, PENDING, cause, cause_at, copy, expect_conflict, expect_not_found,
    expect_one_success, problem,
};
use super::race::{CONTENDERS, ROUNDS, race};
use crate::{BeginIssuance, Certificate, Conflict, DirectoryId, Issuance, IssuanceOutcome, OrderId, Work};

/// RFC 8555 section 7.4.
pub async fn an_issuance_that_begins_is_processing_and_the_caller_has_its_job(world: World) {
    let account = world.account().await;
    let order = world.ready_order(&account, &["a.test"]).await;
    let begin = world.issuance_of(&order);
    let now = NOW + MILLISECOND;
    let begun = world.storage.begin_issuance(begin.clone(), &cause_at(now)).await.unwrap();

    let mut expected = order.clone();
    expected.issuance = Some(Issuance { csr: begin.csr, serial: begin.serial, began: now });
    assert_eq!(begun.order, expected);
    assert_eq!(world.reload(&order).await, expected);
    assert_eq!(expected.status(NOW + PENDING), OrderStatus::Processing, "the calendar decides no more");
    let lease = begun.lease.expect("the lease that was asked for");
    assert_eq!(lease.work, Work::issuance(&order));
    assert_eq!((lease.job, lease.attempts, Some(lease.terms)), (lease.work.job(), 1, begin.lease));
}

/// RFC 8555 section 7.4: the others are told that the order is not ready.
pub async fn of_many_issuances_of_one_order_one_begins(world: World) {
    let account = world.account().await;
    for _ in 0..ROUNDS {
        let order = world.ready_order(&account, &["a.test"]).await;
        let begun = race((0..CONTENDERS).map(|_| {
            let begin = world.issuance_of(&order);
            let world = world.clone();
            async move { world.storage.begin_issuance(begin, &cause()).await }
        }));
        let begun = expect_one_success(begun.await, Conflict::OrderNotReady(OrderStatus::Processing));
        let stored = world.reload(&order).await;
        assert_eq!(stored, begun.order, "what the winner handed in is what will be signed");
        let found = world.storage.reserved_serial(&stored.issuance.unwrap().serial).await.unwrap();
        assert_eq!(found, order.id);
    }
}

/// RFC 8555 section 7.4. Nothing of the request is kept.
pub async fn an_order_that_is_not_ready_cannot_begin_to_be_issued(world: World) {
    let account = world.account().await;
    let pending = world.order(&account, &["a.test"]).await;
    let expired = world.ready_order(&account, &["a.test"]).await;
    let invalid = world.ready_order(&account, &["a.test"]).await;
    let given_up = &invalid.authorizations[0].id;
    world.storage.deactivate_authorization(&account.id, given_up, &cause()).await.unwrap();

    for (order, now, status) in [
        (pending, NOW, OrderStatus::Pending),
        (expired, NOW + PENDING, OrderStatus::Invalid),
        (invalid, NOW, OrderStatus::Invalid),
    ] {
        let before = world.reload(&order).await;
        let begin = world.issuance_of(&order);
        let answer = world.storage.begin_issuance(begin.clone(), &cause_at(now)).await;
        expect_conflict(answer, Conflict::OrderNotReady(status));
        assert_eq!(world.reload(&order).await, before);
        expect_not_found(world.storage.reserved_serial(&begin.serial).await);
    }
    assert_eq!(world.next_due().await, None, "there is no job");
}

/// Otherwise ids could be probed for.
pub async fn a_foreign_order_and_an_unknown_one_cannot_begin_to_be_issued_alike(world: World) {
    let (account, stranger) = (world.account().await, world.account().await);
    let order = world.ready_order(&account, &["a.test"]).await;
    let foreign = BeginIssuance { account: stranger.id, ..world.issuance_of(&order) };
    let unknown = BeginIssuance { order: OrderId::from_bytes(world.bits()), ..world.issuance_of(&order) };
    for begin in [foreign, unknown] {
        expect_not_found(world.storage.begin_issuance(begin, &cause()).await);
    }
    assert_eq!(world.reload(&order).await, order);
}

/// RFC 8555 section 7.3.6.
pub async fn a_closed_account_cannot_begin_an_issuance(world: World) {
    let account = world.account().await;
    let order = world.ready_order(&account, &["a.test"]).await;
    world.close(&account).await;
    let answer = world.storage.begin_issuance(world.issuance_of(&order), &cause()).await;
    expect_conflict(answer, Conflict::AccountNotValid);
    assert_eq!(world.reload(&order).await, order);
    assert_eq!(world.next_due().await, None, "there is no job");
}

/// A caller that does not issue leaves the job to whoever claims it.
pub async fn an_issuance_that_begins_without_a_lease_has_a_job_at_once(world: World) {
    let account = world.account().await;
    let order = world.ready_order(&account, &["a.test"]).await;
    let begin = BeginIssuance { lease: None, ..world.issuance_of(&order) };
    let begun = world.storage.begin_issuance(begin, &cause()).await.unwrap();
    assert_eq!(begun.lease, None);
    assert_eq!(world.next_due().await, Some(NOW));
    let lease = world.claim_one(NOW).await;
    assert_eq!((lease.attempts, lease.work), (1, Work::issuance(&order)));
}

/// So an issuance that was begun comes to an end, even if who began it is no more.
pub async fn the_job_of_an_issuance_that_began_with_a_lease_is_free_when_the_lease_ends(world: World) {
    let account = world.account().await;
    let (order, _lost) = world.processing_order(&account).await;
    assert_eq!(world.next_due().await, Some(NOW + LEASE));
    assert_eq!(world.claim(NOW + LEASE - MILLISECOND).await, []);
    let taken_over = world.claim_one(NOW + LEASE).await;
    assert_eq!((taken_over.attempts, taken_over.work), (2, Work::issuance(&order)));
}

/// The job is the business of the directory that the account is in.
pub async fn the_job_of_an_issuance_is_of_its_accounts_directory(world: World) {
    let directory = DirectoryId::new("other");
    let account = crate::Account { directory: directory.clone(), ..world.new_account() };
    let account = world.store_account(account).await;
    let (_order, _lease) = world.processing_order(&account).await;
    assert_eq!(world.next_due().await, None);
    assert_eq!(world.storage.next_due(&directory).await.unwrap(), Some(NOW + LEASE));
}

/// So no certificate exists that is not accounted for.
pub async fn a_serial_is_on_record_before_anything_is_signed_with_it(world: World) {
    let account = world.account().await;
    let (order, lease) = world.processing_order(&account).await;
    let first = order.issuance.clone().unwrap().serial;
    assert_eq!(world.storage.reserved_serial(&first).await.unwrap(), order.id);

    let second = world.serial();
    world.storage.reserve_serial(&lease, second.clone(), &cause()).await.unwrap();
    assert_eq!(world.storage.reserved_serial(&second).await.unwrap(), order.id);
    assert_eq!(world.reload(&order).await.issuance.unwrap().serial, second, "it is to be signed with now");
    assert_eq!(
        world.storage.reserved_serial(&first).await.unwrap(),
        order.id,
        "it may have been signed with"
    );
}

/// Neither of a serial, nor of a certificate.
pub async fn a_serial_that_was_never_recorded_is_not_found(world: World) {
    let account = world.account().await;
    let (order, _lease) = world.processing_order(&account).await;
    expect_not_found(world.storage.reserved_serial(&world.serial()).await);
    expect_not_found(world.storage.certificate_by_serial(&world.serial()).await);
    let reserved = order.issuance.unwrap().serial;
    expect_not_found(world.storage.certificate_by_serial(&reserved).await);
}

/// Who takes an issuance over cannot know what was signed, and takes another.
pub async fn a_serial_stays_on_record_when_an_issuance_is_taken_over(world: World) {
    let account = world.account().await;
    let (order, _lost) = world.processing_order(&account).await;
    let first = order.issuance.clone().unwrap().serial;
    let now = cause_at(NOW + LEASE);
    let lease = world.claim_one(now.now).await;
    let second = world.serial();
    world.storage.reserve_serial(&lease, second.clone(), &now).await.unwrap();
    let certificate = world.new_certificate(&world.reload(&order).await);
    assert_eq!(certificate.serial, second);
    let outcome = IssuanceOutcome::Issued(Box::new(certificate));
    world.storage.finish_issuance(lease, outcome, &now).await.unwrap();
    for serial in [first, second] {
        assert_eq!(world.storage.reserved_serial(&serial).await.unwrap(), order.id);
    }
}

/// Not even for the order that used it.
pub async fn a_serial_is_used_once(world: World) {
    let account = world.account().await;
    let (order, lease) = world.processing_order(&account).await;
    let first = order.issuance.clone().unwrap().serial;
    let second = world.serial();
    world.storage.reserve_serial(&lease, second.clone(), &cause()).await.unwrap();

    let ready = world.ready_order(&account, &["b.test"]).await;
    for serial in [first, second.clone()] {
        let again = world.storage.reserve_serial(&lease, serial.clone(), &cause()).await;
        expect_conflict(again, Conflict::SerialInUse);
        let begin = BeginIssuance { serial, ..world.issuance_of(&ready) };
        expect_conflict(world.storage.begin_issuance(begin, &cause()).await, Conflict::SerialInUse);
    }
    assert_eq!(world.reload(&ready).await, ready, "it can still be issued, with another serial");
    assert_eq!(world.reload(&order).await.issuance.unwrap().serial, second);
}

/// However many orders want it at the same time.
pub async fn of_many_issuances_with_one_serial_one_begins(world: World) {
    let account = world.account().await;
    for round in 0..ROUNDS {
        let serial = world.serial();
        let mut issuances = Vec::new();
        for _ in 0..4 {
            let order = world.ready_order(&account, &["a.test"]).await;
            let begin = BeginIssuance { serial: serial.clone(), ..world.issuance_of(&order) };
            let world = world.clone();
            issuances.push(async move { world.storage.begin_issuance(begin, &cause()).await });
        }
        let begun = expect_one_success(race(issuances).await, Conflict::SerialInUse);
        let holder = world.storage.reserved_serial(&serial).await.unwrap();
        assert_eq!(holder, begun.order.id, "round {round}");
    }
}

/// RFC 8555 section 7.4: the order is valid, and the certificate is there.
pub async fn an_issuance_that_ends_well_makes_the_order_valid_and_stores_the_certificate(world: World) {
    let account = world.account().await;
    let (order, lease) = world.processing_order(&account).await;
    let certificate = world.new_certificate(&order);
    let outcome = IssuanceOutcome::Issued(Box::new(certificate.clone()));
    let valid = world.storage.finish_issuance(lease, outcome, &cause()).await.unwrap();

    assert_eq!(valid, crate::Order { certificate: Some(certificate.id), ..order.clone() });
    assert_eq!(valid.status(NOW + PENDING), OrderStatus::Valid, "for ever");
    assert_eq!(world.reload(&order).await, valid);
    assert_eq!(world.storage.certificate(&account.id, &certificate.id).await.unwrap(), certificate);
    assert_eq!(world.storage.certificate_by_serial(&certificate.serial).await.unwrap(), certificate);
    assert_eq!(world.next_due().await, None, "the job is done");
}

/// And can still be stored under others: the lease was not spent.
pub async fn a_certificate_whose_id_or_serial_another_has_is_not_stored(world: World) {
    let account = world.account().await;
    let other = world.certificate(&account).await;
    let (order, lease) = world.processing_order(&account).await;
    let certificate = world.new_certificate(&order);
    for (intruder, conflict) in [
        (Certificate { id: other.id, ..certificate.clone() }, Conflict::IdInUse),
        (Certificate { serial: other.serial.clone(), ..certificate.clone() }, Conflict::SerialInUse),
    ] {
        let outcome = IssuanceOutcome::Issued(Box::new(intruder));
        let answer = world.storage.finish_issuance(copy(&lease), outcome, &cause()).await;
        expect_conflict(answer, conflict);
        assert_eq!(world.reload(&order).await, order);
    }
    assert_eq!(world.storage.certificate_by_serial(&other.serial).await.unwrap(), other);
    let outcome = IssuanceOutcome::Issued(Box::new(certificate));
    world.storage.finish_issuance(lease, outcome, &cause()).await.unwrap();
}

/// RFC 8555 section 7.4.
pub async fn an_issuance_that_is_refused_makes_the_order_invalid_and_says_why(world: World) {
    let account = world.account().await;
    let (order, lease) = world.processing_order(&account).await;
    let refused = IssuanceOutcome::Refused(problem("CAA forbids it"));
    let invalid = world.storage.finish_issuance(lease, refused, &cause()).await.unwrap();
    assert_eq!(invalid, crate::Order { error: Some(problem("CAA forbids it")), ..order.clone() });
    assert_eq!(invalid.status(NOW), OrderStatus::Invalid);
    assert_eq!(world.reload(&order).await, invalid);
    assert_eq!(world.next_due().await, None, "the job is done");
}

/// Neither while it is issued, nor afterwards.
pub async fn an_order_is_issued_once(world: World) {
    let account = world.account().await;
    let (processing, _lease) = world.processing_order(&account).await;
    let (refused, lease) = world.processing_order(&account).await;
    let outcome = IssuanceOutcome::Refused(problem("no"));
    world.storage.finish_issuance(lease, outcome, &cause()).await.unwrap();
    let certificate = world.certificate(&account).await;
    let valid = world.storage.order(&account.id, &certificate.order).await.unwrap();

    for (order, status) in
        [(processing, OrderStatus::Processing), (refused, OrderStatus::Invalid), (valid, OrderStatus::Valid)]
    {
        let answer = world.storage.begin_issuance(world.issuance_of(&order), &cause()).await;
        expect_conflict(answer, Conflict::OrderNotReady(status));
    }
}

/// Even if each of them believes that it has the lease.
pub async fn of_many_who_finish_an_issuance_one_certificate_is_stored(world: World) {
    let account = world.account().await;
    for round in 0..ROUNDS {
        let (order, lease) = world.processing_order(&account).await;
        let certificates: Vec<_> = (0..CONTENDERS)
            .map(|_| Certificate { serial: world.serial(), ..world.new_certificate(&order) })
            .collect();
        let finished = race(certificates.clone().into_iter().map(|certificate| {
            let (world, lease) = (world.clone(), copy(&lease));
            let outcome = IssuanceOutcome::Issued(Box::new(certificate));
            async move { world.storage.finish_issuance(lease, outcome, &cause()).await.ok() }
        }));
        let finished: Vec<_> = finished.await.into_iter().flatten().collect();
        assert_eq!(finished.len(), 1, "round {round}: one of them finishes");
        for certificate in certificates {
            let stored = world.storage.certificate(&account.id, &certificate.id).await.is_ok();
            assert_eq!(stored, finished[0].certificate == Some(certificate.id), "round {round}");
        }
    }
}
