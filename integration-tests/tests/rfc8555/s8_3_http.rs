//! RFC 8555 section 8.3: HTTP challenge.

use std::collections::BTreeSet;

use integration_tests::{Answer, Object};

use crate::{
    promise::{Promise, must, should},
    server::{Server, challenge, respond},
};

pub(crate) const PROMISES: &[Promise] = &[
    must("8.3", "tokens have at least 128 bits, and no characters but those of base64url", |server| {
        assert_token(&offered(server).1);
    }),
    must("8.3", "tokens are all different", |server| {
        let tokens: BTreeSet<_> = (0..10).map(|_| offered(server).1.text("token")).collect();
        assert_eq!(tokens.len(), 10);
    }),
    must("8.3", "what is asked for is the token below /.well-known/acme-challenge/, by GET", |server| {
        let (authorization, challenge) = offered(server);
        let token = challenge.text("token");
        let target = format!("/.well-known/acme-challenge/{token}");
        let right = server.owner().key_authorization(&token);
        server.responder.answer(&target, Answer::text(200, right));
        assert_eq!(respond(server.owner(), &authorization, &challenge).status(), "valid");
        assert!(server.responder.requests_for(&token) >= 1);
    }),
    must("8.3", "a key authorization in place makes the authorization valid", |server| {
        assert_eq!(ends(server, |right| Answer::text(200, right)), "valid");
    }),
    must("8.3", "a wrong body makes it invalid", |server| {
        assert_eq!(ends(server, |_| Answer::text(200, "wrong")), "invalid");
        assert_eq!(ends(server, |_| Answer::text(200, "")), "invalid");
    }),
    must("8.3", "nothing in place makes it invalid", |server| {
        let (authorization, challenge) = offered(server);
        assert_eq!(respond(server.owner(), &authorization, &challenge).status(), "invalid");
    }),
    must("8.3", "an error with the right body makes it invalid", |server| {
        assert_eq!(ends(server, |right| Answer::text(404, right)), "invalid");
    }),
    must("8.3", "text around the key authorization makes it invalid", |server| {
        assert_eq!(ends(server, |right| Answer::text(200, format!("x{right}"))), "invalid");
        assert_eq!(ends(server, |right| Answer::text(200, format!("{right}x"))), "invalid");
    }),
    should("8.3", "white space at the end of the body is ignored", |server| {
        for space in ["\n", "\r\n", " \t\n\n"] {
            let end = ends(server, |right| Answer::text(200, format!("{right}{space}")));
            assert_eq!(end, "valid", "{space:?}");
        }
    }),
    should("8.3", "redirects are followed", |server| {
        for status in [301, 302, 307, 308] {
            let (authorization, challenge) = offered(server);
            let token = challenge.text("token");
            let (port, right) = (server.responder.port(), server.owner().key_authorization(&token));
            server.responder.answer(&format!("/elsewhere/{token}"), Answer::text(200, right));
            let location = format!("http://{}:{port}/elsewhere/{token}", server.domain);
            server.responder.answer_token(&token, Answer::redirect(status, &location));
            let end = respond(server.owner(), &authorization, &challenge);
            assert_eq!(end.status(), "valid", "{status}: {}", end.json);
        }
    }),
    must("8.3", "a redirect that leads nowhere makes it invalid", |server| {
        let (authorization, challenge) = offered(server);
        let token = challenge.text("token");
        let port = server.responder.port();
        let again = format!("http://{}:{port}/.well-known/acme-challenge/{token}", server.domain);
        server.responder.answer_token(&token, Answer::redirect(302, &again));
        assert_eq!(respond(server.owner(), &authorization, &challenge).status(), "invalid");
    }),
];

/// A token as every challenge has it.
pub(crate) fn assert_token(challenge: &Object) {
    let token = challenge.text("token");
    let is_right = |char: char| char.is_ascii_alphanumeric() || char == '-' || char == '_';
    assert!(token.chars().all(is_right), "{token}");
    assert!(token.len() * 6 >= 128, "{token} has less than 128 bits");
}

/// A new authorization and its challenge.
fn offered(server: &Server) -> (Object, Object) {
    let account = server.owner();
    let authorization = account.authorizations(&server.order(account)).remove(0);
    let challenge = challenge(&authorization, "http-01");
    (authorization, challenge)
}

/// The end of an authorization whose challenge is answered with this, made of the right key authorization.
fn ends(server: &Server, answer: impl Fn(String) -> Answer) -> String {
    let (authorization, challenge) = offered(server);
    let token = challenge.text("token");
    server.responder.answer_token(&token, answer(server.owner().key_authorization(&token)));
    respond(server.owner(), &authorization, &challenge).status().to_owned()
}
