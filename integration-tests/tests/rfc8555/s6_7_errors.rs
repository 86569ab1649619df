//! RFC 8555 sections 6.6 and 6.7: rate limits and errors.

use integration_tests::{Csr, Key, Response};
use serde_json::{Value, json};

use crate::{
    expect::Expect,
    promise::{Promise, must, not_applicable, should},
    server::{Server, identifiers},
};

/// The types of problems in ACME's registry.
const REGISTERED: &[&str] = &[
    "accountDoesNotExist",
    "alreadyReplaced",
    "alreadyRevoked",
    "autoRenewalCanceled",
    "autoRenewalCancellationInvalid",
    "autoRenewalExpired",
    "autoRenewalRevocationNotSupported",
    "badAttestationStatement",
    "badCSR",
    "badNonce",
    "badPublicKey",
    "badRevocationReason",
    "badSignatureAlgorithm",
    "caa",
    "compound",
    "connection",
    "dns",
    "externalAccountRequired",
    "incorrectResponse",
    "invalidContact",
    "invalidProfile",
    "malformed",
    "onionCAARequired",
    "orderNotReady",
    "rateLimited",
    "rejectedIdentifier",
    "serverInternal",
    "tls",
    "unauthorized",
    "unknownDelegation",
    "unsupportedContact",
    "unsupportedIdentifier",
    "userActionRequired",
];

pub(crate) const PROMISES: &[Promise] = &[
    must("6.6", "what exceeds a rate limit is rateLimited", |server| {
        server.where_orders_are_limited(|server| {
            let _ = beyond_the_rate(server).refused_as("rateLimited");
        });
    }),
    should("6.6", "whoever exceeds a rate limit is told when to come back", |server| {
        server.where_orders_are_limited(|server| {
            let answer = beyond_the_rate(server).refused();
            assert!(answer.header("Retry-After").is_some(), "got {answer}");
        });
    }),
    should("6.7", "errors are problem documents", |server| {
        for answer in errors(server) {
            assert_eq!(answer.media_type(), "application/problem+json", "got {answer}");
            assert!(answer.json()["type"].is_string(), "got {answer}");
        }
    }),
    must("6.7", "types in ACME's namespace are registered ones", |server| {
        for answer in errors(server) {
            let kind = answer.json()["type"].as_str().unwrap_or_default().to_owned();
            if let Some(kind) = kind.strip_prefix("urn:ietf:params:acme:") {
                let token = kind.strip_prefix("error:");
                assert!(token.is_some_and(|token| REGISTERED.contains(&token)), "{kind}");
            }
        }
    }),
    must("6.7", "the status in a problem document is the answer's (RFC 9457 section 3.1.2)", |server| {
        for answer in errors(server) {
            let status = answer.json()["status"].clone();
            assert!(status.is_null() || status == json!(answer.status), "got {answer}");
        }
    }),
    should("6.7", "errors say in words what is wrong", |server| {
        for answer in errors(server) {
            assert!(answer.json()["detail"].as_str().is_some_and(|text| !text.is_empty()), "got {answer}");
        }
    }),
    must("6.7", "a problem document has no identifier at its top level", |server| {
        let answer = two_bad_names(server);
        assert!(answer.json()["identifier"].is_null(), "got {answer}");
    }),
    must("6.7", "the identifier of a subproblem is an ACME identifier", |server| {
        let answer = two_bad_names(server);
        let Some(subproblems) = answer.json()["subproblems"].as_array().cloned() else {
            not_applicable("it has no subproblems");
        };
        for subproblem in subproblems {
            let identifier = &subproblem["identifier"];
            let is_one = identifier["type"].is_string() && identifier["value"].is_string();
            assert!(identifier.is_null() || is_one, "{subproblem}");
        }
    }),
];

fn beyond_the_rate(server: &Server) -> Response {
    let account = server.account();
    let _ = server.order(&account);
    account.post(&server.url("newOrder"), &identifiers(&[&server.name()]))
}

/// One error of each of many kinds.
fn errors(server: &Server) -> Vec<Response> {
    let (account, new_order) = (server.owner(), server.url("newOrder"));
    let good = || server.good();
    let order = server.order(account);
    let csr = Csr::new(&[&order.names()[0]]).to_der();
    let answers = vec![
        server.client.send(&good().with("nonce", "AAAA").request()),
        server.client.send(&good().with("alg", "ES999").request()),
        server.client.send(&good().with("url", "https://other.example/").request()),
        server.client.send(&good().signed_by(&Key::new()).request()),
        server.client.send(&good().with_payload("[]").request()),
        server.client.send(&good().request().without("Content-Type")),
        server.post_body(&new_order, "hello"),
        server.get(&new_order),
        account.post(&new_order, &json!({"identifiers": [{"type": "nothing", "value": "x"}]})),
        account.finalize(&order, &csr),
        server.client.new_account(&Key::new(), &json!({"onlyReturnExisting": true})),
    ];
    answers.into_iter().map(Expect::refused).collect()
}

/// An order that is refused for two reasons.
fn two_bad_names(server: &Server) -> Response {
    let names = ["a..example.org", "*.*.example.org"];
    let payload: Value = identifiers(&names);
    server.owner().post(&server.url("newOrder"), &payload).refused()
}
