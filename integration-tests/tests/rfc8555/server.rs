//! The server that the suite is aimed at, and the world that it looks at when it validates.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use coyote_jose::base64url;
use integration_tests::{
    Account, Answer, Client, Csr, Dns, Key, Object, Request, Responder, Response, Signed, TlsResponder,
    eventually,
};
use openssl::{
    hash::MessageDigest,
    pkey::{PKey, Private},
    sign::Signer,
};
use serde_json::{Value, json};

use crate::{aim::Running, promise::not_applicable};

/// How long a validation or an issuance may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A server, known by its directory alone.
pub(crate) struct Server {
    /// The process, if it is one of ours. It ends before what it looks at.
    pub(crate) running: Running,
    pub(crate) client: Arc<Client>,
    pub(crate) dns: Dns,
    /// Where it looks for http-01.
    pub(crate) responder: Responder,
    /// Where it looks for tls-alpn-01.
    pub(crate) tls: TlsResponder,
    /// What it handed out for external account bindings.
    pub(crate) external_account: Option<ExternalAccount>,
    /// Names below this one lead to `responder`.
    pub(crate) domain: String,
    names: AtomicUsize,
    owner: OnceLock<Account>,
}

/// A key for external account bindings. RFC 8555 section 7.3.4.
#[derive(Clone)]
pub(crate) struct ExternalAccount {
    pub(crate) kid: String,
    pub(crate) secret: Vec<u8>,
}

/// A certificate and how it came about.
pub(crate) struct Issued {
    pub(crate) order: Object,
    pub(crate) chain: String,
    pub(crate) key: PKey<Private>,
}

/// The world around a server, and what is known of it.
pub(crate) struct World {
    pub(crate) dns: Dns,
    pub(crate) responder: Responder,
    pub(crate) tls: TlsResponder,
    pub(crate) domain: String,
}

impl Server {
    pub(crate) fn new(
        running: Running,
        client: Arc<Client>,
        world: World,
        external_account: Option<ExternalAccount>,
    ) -> Self {
        let World { dns, responder, tls, domain } = world;
        let (names, owner) = (AtomicUsize::new(0), OnceLock::new());
        Self { running, client, dns, responder, tls, external_account, domain, names, owner }
    }

    /// A name that was never asked for.
    pub(crate) fn name(&self) -> String {
        static RUN: OnceLock<u64> = OnceLock::new();
        let run = RUN.get_or_init(integration_tests::seed) & 0xffff_ffff;
        format!("n{}-{run:08x}.{}", self.names.fetch_add(1, Ordering::Relaxed), self.domain)
    }

    /// A resource of the directory.
    pub(crate) fn url(&self, resource: &str) -> String {
        self.client.resource(resource)
    }

    /// A resource that a directory need not have.
    pub(crate) fn optional_url(&self, resource: &str) -> String {
        match self.client.directory[resource].as_str() {
            Some(url) => url.to_owned(),
            None => not_applicable(format!("its directory has no {resource}")),
        }
    }

    pub(crate) fn meta(&self, name: &str) -> &Value {
        &self.client.directory["meta"][name]
    }

    /// Sends bytes that should be a JWS.
    pub(crate) fn post_body(&self, url: &str, body: impl Into<Vec<u8>>) -> Response {
        self.client.send(&Request::post(&self.client.http.target(url), body))
    }

    pub(crate) fn get(&self, url: &str) -> Response {
        self.client.http.get(&self.client.http.target(url))
    }

    /// The payload of a newAccount that the server should take, with these members.
    pub(crate) fn joining(&self, key: &Key, members: Value) -> Value {
        let mut payload = json!({"termsOfServiceAgreed": true});
        if *self.meta("externalAccountRequired") == json!(true) {
            let Some(external) = &self.external_account else {
                not_applicable("it requires an external account, and the suite has none")
            };
            payload["externalAccountBinding"] = external.bind(&self.url("newAccount"), key);
        }
        if let (Some(payload), Value::Object(members)) = (payload.as_object_mut(), members) {
            payload.extend(members);
        }
        payload
    }

    /// newAccount with these members beside those that the server wants.
    pub(crate) fn join(&self, key: &Key, members: Value) -> Response {
        self.client.new_account(key, &self.joining(key, members))
    }

    /// A new account.
    pub(crate) fn account(&self) -> Account {
        self.account_of(&Key::new())
    }

    pub(crate) fn account_of(&self, key: &Key) -> Account {
        let answer = self.join(key, json!({})).expect(201);
        Account { client: self.client.clone(), key: key.clone(), url: answer.location() }
    }

    /// An account that is used again and again.
    pub(crate) fn owner(&self) -> &Account {
        self.owner.get_or_init(|| self.account())
    }

    /// A good newOrder of the owner's, to be spoilt.
    pub(crate) fn good(&self) -> Signed {
        self.owner().signed(&self.url("newOrder"), &identifiers(&[&self.name()]))
    }

    /// An order of a new name.
    pub(crate) fn order(&self, account: &Account) -> Object {
        account.order(&[&self.name()])
    }

    /// Puts the right answer to the http-01 challenge in place.
    pub(crate) fn provision(&self, account: &Account, authorization: &Object) -> Object {
        let challenge = challenge(authorization, "http-01");
        let token = challenge.text("token");
        self.responder.answer_token(&token, Answer::text(200, account.key_authorization(&token)));
        challenge
    }

    /// Proves control of all names of an order by http-01.
    pub(crate) fn prove(&self, account: &Account, order: &Object) {
        for authorization in account.authorizations(order) {
            if authorization.status() != "valid" {
                let challenge = self.provision(account, &authorization);
                let end = respond(account, &authorization, &challenge);
                assert_eq!(end.status(), "valid", "{}", end.json);
            }
        }
    }

    /// An order of a new name that is ready.
    pub(crate) fn ready(&self, account: &Account) -> Object {
        self.ready_for(account, &[&self.name()])
    }

    pub(crate) fn ready_for(&self, account: &Account, names: &[&str]) -> Object {
        let order = account.order(names);
        self.prove(account, &order);
        let order = account.read(&order.url);
        assert_eq!(order.status(), "ready", "{}", order.json);
        order
    }

    /// A certificate for a new name.
    pub(crate) fn issued(&self, account: &Account) -> Issued {
        self.issued_for(account, &[&self.name()])
    }

    pub(crate) fn issued_for(&self, account: &Account, names: &[&str]) -> Issued {
        let order = self.ready_for(account, names);
        let key = Key::new().private().clone();
        let answer = account.finalize(&order, &Csr::with_key(names, &key).to_der());
        assert_eq!(answer.status, 200, "got {answer}");
        let order = finished(account, &order.url);
        assert_eq!(order.status(), "valid", "{}", order.json);
        let chain = account.post_as_get(&order.text("certificate")).expect(200).text();
        Issued { order, chain, key }
    }
}

impl ExternalAccount {
    /// A right binding of this key.
    pub(crate) fn bind(&self, new_account: &str, key: &Key) -> Value {
        let protected = json!({"alg": "HS256", "kid": self.kid, "url": new_account});
        self.sign(&protected, &key.jwk.to_string())
    }

    /// A binding with this protected header and this payload.
    pub(crate) fn sign(&self, protected: &Value, payload: &str) -> Value {
        let (protected, payload) = (base64url::encode(protected.to_string()), base64url::encode(payload));
        let key = PKey::hmac(&self.secret).expect("a key");
        let mut signer = Signer::new(MessageDigest::sha256(), &key).expect("a signer");
        let mac = signer.sign_oneshot_to_vec(format!("{protected}.{payload}").as_bytes()).expect("a MAC");
        json!({"protected": protected, "payload": payload, "signature": base64url::encode(mac)})
    }
}

/// The payload of newOrder for DNS names.
pub(crate) fn identifiers(names: &[&str]) -> Value {
    let identifiers: Vec<_> = names.iter().map(|name| json!({"type": "dns", "value": name})).collect();
    json!({"identifiers": identifiers})
}

/// The challenge of this type, where the server offers it.
pub(crate) fn challenge(authorization: &Object, kind: &str) -> Object {
    let challenges = authorization.json["challenges"].as_array().expect("challenges");
    if !challenges.iter().any(|challenge| challenge["type"] == kind) {
        not_applicable(format!("it offers no {kind}"));
    }
    authorization.challenge(kind)
}

/// Says that a challenge is ready, and waits until its authorization is decided.
pub(crate) fn respond(account: &Account, authorization: &Object, challenge: &Object) -> Object {
    let _ = account.post(&challenge.url, &json!({})).expect(200);
    decided(account, &authorization.url)
}

/// Reads an authorization until it is no longer pending.
pub(crate) fn decided(account: &Account, url: &str) -> Object {
    read_until(account, url, |object| object.status() != "pending")
}

/// Reads an order until it is no longer being processed.
pub(crate) fn finished(account: &Account, url: &str) -> Object {
    read_until(account, url, |object| object.status() != "processing")
}

fn read_until(account: &Account, url: &str, wanted: impl Fn(&Object) -> bool) -> Object {
    eventually(&format!("{url} comes to an end"), PATIENCE, || {
        let object = account.read(url);
        wanted(&object).then_some(object).or_else(|| {
            std::thread::sleep(Duration::from_millis(20));
            None
        })
    })
}
