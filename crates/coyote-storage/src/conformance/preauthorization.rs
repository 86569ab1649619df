//! What [`AuthorizationStore::create_authorization`](crate::AuthorizationStore::create_authorization) promises:
//! authorizations that no order asked for. RFC 8555 section 7.4.1.

use coyote_protocol::{AuthorizationStatus, OrderStatus, Timestamp};

use super::World;
use super::fixture::{
    AUTHORIZED, DAY, LEASE, MILLISECOND, MINUTE, NOW, PENDING, cause, cause_at, dns, expect_conflict,
    expect_not_found, expect_one_success, problem, reusing, sweep,
};
use super::race::{CONTENDERS, ROUNDS, race};
use crate::{
    Account, Authorization, Conflict, Order, Result, StorageError, Sweep, SweepReport, ValidationOutcome,
    Work,
};

/// With its challenges, and for nobody else.
pub async fn an_authorization_of_no_order_reads_back_as_it_was_stored(world: World) {
    let (account, stranger) = (world.account().await, world.account().await);
    for name in ["a.test", "*.a.test"] {
        let authorization = world.new_authorization(&account, &dns(name));
        world.storage.create_authorization(authorization.clone(), 2, &cause()).await.unwrap();
        assert_eq!(world.reload_authorization(&authorization).await, authorization);
        expect_not_found(world.storage.authorization(&stranger.id, &authorization.id).await);
    }
    let orders = world.storage.orders(&account.id, None, 100).await.unwrap().orders;
    assert_eq!(orders, [], "there is no order");
}

/// And nothing of it is stored.
pub async fn an_authorization_for_an_account_that_is_closed_or_unknown_is_refused(world: World) {
    let closed = world.account().await;
    world.close(&closed).await;
    for account in [closed, world.new_account()] {
        let authorization = world.new_authorization(&account, &dns("a.test"));
        let answer = world.storage.create_authorization(authorization.clone(), 2, &cause()).await;
        expect_conflict(answer, Conflict::AccountNotValid);
        expect_not_found(world.storage.authorization(&account.id, &authorization.id).await);
    }
}

/// Whether an order has that one or none, and whoever's it is.
pub async fn a_new_authorization_whose_id_is_in_use_is_refused_and_the_first_unharmed(world: World) {
    let (account, other) = (world.account().await, world.account().await);
    for taken in [world.authorization(&account).await, preauthorization(&world, &account).await] {
        for account in [&account, &other] {
            let intruder = Authorization { id: taken.id, ..world.new_authorization(account, &dns("b.test")) };
            let answer = world.storage.create_authorization(intruder, 10, &cause()).await;
            expect_conflict(answer, Conflict::IdInUse);
        }
        assert_eq!(world.reload_authorization(&taken).await, taken);
    }
}

/// However many are stored at the same time.
pub async fn of_many_new_authorizations_with_one_id_one_is_stored(world: World) {
    let account = world.account().await;
    for _ in 0..ROUNDS {
        let id = world.new_authorization(&account, &dns("a.test")).id;
        let stored = race((0..CONTENDERS).map(|_| {
            let new = Authorization { id, ..world.new_authorization(&account, &dns("a.test")) };
            let world = world.clone();
            async move {
                let answer = world.storage.create_authorization(new.clone(), u32::MAX, &cause()).await;
                answer.map(|()| new)
            }
        }));
        let stored = expect_one_success(stored.await, Conflict::IdInUse);
        assert_eq!(world.reload_authorization(&stored).await, stored);
    }
}

/// Which is ready at once: that is what it is for.
pub async fn an_authorization_of_no_order_that_is_valid_is_good_for_an_order(world: World) {
    let account = world.account().await;
    let pending = preauthorization(&world, &account).await;
    let names = [dns("a.test")];
    assert_eq!(world.storage.reusable_authorizations(&account.id, &names, NOW).await.unwrap(), []);
    let valid = world.validate(&pending).await;
    assert_eq!(valid.status(NOW), AuthorizationStatus::Valid);
    let reusable = world.storage.reusable_authorizations(&account.id, &names, NOW).await.unwrap();
    assert_eq!(reusable, std::slice::from_ref(&valid));

    let order = order_that_reuses(&world, &account, &valid).await;
    assert_eq!(order.authorizations, [valid]);
    assert_eq!(order.status(NOW), OrderStatus::Ready);
    assert_eq!(world.reload(&order).await, order);
}

/// And of one that is too many nothing is stored. Other accounts, and orders, have room of their own.
pub async fn an_account_has_no_more_authorizations_of_no_order_than_it_may(world: World) {
    let (account, other) = (world.account().await, world.account().await);
    world.order(&account, &["a.test", "b.test", "c.test"]).await;
    for _ in 0..2 {
        create(&world, &account, 2, NOW).await.unwrap();
    }
    let last = world.new_authorization(&account, &dns("a.test"));
    let answer = world.storage.create_authorization(last.clone(), 2, &cause()).await;
    expect_conflict(answer, Conflict::TooManyOpen);
    expect_not_found(world.storage.authorization(&account.id, &last.id).await);
    expect_conflict(create(&world, &account, 0, NOW).await, Conflict::TooManyOpen);

    create(&world, &other, 1, NOW).await.unwrap();
    create(&world, &account, 3, NOW).await.unwrap();
}

/// Whatever became of it: else who gives up what they asked for could ask without end.
pub async fn an_authorization_of_no_order_counts_until_it_expires(world: World) {
    let account = world.account().await;
    let valid = world.validate(&preauthorization(&world, &account).await).await;
    world.storage.deactivate_authorization(&account.id, &valid.id, &cause()).await.unwrap();
    let given_up = preauthorization(&world, &account).await;
    world.storage.deactivate_authorization(&account.id, &given_up.id, &cause()).await.unwrap();
    let lease = world.begin_validation(&preauthorization(&world, &account).await).await;
    let failed = ValidationOutcome::Invalid(problem("no answer"));
    world.storage.finish_validation(lease, failed, &cause()).await.unwrap();
    drop(world.begin_validation(&preauthorization(&world, &account).await).await);

    expect_conflict(create(&world, &account, 4, NOW + PENDING - MILLISECOND).await, Conflict::TooManyOpen);
    expect_conflict(create(&world, &account, 1, NOW + PENDING).await, Conflict::TooManyOpen);
    create(&world, &account, 2, NOW + PENDING).await.unwrap();
    create(&world, &account, 2, NOW + AUTHORIZED).await.unwrap();
}

/// It is of no order then, until it expires.
pub async fn an_authorization_whose_order_is_removed_counts_from_then_on(world: World) {
    let account = world.account().await;
    let mut order = world.new_order(&account, &["a.test"]);
    order.authorizations[0].expires = NOW + PENDING * 2;
    let order = world.store_order(order).await;
    let now = NOW + PENDING + DAY;
    let refused = world.new_authorization(&account, &dns("a.test"));
    let over = Sweep { remove_expired_before: now, ..sweep() };
    assert_eq!(world.storage.sweep(&over, &cause_at(now)).await.unwrap().orders_removed, 1);
    assert_eq!(world.reload_authorization(&order.authorizations[0]).await, order.authorizations[0]);

    let answer = world.storage.create_authorization(refused.clone(), 1, &cause_at(now)).await;
    expect_conflict(answer, Conflict::TooManyOpen);
    let expired = cause_at(NOW + PENDING * 2);
    world.storage.create_authorization(refused, 1, &expired).await.unwrap();
}

/// However many are stored at the same time.
pub async fn of_many_authorizations_no_more_are_stored_than_the_account_may_have(world: World) {
    for round in 0..ROUNDS {
        let account = world.account().await;
        let created = race((0..CONTENDERS).map(|_| {
            let (world, account) = (world.clone(), account.clone());
            async move { create(&world, &account, 3, NOW).await }
        }));
        let (stored, refused): (Vec<_>, Vec<_>) = created.await.into_iter().partition(Result::is_ok);
        let full = |answer: &Result<Authorization>| {
            matches!(answer, Err(StorageError::Conflict(Conflict::TooManyOpen)))
        };
        assert!(refused.iter().all(full), "round {round}: {refused:?}");
        assert_eq!(stored.len(), 3, "round {round}");
    }
}

/// With its jobs. Until then it can be found, pending or valid.
pub async fn an_authorization_of_no_order_is_removed_once_it_expired_long_ago(world: World) {
    let account = world.account().await;
    let pending = preauthorization(&world, &account).await;
    drop(world.begin_validation(&pending).await);
    let valid = world.validate(&preauthorization(&world, &account).await).await;
    for (limit, removed, left) in [
        (NOW + PENDING, None, vec![&pending, &valid]),
        (NOW + PENDING + MILLISECOND, Some(&pending), vec![&valid]),
        (NOW + AUTHORIZED, None, vec![&valid]),
        (NOW + AUTHORIZED + MILLISECOND, Some(&valid), vec![]),
    ] {
        let over = Sweep { remove_expired_before: limit, ..sweep() };
        let report = world.storage.sweep(&over, &cause_at(NOW + AUTHORIZED + DAY)).await.unwrap();
        let authorizations_removed = u64::from(removed.is_some());
        assert_eq!(report, SweepReport { authorizations_removed, ..SweepReport::default() });
        if let Some(authorization) = removed {
            expect_not_found(world.storage.authorization(&account.id, &authorization.id).await);
        }
        for authorization in left {
            assert_eq!(world.reload_authorization(authorization).await.id, authorization.id);
        }
    }
    assert_eq!(world.next_due().await, None, "the job is removed with what it works on");
}

/// As any other is; and then it goes once it has no order again.
pub async fn an_authorization_of_no_order_that_an_order_reuses_is_kept_with_it(world: World) {
    let account = world.account().await;
    let valid = world.validate(&preauthorization(&world, &account).await).await;
    let order = Order { expires: NOW + AUTHORIZED * 2, ..order_for_reuse(&world, &account) };
    let order = world.storage.create_order(reusing(order, [valid.id]), &cause()).await.unwrap();

    let sweep_all = async |now: Timestamp| {
        let over = Sweep { remove_expired_before: now, ..sweep() };
        world.storage.sweep(&over, &cause_at(now)).await.unwrap()
    };
    assert!(sweep_all(NOW + AUTHORIZED + DAY).await.is_empty(), "the order needs it");
    assert_eq!(world.reload(&order).await.authorizations, [valid]);
    let report = sweep_all(NOW + AUTHORIZED * 2 + DAY).await;
    assert_eq!((report.orders_removed, report.authorizations_removed), (1, 1));
}

/// Like that of any authorization.
pub async fn a_lost_job_of_an_authorization_of_no_order_is_restored(world: World) {
    let account = world.account().await;
    let authorization = preauthorization(&world, &account).await;
    let lost = world.begin_validation(&authorization).await;
    world.lose_job(&lost.work).await;
    let now = cause_at(NOW + MINUTE);
    let report = world.storage.sweep(&sweep(), &now).await.unwrap();
    assert_eq!(report, SweepReport { jobs_restored: 1, ..SweepReport::default() });
    let lease = world.claim_one(now.now).await;
    assert_eq!(lease.work, Work::validation(&authorization, authorization.challenges[0].id));
    let outcome = ValidationOutcome::Valid { expires: NOW + AUTHORIZED };
    let valid = world.storage.finish_validation(lease, outcome, &now).await.unwrap();
    assert_eq!(valid.status(NOW + LEASE), AuthorizationStatus::Valid);
}

async fn create(world: &World, account: &Account, most_alone: u32, now: Timestamp) -> Result<Authorization> {
    let new = world.new_authorization(account, &dns("a.test"));
    world.storage.create_authorization(new.clone(), most_alone, &cause_at(now)).await.map(|()| new)
}

async fn preauthorization(world: &World, account: &Account) -> Authorization {
    create(world, account, u32::MAX, NOW).await.unwrap()
}

fn order_for_reuse(world: &World, account: &Account) -> Order {
    Order { authorizations: Vec::new(), ..world.new_order(account, &["a.test"]) }
}

async fn order_that_reuses(world: &World, account: &Account, held: &Authorization) -> Order {
    let order = order_for_reuse(world, account);
    world.storage.create_order(reusing(order, [held.id]), &cause()).await.unwrap()
}
