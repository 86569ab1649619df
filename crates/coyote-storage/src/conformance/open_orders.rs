//! What [`create_order`](crate::OrderStore::create_order) promises of how many orders an account has open.

use coyote_protocol::Timestamp;

use super::World;
use super::fixture::{
    MILLISECOND, NOW, PENDING, cause, cause_at, expect_conflict, expect_not_found, problem, reusing,
};
use super::race::{CONTENDERS, ROUNDS, race};
use crate::{Account, Conflict, IssuanceOutcome, NewOrder, Order, Result, StorageError, ValidationOutcome};

/// And of one that is too many nothing is stored. Other accounts have room of their own.
pub async fn an_account_has_no_more_orders_open_than_it_may(world: World) {
    let (account, other) = (world.account().await, world.account().await);
    for _ in 0..2 {
        place(&world, &account, 2, NOW).await.unwrap();
    }
    let order = world.new_order(&account, &["a.test"]);
    let new = NewOrder { most_open: 2, ..reusing(order.clone(), []) };
    expect_conflict(world.storage.create_order(new, &cause()).await, Conflict::TooManyOpen);
    expect_not_found(world.storage.order(&account.id, &order.id).await);
    expect_not_found(world.storage.authorization(&account.id, &order.authorizations[0].id).await);
    expect_conflict(place(&world, &account, 0, NOW).await, Conflict::TooManyOpen);

    place(&world, &other, 1, NOW).await.unwrap();
    place(&world, &account, 3, NOW).await.unwrap();
}

/// It does not matter how it ended.
pub async fn an_order_that_is_issued_refused_or_expired_is_not_open(world: World) {
    let account = world.account().await;
    world.certificate(&account).await;
    let (_, lease) = world.processing_order(&account).await;
    world.storage.finish_issuance(lease, IssuanceOutcome::Refused(problem("no")), &cause()).await.unwrap();
    place(&world, &account, 1, NOW).await.expect("of those that ended, none counts");

    expect_conflict(place(&world, &account, 1, NOW + PENDING - MILLISECOND).await, Conflict::TooManyOpen);
    place(&world, &account, 1, NOW + PENDING).await.unwrap();
}

/// One that failed as well, until it expires: who fails often has to wait.
pub async fn an_order_that_is_ready_processing_or_failed_is_open(world: World) {
    let account = world.account().await;
    world.ready_order(&account, &["a.test"]).await;
    let (_, _lease) = world.processing_order(&account).await;
    let failed = world.order(&account, &["a.test"]).await;
    let lease = world.begin_validation(&failed.authorizations[0]).await;
    let outcome = ValidationOutcome::Invalid(problem("no answer"));
    world.storage.finish_validation(lease, outcome, &cause()).await.unwrap();

    expect_conflict(place(&world, &account, 3, NOW).await, Conflict::TooManyOpen);
    place(&world, &account, 4, NOW).await.unwrap();
}

/// Whether it needs authorizations or not.
pub async fn an_order_that_reuses_authorizations_counts_like_any_other(world: World) {
    let account = world.account().await;
    let held = world.ready_order(&account, &["a.test"]).await.authorizations.remove(0);
    let again = || {
        let order = Order { authorizations: Vec::new(), ..world.new_order(&account, &["a.test"]) };
        NewOrder { most_open: 2, ..reusing(order, [held.id]) }
    };
    world.storage.create_order(again(), &cause()).await.unwrap();
    expect_conflict(world.storage.create_order(again(), &cause()).await, Conflict::TooManyOpen);
}

/// However many are placed at the same time.
pub async fn of_many_orders_no_more_are_stored_than_the_account_may_have_open(world: World) {
    for round in 0..ROUNDS {
        let account = world.account().await;
        let placed = race((0..CONTENDERS).map(|_| {
            let (world, account) = (world.clone(), account.clone());
            async move { place(&world, &account, 3, NOW).await }
        }));
        let (stored, refused): (Vec<_>, Vec<_>) = placed.await.into_iter().partition(Result::is_ok);
        let full =
            |answer: &Result<Order>| matches!(answer, Err(StorageError::Conflict(Conflict::TooManyOpen)));
        assert!(refused.iter().all(full), "round {round}: {refused:?}");
        let listed = world.storage.orders(&account.id, None, 100).await.unwrap().orders;
        assert_eq!((stored.len(), listed.len()), (3, 3), "round {round}");
    }
}

async fn place(world: &World, account: &Account, most_open: u32, now: Timestamp) -> Result<Order> {
    let order = world.new_order(account, &["a.test"]);
    world.storage.create_order(NewOrder { most_open, ..reusing(order, []) }, &cause_at(now)).await
}
