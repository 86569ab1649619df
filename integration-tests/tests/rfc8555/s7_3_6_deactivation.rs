//! RFC 8555 section 7.3.6: account deactivation.

use coyote_jose::base64url;
use integration_tests::{Account, Key, leaf};
use serde_json::json;

use crate::{
    expect::Expect,
    promise::{Promise, must, should},
    server::Server,
};

pub(crate) const PROMISES: &[Promise] = &[
    must("7.3.6", "deactivation is 200, with the account as it is then", |server| {
        let account = server.account();
        let answer = account.post(&account.url, &json!({"status": "deactivated"})).expect(200);
        assert_eq!(answer.json()["status"], "deactivated", "got {answer}");
    }),
    must("7.3.6", "a POST of a deactivated account is unauthorized, 401", |server| {
        let account = deactivated(server);
        let payload = crate::server::identifiers(&[&server.name()]);
        let _ = account.post(&server.url("newOrder"), &payload).refused_with(401, "unauthorized");
        let update = json!({"contact": ["mailto:a@example.org"]});
        let _ = account.post(&account.url, &update).refused_with(401, "unauthorized");
    }),
    must("7.3.6", "a POST-as-GET of a deactivated account is unauthorized, 401", |server| {
        let account = server.account();
        let order = server.order(&account);
        let _ = account.post(&account.url, &json!({"status": "deactivated"})).expect(200);
        for url in [&account.url, &order.url, &order.list("authorizations")[0]] {
            let _ = account.post_as_get(url).refused_with(401, "unauthorized");
        }
    }),
    must("7.3.6", "a deactivation that another key has signed is refused", |server| {
        let account = server.account();
        let signed = account.signed(&account.url, &json!({"status": "deactivated"}));
        let _ = server.client.send(&signed.signed_by(&Key::new()).request()).refused();
        let _ = server.account().post(&account.url, &json!({"status": "deactivated"})).refused();
        assert_eq!(account.read(&account.url).status(), "valid");
    }),
    must("7.3.6", "the key of a deactivated account opens no account", |server| {
        let account = deactivated(server);
        let _ = server.join(&account.key, json!({})).refused();
    }),
    must("7.3.6", "an account cannot be reactivated", |server| {
        let account = deactivated(server);
        let _ = account.post(&account.url, &json!({"status": "valid"})).refused();
        let _ = account.post_as_get(&account.url).refused();
    }),
    must("7.3.6", "a deactivated account finalizes no order", |server| {
        let account = server.account();
        let order = server.ready(&account);
        let _ = account.post(&account.url, &json!({"status": "deactivated"})).expect(200);
        let csr = integration_tests::Csr::new(&[&order.names()[0]]).to_der();
        let _ = account.finalize(&order, &csr).refused();
    }),
    should("7.3.6", "certificates of a deactivated account are not revoked", |server| {
        let account = server.account();
        let issued = server.issued(&account);
        let _ = account.post(&account.url, &json!({"status": "deactivated"})).expect(200);
        // Whoever has the key can still revoke it, so it was not.
        let der = leaf(&issued.chain).to_der().expect("DER");
        let payload = json!({"certificate": base64url::encode(der)});
        let key = Key::of("ES256", issued.key);
        let signed = server.client.signed_by_jwk(&key, &server.url("revokeCert"), &payload);
        let _ = server.client.send(&signed.request()).expect(200);
    }),
];

fn deactivated(server: &Server) -> Account {
    let account = server.account();
    let _ = account.post(&account.url, &json!({"status": "deactivated"})).expect(200);
    account
}
