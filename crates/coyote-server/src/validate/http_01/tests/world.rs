//! What the tests of http-01 share: answers, and a world in which they are given.

use crate::validate::Http01;
pub(super) use crate::validate::testing::{
    ALLOWED, DENIED, Outcome, Stranger, World, key_authorization, path, read_head, token,
};

/// A response with this status line and header fields; the body is framed by the end of the connection.
pub(super) fn response(status: &str, fields: &[&str], body: &str) -> Vec<u8> {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    format!("HTTP/1.1 {status}\r\n{fields}\r\n{body}").into_bytes()
}

/// The right answer.
pub(super) fn right() -> Vec<u8> {
    response("200 OK", &[], key_authorization().as_str())
}

pub(super) fn redirect(location: &str) -> Vec<u8> {
    response("302 Found", &[&format!("Location: {location}")], "")
}

impl World {
    /// One in which the challenged server is at the port of this stranger.
    pub(super) fn of(stranger: &Stranger) -> Self {
        // Nothing listens at port 1.
        Self::at(stranger.port, 1)
    }

    /// Tries to validate `a.test`.
    pub(super) async fn validate(self) -> Outcome {
        self.validate_identifier("dns", "a.test").await
    }

    pub(super) async fn validate_identifier(self, kind: &str, value: &str) -> Outcome {
        self.ask(&Http01, kind, value).await
    }
}
