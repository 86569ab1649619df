//! What a policy denies and what it vouches for.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use coyote_protocol::{ChallengeType, Identifier};
use coyote_server::{
    BuildError,
    policy::{Applicant, Policy, RateLimits, Verdict},
    validate::{Evidence, Perspective, Perspectives, Task},
};
use coyote_storage::{BoxError, MemoryStorage, Quota};
use serde_json::json;

use crate::{
    account::{NEW_AUTHZ, REVOKE_CERT, join, key},
    parts::TestValidator,
    world::World,
};

/// Vouches for `trusted.example`, denies `denied.example`, and counts what it is asked. Clones are one.
#[derive(Clone, Default)]
struct TestPolicy(Arc<Saying>);

#[derive(Default)]
struct Saying {
    vouches_no_more: AtomicBool,
    is_away: AtomicBool,
    closed: AtomicBool,
    asked: AtomicU64,
}

#[async_trait]
impl Policy for TestPolicy {
    async fn new_account(&self, applicant: &Applicant<'_>) -> Result<Verdict, BoxError> {
        self.0.asked.fetch_add(1, Ordering::Relaxed);
        assert_eq!(applicant.client, "192.0.2.1".parse().ok());
        if self.0.closed.load(Ordering::Relaxed) {
            return Ok(Verdict::deny(coyote_protocol::ProblemType::Unauthorized, "come back on Monday"));
        }
        Ok(Verdict::allow())
    }

    async fn identifier(
        &self,
        applicant: &Applicant<'_>,
        identifier: &Identifier,
    ) -> Result<Verdict, BoxError> {
        self.0.asked.fetch_add(1, Ordering::Relaxed);
        assert_eq!(applicant.client, "192.0.2.1".parse().ok());
        if self.0.is_away.load(Ordering::Relaxed) {
            return Err("the list is being written".into());
        }
        let vouches = !self.0.vouches_no_more.load(Ordering::Relaxed);
        Ok(match identifier.value().as_str() {
            "trusted.example" if vouches => Verdict::already_valid(),
            "denied.example" => Verdict::reject(identifier).by("it is on the list"),
            _ => Verdict::allow(),
        })
    }
}

fn world() -> (World, TestPolicy) {
    let policy = TestPolicy::default();
    (World::with(|builder| builder.with_policy(policy.clone())), policy)
}

#[tokio::test(start_paused = true)]
async fn what_a_policy_vouches_for_is_valid_from_birth_and_issued_without_a_look() {
    let (world, _) = world();
    let account = world.account().await;
    let order = account.order(&["trusted.example"]).await;
    assert_eq!(order.text("status"), "ready");
    let authorization = account.read(&order.list("authorizations")[0]).await;
    assert_eq!(authorization.text("status"), "valid");
    assert_eq!(authorization.json["challenges"][0]["type"], "by-policy");
    assert_eq!(authorization.json["challenges"][0]["status"], "valid");

    let _ = account.finalize(&order).await.expect(200);
    assert_eq!(account.settled(&order).await.text("status"), "valid");
    assert_eq!(world.validator.looks(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_vouched_for_does_not_spare_the_other_names_of_the_order_their_proof() {
    let (world, _) = world();
    let account = world.account().await;
    let order = account.order(&["trusted.example", "a.example"]).await;
    assert_eq!(order.text("status"), "pending");
    let order = account.validate(&order).await;
    assert_eq!(order.text("status"), "ready");
    assert_eq!(world.validator.looks(), 1);
    let _ = account.certify(&order).await;
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_no_longer_vouches_ends_what_it_vouched_for() {
    let (world, policy) = world();
    let account = world.account().await;
    let order = account.order(&["trusted.example"]).await;
    policy.0.vouches_no_more.store(true, Ordering::Relaxed);

    let refused = account.finalize(&order).await.expect(403);
    assert_eq!(refused.json["type"], "urn:ietf:params:acme:error:unauthorized");
    assert_eq!(
        account.order(&["trusted.example"]).await.text("status"),
        "pending",
        "nor is it used again for another order"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_vouched_for_is_valid_ahead_of_an_order_as_well() {
    let (world, _) = world();
    let account = world.account().await;
    let payload = json!({"identifier": {"type": "dns", "value": "trusted.example"}});
    let answer = account.post(NEW_AUTHZ, &payload).await.expect(201);
    assert_eq!(answer.json["status"], "valid");
}

#[tokio::test(start_paused = true)]
async fn all_that_a_policy_denies_is_told_at_once_and_the_rule_is_not() {
    let (world, _) = world();
    let account = world.account().await;
    let refused =
        account.ask(&["denied.example", "a.example", "DENIED.example"], json!({})).await.expect(400);
    assert_eq!(refused.json["subproblems"].as_array().map(Vec::len), Some(2));
    assert_eq!(refused.json["subproblems"][0]["type"], "urn:ietf:params:acme:error:rejectedIdentifier");
    assert!(!refused.json.to_string().contains("on the list"), "{}", refused.json);
}

#[tokio::test(start_paused = true)]
async fn while_a_policy_cannot_decide_there_are_no_orders() {
    let (world, policy) = world();
    let account = world.account().await;
    let vouched = account.order(&["trusted.example"]).await;
    policy.0.is_away.store(true, Ordering::Relaxed);

    for answer in [account.ask(&["a.example"], json!({})).await, account.finalize(&vouched).await] {
        let answer = answer.expect(503);
        assert_eq!(answer.json["type"], "urn:ietf:params:acme:error:serverInternal");
        assert!(answer.response.reply.retry_after.is_some());
        assert!(!answer.json.to_string().contains("list"), "{}", answer.json);
    }
    policy.0.is_away.store(false, Ordering::Relaxed);
    let _ = account.certify(&vouched).await;
}

#[tokio::test(start_paused = true)]
async fn an_account_that_a_policy_denies_is_not_opened() {
    let (world, policy) = world();
    policy.0.closed.store(true, Ordering::Relaxed);
    let refused = join(&world.acme, &key(), &json!({})).await.expect(403);
    assert_eq!(refused.json["detail"], "come back on Monday");
}

#[test]
fn no_validator_can_stand_for_a_policys_word() {
    let world = World::new();
    let validator = TestValidator::new(ChallengeType::new("by-policy"));
    let built = world.beside(&validator).build();
    assert!(matches!(built, Err(BuildError::ReservedType(_))));
}

/// A perspective that could see everything.
struct Called(&'static str);

#[async_trait]
impl Perspective for Called {
    fn name(&self) -> &str {
        self.0
    }

    fn offers(&self, _: &ChallengeType) -> bool {
        true
    }

    async fn look(&self, _: &Task) -> Result<Evidence, BoxError> {
        Err("nobody asks".into())
    }
}

#[test]
fn perspectives_have_a_name_each_and_are_left_out_only_where_authorizations_are_not_shared() {
    let world = World::new();
    let places = |names: [&'static str; 2]| {
        let places = names.map(|name| Arc::new(Called(name)) as Arc<dyn Perspective>);
        world.beside(&world.validator).with_perspectives(Perspectives::new(places))
    };
    let twice = places(["a", "a"]).build();
    assert!(matches!(twice, Err(BuildError::TwoPerspectives(name)) if name == "a"));
    let shared = places(["a", "b"]).with_uncorroborated_profile("default").build();
    assert!(matches!(shared, Err(BuildError::NoNetworkOfItsOwn(name)) if name == "default"));
    assert!(places(["a", "b"]).build().is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_is_vouched_for_gives_no_say_over_the_certificates_of_others() {
    let (world, _) = world();
    let (owner, other) = (world.account().await, world.account().await);
    let order = owner.order(&["trusted.example"]).await;
    let order = owner.certify(&order).await;
    let _ = other.order(&["trusted.example"]).await;
    let name = json!({"identifier": {"type": "dns", "value": "trusted.example"}});
    let _ = other.post(NEW_AUTHZ, &name).await.expect(201);

    let leaf = owner.chain(&order).await.remove(0).to_der().unwrap();
    let revocation = json!({"certificate": coyote_jose::base64url::encode(leaf)});
    let _ = other.post(REVOKE_CERT, &revocation).await.refused(403, "unauthorized");
    let _ = owner.revoke(&order).await.expect(200);
}

#[tokio::test(start_paused = true)]
async fn a_policy_is_asked_about_each_name_of_an_order_once() {
    let (world, policy) = world();
    let account = world.account().await;
    let before = policy.0.asked.load(Ordering::Relaxed);
    let order = account.order(&["a.example", "A.example", "b.example", "a.example"]).await;
    assert_eq!(order.list("authorizations").len(), 2);
    let refused = account.ask(&["denied.example", "DENIED.example"], json!({})).await.expect(400);
    assert_eq!(refused.json["subproblems"].as_array().map(Vec::len), Some(2));
    assert_eq!(policy.0.asked.load(Ordering::Relaxed) - before, 3);
}

#[tokio::test(start_paused = true)]
async fn who_is_over_a_rate_limit_has_no_policy_asked() {
    let policy = TestPolicy::default();
    let quota = Some(Quota { amount: 1, period: Duration::from_secs(3600) });
    let mut limits = RateLimits::default();
    (limits.orders_per_account, limits.accounts_per_address) = (quota, quota);
    let world = World::with(|builder| {
        let builder = builder.with_policy(policy.clone());
        builder.with_rate_limits(Arc::new(MemoryStorage::new()), limits)
    });
    let account = world.account().await;
    let _ = account.order(&["a.example"]).await;
    let before = policy.0.asked.load(Ordering::Relaxed);

    let _ = account.ask(&["b.example"], json!({})).await.refused(429, "rateLimited");
    let _ = account.ask(&["a_b.example", "b.example"], json!({"replaces": "AA.AA"})).await.expect(429);
    let _ = join(&world.acme, &key(), &json!({})).await.refused(429, "rateLimited");

    assert_eq!(policy.0.asked.load(Ordering::Relaxed), before);
}
