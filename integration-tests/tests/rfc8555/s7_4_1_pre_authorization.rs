//! RFC 8555 section 7.4.1: pre-authorization.

use integration_tests::{Account, Object, Response};
use serde_json::{Value, json};

use crate::{
    expect::{Expect, assert_url},
    promise::{Promise, must, should},
    server::{Server, respond},
};

pub(crate) const PROMISES: &[Promise] = &[
    must("7.4.1", "newAuthz is 201, with the authorization and its URL", |server| {
        let account = server.owner();
        let answer = authorize(server, account, &dns(&server.name())).expect(201);
        assert_url(&json!(answer.location()));
        assert_eq!(account.read(&answer.location()).json["identifier"], answer.json()["identifier"]);
    }),
    must("7.4.1", "the authorization is pending, and for the identifier that was asked for", |server| {
        let identifier = dns(&server.name());
        let answer = authorize(server, server.owner(), &identifier).expect(201);
        assert_eq!(answer.json()["identifier"], identifier, "got {answer}");
        assert_eq!(answer.json()["status"], "pending", "got {answer}");
        assert!(answer.json()["challenges"].as_array().is_some_and(|all| !all.is_empty()), "got {answer}");
    }),
    must("7.4.1", "an authorization can be made valid without an order", |server| {
        let account = server.owner();
        assert_eq!(valid(server, account, &server.name()).status(), "valid");
    }),
    should("7.4.1", "an order for what is authorized already has nothing left to prove", |server| {
        let (account, name) = (server.owner(), server.name());
        let authorization = valid(server, account, &name);
        let order = account.order(&[&name]);
        assert_eq!(order.status(), "ready", "{}", order.json);
        assert_eq!(order.list("authorizations"), [authorization.url]);
    }),
    must("7.4.1", "a wildcard cannot be authorized ahead of an order", |server| {
        let _ = authorize(server, server.owner(), &dns(&format!("*.{}", server.name()))).refused();
    }),
    should("7.4.1", "an identifier that it does not issue for is 403", |server| {
        let identifier = json!({"type": "nothing", "value": "x"});
        let answer = authorize(server, server.owner(), &identifier);
        assert_eq!(answer.status, 403, "got {answer}");
    }),
    must("7.4.1", "a newAuthz without an identifier is refused", |server| {
        let _ = server.owner().post(&server.optional_url("newAuthz"), &json!({})).refused();
    }),
];

fn dns(name: &str) -> Value {
    json!({"type": "dns", "value": name})
}

fn authorize(server: &Server, account: &Account, identifier: &Value) -> Response {
    account.post(&server.optional_url("newAuthz"), &json!({"identifier": identifier}))
}

fn valid(server: &Server, account: &Account, name: &str) -> Object {
    let answer = authorize(server, account, &dns(name)).expect(201);
    let authorization = Object { url: answer.location(), json: answer.json() };
    let challenge = server.provision(account, &authorization);
    respond(account, &authorization, &challenge)
}
