//! Rate limits, and the limits of what is open. RFC 8555 section 6.6.

use std::{sync::Arc, time::Duration};

use coyote_server::policy::RateLimits;
use coyote_storage::Quota;
use serde_json::json;
use tokio::time::sleep;

use crate::{
    account::{Account, NEW_AUTHZ, join_from, key},
    parts::wrong_answer,
    world::World,
};

const HELP: &str = "https://ca.example/limits";
const HOUR: Duration = Duration::from_secs(3600);

fn world(set: impl FnOnce(&mut RateLimits)) -> World {
    let mut limits = RateLimits::default();
    limits.help = Some(HELP.into());
    set(&mut limits);
    World::with(|builder| builder.with_rate_limits(Arc::new(coyote_storage::MemoryStorage::new()), limits))
}

fn in_an_hour(amount: u32) -> Option<Quota> {
    Some(Quota { amount, period: HOUR })
}

#[tokio::test(start_paused = true)]
async fn who_has_ordered_too_much_is_told_when_to_come_back_and_where_to_read_about_it() {
    let world = world(|limits| limits.orders_per_account = in_an_hour(2));
    let account = world.account().await;
    let first = account.ask(&["a.example"], json!({})).await.expect(201);
    let fields = first.reply().rate_limit.clone().unwrap();
    assert_eq!((&*fields.policy, &*fields.limit), ("\"new-order\";q=2;w=3600", "\"new-order\";r=1;t=1800"));
    let _ = account.order(&["b.example"]).await;

    let answer = account.ask(&["c.example"], json!({})).await.refused(429, "rateLimited");

    assert_eq!(answer.retry_after(), Some(1800));
    assert_eq!(answer.links("help"), [HELP]);
    assert_eq!(answer.reply().rate_limit.clone().unwrap().limit, "\"new-order\";r=0;t=3600");
    let _ = world.account().await.order(&["c.example"]).await;
    sleep(HOUR / 2).await;
    let _ = account.order(&["c.example"]).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_another_reason_is_not_counted() {
    let world = world(|limits| limits.orders_per_account = in_an_hour(1));
    let account = world.account().await;
    let _ = account.ask(&["a_b.example"], json!({})).await.refused(400, "malformed");
    let _ = account.ask(&["a.example"], json!({"profile": "nope"})).await.refused(400, "invalidProfile");
    let _ = account.order(&["a.example"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_renewal_is_not_counted_if_it_is_due_and_of_no_other_names() {
    let world = world(|limits| limits.orders_per_account = in_an_hour(1));
    let account = world.account().await;
    let order = account.issue(&["a.example"]).await;
    let leaf = account.chain(&order).await.remove(0);
    let authority = leaf.authority_key_id().unwrap().as_slice().to_vec();
    let serial = leaf.serial_number().to_bn().unwrap().to_vec();
    let id = coyote_protocol::CertificateIdentifier::new(authority, &serial).to_string();
    let replacing = json!({"replaces": id});
    let _ = account.ask(&["a.example"], replacing.clone()).await.refused(429, "rateLimited");

    let life = leaf.not_before().diff(leaf.not_after()).unwrap().days as u64;
    sleep(Duration::from_secs(life * 24 * 3600 * 7 / 10)).await;
    let _ = account.ask(&["b.example"], json!({})).await.created();
    let other = account.ask(&["a.example", "c.example"], replacing.clone()).await;
    let _ = other.refused(429, "rateLimited");
    let _ = account.ask(&["a.example"], replacing).await.created();
}

#[tokio::test(start_paused = true)]
async fn an_address_opens_so_many_accounts_and_finds_those_that_it_has() {
    let world = world(|limits| limits.accounts_per_address = in_an_hour(1));
    let (first, second) = (key(), key());
    let join = async |from, key| join_from(&world.acme, from, key, &json!({})).await;
    let made = join("2001:db8:1:1::1", &first).await.expect(201);
    assert_eq!(made.reply().rate_limit.clone().unwrap().limit, "\"new-account\";r=0;t=3600");

    let answer = join("2001:db8:1:1:ffff::2", &second).await.refused(429, "rateLimited");
    assert_eq!((answer.retry_after(), answer.links("help")), (Some(3600), vec![HELP]));

    let _ = join("2001:db8:1:1::3", &first).await.expect(200);
    let _ = join("2001:db8:1:2::1", &second).await.expect(201);
}

#[tokio::test(start_paused = true)]
async fn who_fails_too_often_for_a_name_gets_no_order_for_it_until_time_has_passed() {
    let world = world(|limits| limits.failed_validations = in_an_hour(2));
    let account = world.account().await;
    for _ in 0..2 {
        fail(&world, &account, "a.example").await;
    }

    let answer = account.ask(&["b.example", "a.example"], json!({})).await.refused(429, "rateLimited");
    assert_eq!((answer.retry_after(), answer.links("help")), (Some(1800), vec![HELP]));
    let ahead = json!({"identifier": {"type": "dns", "value": "a.example"}});
    let _ = account.post(NEW_AUTHZ, &ahead).await.refused(429, "rateLimited");

    let _ = account.issue(&["b.example"]).await;
    let _ = world.account().await.issue(&["a.example"]).await;
    sleep(HOUR / 2).await;
    let _ = account.issue(&["a.example"]).await;
}

#[tokio::test(start_paused = true)]
async fn only_so_many_orders_are_open_and_what_ends_makes_room() {
    let world = World::limited(|limits| limits.open_orders = 2);
    let account = world.account().await;
    let first = account.ready_order(&["a.example"]).await;
    fail(&world, &account, "b.example").await;

    let answer = account.ask(&["c.example"], json!({})).await.refused(429, "rateLimited");
    assert!(answer.retry_after().is_some_and(|seconds| seconds > 0), "{:?}", answer.retry_after());
    let _ = world.account().await.order(&["c.example"]).await;

    let _ = account.certify(&first).await;
    let _ = account.order(&["c.example"]).await;
    let _ = account.ask(&["d.example"], json!({})).await.refused(429, "rateLimited");
    sleep(24 * HOUR).await;
    let _ = account.order(&["d.example"]).await;
}

/// An order for the name that comes to nothing.
async fn fail(world: &World, account: &Account, name: &str) {
    world.validator.fail([wrong_answer()]);
    let order = account.order(&[name]).await;
    assert_eq!(account.validate(&order).await.text("status"), "invalid");
}
