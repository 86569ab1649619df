//! What [`AuthorizationStore`](crate::AuthorizationStore) promises of authorizations that nobody validates: how they
//! are found, used again and given up.

use std::cmp::Reverse;

use coyote_protocol::{AuthorizationStatus, Timestamp};

use super::World;
use super::fixture::{
    AUTHORIZED, LEASE, MILLISECOND, MINUTE, NOW, PENDING, cause, cause_at, dns, expect_conflict,
    expect_not_found, expect_one_success, problem,
};
use super::race::{CONTENDERS, ROUNDS, race};
use crate::{Account, Authorization, AuthorizationId, Conflict, ValidationOutcome};

/// Whatever is asked of it.
pub async fn a_foreign_authorization_and_an_unknown_one_get_the_same_answer(world: World) {
    let (account, stranger) = (world.account().await, world.account().await);
    let known = world.authorization(&account).await;
    let unknown = Authorization { id: AuthorizationId::from_bytes(world.bits()), ..known.clone() };
    for (asks, authorization) in [(&stranger, &known), (&account, &unknown)] {
        expect_not_found(world.storage.authorization(&asks.id, &authorization.id).await);
        let mut begin = world.validation_of(authorization);
        begin.account = asks.id;
        expect_not_found(world.storage.begin_validation(begin, &cause()).await);
        let deactivated = world.storage.deactivate_authorization(&asks.id, &authorization.id, &cause()).await;
        expect_not_found(deactivated);
    }
    assert_eq!(world.reload_authorization(&known).await, known);
}

/// Where two hold equally long: first the one with the smaller id, compared as bytes. Who asks may not be able to use the
/// first.
pub async fn the_authorizations_to_reuse_are_those_that_hold_longest(world: World) {
    let account = world.account().await;
    let mut all = Vec::new();
    for days in [2, 3, 1, 3, 3, 2, 4, 1, 2, 3] {
        all.push(valid_until(&world, &account, "a.test", NOW + AUTHORIZED + MINUTE * days).await);
    }
    let other = valid_until(&world, &account, "b.test", NOW + AUTHORIZED).await;
    all.sort_by_key(|held| (Reverse(held.expires), held.id));
    all.truncate(Authorization::MAX_REUSABLE);
    let names = [dns("a.test"), dns("b.test")];
    let reusable = world.storage.reusable_authorizations(&account.id, &names, NOW).await.unwrap();
    assert_eq!(reusable, [all, vec![other]].concat());
}

/// At the moment that matters, which may be in the future.
pub async fn an_authorization_is_reused_only_while_it_is_valid(world: World) {
    let account = world.account().await;
    let held = valid_until(&world, &account, "a.test", NOW + AUTHORIZED).await;
    world.order(&account, &["pending.test"]).await;
    valid_until(&world, &account, "given-up.test", NOW + AUTHORIZED).await;
    let given_up = valid_until(&world, &account, "given-up.test", NOW + AUTHORIZED).await;
    world.storage.deactivate_authorization(&account.id, &given_up.id, &cause()).await.unwrap();

    let names = [dns("a.test"), dns("pending.test")];
    let reusable =
        async |until| world.storage.reusable_authorizations(&account.id, &names, until).await.unwrap();
    assert_eq!(reusable(NOW + AUTHORIZED - MILLISECOND).await, [held]);
    assert_eq!(reusable(NOW + AUTHORIZED).await, []);
    let others =
        world.storage.reusable_authorizations(&account.id, &[dns("given-up.test")], NOW).await.unwrap();
    assert_ne!(others[0].id, given_up.id, "one that was given up is not used again");
}

/// A wildcard is another identifier than the name below it.
pub async fn an_authorization_is_reused_only_for_its_account_and_its_very_identifier(world: World) {
    let (account, stranger) = (world.account().await, world.account().await);
    let name = valid_until(&world, &account, "a.test", NOW + AUTHORIZED).await;
    let wildcard = valid_until(&world, &account, "*.b.test", NOW + AUTHORIZED).await;

    let names = ["a.test", "*.a.test", "b.test", "*.b.test", "x.a.test", "c.test"].map(dns);
    let mut reusable = world.storage.reusable_authorizations(&account.id, &names, NOW).await.unwrap();
    reusable.sort_by_key(|held| held.identifier.is_wildcard());
    assert_eq!(reusable, [name, wildcard]);
    assert_eq!(world.storage.reusable_authorizations(&stranger.id, &names, NOW).await.unwrap(), []);
    assert_eq!(world.storage.reusable_authorizations(&account.id, &[], NOW).await.unwrap(), []);
}

/// RFC 8555 section 7.5.2.
pub async fn a_pending_or_valid_authorization_can_be_given_up(world: World) {
    let account = world.account().await;
    let pending = world.authorization(&account).await;
    let valid = world.ready_order(&account, &["a.test"]).await.authorizations.remove(0);
    for authorization in [pending, valid] {
        let now = NOW + MINUTE;
        let answer =
            world.storage.deactivate_authorization(&account.id, &authorization.id, &cause_at(now)).await;
        let expected = Authorization { deactivated: Some(now), ..authorization };
        assert_eq!(answer.unwrap(), expected);
        assert_eq!(world.reload_authorization(&expected).await, expected);
    }
}

/// RFC 8555 section 7.1.6: what is over stays as it is.
pub async fn an_authorization_that_is_over_cannot_be_given_up(world: World) {
    let account = world.account().await;
    let given_up = world.authorization(&account).await;
    world.storage.deactivate_authorization(&account.id, &given_up.id, &cause()).await.unwrap();
    let failed = world.authorization(&account).await;
    let lease = world.begin_validation(&failed).await;
    let outcome = ValidationOutcome::Invalid(problem("no answer"));
    world.storage.finish_validation(lease, outcome, &cause()).await.unwrap();
    let pending = world.authorization(&account).await;
    let valid = world.ready_order(&account, &["a.test"]).await.authorizations.remove(0);

    for (authorization, now, status) in [
        (&given_up, NOW, AuthorizationStatus::Deactivated),
        (&failed, NOW, AuthorizationStatus::Invalid),
        (&pending, NOW + PENDING, AuthorizationStatus::Invalid),
        (&valid, NOW + AUTHORIZED, AuthorizationStatus::Expired),
    ] {
        let before = world.reload_authorization(authorization).await;
        let answer =
            world.storage.deactivate_authorization(&account.id, &authorization.id, &cause_at(now)).await;
        expect_conflict(answer, Conflict::AuthorizationFinal(status));
        assert_eq!(world.reload_authorization(authorization).await, before);
    }
}

/// The others are told that it was done.
pub async fn of_many_who_give_an_authorization_up_one_succeeds(world: World) {
    let account = world.account().await;
    for _ in 0..ROUNDS {
        let authorization = world.authorization(&account).await;
        let (account, id) = (account.id, authorization.id);
        let given_up = race((0..CONTENDERS as u32).map(|contender| {
            let world = world.clone();
            let cause = cause_at(NOW + MINUTE * contender);
            async move { world.storage.deactivate_authorization(&account, &id, &cause).await }
        }));
        let deactivated = Conflict::AuthorizationFinal(AuthorizationStatus::Deactivated);
        let winner = expect_one_success(given_up.await, deactivated);
        assert_eq!(world.reload_authorization(&winner).await, winner);
    }
}

/// Whichever comes first: what was given up is never valid.
pub async fn an_authorization_that_is_given_up_while_it_is_validated_stays_given_up(world: World) {
    let account = world.account().await;
    for round in 0..ROUNDS {
        let authorization = world.authorization(&account).await;
        let lease = world.begin_validation(&authorization).await;
        let (account, id) = (account.id, authorization.id);
        let (finishes, gives_up) = (world.clone(), world.clone());
        let outcome = ValidationOutcome::Valid { expires: NOW + AUTHORIZED };
        let finish =
            tokio::spawn(async move { finishes.storage.finish_validation(lease, outcome, &cause()).await });
        let give_up = async move { gives_up.storage.deactivate_authorization(&account, &id, &cause()).await };
        let give_up = tokio::spawn(give_up);
        finish.await.unwrap().unwrap();
        give_up.await.unwrap().unwrap();
        let status = world.reload_authorization(&authorization).await.status(NOW);
        assert_eq!(status, AuthorizationStatus::Deactivated, "round {round}");
        assert_eq!(world.claim(NOW + LEASE).await, [], "round {round}: the job is done");
    }
}

async fn valid_until(world: &World, account: &Account, name: &str, expires: Timestamp) -> Authorization {
    let order = world.order(account, &[name]).await;
    let lease = world.begin_validation(&order.authorizations[0]).await;
    let outcome = ValidationOutcome::Valid { expires };
    world.storage.finish_validation(lease, outcome, &cause()).await.unwrap()
}
