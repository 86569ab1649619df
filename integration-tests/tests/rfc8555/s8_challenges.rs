//! RFC 8555 sections 8.1 and 8.2: key authorizations and retries.

use std::{
    sync::Arc,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use integration_tests::{Account, Answer, Object, eventually};
use serde_json::json;

use crate::{
    promise::{Promise, must, not_applicable, should},
    server::{PATIENCE, Server, challenge, decided, respond},
};

pub(crate) const PROMISES: &[Promise] = &[
    must("8.1", "a key authorization is the token and the thumbprint of the account's key", |server| {
        assert_eq!(answered(server, |account, token| account.key_authorization(token)).status(), "valid");
    }),
    must("8.1", "a key authorization with another account's key is not accepted", |server| {
        let other = server.account();
        let end = answered(server, move |_, token| other.key_authorization(token));
        assert_eq!(end.status(), "invalid");
    }),
    must("8.1", "a token alone is not accepted", |server| {
        assert_eq!(answered(server, |_, token| token.to_owned()).status(), "invalid");
    }),
    must("8.1", "a key authorization with another token is not accepted", |server| {
        let end =
            answered(server, |account, token| account.key_authorization(&token.replace(&token[..4], "AAAA")));
        assert_eq!(end.status(), "invalid");
    }),
    should("8.2", "a validation that fails at first is tried again after some time", |server| {
        let (account, authorization) = (server.owner(), pending(server));
        let challenge = challenge(&authorization, "http-01");
        only_the_second_time(server, account, &challenge);
        assert_eq!(respond(account, &authorization, &challenge).status(), "valid");
    }),
    must("8.2", "while it is tried again, the challenge is processing, with the error so far", |server| {
        let (account, authorization) = (server.owner(), pending(server));
        let challenge = challenge(&authorization, "http-01");
        server.responder.answer_token(&challenge.text("token"), Answer::bytes(""));
        let _ = account.post(&challenge.url, &json!({})).expect(200);
        let seen = eventually("an error is shown", PATIENCE, || {
            let seen = account.read(&challenge.url);
            (!seen.json["error"].is_null() || seen.status() == "invalid").then_some(seen)
        });
        if seen.status() == "invalid" {
            not_applicable("it does not try again, or not for long enough to be seen");
        }
        assert_eq!(seen.status(), "processing", "{}", seen.json);
        let _ = decided(account, &authorization.url);
    }),
    should("8.2", "while it is tried again, it says when to come back", |server| {
        let (account, authorization) = (server.owner(), pending(server));
        let challenge = challenge(&authorization, "http-01");
        server.responder.answer_token(&challenge.text("token"), Answer::bytes(""));
        let _ = account.post(&challenge.url, &json!({})).expect(200);
        let answer = eventually("an error is shown", PATIENCE, || {
            let answer = account.post_as_get(&challenge.url).expect(200);
            let is_decided = answer.json()["status"] == "invalid";
            (!answer.json()["error"].is_null() || is_decided).then_some(answer)
        });
        if answer.json()["status"] == "invalid" {
            not_applicable("it does not try again, or not for long enough to be seen");
        }
        assert!(answer.header("Retry-After").is_some(), "got {answer}");
        let _ = decided(account, &authorization.url);
    }),
    must("8.2", "the challenge is invalid once the server has given up", |server| {
        let (account, authorization) = (server.owner(), pending(server));
        let challenge = challenge(&authorization, "http-01");
        server.responder.answer_token(&challenge.text("token"), Answer::bytes(""));
        let end = respond(account, &authorization, &challenge);
        assert_eq!((end.status(), end.challenge("http-01").status()), ("invalid", "invalid"));
    }),
    must("8.2", "a response that is sent again while the validation goes on does no harm", |server| {
        let (account, authorization) = (server.owner(), pending(server));
        let challenge = server.provision(account, &authorization);
        let token = challenge.text("token");
        let right = account.key_authorization(&token);
        let slow = Answer::of(move |stream| {
            std::thread::sleep(Duration::from_millis(300));
            let _ = std::io::Write::write_all(
                stream,
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{right}", right.len()).as_bytes(),
            );
        });
        server.responder.answer_token(&token, slow);
        let _ = account.post(&challenge.url, &json!({})).expect(200);
        let _ = account.post(&challenge.url, &json!({}));
        assert_eq!(decided(account, &authorization.url).status(), "valid");
    }),
];

fn pending(server: &Server) -> Object {
    let account = server.owner();
    account.authorizations(&server.order(account)).remove(0)
}

/// An http-01 challenge, answered with what this makes of its token.
fn answered(server: &Server, answer: impl Fn(&Account, &str) -> String) -> Object {
    let (account, authorization) = (server.owner(), pending(server));
    let challenge = challenge(&authorization, "http-01");
    let token = challenge.text("token");
    server.responder.answer_token(&token, Answer::text(200, answer(account, &token)));
    respond(account, &authorization, &challenge)
}

/// Has the first to ask hung up on, and the next answered rightly.
fn only_the_second_time(server: &Server, account: &Account, challenge: &Object) {
    let token = challenge.text("token");
    let (asked, right) = (Arc::new(AtomicUsize::new(0)), account.key_authorization(&token));
    let answer = Answer::of(move |stream| {
        if asked.fetch_add(1, Ordering::Relaxed) > 0 {
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", right.len());
            let _ = std::io::Write::write_all(stream, (head + &right).as_bytes());
        }
    });
    server.responder.answer_token(&token, answer);
}
