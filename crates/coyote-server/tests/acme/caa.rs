//! CAA records that change, or cannot be had, between the validation and the signature. RFC 8659 section 3.

use std::{
    collections::VecDeque,
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use coyote_protocol::DnsName;
use coyote_server::{
    Limits,
    trace::Trace,
    validate::{AddressPolicy, Caa, CaaRecord, Network, NetworkLimits, ResolveError, Resolver},
};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::world::World;

/// What DNS says about CAA records of `a.example`, one after the other; then that there are none. Clones are one.
#[derive(Clone, Default)]
struct Names(Arc<Mutex<VecDeque<Says>>>);

#[derive(Clone, Copy)]
enum Says {
    Issue(&'static str),
    Failure,
    /// Nothing, for so long; then that there are none.
    Late(Duration),
}

#[async_trait]
impl Resolver for Names {
    async fn addresses(&self, _: &DnsName, _: &Trace) -> Result<Vec<IpAddr>, ResolveError> {
        Err(ResolveError::NoRecords)
    }

    async fn texts(&self, _: &str, _: &Trace) -> Result<Vec<Vec<u8>>, ResolveError> {
        Err(ResolveError::NoRecords)
    }

    async fn caa(&self, name: &DnsName, _: &Trace) -> Result<Vec<CaaRecord>, ResolveError> {
        let next = if name.as_str() == "a.example" { self.0.lock().unwrap().pop_front() } else { None };
        match next {
            Some(Says::Issue(value)) => {
                Ok(vec![CaaRecord { critical: false, tag: "issue".into(), value: value.into() }])
            }
            Some(Says::Late(time)) => {
                sleep(time).await;
                Err(ResolveError::NoRecords)
            }
            Some(Says::Failure) => Err(ResolveError::Server("SERVFAIL".into())),
            None => Err(ResolveError::NoRecords),
        }
    }
}

impl Names {
    fn world(&self) -> World {
        self.limited(|_| {})
    }

    fn limited(&self, set: impl FnOnce(&mut Limits)) -> World {
        let network = Network::new(Arc::new(self.clone()), AddressPolicy::public(), NetworkLimits::default());
        let caa = Caa::new([DnsName::parse("us.example").unwrap()]).unwrap();
        let mut limits = Limits { issuance_attempts: 4, ..Limits::default() };
        set(&mut limits);
        World::with(|builder| builder.with_network(network).with_caa(caa).with_limits(limits))
    }

    fn say(&self, answers: impl IntoIterator<Item = Says>) {
        self.0.lock().unwrap().extend(answers);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_permitted_when_the_name_was_proved_can_be_forbidden_before_it_is_signed() {
    let names = Names::default();
    names.say([Says::Issue("us.example"), Says::Issue("other.example")]);
    let world = names.world();
    let account = world.account().await;
    let order = account.ready_order(&["a.example", "b.example"]).await;

    let _ = account.finalize(&order).await.expect(200);
    let order = account.settled(&order).await;

    assert_eq!(order.text("status"), "invalid");
    assert_eq!(order.json["error"]["type"], "urn:ietf:params:acme:error:caa");
    assert_eq!(order.json["error"]["subproblems"][0]["identifier"]["value"], "a.example");
    assert_eq!(world.issuer.serials(), [], "the issuer was not asked");
    let held = account.read(&order.list("authorizations")[0]).await;
    assert_eq!(held.text("status"), "valid", "control was proved all the same");
}

#[tokio::test(start_paused = true)]
async fn a_lookup_that_fails_is_repeated_while_the_order_is_processing() {
    let names = Names::default();
    names.say([Says::Issue("us.example"), Says::Failure, Says::Failure, Says::Issue("us.example")]);
    let world = names.world();
    world.run(&world.acme);
    let account = world.account().await;
    let order = account.ready_order(&["a.example"]).await;

    let answer = account.finalize(&order).await.expect(200);

    assert_eq!(answer.json["status"], "processing");
    let order = account.settled(&order).await;
    assert_eq!(order.text("status"), "valid", "{}", order.json);
    assert_eq!(world.issuer.serials().len(), 1, "the issuer was asked once");
}

#[tokio::test(start_paused = true)]
async fn a_lookup_that_never_succeeds_is_no_permission() {
    let names = Names::default();
    names.say([Says::Issue("us.example")]);
    names.say((0..100).map(|_| Says::Failure));
    let world = names.world();
    world.run(&world.acme);
    let account = world.account().await;
    let order = account.ready_order(&["a.example"]).await;
    let _ = account.finalize(&order).await.expect(200);

    let order = account.settled(&order).await;

    assert_eq!(order.text("status"), "invalid");
    assert_eq!(order.json["error"]["type"], "urn:ietf:params:acme:error:dns", "{}", order.json);
    assert_eq!(world.issuer.serials(), []);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_proved_and_forbidden_is_not_authorized() {
    let names = Names::default();
    names.say([Says::Issue(";")]);
    let world = names.world();
    let account = world.account().await;
    let authorization = account.read(&account.order(&["a.example"]).await.list("authorizations")[0]).await;

    let answer = account.post(&authorization.challenge().url, &json!({})).await.expect(200);

    assert_eq!(answer.json["status"], "invalid");
    assert_eq!(answer.json["error"]["type"], "urn:ietf:params:acme:error:caa");
    assert_eq!(world.validator.looks(), 1);
}

#[tokio::test(start_paused = true)]
async fn orders_that_wait_for_caa_records_do_not_hold_up_those_that_need_not() {
    let names = Names::default();
    let world = names.limited(|limits| limits.concurrent_issuances = 1);
    world.run(&world.acme);
    let account = world.account().await;
    let mut waiting = Vec::new();
    for _ in 0..5 {
        waiting.push(account.ready_order(&["a.example"]).await);
    }
    let good = account.ready_order(&["b.example"]).await;
    names.say((0..5).map(|_| Says::Late(Duration::from_secs(8))));
    for order in &waiting {
        assert_eq!(account.finalize(order).await.expect(200).json["status"], "processing");
    }
    let begun = Instant::now();

    let _ = account.finalize(&good).await.expect(200);

    assert_eq!(account.settled(&good).await.text("status"), "valid");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(world.issuer.serials().len(), 1, "none of the others is signed without an answer");
    sleep(Duration::from_secs(2)).await; // each has been begun
    world.acme.drain().await;
    for order in &waiting {
        assert_eq!(account.read(&order.url).await.text("status"), "valid", "all that was begun is done");
    }
    assert_eq!(world.issuer.serials().len(), 6, "each was signed at its first attempt");
}

#[tokio::test(start_paused = true)]
async fn orders_that_wait_for_caa_records_are_bounded_and_who_has_waited_longest_gives_way() {
    let names = Names::default();
    let world = names.limited(|limits| {
        limits.concurrent_issuances = 1;
        limits.waiting_validations = 4;
        limits.issuance_attempts = 1;
    });
    world.run(&world.acme);
    let account = world.account().await;
    let first = account.ready_order(&["a.example"]).await;
    let second = account.ready_order(&["a.example"]).await;
    names.say([Says::Late(Duration::from_secs(8)), Says::Late(Duration::from_secs(8))]);
    for order in [&first, &second] {
        let _ = account.finalize(order).await.expect(200);
        sleep(Duration::from_secs(1)).await;
    }

    let given_up = account.read(&first.url).await;

    assert_eq!(given_up.json["error"]["type"], "urn:ietf:params:acme:error:dns", "{}", given_up.json);
    assert_eq!(account.settled(&second).await.text("status"), "valid");
}
