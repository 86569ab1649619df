//! RFC 8555 sections 7.5 to 7.5.2: identifier authorization.

use std::time::Duration;

use integration_tests::{Answer, Csr, Gate, Object};
use serde_json::{Value, json};

use crate::{
    expect::{Expect, assert_timestamp},
    promise::{Promise, must, not_applicable, should},
    server::{Server, challenge, decided, respond},
};

pub(crate) const PROMISES: &[Promise] = &[
    must("7.5", "an authorization is of the account that ordered, and of no other", |server| {
        let (account, other, name) = (server.account(), server.account(), server.name());
        let _ = server.ready_for(&account, &[&name]);
        let order = other.order(&[&name]);
        assert_eq!(order.status(), "pending", "{}", order.json);
    }),
    must("7.5.1", "to say that a challenge is ready is 200, with the challenge", |server| {
        let account = server.owner();
        let authorization = pending(server);
        let challenge = server.provision(account, &authorization);
        let answer = account.post(&challenge.url, &json!({})).expect(200);
        assert_eq!(answer.json()["url"], challenge.url, "got {answer}");
        assert_eq!(answer.json()["token"], challenge.json["token"], "got {answer}");
        assert_eq!(decided(account, &authorization.url).status(), "valid");
    }),
    must("7.5.1", "members of the response that the challenge does not have are ignored", |server| {
        let account = server.owner();
        let authorization = pending(server);
        let challenge = server.provision(account, &authorization);
        let response = json!({"keyAuthorization": "x", "status": "valid", "unheardOf": [1]});
        let _ = account.post(&challenge.url, &response).expect(200);
        assert_eq!(decided(account, &authorization.url).status(), "valid");
    }),
    must("7.5.1", "a response that is no object is an error", |server| {
        let account = server.owner();
        let authorization = pending(server);
        let challenge = server.provision(account, &authorization);
        for payload in ["[]", "1", "\"text\"", "{"] {
            let signed = account.signed(&challenge.url, &Value::Null).with_payload(payload);
            let answer = server.client.send(&signed.request());
            assert!((400..500).contains(&answer.status), "{payload}: got {answer}");
        }
    }),
    must("7.5.1", "a client's word that a challenge is valid is not enough", |server| {
        let account = server.owner();
        let authorization = pending(server);
        let challenge = challenge(&authorization, "http-01");
        let _ = account.post(&challenge.url, &json!({"status": "valid"}));
        let _ = account.post(&authorization.url, &json!({"status": "valid"}));
        assert_ne!(decided_or_pending(server, &authorization).status(), "valid");
    }),
    must("7.5.1", "while the validation goes on, reading the authorization is 200", |server| {
        slowly(server, |authorization| {
            assert_eq!(authorization.status(), "pending", "{}", authorization.json);
        });
    }),
    must("7.5.1", "a valid authorization has an end", |server| {
        let account = server.owner();
        let order = server.ready(account);
        let authorization = account.authorizations(&order).remove(0);
        assert!(assert_timestamp(&authorization.json["expires"]) > crate::aim::now());
    }),
    should("7.5.1", "a challenge that failed is not taken away", |server| {
        let account = server.owner();
        let authorization = pending(server);
        let challenge = challenge(&authorization, "http-01");
        let end = respond(account, &authorization, &challenge);
        let challenges = end.json["challenges"].as_array().expect("an array");
        let is_there = |one: &Value| one["url"] == challenge.url && one["status"] == "invalid";
        assert!(challenges.iter().any(is_there), "{}", end.json);
    }),
    must("7.5.2", "to deactivate a valid authorization is 200, with the authorization", |server| {
        let account = server.account();
        let order = server.ready(&account);
        let url = &order.list("authorizations")[0];
        let answer = account.post(url, &json!({"status": "deactivated"})).expect(200);
        assert_eq!(answer.json()["status"], "deactivated", "got {answer}");
        assert_eq!(account.read(url).status(), "deactivated");
    }),
    should("7.5.2", "an authorization that is pending can be deactivated", |server| {
        let authorization = pending(server);
        let answer = server.owner().post(&authorization.url, &json!({"status": "deactivated"})).expect(200);
        assert_eq!(answer.json()["status"], "deactivated", "got {answer}");
    }),
    must("7.5.2", "an authorization can be deactivated by no other account", |server| {
        let account = server.account();
        let order = server.ready(&account);
        let url = &order.list("authorizations")[0];
        let _ = server.account().post(url, &json!({"status": "deactivated"})).refused();
        assert_eq!(account.read(url).status(), "valid");
    }),
    must("7.5.2", "nothing is issued on a deactivated authorization", |server| {
        let account = server.account();
        let order = server.ready(&account);
        let _ = account.post(&order.list("authorizations")[0], &json!({"status": "deactivated"})).expect(200);
        let csr = Csr::new(&[&order.names()[0]]).to_der();
        let _ = account.finalize(&order, &csr).refused();
    }),
    must("7.5.2", "a deactivated authorization is not used for later orders", |server| {
        let (account, name) = (server.account(), server.name());
        let order = server.ready_for(&account, &[&name]);
        let _ = account.post(&order.list("authorizations")[0], &json!({"status": "deactivated"})).expect(200);
        let later = account.order(&[&name]);
        assert_eq!(later.status(), "pending", "{}", later.json);
        assert_ne!(later.list("authorizations"), order.list("authorizations"));
    }),
];

fn pending(server: &Server) -> Object {
    let account = server.owner();
    account.authorizations(&server.order(account)).remove(0)
}

/// The authorization when it is decided, or after a while in which it was not.
fn decided_or_pending(server: &Server, authorization: &Object) -> Object {
    for _ in 0..20 {
        let now = server.owner().read(&authorization.url);
        if now.status() != "pending" {
            return now;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    server.owner().read(&authorization.url)
}

/// Looks at an authorization whose validation does not come to an end for now.
fn slowly(server: &Server, look: impl FnOnce(&Object)) {
    let account = server.owner();
    let authorization = pending(server);
    let challenge = challenge(&authorization, "http-01");
    let (gate, token) = (Gate::default(), challenge.text("token"));
    let right = Answer::text(200, account.key_authorization(&token));
    server.responder.answer_token(&token, Answer::after(&gate, right));
    let _ = account.post(&challenge.url, &json!({})).expect(200);
    if !gate.wait_for_arrival(Duration::from_secs(20)) {
        not_applicable("its validation did not come within 20 seconds");
    }
    let answer = account.post_as_get(&authorization.url).expect(200);
    look(&Object { url: authorization.url.clone(), json: answer.json() });
    gate.open();
    assert_eq!(decided(account, &authorization.url).status(), "valid");
}
