//! RFC 8555 section 6.3: GET and POST-as-GET requests.

use integration_tests::{Account, Key, Response};
use serde_json::json;

use crate::{
    expect::Expect,
    promise::{Promise, must},
    server::{Server, challenge},
};

pub(crate) const PROMISES: &[Promise] = &[
    must("6.3", "an account cannot be read by GET", |server| {
        not_allowed(&server.get(&server.owner().url));
    }),
    must("6.3", "an order cannot be read by GET", |server| {
        not_allowed(&server.get(&server.order(server.owner()).url));
    }),
    must("6.3", "an authorization cannot be read by GET", |server| {
        let order = server.order(server.owner());
        not_allowed(&server.get(&order.list("authorizations")[0]));
    }),
    must("6.3", "a challenge cannot be read by GET", |server| {
        let account = server.owner();
        let authorization = account.authorizations(&server.order(account)).remove(0);
        let challenge = authorization.json["challenges"][0]["url"].as_str().expect("a URL").to_owned();
        not_allowed(&server.get(&challenge));
    }),
    must("6.3", "a certificate cannot be read by GET", |server| {
        let issued = server.issued(server.owner());
        not_allowed(&server.get(&issued.order.text("certificate")));
    }),
    must("6.3", "what takes requests cannot be read by GET", |server| {
        for resource in ["newAccount", "newOrder", "revokeCert", "keyChange"] {
            not_allowed(&server.get(&server.url(resource)));
        }
        not_allowed(&server.get(&server.order(server.owner()).text("finalize")));
    }),
    must("6.3", "the directory can be read by GET", |server| {
        let _ = server.get(&server.client.directory_url).expect(200);
    }),
    must("6.3", "a nonce can be had by GET", |server| {
        let _ = server.get(&server.url("newNonce")).success();
    }),
    must("6.3", "the directory can be read by POST-as-GET", |server| {
        let answer = server.owner().post_as_get(&server.client.directory_url).expect(200);
        assert!(answer.json()["newOrder"].is_string(), "got {answer}");
    }),
    must("6.3", "a nonce can be had by POST-as-GET", |server| {
        let answer = server.owner().post_as_get(&server.url("newNonce")).success();
        assert!(answer.nonce().is_some(), "got {answer}");
    }),
    must("6.3", "an account, an order, an authorization and a challenge are read by POST-as-GET", |server| {
        let account = server.owner();
        for url in resources(server, account) {
            let answer = account.post_as_get(&url);
            assert_eq!(answer.status, 200, "{url}: got {answer}");
            assert!(answer.json()["status"].is_string(), "{url}: got {answer}");
        }
    }),
    must("6.3", "a POST-as-GET of a challenge does not say that it is ready", |server| {
        let account = server.owner();
        let authorization = account.authorizations(&server.order(account)).remove(0);
        let challenge = challenge(&authorization, "http-01");
        assert_eq!(account.read(&challenge.url).status(), "pending");
        assert_eq!(account.read(&challenge.url).status(), "pending");
        assert_eq!(server.responder.requests_for(&challenge.text("token")), 0);
    }),
    must("6.3", "a POST-as-GET with a wrong signature is refused", |server| {
        let account = server.owner();
        for url in resources(server, account) {
            let signed = account.signed_bytes(&url, Vec::new()).signed_by(&Key::new());
            let _ = server.client.send(&signed.request()).refused();
        }
    }),
    must("6.3", "another account's account, order, authorization and challenge cannot be read", |server| {
        let (account, other) = (server.account(), server.account());
        for url in resources(server, &account) {
            let answer = other.post_as_get(&url);
            assert!((400..500).contains(&answer.status), "{url}: got {answer}");
        }
    }),
    must("6.3", "another account's certificate cannot be read", |server| {
        let issued = server.issued(server.owner());
        let _ = server.account().post_as_get(&issued.order.text("certificate")).refused();
    }),
    must("6.3", "another account's order cannot be finalized", |server| {
        let order = server.ready(server.owner());
        let csr = integration_tests::Csr::new(&[&order.names()[0]]).to_der();
        let _ = server.account().finalize(&order, &csr).refused();
        assert_eq!(server.owner().read(&order.url).status(), "ready");
    }),
    must("6.3", "another account's challenge cannot be answered", |server| {
        let account = server.owner();
        let authorization = account.authorizations(&server.order(account)).remove(0);
        let challenge = server.provision(account, &authorization);
        let _ = server.account().post(&challenge.url, &json!({})).refused();
        assert_eq!(account.read(&challenge.url).status(), "pending");
    }),
];

#[track_caller]
fn not_allowed(answer: &Response) {
    let _ = answer.clone().refused_with(405, "malformed");
}

/// An account, and of a new order of it: the order, an authorization and a challenge.
fn resources(server: &Server, account: &Account) -> [String; 4] {
    let order = server.order(account);
    let authorization = account.authorizations(&order).remove(0);
    let challenge = authorization.json["challenges"][0]["url"].as_str().expect("a URL").to_owned();
    [account.url.clone(), order.url, authorization.url, challenge]
}
