//! RFC 8555 section 6.5: replay protection.

use std::collections::BTreeSet;

use coyote_jose::base64url;
use integration_tests::{Csr, Key, Response, Signed};
use serde_json::{Value, json};

use crate::{
    expect::Expect,
    promise::{Promise, must, should},
    server::{Server, finished},
};

pub(crate) const PROMISES: &[Promise] = &[
    must("6.5", "newAccount and newOrder answer with a nonce", |server| {
        has_nonce(&server.join(&Key::new(), json!({})).expect(201));
        has_nonce(&send(server, &server.good()).expect(201));
    }),
    must("6.5", "POST-as-GET is answered with a nonce", |server| {
        let account = server.owner();
        let order = server.order(account);
        for url in [&account.url, &order.url, &order.list("authorizations")[0]] {
            has_nonce(&account.post_as_get(url).expect(200));
        }
    }),
    must("6.5", "a challenge, finalize, a certificate and revokeCert answer with a nonce", |server| {
        let account = server.owner();
        let order = server.order(account);
        let authorization = account.authorizations(&order).remove(0);
        let challenge = server.provision(account, &authorization);
        has_nonce(&account.post(&challenge.url, &json!({})).expect(200));
        assert_eq!(crate::server::decided(account, &authorization.url).status(), "valid");
        let csr = Csr::new(&[&order.names()[0]]).to_der();
        has_nonce(&account.finalize(&order, &csr).expect(200));
        let certificate = finished(account, &order.url).text("certificate");
        let chain = account.post_as_get(&certificate).expect(200);
        has_nonce(&chain);
        let der = integration_tests::leaf(&chain.text()).to_der().expect("DER");
        let revocation = json!({"certificate": base64url::encode(der)});
        has_nonce(&account.post(&server.url("revokeCert"), &revocation).expect(200));
    }),
    should("6.5", "errors come with a nonce", |server| {
        let good = || server.good();
        has_nonce(&send(server, &good().with_payload("{}")).refused());
        has_nonce(&send(server, &good().with("url", server.url("newAccount"))).refused());
        has_nonce(&send(server, &good().signed_by(&Key::new())).refused());
        has_nonce(&server.post_body(&server.url("newOrder"), "hello").refused());
    }),
    must("6.5", "a nonce that the server has not made is badNonce, 400", |server| {
        let nonce = base64url::encode([7; 16]);
        let _ = send(server, &server.good().with("nonce", nonce)).refused_with(400, "badNonce");
    }),
    must("6.5", "a nonce that was used is badNonce, 400", |server| {
        let request = server.good().request();
        let _ = server.client.send(&request).expect(201);
        let _ = server.client.send(&request).refused_with(400, "badNonce");
    }),
    must("6.5", "a nonce is spent by a request that is refused", |server| {
        let refused = server.good().with_payload("{}");
        let nonce = refused.protected["nonce"].clone();
        let _ = send(server, &refused).refused();
        let _ = send(server, &server.good().with("nonce", nonce)).refused_with(400, "badNonce");
    }),
    must("6.5", "a nonce is spent by a request whose signature is wrong", |server| {
        let refused = server.good().signed_by(&Key::new());
        let nonce = refused.protected["nonce"].clone();
        let _ = send(server, &refused).refused();
        let _ = send(server, &server.good().with("nonce", nonce)).refused_with(400, "badNonce");
    }),
    must("6.5", "no nonce is badNonce, 400", |server| {
        let _ = send(server, &server.good().without("nonce")).refused_with(400, "badNonce");
    }),
    must("6.5", "badNonce comes with a nonce that is good for another try", |server| {
        let good = server.good();
        let refused = send(server, &good.clone().with("nonce", base64url::encode([9; 16])));
        let refused = refused.refused_as("badNonce");
        let nonce = refused.nonce().expect("a nonce").to_owned();
        server.client.forget_nonces();
        let _ = send(server, &good.with("nonce", nonce)).expect(201);
    }),
    must("6.5", "nonces are all different", |server| {
        let nonces: BTreeSet<_> = (0..50).map(|_| server.client.new_nonce()).collect();
        assert_eq!(nonces.len(), 50);
    }),
    must("6.5", "nonces are base64url", |server| {
        for _ in 0..20 {
            let nonce = server.client.new_nonce();
            let is_right = |char: char| char.is_ascii_alphanumeric() || char == '-' || char == '_';
            assert!(!nonce.is_empty() && nonce.chars().all(is_right), "{nonce}");
        }
    }),
    must("6.5", "a nonce that is not base64url is malformed", |server| {
        for nonce in ["no nonce!", "a+b/c", "AAAA=="] {
            let _ = send(server, &server.good().with("nonce", nonce)).refused_as("malformed");
        }
    }),
    must("6.5", "a nonce that is no string is refused", |server| {
        for nonce in [json!(1), json!({}), json!([server.client.new_nonce()])] {
            let _ = send(server, &server.good().with("nonce", nonce)).refused();
        }
    }),
    must("6.5", "a nonce that is not in the protected header is refused", |server| {
        let good = server.good();
        let nonce: Value = good.protected["nonce"].clone();
        let mut jws = good.without("nonce").flattened();
        jws["header"] = json!({"nonce": nonce});
        let _ = server.post_body(&server.url("newOrder"), jws.to_string()).refused();
    }),
];

fn send(server: &Server, signed: &Signed) -> Response {
    server.client.send(&signed.request())
}

#[track_caller]
fn has_nonce(answer: &Response) {
    assert!(answer.nonce().is_some(), "no nonce in {answer}");
}
