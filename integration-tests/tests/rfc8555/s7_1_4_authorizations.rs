//! RFC 8555 sections 7.1.4 and 7.1.5 (with 8): authorization and challenge objects.

use integration_tests::{Answer, Object};
use serde_json::{Value, json};

use crate::{
    expect::{Expect, assert_timestamp, assert_url},
    promise::{Promise, must, should},
    server::{Server, challenge, identifiers, respond},
};

pub(crate) const PROMISES: &[Promise] = &[
    must("7.1.4", "an authorization is for the identifier that was ordered", |server| {
        let (account, name) = (server.owner(), server.name());
        let authorization = account.authorizations(&account.order(&[&name])).remove(0);
        assert_eq!(authorization.json["identifier"], json!({"type": "dns", "value": name}));
    }),
    must("7.1.4", "a pending authorization lists challenges", |server| {
        let authorization = pending(server);
        assert_eq!(authorization.status(), "pending");
        let challenges = authorization.json["challenges"].as_array().expect("an array");
        assert!(!challenges.is_empty(), "{}", authorization.json);
    }),
    must("7.1.4", "a valid authorization says when it expires", |server| {
        let _ = assert_timestamp(&valid(server).json["expires"]);
    }),
    must("7.1.4", "a valid authorization lists the challenge that was validated", |server| {
        let authorization = valid(server);
        let is_right = |challenge: &&Value| challenge["type"] == "http-01" && challenge["status"] == "valid";
        let challenges = authorization.json["challenges"].as_array().expect("an array");
        assert_eq!(challenges.iter().filter(is_right).count(), 1, "{}", authorization.json);
    }),
    must("7.1.4", "an invalid authorization lists the challenge that failed", |server| {
        let authorization = invalid(server);
        let failed = authorization.challenge("http-01");
        assert_eq!(failed.status(), "invalid", "{}", authorization.json);
    }),
    must("7.1.4", "wildcard is absent where no wildcard was ordered", |server| {
        let authorization = pending(server);
        assert!(authorization.json.get("wildcard").is_none(), "{}", authorization.json);
    }),
    must("7.1.4", "a name that is no right A-label is refused", |server| {
        for label in ["xn--", "xn--a-0", "xn--0000000000zzzzzzzzzz", "xn--\u{e4}"] {
            let payload = identifiers(&[&format!("{label}.{}", server.domain)]);
            let answer = server.owner().post(&server.url("newOrder"), &payload);
            assert!((400..500).contains(&answer.status), "{label}: got {answer}");
        }
    }),
    must("7.1.4", "a name with a right A-label is taken", |server| {
        let name = format!("xn--bcher-kva.{}", server.name());
        assert_eq!(server.owner().order(&[&name]).names(), [name]);
    }),
    must("7.1.5", "a challenge has a type, a URL and a status", |server| {
        for challenge in pending(server).json["challenges"].as_array().expect("an array") {
            assert!(challenge["type"].is_string(), "{challenge}");
            assert_url(&challenge["url"]);
            assert_eq!(challenge["status"], "pending", "{challenge}");
        }
    }),
    must("7.1.5", "a valid challenge says when it was validated", |server| {
        let _ = assert_timestamp(&valid(server).challenge("http-01").json["validated"]);
    }),
    should("7.1.5", "an invalid challenge has the error", |server| {
        let failed = invalid(server).challenge("http-01");
        assert!(failed.json["error"]["type"].is_string(), "{}", failed.json);
    }),
    must("7.1.5", "a challenge that nobody has tried has no error", |server| {
        for challenge in pending(server).json["challenges"].as_array().expect("an array") {
            assert!(challenge["error"].is_null(), "{challenge}");
        }
    }),
    must("7.1.5", "the error of a challenge is a problem of a registered type", |server| {
        let failed = invalid(server).challenge("http-01");
        let kind = failed.json["error"]["type"].as_str().unwrap_or_default().to_owned();
        let known = ["unauthorized", "incorrectResponse", "connection", "dns", "malformed"];
        let token = kind.strip_prefix("urn:ietf:params:acme:error:").unwrap_or_default();
        assert!(known.contains(&token), "{}", failed.json);
    }),
    must("7.1.5", "what is read of a challenge is what its authorization shows", |server| {
        let account = server.owner();
        let authorization = pending(server);
        for challenge in authorization.json["challenges"].as_array().expect("an array") {
            let alone = account.post_as_get(challenge["url"].as_str().expect("a URL")).expect(200);
            for member in ["type", "url", "token", "status"] {
                assert_eq!(alone.json()[member], challenge[member], "got {alone}");
            }
        }
    }),
    must("7.1.4", "an authorization of an account can be read as long as it is pending", |server| {
        let authorization = pending(server);
        let answer = server.owner().post_as_get(&authorization.url).success();
        assert_eq!(answer.json()["status"], "pending", "got {answer}");
    }),
];

/// A pending authorization of the owner's.
fn pending(server: &Server) -> Object {
    let account = server.owner();
    account.authorizations(&server.order(account)).remove(0)
}

/// One that http-01 made valid.
fn valid(server: &Server) -> Object {
    let account = server.owner();
    let order = server.order(account);
    server.prove(account, &order);
    account.authorizations(&order).remove(0)
}

/// One that http-01 made invalid, by a wrong answer.
fn invalid(server: &Server) -> Object {
    let authorization = pending(server);
    let challenge = challenge(&authorization, "http-01");
    server.responder.answer_token(&challenge.text("token"), Answer::text(200, "wrong"));
    let end = respond(server.owner(), &authorization, &challenge);
    assert_eq!(end.status(), "invalid", "{}", end.json);
    end
}
