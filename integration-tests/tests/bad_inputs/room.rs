//! What the cases have at hand.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use integration_tests::{Account, Answer, Key, Object, Signed, TlsResponder, World};
use serde_json::{Value, json};

use crate::{name_server::NameServer, probe::Observed, signing::Signing, strict::Strict, transport};

/// A server, two accounts on it, and one certificate.
pub(crate) struct Room {
    pub(crate) world: World,
    /// A server where nothing lasts, and where the terms must be agreed to.
    pub(crate) hasty: World,
    pub(crate) strict: Strict,
    pub(crate) signing: Signing,
    pub(crate) owner: Account,
    pub(crate) attacker: Account,
    /// A valid order of the owner's, and its certificate's URL.
    pub(crate) done: Object,
    /// A port where no current TLS is spoken.
    pub(crate) old_tls: u16,
    /// A server that validates by every challenge, where there are lies to be found, and an account on it.
    pub(crate) proving: World,
    pub(crate) prover: Account,
    pub(crate) names: NameServer,
    pub(crate) tls: TlsResponder,
    slow: Mutex<Vec<(&'static str, JoinHandle<Observed>)>>,
    numbers: AtomicUsize,
}

impl Room {
    pub(crate) fn new() -> Self {
        let hasty = World::with(|setup| {
            setup
                .with("directory", "terms_of_service = \"https://example.org/terms\"")
                .with("limits", "nonce_lifetime = \"1s\"")
                .with("limits", "order_lifetime = \"4s\"")
                .with("limits", "authorization_lifetime = \"2s\"")
        });
        let old_tls = transport::old_tls();
        let world = World::with(|setup| {
            moderated(impatient(setup)).with("validation", &format!("tls_port = {old_tls}"))
        });
        let (names, tls) = (NameServer::start(), TlsResponder::start());
        let proving = World::with(|setup| {
            impatient(setup)
                .with("validation", &format!("tls_port = {}", tls.port()))
                .replacing("validation", "resolvers", &format!("[\"{}\"]", names.address()))
                .replacing("validation", "challenges", "[\"http-01\", \"dns-01\", \"tls-alpn-01\"]")
                .with("validation", "caa = true")
                .with("directory", "caa_identities = [\"us.example.net\"]")
        });
        let prover = proving.client.account();
        let slow = Mutex::new(transport::start_slow_clients(&world.client.http));
        let (owner, attacker) = (world.client.account(), world.client.account());
        let done = owner.ready_order(&["done.example.org"], &world.responder);
        let _ = owner.certificate(&done);
        let done = owner.read(&done.url);
        let numbers = AtomicUsize::new(0);
        let strict = Strict::new();
        Self {
            world,
            hasty,
            strict,
            signing: Signing::new(),
            owner,
            attacker,
            done,
            old_tls,
            proving,
            prover,
            names,
            tls,
            slow,
            numbers,
        }
    }

    /// A name that was never used here.
    pub(crate) fn name(&self) -> String {
        format!("n{}.example.org", self.numbers.fetch_add(1, Ordering::Relaxed))
    }

    /// The URL of newOrder.
    pub(crate) fn new_order(&self) -> String {
        self.world.client.resource("newOrder")
    }

    /// The URL of newAccount.
    pub(crate) fn new_account(&self) -> String {
        self.world.client.resource("newAccount")
    }

    /// A good newOrder of the owner's.
    pub(crate) fn good(&self) -> Signed {
        self.owner.signed(&self.new_order(), &self.good_payload())
    }

    /// The payload of a good newOrder.
    pub(crate) fn good_payload(&self) -> Value {
        json!({"identifiers": [{"type": "dns", "value": self.name()}]})
    }

    /// A newOrder of the owner's for these identifiers: type and value.
    pub(crate) fn ordering(&self, identifiers: &[(&str, &str)]) -> Signed {
        let identifiers: Vec<_> =
            identifiers.iter().map(|(kind, value)| json!({"type": kind, "value": value})).collect();
        self.owner.signed(&self.new_order(), &json!({"identifiers": identifiers}))
    }

    /// A newAccount of this key.
    pub(crate) fn joining(&self, key: &Key) -> Signed {
        self.world.client.signed_by_jwk(key, &self.new_account(), &json!({}))
    }

    /// A newAccount of a new key with these contacts.
    pub(crate) fn joining_with(&self, contact: &Value) -> Signed {
        self.world.client.signed_by_jwk(&Key::new(), &self.new_account(), &json!({"contact": contact}))
    }

    /// A pending order of the owner's.
    pub(crate) fn pending(&self) -> Object {
        self.owner.order(&[&self.name()])
    }

    /// A ready order of the owner's for a new name.
    pub(crate) fn ready(&self) -> Object {
        self.owner.ready_order(&[&self.name()], &self.world.responder)
    }

    /// A pending order of the owner's, its authorization and its challenge.
    pub(crate) fn challenge(&self) -> (Object, Object, Object) {
        let order = self.pending();
        let authorization = self.owner.authorizations(&order).remove(0);
        let challenge = authorization.challenge("http-01");
        (order, authorization, challenge)
    }

    /// Has the owner's control of a name validated against this answer, which is made from the token and the key
    /// authorization, and waits for the verdict. All that hangs on it must be invalid.
    pub(crate) fn validate(&self, name: &str, answer: impl FnOnce(&str, &str) -> Answer) -> Observed {
        fail(&self.owner, "http-01", name, |right| {
            let (token, _) = right.split_once('.').expect("a key authorization");
            self.world.responder.answer_token(token, answer(token, right));
        })
    }

    /// The same by another challenge, where lies are told: what is to be found is put in place with the key
    /// authorization at hand.
    pub(crate) fn prove(&self, kind: &str, name: &str, provision: impl FnOnce(&str)) -> Observed {
        fail(&self.prover, kind, name, provision)
    }

    /// What became of the slow client of this case, which was started at the beginning.
    pub(crate) fn slow(&self, id: &str) -> Observed {
        let mut slow = self.slow.lock().unwrap();
        let at = slow.iter().position(|(other, _)| *other == id).expect("it was started");
        slow.swap_remove(at).1.join().expect("no panic")
    }

    /// A nonce from an answer must serve for a request.
    pub(crate) fn require_usable(&self, nonce: &str, what: &str) {
        let request = self.owner.signed_bytes(&self.owner.url, Vec::new()).with("nonce", nonce).request();
        let response = self.world.client.send(&request);
        assert_eq!(response.status, 200, "{what}: the nonce that came with it is not usable: {response}");
    }

    /// After all that, what is right still works.
    pub(crate) fn require_good_issuance(&self) {
        let name = self.name();
        let chain = self.world.client.account().issue(&[&name], &self.world.responder);
        integration_tests::assert_chain_verifies(&chain, &self.world.acmed.roots(), &name);
    }

    /// Sends the same from many threads at once.
    pub(crate) fn at_once<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
        let barrier = std::sync::Barrier::new(count);
        let (barrier, work) = (&barrier, &work);
        thread::scope(|scope| {
            let start = |at| {
                scope.spawn(move || {
                    barrier.wait();
                    work(at)
                })
            };
            let threads: Vec<_> = (0..count).map(start).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        })
    }
}

/// Where there is a policy.
fn moderated(setup: integration_tests::Setup) -> integration_tests::Setup {
    let list = |name: &str| format!("{}/tests/bad_inputs/lists/{name}", env!("CARGO_MANIFEST_DIR"));
    setup
        .with("policy", "denied_names = [\"evil.example\"]")
        .with("policy", &format!("public_suffixes = {:?}", list("public_suffixes.dat")))
        .with("policy", &format!("known_weak_keys = [{:?}]", list("weak_keys.txt")))
}

/// What does not wait long for what is wrong.
pub(crate) fn impatient(setup: integration_tests::Setup) -> integration_tests::Setup {
    setup
        .with("validation", "timeout = \"2s\"")
        .with("validation", "connect_timeout = \"1s\"")
        .with("limits", "validation_attempts = 2")
        .with("limits", "validation_backoff = \"100ms\"")
}

/// Has an account's control of a name validated, and waits for the verdict. All that hangs on it must be invalid.
pub(crate) fn fail(account: &Account, kind: &str, name: &str, provision: impl FnOnce(&str)) -> Observed {
    let order = account.order(&[name]);
    let authorization = account.authorizations(&order).remove(0);
    let challenge = authorization.challenge(kind);
    provision(&account.key_authorization(&challenge.text("token")));
    let _ = account.post(&challenge.url, &json!({})).expect(200);
    let authorization = account.settled(&authorization.url);
    let challenge = authorization.challenge(kind);
    let statuses = [authorization.status(), challenge.status()];
    assert_eq!(statuses, ["invalid"; 2], "{}", authorization.json);
    assert_eq!(account.read(&order.url).status(), "invalid");
    Observed::Verdict(challenge)
}
