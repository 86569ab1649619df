//! Authorizations ahead of orders. RFC 8555 section 7.4.1.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    account::{Account, Answer, NEW_AUTHZ},
    world::World,
};

async fn authorize(account: &Account, name: &str) -> Answer {
    account.post(NEW_AUTHZ, &json!({"identifier": {"type": "dns", "value": name}})).await
}

#[tokio::test(start_paused = true)]
async fn what_was_authorized_ahead_serves_an_order() {
    let world = World::new();
    assert_eq!(world.directory()["newAuthz"], NEW_AUTHZ);
    let account = world.account().await;

    let authorization = authorize(&account, "a.example").await.created();
    assert_eq!(authorization.text("status"), "pending");
    let _ = account.post(&authorization.challenge().url, &json!({})).await.expect(200);
    assert_eq!(account.read(&authorization.url).await.text("status"), "valid");

    let order = account.order(&["a.example", "b.example"]).await;
    let authorizations = order.list("authorizations");
    assert_eq!(authorizations[0], authorization.url);
    assert_eq!(order.text("status"), "pending", "the other name is yet to be proved");
    let _ = account.certify(&account.validate(&order).await).await;
    assert_eq!(world.validator.looks(), 2, "one for each name");
}

#[tokio::test(start_paused = true)]
async fn a_pending_authorization_of_no_order_serves_none() {
    let world = World::new();
    let account = world.account().await;
    let authorization = authorize(&account, "a.example").await.created();
    let order = account.order(&["a.example"]).await;
    assert_ne!(order.list("authorizations"), [authorization.url]);
}

#[tokio::test(start_paused = true)]
async fn another_account_gets_nothing_of_it() {
    let world = World::new();
    let (one, two) = (world.account().await, world.account().await);
    let authorization = authorize(&one, "a.example").await.created();
    let _ = one.post(&authorization.challenge().url, &json!({})).await.expect(200);

    assert_eq!(two.order(&["a.example"]).await.text("status"), "pending");
    let _ = two.post_as_get(&authorization.url).await.refused(403, "unauthorized");
}

#[tokio::test(start_paused = true)]
async fn a_wildcard_cannot_be_authorized_ahead() {
    let world = World::new();
    let account = world.account().await;
    let _ = authorize(&account, "*.a.example").await.refused(400, "malformed");
    let world = World::new();
    world.validator.switch_off();
    let _ = authorize(&world.account().await, "*.a.example").await.refused(400, "malformed");
}

#[tokio::test(start_paused = true)]
async fn what_no_order_would_get_is_not_authorized_either() {
    let world = World::new();
    let account = world.account().await;
    let _ = authorize(&account, "a_b.example").await.refused(400, "malformed");
    let other = json!({"identifier": {"type": "email", "value": "a@a.example"}});
    let _ = account.post(NEW_AUTHZ, &other).await.refused(403, "unsupportedIdentifier");
    let _ = account.post(NEW_AUTHZ, &json!({})).await.refused(400, "malformed");
}

#[tokio::test(start_paused = true)]
async fn without_reuse_it_is_not_offered() {
    let world = World::limited(|limits| limits.authorization_reuse = Duration::ZERO);
    assert_eq!(world.directory()["newAuthz"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn there_are_only_so_many_until_they_expire_whatever_becomes_of_them() {
    let world = World::limited(|limits| limits.authorizations_without_order = 2);
    let account = world.account().await;
    let one = authorize(&account, "a.example").await.created();
    let _ = authorize(&account, "b.example").await.created();

    let answer = authorize(&account, "c.example").await.refused(429, "rateLimited");
    assert!(answer.retry_after().is_some());

    let _ = account.post(&one.url, &json!({"status": "deactivated"})).await.expect(200);
    let _ = authorize(&account, "c.example").await.refused(429, "rateLimited");
    sleep(Duration::from_secs(24 * 3600)).await;
    let _ = authorize(&account, "c.example").await.created();
}
