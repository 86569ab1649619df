//! Using an authorization again. RFC 8555 section 7.4.

use std::time::Duration;

use coyote_protocol::ChallengeType;
use serde_json::json;
use tokio::time::sleep;

use crate::{account::Account, parts::TestValidator, world::World};

const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);

/// The status of a new order for the name: `ready` if nothing has to be proved again.
async fn reordered(account: &Account, name: &str) -> String {
    account.order(&[name]).await.text("status")
}

#[tokio::test(start_paused = true)]
async fn within_seven_hours_a_name_is_not_proved_again_and_after_them_it_is() {
    let world = World::new();
    let account = world.account().await;
    let first = account.issue(&["a.example"]).await;

    sleep(7 * HOUR - SECOND).await;
    let second = account.order(&["a.example"]).await;
    assert_eq!(second.text("status"), "ready");
    assert_eq!(second.list("authorizations"), first.list("authorizations"));
    let _ = account.certify(&second).await;
    assert_eq!(world.validator.looks(), 1);

    sleep(SECOND).await;
    assert_eq!(
        reordered(&account, "a.example").await,
        "pending",
        "counted from the validation, not from the use"
    );
}

#[tokio::test(start_paused = true)]
async fn an_authorization_that_is_about_to_expire_is_not_used_again() {
    let world = World::limited(|limits| limits.authorization_lifetime = 2 * HOUR);
    let account = world.account().await;
    let _ = account.ready_order(&["a.example"]).await;
    sleep(HOUR - SECOND).await;
    assert_eq!(reordered(&account, "a.example").await, "ready");
    sleep(2 * SECOND).await;
    assert_eq!(reordered(&account, "a.example").await, "pending", "an order needs time to be finalized");
}

#[tokio::test(start_paused = true)]
async fn what_was_proved_for_a_name_proves_no_wildcard_and_no_other_name() {
    let world = World::new();
    let account = world.account().await;
    let _ = account.ready_order(&["a.example"]).await;
    for other in ["*.a.example", "b.a.example", "example"] {
        assert_eq!(reordered(&account, other).await, "pending", "{other}");
    }
    assert_eq!(reordered(&world.account().await, "a.example").await, "pending", "another account");
}

#[tokio::test(start_paused = true)]
async fn what_was_given_up_is_not_used_again() {
    let world = World::new();
    let account = world.account().await;
    let order = account.ready_order(&["a.example"]).await;
    let url = &order.list("authorizations")[0];
    let _ = account.post(url, &json!({"status": "deactivated"})).await.expect(200);
    assert_eq!(reordered(&account, "a.example").await, "pending");
}

#[tokio::test(start_paused = true)]
async fn switching_a_method_off_ends_what_it_proved() {
    let world = World::new();
    let dns = TestValidator::new(ChallengeType::DNS_01);
    let acme = world.beside(&world.validator).with_validator(dns).build().unwrap();
    let account = world.account().await.at(&acme);
    let order = account.ready_order(&["a.example"]).await;
    world.validator.switch_off();

    assert_eq!(reordered(&account, "a.example").await, "pending");

    let _ = account.finalize(&order).await.expect(200);
    let order = account.settled(&order).await;
    assert_eq!(order.text("status"), "invalid", "nor is an order signed that it made ready");
    assert_eq!(order.json["error"]["type"], "urn:ietf:params:acme:error:unauthorized");
}

#[tokio::test(start_paused = true)]
async fn without_reuse_each_order_is_proved() {
    let world = World::limited(|limits| limits.authorization_reuse = Duration::ZERO);
    let account = world.account().await;
    let _ = account.ready_order(&["a.example"]).await;
    assert_eq!(reordered(&account, "a.example").await, "pending");
}
