//! RFC 8555 section 7.3.5: account key rollover.

use integration_tests::{Account, Key, Response, Signed};
use serde_json::{Value, json};

use crate::{
    expect::Expect,
    promise::{Promise, must, should},
    server::{Server, respond},
};

pub(crate) const PROMISES: &[Promise] = &[
    must("7.3.5", "after keyChange, which is 200, the new key authenticates", |server| {
        let account = changed(server, &server.account());
        assert_eq!(account.read(&account.url).status(), "valid");
    }),
    must("7.3.5", "after keyChange, the old key no longer authenticates", |server| {
        let old = server.account();
        let _ = changed(server, &old);
        let _ = old.post_as_get(&old.url).refused();
    }),
    must("7.3.5", "after keyChange, newAccount finds the account by its new key", |server| {
        let account = changed(server, &server.account());
        let found = server.client.new_account(&account.key, &json!({"onlyReturnExisting": true})).expect(200);
        assert_eq!(found.location(), account.url);
    }),
    must("7.3.5", "a keyChange whose payload is no JWS is refused", |server| {
        let account = server.account();
        for payload in [json!({}), json!("text"), json!({"account": account.url, "oldKey": account.key.jwk})]
        {
            let _ = account.post(&server.url("keyChange"), &payload).refused();
        }
    }),
    must("7.3.5", "an inner JWS without a jwk is refused", |server| {
        refused(server, |_, inner| inner.without("jwk"));
    }),
    must("7.3.5", "an inner JWS that its jwk has not signed is refused", |server| {
        refused(server, |_, inner| inner.signed_by(&Key::new()));
    }),
    must("7.3.5", "an inner JWS that the old key has signed is refused", |server| {
        refused(server, |account, inner| inner.signed_by(&account.key));
    }),
    must("7.3.5", "an inner payload that is no keyChange object is refused", |server| {
        refused(server, |_, inner| inner.with_payload("[]"));
        refused(server, |account, inner| inner.with_payload(json!({"account": account.url}).to_string()));
        refused(server, |account, inner| inner.with_payload(json!({"oldKey": account.key.jwk}).to_string()));
    }),
    must("7.3.5", "an inner url that is not the outer one's is refused", |server| {
        let url = server.url("newOrder");
        refused(server, move |_, inner| inner.with("url", url.clone()));
    }),
    must("7.3.5", "a keyChange of another account than the one that asks is refused", |server| {
        let other = server.account();
        refused(server, move |account, inner| {
            inner.with_payload(json!({"account": other.url, "oldKey": account.key.jwk}).to_string())
        });
    }),
    must("7.3.5", "a keyChange with another old key is refused", |server| {
        refused(server, |account, inner| {
            inner.with_payload(json!({"account": account.url, "oldKey": Key::new().jwk}).to_string())
        });
    }),
    must("7.3.5", "a keyChange to the key of another account is refused", |server| {
        let (account, other) = (server.account(), server.account());
        let answer = change(server, &account, &inner(server, &account, &other.key).flattened());
        assert!(answer.status >= 400, "got {answer}");
        assert_eq!(account.read(&account.url).status(), "valid");
    }),
    should("7.3.5", "a key that is in use is 409, with the URL of its account", |server| {
        let (account, other) = (server.account(), server.account());
        let answer = change(server, &account, &inner(server, &account, &other.key).flattened());
        assert_eq!((answer.status, answer.header("Location")), (409, Some(&*other.url)), "got {answer}");
    }),
    must("7.3.5", "pending orders and authorizations outlive a change of the key", |server| {
        let old = server.account();
        let order = server.order(&old);
        let account = changed(server, &old);
        assert_eq!(account.read(&order.url).status(), "pending");
        assert_eq!(account.authorizations(&order)[0].status(), "pending");
        server.prove(&account, &order);
        assert_eq!(account.read(&order.url).status(), "ready");
    }),
    must("7.3.5", "authorizations outlive a change of the key", |server| {
        let old = server.account();
        let order = server.ready(&old);
        let account = changed(server, &old);
        assert_eq!(account.read(&order.url).status(), "ready");
        assert_eq!(account.authorizations(&order)[0].status(), "valid");
    }),
    should("7.3.5", "a change of the key changes nothing else of the account", |server| {
        let key = Key::new();
        let url = server.join(&key, json!({"contact": ["mailto:a@example.org"]})).expect(201).location();
        let old = Account { client: server.client.clone(), key, url };
        let before = old.read(&old.url).json;
        let account = changed(server, &old);
        let after = account.read(&account.url).json;
        let members =
            |json: &Value| (json["contact"].clone(), json["status"].clone(), json["orders"].clone());
        assert_eq!(members(&after), members(&before));
    }),
    must("8.1", "after a change of the key, a key authorization is of the new key", |server| {
        let old = server.account();
        let order = server.order(&old);
        let account = changed(server, &old);
        let authorization = account.authorizations(&order).remove(0);
        let challenge = server.provision(&old, &authorization);
        assert_eq!(respond(&account, &authorization, &challenge).status(), "invalid");
    }),
];

/// The right inner JWS.
fn inner(server: &Server, account: &Account, new: &Key) -> Signed {
    let url = server.url("keyChange");
    let payload = json!({"account": account.url, "oldKey": account.key.jwk});
    server.client.signed_by_jwk(new, &url, &payload).without("nonce")
}

fn change(server: &Server, account: &Account, inner: &Value) -> Response {
    account.post(&server.url("keyChange"), inner)
}

/// The account with another key.
fn changed(server: &Server, account: &Account) -> Account {
    let key = Key::new();
    let _ = change(server, account, &inner(server, account, &key).flattened()).expect(200);
    Account { key, ..account.clone() }
}

/// A keyChange with an inner JWS that is spoilt so is refused, and leaves the key as it was.
fn refused(server: &Server, spoil: impl Fn(&Account, Signed) -> Signed) {
    let account = server.account();
    let spoilt = spoil(&account, inner(server, &account, &Key::new()));
    let _ = change(server, &account, &spoilt.flattened()).refused();
    assert_eq!(account.read(&account.url).status(), "valid");
}
