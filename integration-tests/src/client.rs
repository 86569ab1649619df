//! An ACME client that does as RFC 8555 says, unless told otherwise.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use coyote_jose::base64url;
use openssl::x509::X509;
use serde_json::{Value, json};

use crate::{Answer, Csr, Http, Key, Request, Responder, Response, Signed};

/// Where acmed serves its directory.
pub const DIRECTORY: &str = "/directory";

/// A client of one server.
pub struct Client {
    /// Its transport.
    pub http: Http,
    /// The URL of the directory.
    pub directory_url: String,
    /// The directory object.
    pub directory: Value,
    nonces: Mutex<Vec<String>>,
}

/// An account and its key.
#[derive(Clone)]
pub struct Account {
    /// The client that speaks for it.
    pub client: Arc<Client>,
    /// Its key.
    pub key: Key,
    /// Its URL, which is the `kid`.
    pub url: String,
}

/// An object of the server as it was read.
#[derive(Clone, Debug)]
pub struct Object {
    /// Where it is.
    pub url: String,
    /// What it says.
    pub json: Value,
}

impl Client {
    /// A client of the acmed that answers at this transport.
    ///
    /// # Panics
    ///
    /// If there is no directory.
    #[must_use]
    pub fn new(http: Http) -> Arc<Self> {
        let directory = http.base().to_owned() + DIRECTORY;
        Self::at(http, &directory)
    }

    /// A client of the server whose directory has this URL.
    ///
    /// # Panics
    ///
    /// If there is no directory.
    #[must_use]
    pub fn at(http: Http, directory_url: &str) -> Arc<Self> {
        let directory = http.get(&http.target(directory_url)).expect(200).json();
        Arc::new(Self { http, directory_url: directory_url.into(), directory, nonces: Mutex::default() })
    }

    /// A URL of the directory.
    ///
    /// # Panics
    ///
    /// If it does not have that.
    #[must_use]
    pub fn resource(&self, name: &str) -> String {
        self.directory[name].as_str().unwrap_or_else(|| panic!("no {name} in the directory")).to_owned()
    }

    /// A nonce that was never used: one that an answer brought, or else a new one.
    #[must_use]
    pub fn nonce(&self) -> String {
        let kept = self.nonces.lock().unwrap().pop();
        kept.unwrap_or_else(|| self.new_nonce())
    }

    /// A nonce from newNonce.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[must_use]
    pub fn new_nonce(&self) -> String {
        let response = self.http.send(&Request::new("HEAD", &self.http.target(&self.resource("newNonce"))));
        response.nonce().expect("a nonce").to_owned()
    }

    /// Sends a request, and keeps the nonce that comes with the answer.
    #[must_use]
    pub fn send(&self, request: &Request) -> Response {
        let response = self.http.send(request);
        self.keep_nonce(&response);
        response
    }

    /// Keeps the nonce of an answer for a request to come.
    pub fn keep_nonce(&self, response: &Response) {
        if let Some(nonce) = response.nonce() {
            self.nonces.lock().unwrap().push(nonce.to_owned());
        }
    }

    /// Forgets all nonces, as when the server is another.
    pub fn forget_nonces(&self) {
        self.nonces.lock().unwrap().clear();
    }

    /// A request signed by a key that it carries.
    #[must_use]
    pub fn signed_by_jwk(&self, key: &Key, url: &str, payload: &Value) -> Signed {
        let protected = json!({"alg": key.alg, "jwk": key.jwk, "nonce": self.nonce(), "url": url});
        let payload = payload.to_string().into_bytes();
        Signed { target: self.http.target(url), protected, payload, key: key.clone() }
    }

    /// What a certificate is called where it is renewed. RFC 9773 section 4.1.
    ///
    /// # Panics
    ///
    /// If it does not say which key has signed it.
    #[must_use]
    pub fn certificate_id(certificate: &X509) -> String {
        let authority = certificate.authority_key_id().expect("an authority key identifier").as_slice();
        let serial = certificate.serial_number().to_bn().expect("a number").to_vec();
        let sign: &[u8] = if serial[0] < 0x80 { &[] } else { &[0] };
        format!("{}.{}", base64url::encode(authority), base64url::encode([sign, &serial].concat()))
    }

    /// newAccount with this payload.
    #[must_use]
    pub fn new_account(&self, key: &Key, payload: &Value) -> Response {
        self.send(&self.signed_by_jwk(key, &self.resource("newAccount"), payload).request())
    }

    /// A new account of a new P-256 key.
    #[must_use]
    pub fn account(self: &Arc<Self>) -> Account {
        self.account_of(Key::new())
    }

    /// A new account of this key.
    #[must_use]
    pub fn account_of(self: &Arc<Self>, key: Key) -> Account {
        let response = self.new_account(&key, &json!({"termsOfServiceAgreed": true})).expect(201);
        Account { client: self.clone(), key, url: response.location() }
    }
}

impl Account {
    /// A request of this account, with a fresh nonce.
    #[must_use]
    pub fn signed(&self, url: &str, payload: &Value) -> Signed {
        self.signed_bytes(url, payload.to_string().into_bytes())
    }

    /// A request of this account whose payload is these bytes; none make it a POST-as-GET.
    #[must_use]
    pub fn signed_bytes(&self, url: &str, payload: Vec<u8>) -> Signed {
        let nonce = self.client.nonce();
        let protected = json!({"alg": self.key.alg, "kid": self.url, "nonce": nonce, "url": url});
        Signed { target: self.client.http.target(url), protected, payload, key: self.key.clone() }
    }

    /// Posts a payload.
    #[must_use]
    pub fn post(&self, url: &str, payload: &Value) -> Response {
        self.client.send(&self.signed(url, payload).request())
    }

    /// Reads. RFC 8555 section 6.3.
    #[must_use]
    pub fn post_as_get(&self, url: &str) -> Response {
        self.client.send(&self.signed_bytes(url, Vec::new()).request())
    }

    /// Reads something that is there.
    #[must_use]
    pub fn read(&self, url: &str) -> Object {
        Object { url: url.into(), json: self.post_as_get(url).expect(200).json() }
    }

    /// A new order for these DNS names.
    #[must_use]
    pub fn order(&self, names: &[&str]) -> Object {
        let response = self.post(&self.client.resource("newOrder"), &identifiers(names)).expect(201);
        Object { url: response.location(), json: response.json() }
    }

    /// The authorizations of an order.
    #[must_use]
    pub fn authorizations(&self, order: &Object) -> Vec<Object> {
        order.list("authorizations").iter().map(|url| self.read(url)).collect()
    }

    /// What proves control with this token. RFC 8555 section 8.1.
    #[must_use]
    pub fn key_authorization(&self, token: &str) -> String {
        format!("{token}.{}", self.key.thumbprint())
    }

    /// Puts the right answer to the authorization's http-01 challenge in place, and returns the challenge.
    #[must_use]
    pub fn provision(&self, authorization: &Object, responder: &Responder) -> Object {
        let challenge = authorization.challenge("http-01");
        let token = challenge.text("token");
        responder.answer_token(&token, Answer::text(200, self.key_authorization(&token)));
        challenge
    }

    /// Proves control of all names of an order, one after the other.
    pub fn validate(&self, order: &Object, responder: &Responder) {
        for authorization in self.authorizations(order) {
            if authorization.status() == "valid" {
                continue;
            }
            let challenge = self.provision(&authorization, responder);
            let _ = self.post(&challenge.url, &json!({})).expect(200);
            let end = self.settled(&authorization.url);
            assert_eq!(end.status(), "valid", "{}", end.json);
        }
    }

    /// An order for these names that is ready.
    #[must_use]
    pub fn ready_order(&self, names: &[&str], responder: &Responder) -> Object {
        let order = self.order(names);
        self.validate(&order, responder);
        let order = self.read(&order.url);
        assert_eq!(order.status(), "ready");
        order
    }

    /// Reads until the state is one that lasts: neither `processing`, nor, of an authorization, `pending` because
    /// its challenge is.
    #[must_use]
    pub fn settled(&self, url: &str) -> Object {
        crate::eventually(&format!("{url} settles"), Duration::from_secs(60), || {
            let object = self.read(url);
            (!object.is_under_way()).then_some(object)
        })
    }

    /// Sends a CSR.
    #[must_use]
    pub fn finalize(&self, order: &Object, csr: &[u8]) -> Response {
        self.post(&order.text("finalize"), &json!({"csr": base64url::encode(csr)}))
    }

    /// Finalizes a ready order, and answers the chain, PEM.
    #[must_use]
    pub fn certificate(&self, order: &Object) -> String {
        let names = order.names();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let _ = self.finalize(order, &Csr::new(&names).to_der()).expect(200);
        let order = self.settled(&order.url);
        assert_eq!(order.status(), "valid", "{}", order.json);
        self.post_as_get(&order.text("certificate")).expect(200).text()
    }

    /// From the names to the chain.
    #[must_use]
    pub fn issue(&self, names: &[&str], responder: &Responder) -> String {
        self.certificate(&self.ready_order(names, responder))
    }
}

impl Object {
    /// The status.
    #[must_use]
    pub fn status(&self) -> &str {
        self.json["status"].as_str().unwrap_or_default()
    }

    /// A member that is a string.
    ///
    /// # Panics
    ///
    /// If it is none.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        self.json[name].as_str().unwrap_or_else(|| panic!("no {name} in {}", self.json)).to_owned()
    }

    /// A member that is a list of strings.
    ///
    /// # Panics
    ///
    /// If it is none.
    #[must_use]
    pub fn list(&self, name: &str) -> Vec<String> {
        let list = self.json[name].as_array().unwrap_or_else(|| panic!("no {name} in {}", self.json));
        list.iter().map(|item| item.as_str().expect("a string").to_owned()).collect()
    }

    /// The names of an order.
    ///
    /// # Panics
    ///
    /// If it is no order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let identifiers = self.json["identifiers"].as_array().expect("identifiers");
        identifiers
            .iter()
            .map(|identifier| identifier["value"].as_str().expect("a value").to_owned())
            .collect()
    }

    /// The challenge of this type of an authorization.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[must_use]
    pub fn challenge(&self, kind: &str) -> Object {
        let challenges = self.json["challenges"].as_array().expect("challenges");
        let challenge = challenges.iter().find(|challenge| challenge["type"] == kind);
        let json = challenge.unwrap_or_else(|| panic!("no {kind} in {}", self.json)).clone();
        Object { url: json["url"].as_str().expect("a url").to_owned(), json }
    }

    fn is_under_way(&self) -> bool {
        let challenges = self.json["challenges"].as_array();
        let challenge_is =
            challenges.is_some_and(|all| all.iter().any(|challenge| challenge["status"] == "processing"));
        self.status() == "processing" || (self.status() == "pending" && challenge_is)
    }
}

/// The payload of newOrder for DNS names.
fn identifiers(names: &[&str]) -> Value {
    let identifiers: Vec<_> = names.iter().map(|name| json!({"type": "dns", "value": name})).collect();
    json!({"identifiers": identifiers})
}
