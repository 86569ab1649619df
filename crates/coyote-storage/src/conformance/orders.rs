//! What [`OrderStore`](crate::OrderStore) promises of orders that wait: how they are stored, found, listed, and
//! what becomes of them through their authorizations.

use std::cmp::Reverse;

use coyote_protocol::{AuthorizationStatus, OrderStatus};

use super::World;
use super::fixture::{
    AUTHORIZED, DAY, MILLISECOND, MINUTE, NOW, PENDING, cause, cause_at, dns, expect_conflict,
    expect_not_found, expect_one_success, placing, problem, reusing,
};
use super::race::{CONTENDERS, ROUNDS, race};
use crate::{Account, AuthorizationId, Conflict, Order, OrderId, ValidationOutcome, Verdict};

/// With its authorizations and their challenges.
pub async fn a_new_order_reads_back_as_it_was_stored(world: World) {
    let account = world.account().await;
    let mut order = world.new_order(&account, &["a.test", "*.a.test", "b.test"]);
    order.profile = Some("tlsserver".into());
    order.not_before = Some(NOW + MINUTE);
    order.not_after = Some(NOW + DAY);

    assert_eq!(world.storage.create_order(placing(order.clone()), &cause()).await.unwrap(), order);
    assert_eq!(world.reload(&order).await, order);
    for authorization in &order.authorizations {
        assert_eq!(world.reload_authorization(authorization).await, *authorization);
    }
}

/// Otherwise ids could be probed for.
pub async fn a_foreign_order_and_an_unknown_order_get_the_same_answer(world: World) {
    let (account, stranger) = (world.account().await, world.account().await);
    let order = world.order(&account, &["a.test"]).await;
    let unknown = OrderId::from_bytes(world.bits());
    expect_not_found(world.storage.order(&stranger.id, &order.id).await);
    expect_not_found(world.storage.order(&account.id, &unknown).await);
}

/// And nothing of it is stored.
pub async fn an_order_for_an_account_that_is_closed_or_unknown_is_refused(world: World) {
    let closed = world.account().await;
    world.close(&closed).await;
    for account in [closed, world.new_account()] {
        let order = world.new_order(&account, &["a.test"]);
        let answer = world.storage.create_order(placing(order.clone()), &cause()).await;
        expect_conflict(answer, Conflict::AccountNotValid);
        expect_not_stored(&world, &order).await;
    }
}

/// And the order that has it is unharmed.
pub async fn an_order_id_in_use_is_refused(world: World) {
    let account = world.account().await;
    let order = world.order(&account, &["a.test"]).await;
    let intruder = Order { id: order.id, ..world.new_order(&account, &["b.test"]) };
    let authorization = intruder.authorizations[0].clone();
    expect_conflict(world.storage.create_order(placing(intruder), &cause()).await, Conflict::IdInUse);
    assert_eq!(world.reload(&order).await, order);
    expect_not_found(world.storage.authorization(&account.id, &authorization.id).await);
}

/// Also if only the last of several new ones is not new: then none is stored.
pub async fn an_authorization_id_in_use_is_refused_and_nothing_is_stored(world: World) {
    let account = world.account().await;
    let taken = world.authorization(&account).await;
    let mut order = world.new_order(&account, &["b.test", "c.test"]);
    order.authorizations[1].id = taken.id;
    let new = order.authorizations[0].clone();

    expect_conflict(world.storage.create_order(placing(order.clone()), &cause()).await, Conflict::IdInUse);
    expect_not_found(world.storage.order(&account.id, &order.id).await);
    expect_not_found(world.storage.authorization(&account.id, &new.id).await);
    assert_eq!(world.reload_authorization(&taken).await, taken);
}

/// However many are stored at the same time.
pub async fn of_many_new_orders_with_one_id_one_is_stored(world: World) {
    let account = world.account().await;
    for _ in 0..ROUNDS {
        let id = OrderId::from_bytes(world.bits());
        let orders = race((0..CONTENDERS).map(|_| {
            let order = Order { id, ..world.new_order(&account, &["a.test"]) };
            let world = world.clone();
            async move { world.storage.create_order(placing(order), &cause()).await }
        }));
        let stored = expect_one_success(orders.await, Conflict::IdInUse);
        assert_eq!(world.reload(&stored).await, stored);
    }
}

/// In whatever order the authorizations were given or are reused.
pub async fn authorizations_come_in_the_order_of_the_identifiers(world: World) {
    let account = world.account().await;
    let earned = world.ready_order(&account, &["d.test", "b.test"]).await;
    let mut order = world.new_order(&account, &["e.test", "d.test", "c.test", "b.test", "a.test"]);
    order.authorizations.retain(|new| ![dns("b.test"), dns("d.test")].contains(&new.identifier));
    order.authorizations.reverse();
    let reused = [earned.authorizations[1].id, earned.authorizations[0].id];

    let created = world.storage.create_order(reusing(order, reused), &cause()).await.unwrap();
    for order in [&created, &world.reload(&created).await, &world.reload(&created).await] {
        let names = order.authorizations.iter().map(|held| held.identifier.clone());
        assert_eq!(names.collect::<Vec<_>>(), order.identifiers);
    }
}

/// RFC 8555 section 7.1.4 does not ask for it, but clients choose by position.
pub async fn challenges_come_in_the_order_in_which_they_were_made(world: World) {
    let account = world.account().await;
    for _ in 0..10 {
        let mut order = world.new_order(&account, &["a.test"]);
        order.authorizations[0].challenges.reverse();
        let ids = |order: &Order| order.authorizations[0].challenges.iter().map(|c| c.id).collect::<Vec<_>>();
        let expected = ids(&order);
        let order = world.store_order(order).await;
        drop(world.begin_validation(&order.authorizations[0]).await);
        assert_eq!(ids(&world.reload(&order).await), expected);
    }
}

/// RFC 8555 section 7.1.6: `ready` once each of its authorizations is valid, and not before.
pub async fn an_order_is_ready_once_all_its_authorizations_are_valid(world: World) {
    let account = world.account().await;
    let order = world.order(&account, &["a.test", "b.test"]).await;
    assert_eq!(order.status(NOW), OrderStatus::Pending);
    world.validate(&order.authorizations[0]).await;
    assert_eq!(world.reload(&order).await.status(NOW), OrderStatus::Pending);
    world.validate(&order.authorizations[1]).await;
    assert_eq!(world.reload(&order).await.status(NOW), OrderStatus::Ready);
}

/// A policy may vouch for a name. Such an authorization is found again, and there is nothing to do for it.
pub async fn an_order_whose_authorizations_are_valid_from_birth_is_ready_at_once(world: World) {
    let account = world.account().await;
    let mut order = world.new_order(&account, &["a.test"]);
    let challenge = &mut order.authorizations[0].challenges[0];
    (challenge.began, challenge.verdict) = (Some(NOW), Some(Verdict::Valid { at: NOW }));

    let order = world.storage.create_order(placing(order), &cause()).await.unwrap();
    assert_eq!(order.status(NOW), OrderStatus::Ready);
    assert_eq!(world.reload(&order).await, order);
    let found = world.storage.reusable_authorizations(&account.id, &order.identifiers, NOW).await.unwrap();
    assert_eq!(found, order.authorizations);
    assert_eq!(world.storage.next_due(&account.directory).await.unwrap(), None);
}

/// RFC 8555 section 7.1.6.
pub async fn an_order_with_a_failed_authorization_is_invalid(world: World) {
    let account = world.account().await;
    let order = world.order(&account, &["a.test", "b.test"]).await;
    world.validate(&order.authorizations[0]).await;
    let lease = world.begin_validation(&order.authorizations[1]).await;
    let failed = ValidationOutcome::Invalid(problem("no answer"));
    world.storage.finish_validation(lease, failed, &cause()).await.unwrap();
    assert_eq!(world.reload(&order).await.status(NOW), OrderStatus::Invalid);
}

/// Nobody has to write that down.
pub async fn an_order_is_invalid_once_it_has_expired(world: World) {
    let account = world.account().await;
    let order = world.ready_order(&account, &["a.test"]).await;
    assert_eq!(order.status(NOW + PENDING - MILLISECOND), OrderStatus::Ready);
    assert_eq!(order.status(NOW + PENDING), OrderStatus::Invalid);
}

/// The order is ready at once.
pub async fn a_valid_authorization_is_good_for_another_order(world: World) {
    let account = world.account().await;
    let earned = world.ready_order(&account, &["a.test"]).await.authorizations.remove(0);
    let order = Order { authorizations: Vec::new(), ..world.new_order(&account, &["a.test"]) };
    let order = world.storage.create_order(reusing(order, [earned.id]), &cause()).await.unwrap();
    assert_eq!(order.authorizations, [earned]);
    assert_eq!(order.status(NOW), OrderStatus::Ready);
    assert_eq!(world.reload(&order).await, order);
}

/// There is one authorization, whoever looks at it.
pub async fn an_authorization_that_is_given_up_fails_all_orders_that_share_it(world: World) {
    let account = world.account().await;
    let first = world.ready_order(&account, &["a.test"]).await;
    let shared = first.authorizations[0].clone();
    let second = Order { authorizations: Vec::new(), ..world.new_order(&account, &["a.test"]) };
    let second = world.storage.create_order(reusing(second, [shared.id]), &cause()).await.unwrap();

    world.storage.deactivate_authorization(&account.id, &shared.id, &cause()).await.unwrap();
    for order in [first, second] {
        let order = world.reload(&order).await;
        assert_eq!(order.authorizations[0].status(NOW), AuthorizationStatus::Deactivated);
        assert_eq!(order.status(NOW), OrderStatus::Invalid);
    }
}

/// And nothing of the new order is stored.
pub async fn an_authorization_that_is_foreign_unknown_or_not_valid_is_not_reused(world: World) {
    let (account, stranger) = (world.account().await, world.account().await);
    let foreign = world.ready_order(&stranger, &["a.test"]).await.authorizations.remove(0);
    let pending = world.authorization(&account).await;
    let given_up = world.authorization(&account).await;
    world.storage.deactivate_authorization(&account.id, &given_up.id, &cause()).await.unwrap();
    let valid = world.ready_order(&account, &["a.test"]).await.authorizations.remove(0);

    let unknown = AuthorizationId::from_bytes(world.bits());
    for (reused, now) in [
        (foreign.id, NOW),
        (unknown, NOW),
        (pending.id, NOW),
        (given_up.id, NOW),
        (valid.id, NOW + AUTHORIZED),
    ] {
        let mut order = world.new_order(&account, &["a.test", "b.test"]);
        order.authorizations.remove(0);
        let answer =
            world.storage.create_order(reusing(order.clone(), [valid.id, reused]), &cause_at(now)).await;
        expect_conflict(answer, Conflict::AuthorizationNotValid);
        expect_not_stored(&world, &order).await;
    }
}

/// Where two were made at the same time: by their ids, compared as bytes.
pub async fn orders_are_listed_newest_first(world: World) {
    let account = world.account().await;
    let orders = some_orders(&world, &account).await;
    let page = world.storage.orders(&account.id, None, 100).await.unwrap();
    assert_eq!(page.orders, orders);
    assert!(!page.more, "there are no more than that");
}

/// None is missing, none is there twice.
pub async fn pages_of_any_length_make_up_the_whole_list(world: World) {
    let account = world.account().await;
    let orders = some_orders(&world, &account).await;
    for length in [1, 2, 3, orders.len() - 1, orders.len()] {
        let mut seen: Vec<OrderId> = Vec::new();
        loop {
            let page = world.storage.orders(&account.id, seen.last(), length as u32).await.unwrap();
            seen.extend(&page.orders);
            assert_eq!(page.more, seen.len() < orders.len(), "pages of {length}, after {}", seen.len());
            if !page.more {
                break;
            }
            assert_eq!(page.orders.len(), length);
        }
        assert_eq!(seen, orders, "pages of {length}");
    }
}

/// Whether it is unknown or somebody else's.
pub async fn the_page_after_an_order_that_is_not_the_accounts_is_empty(world: World) {
    let (account, stranger) = (world.account().await, world.account().await);
    some_orders(&world, &account).await;
    let foreign = world.order(&stranger, &["a.test"]).await.id;
    for after in [foreign, OrderId::from_bytes(world.bits())] {
        let page = world.storage.orders(&account.id, Some(&after), 100).await.unwrap();
        assert_eq!((page.orders, page.more), (Vec::new(), false));
    }
}

/// An account without orders has an empty list.
pub async fn an_account_sees_only_its_own_orders_listed(world: World) {
    let (account, stranger) = (world.account().await, world.account().await);
    let order = world.order(&account, &["a.test"]).await;
    let own = world.storage.orders(&account.id, None, 100).await.unwrap();
    assert_eq!((own.orders, own.more), (vec![order.id], false));
    let none = world.storage.orders(&stranger.id, None, 100).await.unwrap();
    assert_eq!((none.orders, none.more), (Vec::new(), false));
}

/// Ids in the order in which they are to be listed; some are of the same time.
async fn some_orders(world: &World, account: &Account) -> Vec<OrderId> {
    let mut orders = Vec::new();
    for minutes in [3, 1, 1, 0, 2, 1, 0, 3, 3] {
        let order = Order { created: NOW + MINUTE * minutes, ..world.new_order(account, &["a.test"]) };
        orders.push(world.store_order(order).await);
    }
    orders.sort_by_key(|order| (Reverse(order.created), order.id));
    orders.into_iter().map(|order| order.id).collect()
}

async fn expect_not_stored(world: &World, order: &Order) {
    expect_not_found(world.storage.order(&order.account, &order.id).await);
    for authorization in &order.authorizations {
        expect_not_found(world.storage.authorization(&order.account, &authorization.id).await);
    }
    let page = world.storage.orders(&order.account, None, 100).await.unwrap();
    assert!(!page.orders.contains(&order.id));
}
