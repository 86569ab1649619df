//! What would come of an order.

use std::time::Duration;

use coyote_protocol::{DnsName, RawIdentifier};
use coyote_server::{
    Enquiry, Explanation, Objector,
    policy::{KeyPolicy, RateLimits, Rules},
};
use coyote_storage::Quota;
use serde_json::json;

use crate::{account::Account, world::World};

/// An order of the account for these names.
async fn explain(account: &Account, names: &[&str]) -> Explanation {
    let id = account.url.rsplit('/').next().unwrap().parse().unwrap();
    let identifiers = names.iter().map(|name| RawIdentifier::new("dns", *name)).collect();
    let enquiry = Enquiry { account: id, identifiers, profile: None, client: "192.0.2.1".parse().ok() };
    account.acme.would_issue(&enquiry).await.unwrap()
}

fn objectors(explanation: &Explanation) -> Vec<Objector> {
    let of_names = explanation.identifiers.iter().flat_map(|it| &it.objections);
    explanation.objections.iter().chain(of_names).map(|objection| objection.by).collect()
}

#[tokio::test(start_paused = true)]
async fn what_remains_to_be_proved_is_said_and_what_has_been_is_not_asked_for() {
    let world = World::new();
    let account = world.account().await;
    let explanation = explain(&account, &["A.example"]).await;
    assert!(explanation.would_issue, "{explanation:?}");
    let name = &explanation.identifiers[0];
    assert_eq!(name.identifier.value, "a.example");
    assert_eq!(serde_json::to_value(&name.challenges).unwrap(), json!(["http-01"]));
    assert_eq!(name.reused, None);

    let order = account.ready_order(&["a.example"]).await;
    let explanation = explain(&account, &["a.example"]).await;
    let reused = explanation.identifiers[0].reused.as_ref().unwrap();
    assert!(order.list("authorizations")[0].ends_with(&reused.authorization.to_string()));
    assert!(explanation.identifiers[0].challenges.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_rule_that_decided_is_said() {
    let mut rules = Rules::default();
    rules.denied_names = vec![DnsName::parse("evil.example").unwrap()];
    let world = World::with(|builder| builder.with_policy(rules));
    let account = world.account().await;
    let explanation = explain(&account, &["a.example", "sub.Evil.example", "-", "*.a.example"]).await;
    assert!(!explanation.would_issue);
    assert_eq!(explanation.identifiers[1].rule.as_deref(), Some("denied: evil.example"));
    assert_eq!(objectors(&explanation), [Objector::Policy, Objector::Syntax]);
}

#[tokio::test(start_paused = true)]
async fn it_objects_exactly_when_an_order_is_refused_and_counts_nothing() {
    let quota = Some(Quota { amount: 1, period: Duration::from_secs(60) });
    let mut limits = RateLimits::default();
    limits.orders_per_account = quota;
    let world = World::new();
    let acme = world.beside(&world.validator).with_rate_limits(world.storage.clone(), limits);
    let account = world.account().await.at(&acme.build().unwrap());
    for _ in 0..3 {
        assert!(explain(&account, &["a.example"]).await.would_issue);
    }
    let _ = account.order(&["a.example"]).await;
    assert_eq!(objectors(&explain(&account, &["a.example"]).await), [Objector::RateLimit]);
    let _ = account.ask(&["a.example"], json!({})).await.expect(429);
}

#[tokio::test(start_paused = true)]
async fn a_closed_account_and_a_key_that_is_not_good_enough_any_more_are_objections() {
    let world = World::new();
    let account = world.account().await;
    let _ = account.post(&account.url, &json!({"status": "deactivated"})).await.expect(200);
    let mut keys = KeyPolicy::default();
    keys.curves.clear();
    let acme = world.beside(&world.validator).with_key_policy(keys).build().unwrap();
    let explanation = explain(&account.at(&acme), &["a.example"]).await;
    assert_eq!(objectors(&explanation), [Objector::Account, Objector::Key]);
}
