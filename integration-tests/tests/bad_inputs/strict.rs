//! Servers that ask for more than ours out of the box: external accounts, and moderation. RFC 8555 sections 6.6 and 7.3.4.

use coyote_jose::base64url;
use integration_tests::{Account, Client, Key, Response, World, leaf};
use openssl::{hash::MessageDigest, pkey::PKey, sign::Signer};
use serde_json::{Value, json};

use crate::{
    Case,
    jws::{foreign, send},
    probe::{Observed, Probe},
    room::Room,
};

/// Open orders that an account of the server may have.
const OPEN_ORDERS: usize = 2;

/// The servers.
pub(crate) struct Strict {
    /// Where an account has to be bound to an external one, and what is authorized serves no second order.
    bound: World,
    /// Where an address has one account.
    crowded: World,
}

impl Strict {
    pub(crate) fn new() -> Self {
        let bound = World::with(|setup| {
            setup
                .with("directory", "external_account_required = true")
                .with("limits", &format!("open_orders = {OPEN_ORDERS}"))
                .with("limits", "authorization_reuse = \"0s\"")
        });
        let crowded = World::with(|setup| setup.with("rate_limits", "accounts_per_address = \"1/1h\""));
        let _ = crowded.client.account();
        Self { bound, crowded }
    }

    /// A key for external accounts: its kid and its secret.
    fn handed_out(&self, options: &[&str]) -> (String, Vec<u8>) {
        let json = self.bound.acmed.beside(&[&["eab", "create", "--json"], options].concat());
        let json: Value = serde_json::from_str(&json).expect("JSON");
        let text = |name: &str| json[name].as_str().expect(name).to_owned();
        (text("kid"), base64url::decode(&text("secret")).expect("base64url"))
    }
}

pub(crate) const CASES: &[Case] = &[
    Case("T22", |room| {
        let probe = |from: &'static str| {
            crowded(room, from, move |client| {
                let payload = json!({"termsOfServiceAgreed": true});
                let signed = client.signed_by_jwk(&Key::new(), &client.resource("newAccount"), &payload);
                let forged = signed.request().with("X-Forwarded-For", from).with("X-Real-IP", from);
                client.http.send(&forged.with("Forwarded", &format!("for={from}")))
            })
        };
        ["198.51.100.1", "198.51.100.2", "127.0.0.2", "203.0.113.7, 198.51.100.1"].map(probe).into()
    }),
    Case("A15", |room| vec![crowded(room, "", |client| client.new_account(&Key::new(), &json!({})))]),
    Case("A20", |room| {
        vec![elsewhere(room, "", &room.strict.bound, |client| client.new_account(&Key::new(), &json!({})))]
    }),
    Case("A21", |room| vec![binding(room, "", |binding| Binding { secret: vec![7; 32], ..binding })]),
    Case("A22", |room| {
        vec![binding(room, "", |binding| Binding { payload: Key::new().jwk.to_string(), ..binding })]
    }),
    Case("A24", |room| {
        let nonce = room.strict.bound.client.new_nonce();
        vec![binding(room, "", |binding| binding.with("nonce", &nonce))]
    }),
    Case("A25", |room| {
        let url = room.strict.bound.client.resource("newOrder");
        vec![binding(room, "", |binding| binding.with("url", &url))]
    }),
    Case("A26", |room| {
        let mut told = None;
        let wrong_mac = binding(room, "a wrong MAC", |binding| Binding { secret: vec![7; 32], ..binding });
        if let Observed::Answer { response, .. } = (wrong_mac.act)() {
            told = Some(response.json());
        }
        let unknown = binding(room, "", |binding| binding.with("kid", "AAAAAAAAAAAAAAAAAAAAAA"));
        vec![unknown.then(move |seen| assert_eq!(Some(seen.response().json()), told, "no kid is told apart"))]
    }),
    Case("A27", |room| {
        let handed_out = room.strict.handed_out(&["--accounts", "1"]);
        let _ = bound_account(room, &handed_out);
        vec![binding_of(room, "", handed_out, |binding| binding)]
    }),
    Case("A28", |room| {
        vec![
            binding(room, "16 bytes", |binding| Binding { mac_length: 16, ..binding }),
            binding(room, "empty", |binding| Binding { mac_length: 0, ..binding }),
        ]
    }),
    Case("O35", |room| {
        let account = bound_account(room, &room.strict.handed_out(&[]));
        for _ in 0..OPEN_ORDERS {
            let _ = account.order(&[&room.name()]);
        }
        let act = move |client: &Client| {
            let identifiers = json!({"identifiers": [{"type": "dns", "value": room.name()}]});
            account.post(&client.resource("newOrder"), &identifiers)
        };
        vec![elsewhere(room, "", &room.strict.bound, act).then(require_retry_after)]
    }),
    Case("O37", |room| {
        let order = room.owner.ready_order(&[&room.name()], &room.world.responder);
        let foreign = Client::certificate_id(&leaf(&room.owner.certificate(&order)));
        let name = order.names().remove(0);
        let probe = |what: &str, account: &Account, replaces: Value| {
            let identifiers = json!([{"type": "dns", "value": name}]);
            let payload = json!({"identifiers": identifiers, "replaces": replaces});
            send(room, what, account.signed(&room.new_order(), &payload))
        };
        let mut probes = vec![probe("another's", &room.attacker, json!(foreign))];
        let garbage = [json!("x.y"), json!("AQID.AQID"), json!(""), json!(1), json!("A".repeat(20_000))];
        for replaces in garbage {
            let what: String = replaces.to_string().chars().take(20).collect();
            probes.push(probe(&what, &room.owner, replaces));
        }
        probes
    }),
    Case("O38", |room| {
        let payload = |name: &str| json!({"identifier": {"type": "dns", "value": name}});
        let wildcard = room.owner.signed(&room.world.client.resource("newAuthz"), &payload("*.example.org"));
        let account = bound_account(room, &room.strict.handed_out(&[]));
        let ask = move |client: &Client| {
            assert_eq!(client.directory["newAuthz"], Value::Null);
            let url = client.resource("newOrder").replace("new-order", "new-authz");
            account.post(&url, &payload("a.example.org"))
        };
        vec![send(room, "a wildcard", wildcard), elsewhere(room, "not offered", &room.strict.bound, ask)]
    }),
];

/// A request to another server, which must change nothing there.
fn elsewhere<'r>(
    room: &'r Room,
    what: &str,
    world: &'r World,
    ask: impl FnOnce(&Client) -> Response + 'r,
) -> Probe<'r> {
    Probe::of(what, move || {
        world.client.forget_nonces();
        let before = world.acmed.database().dump();
        let answer = ask(&world.client);
        assert_eq!(world.acmed.database().dump(), before, "nothing has changed");
        assert!(answer.nonce().is_some(), "{answer}");
        foreign(room, answer)
    })
}

/// A request where an address has as many accounts as it may have.
fn crowded<'r>(room: &'r Room, what: &str, ask: impl FnOnce(&Client) -> Response + 'r) -> Probe<'r> {
    elsewhere(room, what, &room.strict.crowded, ask).then(require_retry_after)
}

fn require_retry_after(seen: &Observed) {
    let wait = seen.response().header("Retry-After").expect("Retry-After");
    assert!(wait.parse::<u32>().is_ok_and(|seconds| seconds > 0), "{wait:?} is no number of seconds");
}

/// An external account binding, before it is made: each part can be anything.
struct Binding {
    protected: Value,
    payload: String,
    secret: Vec<u8>,
    mac_length: usize,
}

impl Binding {
    /// A good one of this kid and secret for this account key.
    fn new(room: &Room, (kid, secret): &(String, Vec<u8>), key: &Key) -> Self {
        let url = room.strict.bound.client.resource("newAccount");
        let protected = json!({"alg": "HS256", "kid": kid, "url": url});
        Self { protected, payload: key.jwk.to_string(), secret: secret.clone(), mac_length: 32 }
    }

    fn with(mut self, parameter: &str, value: &str) -> Self {
        self.protected[parameter] = value.into();
        self
    }

    /// The payload of a newAccount with this binding.
    fn payload(&self) -> Value {
        let protected = base64url::encode(self.protected.to_string());
        let payload = base64url::encode(&self.payload);
        let key = PKey::hmac(&self.secret).expect("a key");
        let mut signer = Signer::new(MessageDigest::sha256(), &key).expect("a signer");
        let mac = signer.sign_oneshot_to_vec(format!("{protected}.{payload}").as_bytes()).expect("a MAC");
        let signature = base64url::encode(&mac[..self.mac_length]);
        let jws = json!({"protected": protected, "payload": payload, "signature": signature});
        json!({"externalAccountBinding": jws})
    }
}

/// newAccount with a binding that is spoilt like this, of a key that was handed out.
fn binding<'r>(room: &'r Room, what: &str, spoil: impl FnOnce(Binding) -> Binding) -> Probe<'r> {
    binding_of(room, what, room.strict.handed_out(&[]), spoil)
}

fn binding_of<'r>(
    room: &'r Room,
    what: &str,
    handed_out: (String, Vec<u8>),
    spoil: impl FnOnce(Binding) -> Binding,
) -> Probe<'r> {
    let key = Key::new();
    let payload = spoil(Binding::new(room, &handed_out, &key)).payload();
    elsewhere(room, what, &room.strict.bound, move |client| client.new_account(&key, &payload))
}

/// An account that is bound as it should be.
fn bound_account(room: &Room, handed_out: &(String, Vec<u8>)) -> Account {
    let client = &room.strict.bound.client;
    client.forget_nonces();
    let key = Key::new();
    let answer = client.new_account(&key, &Binding::new(room, handed_out, &key).payload()).expect(201);
    Account { client: client.clone(), key, url: answer.location() }
}
