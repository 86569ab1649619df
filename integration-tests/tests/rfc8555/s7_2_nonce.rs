//! RFC 8555 section 7.2: getting a nonce.

use integration_tests::{Request, Response};

use crate::{
    promise::{Promise, must, should},
    server::{Server, identifiers},
};

pub(crate) const PROMISES: &[Promise] = &[
    must("7.2", "HEAD of newNonce is answered with a nonce", |server| {
        assert!(head(server).nonce().is_some());
    }),
    should("7.2", "HEAD of newNonce is 200", |server| {
        let _ = head(server).expect(200);
    }),
    must("7.2", "GET of newNonce is 204 with a nonce and without a body", |server| {
        let answer = server.get(&server.url("newNonce")).expect(204);
        assert!(answer.nonce().is_some() && answer.body.is_empty(), "got {answer}");
    }),
    must("7.2", "what newNonce answers is not to be stored", |server| {
        for answer in [head(server), server.get(&server.url("newNonce"))] {
            let control = answer.header("Cache-Control").unwrap_or_default().to_ascii_lowercase();
            assert!(control.split(',').any(|directive| directive.trim() == "no-store"), "got {answer}");
        }
    }),
    must("7.2", "a nonce of newNonce is good for a request", |server| {
        for answer in [head(server), server.get(&server.url("newNonce"))] {
            let payload = identifiers(&[&server.name()]);
            let signed = server.owner().signed(&server.url("newOrder"), &payload);
            let signed = signed.with("nonce", answer.nonce().expect("a nonce"));
            let _ = server.client.send(&signed.request()).expect(201);
        }
    }),
];

fn head(server: &Server) -> Response {
    server.client.http.send(&Request::new("HEAD", &server.client.http.target(&server.url("newNonce"))))
}
