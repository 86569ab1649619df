//! Those who ask.

use std::{net::IpAddr, sync::Arc, time::Duration};

use coyote_jose::{Algorithm, KeyId, SigningKey, base64url, sign};
use coyote_protocol::{CertificateChain, Timestamp};
use coyote_server::{Acme, Body, Reply, Request, Response, Result};
use openssl::{
    hash::MessageDigest,
    stack::Stack,
    x509::{X509, X509Req, extension::SubjectAlternativeName},
};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::world::BASE;

pub(crate) const NEW_ACCOUNT: &str = "https://ca.example/acme/new-account";
pub(crate) const NEW_ORDER: &str = "https://ca.example/acme/new-order";
pub(crate) const NEW_AUTHZ: &str = "https://ca.example/acme/new-authz";
pub(crate) const REVOKE_CERT: &str = "https://ca.example/acme/revoke-cert";

/// An account, at one of the servers that know it.
#[derive(Clone)]
pub(crate) struct Account {
    pub(crate) acme: Arc<Acme>,
    pub(crate) key: Arc<SigningKey>,
    pub(crate) url: String,
}

/// An object as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) url: String,
    pub(crate) json: Value,
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) response: Response,
    pub(crate) json: Value,
}

/// A new key.
pub(crate) fn key() -> Arc<SigningKey> {
    Arc::new(SigningKey::generate(Algorithm::ES256).unwrap())
}

/// newAccount by this key.
pub(crate) async fn join(acme: &Arc<Acme>, key: &SigningKey, payload: &Value) -> Answer {
    join_from(acme, "192.0.2.1", key, payload).await
}

/// newAccount by this key, from this address.
pub(crate) async fn join_from(acme: &Arc<Acme>, client: &str, key: &SigningKey, payload: &Value) -> Answer {
    let key_id = KeyId::Jwk(Box::new(key.jwk().clone()));
    send(acme, client.parse().unwrap(), key, key_id, NEW_ACCOUNT, payload.to_string()).await
}

/// A GET.
pub(crate) async fn renewal_info(acme: &Acme, identifier: &str) -> Answer {
    Answer::new(acme.respond(acme.renewal_info(identifier).await, false).await)
}

impl Account {
    /// A new account.
    pub(crate) async fn open(acme: &Arc<Acme>) -> Self {
        let key = key();
        let answer = join(acme, &key, &json!({"termsOfServiceAgreed": true})).await.expect(201);
        Self { acme: acme.clone(), key, url: answer.location() }
    }

    /// The same account, at another server over the same store.
    pub(crate) fn at(&self, acme: &Arc<Acme>) -> Self {
        Self { acme: acme.clone(), ..self.clone() }
    }

    /// Posts a payload.
    pub(crate) async fn post(&self, url: &str, payload: &Value) -> Answer {
        self.send(url, payload.to_string()).await
    }

    /// Reads. RFC 8555 section 6.3.
    pub(crate) async fn post_as_get(&self, url: &str) -> Answer {
        self.send(url, String::new()).await
    }

    /// Reads in one of these forms.
    pub(crate) async fn read_as(&self, url: &str, accept: &str) -> Answer {
        let client = "192.0.2.1".parse().unwrap();
        let kid = KeyId::Kid(self.url.clone());
        send_accepting(&self.acme, client, &self.key, kid, (url, Some(accept)), String::new()).await
    }

    /// Reads something that is there.
    pub(crate) async fn read(&self, url: &str) -> Object {
        Object { url: url.into(), json: self.post_as_get(url).await.expect(200).json }
    }

    async fn send(&self, url: &str, payload: String) -> Answer {
        let client = "192.0.2.1".parse().unwrap();
        send(&self.acme, client, &self.key, KeyId::Kid(self.url.clone()), url, payload).await
    }

    /// newOrder with further members.
    pub(crate) async fn ask(&self, names: &[&str], more: Value) -> Answer {
        let identifiers: Vec<_> = names.iter().map(|name| json!({"type": "dns", "value": name})).collect();
        let mut payload = more;
        payload["identifiers"] = identifiers.into();
        self.post(NEW_ORDER, &payload).await
    }

    /// A new order.
    pub(crate) async fn order(&self, names: &[&str]) -> Object {
        self.ask(names, json!({})).await.created()
    }

    /// Says of each challenge that it is met, and waits for the verdict.
    pub(crate) async fn validate(&self, order: &Object) -> Object {
        for url in order.list("authorizations") {
            let authorization = self.read(&url).await;
            if authorization.text("status") == "pending" {
                let _ = self.post(&authorization.challenge().url, &json!({})).await.expect(200);
            }
        }
        self.read(&order.url).await
    }

    /// A ready order.
    pub(crate) async fn ready_order(&self, names: &[&str]) -> Object {
        let order = self.order(names).await;
        let order = self.validate(&order).await;
        assert_eq!(order.text("status"), "ready", "{}", order.json);
        order
    }

    /// Sends a CSR for the order's names.
    pub(crate) async fn finalize(&self, order: &Object) -> Answer {
        self.post(&order.text("finalize"), &json!({"csr": base64url::encode(csr(&order.names()))})).await
    }

    /// Reads until the order is no longer `processing`.
    pub(crate) async fn settled(&self, order: &Object) -> Object {
        for _ in 0..1_000 {
            let order = self.read(&order.url).await;
            if order.text("status") != "processing" {
                return order;
            }
            sleep(Duration::from_millis(100)).await;
        }
        panic!("{} does not settle", order.url);
    }

    /// A valid order: its names were certified.
    pub(crate) async fn issue(&self, names: &[&str]) -> Object {
        self.certify(&self.ready_order(names).await).await
    }

    /// Has a ready order's names certified.
    pub(crate) async fn certify(&self, order: &Object) -> Object {
        let _ = self.finalize(order).await.expect(200);
        let order = self.settled(order).await;
        assert_eq!(order.text("status"), "valid", "{}", order.json);
        order
    }

    /// The chain of a valid order.
    pub(crate) async fn chain(&self, order: &Object) -> Vec<X509> {
        self.post_as_get(&order.text("certificate")).await.expect(200).chain()
    }

    /// Revokes the certificate of a valid order.
    pub(crate) async fn revoke(&self, order: &Object) -> Answer {
        let leaf = self.chain(order).await.remove(0);
        let payload = json!({"certificate": base64url::encode(leaf.to_der().unwrap())});
        self.post(REVOKE_CERT, &payload).await
    }
}

impl Object {
    pub(crate) fn text(&self, name: &str) -> String {
        self.json[name].as_str().unwrap_or_else(|| panic!("no {name} in {}", self.json)).to_owned()
    }

    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        let list = self.json[name].as_array().unwrap_or_else(|| panic!("no {name} in {}", self.json));
        list.iter().map(|item| item.as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn time(&self, name: &str) -> Timestamp {
        self.text(name).parse().unwrap()
    }

    /// The names of an order.
    pub(crate) fn names(&self) -> Vec<String> {
        let identifiers = self.json["identifiers"].as_array().unwrap();
        identifiers.iter().map(|identifier| identifier["value"].as_str().unwrap().to_owned()).collect()
    }

    /// The first challenge of an authorization.
    pub(crate) fn challenge(&self) -> Self {
        let json = self.json["challenges"][0].clone();
        Self { url: json["url"].as_str().unwrap().to_owned(), json }
    }
}

impl Answer {
    fn new(response: Response) -> Self {
        let json = match &response.reply.body {
            Body::Json(bytes) | Body::Problem(bytes) => serde_json::from_slice(bytes).unwrap(),
            _ => Value::Null,
        };
        Self { response, json }
    }

    pub(crate) fn reply(&self) -> &Reply {
        &self.response.reply
    }

    pub(crate) fn status(&self) -> u16 {
        self.reply().status
    }

    /// The answer, which has this status.
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status(), status, "{}", self.json);
        self
    }

    /// The answer, which is this problem.
    pub(crate) fn refused(self, status: u16, kind: &str) -> Self {
        let kind = format!("urn:ietf:params:acme:error:{kind}");
        assert_eq!((self.status(), self.json["type"].as_str()), (status, Some(&*kind)), "{}", self.json);
        self
    }

    /// What was made.
    pub(crate) fn created(self) -> Object {
        let answer = self.expect(201);
        Object { url: answer.location(), json: answer.json }
    }

    pub(crate) fn location(&self) -> String {
        self.reply().location.clone().unwrap()
    }

    pub(crate) fn retry_after(&self) -> Option<u64> {
        self.reply().retry_after_seconds()
    }

    /// The targets of links of this relation.
    pub(crate) fn links(&self, relation: &str) -> Vec<&str> {
        let links = self.reply().links.iter().filter(|link| link.1 == relation);
        links.map(|(target, _)| &**target).collect()
    }

    /// The one certificate, as DER.
    pub(crate) fn certificate(&self) -> X509 {
        let Body::Certificate(der) = &self.reply().body else { panic!("no certificate: {}", self.json) };
        X509::from_der(der).unwrap()
    }

    /// The certificates.
    pub(crate) fn chain(&self) -> Vec<X509> {
        let Body::Chain(pem) = &self.reply().body else { panic!("no chain: {}", self.json) };
        let chain: CertificateChain = pem.parse().unwrap();
        chain.as_der().iter().map(|der| X509::from_der(der).unwrap()).collect()
    }
}

/// A CSR for these names, by a new key.
fn csr(names: &[String]) -> Vec<u8> {
    let key = SigningKey::generate(Algorithm::ES256).unwrap();
    let mut builder = X509Req::builder().unwrap();
    builder.set_pubkey(key.private_key()).unwrap();
    let mut alternative = SubjectAlternativeName::new();
    for name in names {
        alternative.dns(name);
    }
    let mut extensions = Stack::new().unwrap();
    extensions.push(alternative.build(&builder.x509v3_context(None)).unwrap()).unwrap();
    builder.add_extensions(&extensions).unwrap();
    builder.sign(key.private_key(), MessageDigest::sha256()).unwrap();
    builder.build().to_der().unwrap()
}

/// Signs a request with a fresh nonce, sends it where its URL says, and finishes the answer.
async fn send(
    acme: &Arc<Acme>,
    client: IpAddr,
    key: &SigningKey,
    key_id: KeyId,
    url: &str,
    payload: String,
) -> Answer {
    send_accepting(acme, client, key, key_id, (url, None), payload).await
}

/// The same, with this `Accept`.
async fn send_accepting(
    acme: &Arc<Acme>,
    client: IpAddr,
    key: &SigningKey,
    key_id: KeyId,
    (url, accept): (&str, Option<&str>),
    payload: String,
) -> Answer {
    let nonce = acme.new_nonce(true).await.nonce.unwrap();
    let body = sign(key, key_id, Some(nonce.as_str()), url, payload.as_bytes()).unwrap();
    let accept = accept.map(str::to_owned);
    let request = Request { url: url.to_owned(), body: body.into_bytes(), client: Some(client), accept };
    Answer::new(acme.respond(route(acme, &request).await, true).await)
}

async fn route(acme: &Arc<Acme>, request: &Request) -> Result<Reply> {
    let path: Vec<_> = request.url.strip_prefix(BASE).unwrap().split('/').skip(2).collect();
    match *path {
        ["new-account"] => acme.new_account(request).await,
        ["new-order"] => acme.new_order(request).await,
        ["new-authz"] => acme.new_authorization(request).await,
        ["key-change"] => acme.key_change(request).await,
        ["revoke-cert"] => acme.revoke_certificate(request).await,
        ["account", id] => acme.account(request, &id.parse().unwrap()).await,
        ["account", id, "orders"] => acme.orders(request, &id.parse().unwrap(), None).await,
        ["order", id] => acme.order(request, &id.parse().unwrap()).await,
        ["order", id, "finalize"] => acme.finalize(request, &id.parse().unwrap()).await,
        ["authz", id] => acme.authorization(request, &id.parse().unwrap()).await,
        ["challenge", of, id] => acme.challenge(request, &of.parse().unwrap(), &id.parse().unwrap()).await,
        ["certificate", id] => acme.certificate(request, &id.parse().unwrap(), 0).await,
        ["certificate", id, chain] => {
            acme.certificate(request, &id.parse().unwrap(), chain.parse().unwrap()).await
        }
        ["certificate", id, chain, place] => {
            let (chain, place) = (chain.parse().unwrap(), place.parse().unwrap());
            acme.issuer_certificate(request, &id.parse().unwrap(), chain, place).await
        }
        _ => panic!("{} is not served", request.url),
    }
}
