//! What [`create_order`](crate::OrderStore::create_order) promises of orders that replace a certificate. RFC 9773
//! section 5.

use coyote_protocol::{OrderStatus, RevocationReason};

use super::World;
use super::fixture::{
    DAY, MILLISECOND, NOW, PENDING, cause, cause_at, expect_conflict, expect_not_found, expect_one_success,
    placing, problem, sweep,
};
use super::race::{CONTENDERS, ROUNDS, race};
use crate::{
    Account, Certificate, CertificateId, Conflict, IssuanceOutcome, Order, Sweep, ValidationOutcome,
};

/// On the order, which says what it replaces, and on the certificate, which says what replaces it.
pub async fn an_order_that_replaces_a_certificate_is_noted_there(world: World) {
    let account = world.account().await;
    let certificate = world.certificate(&account).await;
    let order = world.store_order(replacing(&world, &account, &certificate)).await;
    assert_eq!(order.replaces, Some(certificate.id));
    assert_eq!(world.reload(&order).await, order);

    let expected = Certificate { replaced_by: Some(order.id), ..certificate };
    assert_eq!(world.storage.certificate(&account.id, &expected.id).await.unwrap(), expected);
    assert_eq!(world.storage.certificate_by_serial(&expected.serial).await.unwrap(), expected);
    let reason = RevocationReason::Superseded;
    let revoked = world.revoke(&expected.id, reason, &cause()).await.unwrap();
    assert_eq!(revoked.replaced_by, Some(order.id));
}

/// The two cannot be told apart, and nothing is stored.
pub async fn a_certificate_that_is_foreign_or_unknown_is_not_replaced(world: World) {
    let (account, stranger) = (world.account().await, world.account().await);
    let foreign = world.certificate(&stranger).await;
    let unknown = Certificate { id: CertificateId::from_bytes(world.bits()), ..foreign.clone() };
    for certificate in [&foreign, &unknown] {
        expect_refused(&world, &account, certificate, Conflict::NothingToReplace).await;
    }
    assert_eq!(world.storage.certificate(&stranger.id, &foreign.id).await.unwrap(), foreign);
}

/// As long as that order may come to something, and once it has.
pub async fn a_certificate_is_replaced_by_one_order(world: World) {
    let account = world.account().await;
    let certificate = world.certificate(&account).await;
    let order = world.store_order(replacing(&world, &account, &certificate)).await;
    let expect_kept = async |status| {
        assert_eq!(world.reload(&order).await.status(NOW), status);
        expect_refused(&world, &account, &certificate, Conflict::AlreadyReplaced).await;
        let kept = world.storage.certificate(&account.id, &certificate.id).await.unwrap();
        assert_eq!(kept.replaced_by, Some(order.id));
    };
    expect_kept(OrderStatus::Pending).await;
    world.validate(&order.authorizations[0]).await;
    expect_kept(OrderStatus::Ready).await;
    let begun = world.storage.begin_issuance(world.issuance_of(&order), &cause()).await.unwrap();
    expect_kept(OrderStatus::Processing).await;
    let issued = IssuanceOutcome::Issued(Box::new(world.new_certificate(&begun.order)));
    world.storage.finish_issuance(begun.lease.unwrap(), issued, &cause()).await.unwrap();
    expect_kept(OrderStatus::Valid).await;
}

/// A failed authorization, a refusal, time: whatever it was.
pub async fn an_order_that_came_to_nothing_makes_room_for_another_that_replaces(world: World) {
    let account = world.account().await;
    let certificate = world.certificate(&account).await;
    let place = async || world.store_order(replacing(&world, &account, &certificate)).await;

    let failed = place().await;
    let lease = world.begin_validation(&failed.authorizations[0]).await;
    let outcome = ValidationOutcome::Invalid(problem("no answer"));
    world.storage.finish_validation(lease, outcome, &cause()).await.unwrap();

    let refused = place().await;
    world.validate(&refused.authorizations[0]).await;
    let begun = world.storage.begin_issuance(world.issuance_of(&refused), &cause()).await.unwrap();
    let outcome = IssuanceOutcome::Refused(problem("no"));
    world.storage.finish_issuance(begun.lease.unwrap(), outcome, &cause()).await.unwrap();

    place().await;
    let late = replacing(&world, &account, &certificate);
    let early = cause_at(NOW + PENDING - MILLISECOND);
    let answer = world.storage.create_order(placing(late.clone()), &early).await;
    expect_conflict(answer, Conflict::AlreadyReplaced);
    world.storage.create_order(placing(late.clone()), &cause_at(NOW + PENDING)).await.unwrap();
    let replaced = world.storage.certificate(&account.id, &certificate.id).await.unwrap();
    assert_eq!(replaced.replaced_by, Some(late.id), "the latest is on record");
}

/// Nobody knows any more what became of it.
pub async fn an_order_that_was_removed_makes_room_for_another_that_replaces(world: World) {
    let account = world.account().await;
    let certificate = world.certificate(&account).await;
    let removed = world.store_order(replacing(&world, &account, &certificate)).await;
    let now = cause_at(NOW + PENDING + DAY);
    let over = Sweep { remove_expired_before: now.now, ..sweep() };
    world.storage.sweep(&over, &now).await.unwrap();
    expect_not_found(world.storage.order(&account.id, &removed.id).await);

    let left = world.storage.certificate(&account.id, &certificate.id).await.unwrap();
    assert_eq!(left.replaced_by, Some(removed.id), "that there was one stays on record");
    let next = replacing(&world, &account, &certificate);
    world.storage.create_order(placing(next), &now).await.unwrap();
}

/// However many are placed at the same time; of the others nothing is stored.
pub async fn of_many_orders_that_replace_one_certificate_one_is_stored(world: World) {
    let account = world.account().await;
    for round in 0..ROUNDS {
        let certificate = world.certificate(&account).await;
        let orders: Vec<_> = (0..CONTENDERS).map(|_| replacing(&world, &account, &certificate)).collect();
        let placed = race(orders.iter().cloned().map(|order| {
            let world = world.clone();
            async move { world.storage.create_order(placing(order), &cause()).await }
        }));
        let winner = expect_one_success(placed.await, Conflict::AlreadyReplaced);
        for order in orders {
            let stored = world.storage.order(&account.id, &order.id).await;
            assert_eq!(stored.is_ok(), order.id == winner.id, "round {round}");
        }
        let replaced = world.storage.certificate(&account.id, &certificate.id).await.unwrap();
        assert_eq!(replaced.replaced_by, Some(winner.id), "round {round}");
    }
}

/// Whatever it is refused for.
pub async fn an_order_that_is_refused_replaces_nothing(world: World) {
    let account = world.account().await;
    let certificate = world.certificate(&account).await;
    let taken = world.order(&account, &["a.test"]).await;
    let order = Order { id: taken.id, ..replacing(&world, &account, &certificate) };
    expect_conflict(world.storage.create_order(placing(order), &cause()).await, Conflict::IdInUse);
    let mut order = replacing(&world, &account, &certificate);
    order.authorizations[0].id = taken.authorizations[0].id;
    expect_conflict(world.storage.create_order(placing(order), &cause()).await, Conflict::IdInUse);
    let untouched = world.storage.certificate(&account.id, &certificate.id).await.unwrap();
    assert_eq!(untouched, certificate);
}

fn replacing(world: &World, account: &Account, certificate: &Certificate) -> Order {
    Order { replaces: Some(certificate.id), ..world.new_order(account, &["a.test"]) }
}

async fn expect_refused(world: &World, account: &Account, certificate: &Certificate, conflict: Conflict) {
    let order = replacing(world, account, certificate);
    expect_conflict(world.storage.create_order(placing(order.clone()), &cause()).await, conflict);
    expect_not_found(world.storage.order(&account.id, &order.id).await);
    expect_not_found(world.storage.authorization(&account.id, &order.authorizations[0].id).await);
}
