//! What an answer is held to, where the RFC leaves choices.

use coyote_protocol::Timestamp;
use integration_tests::Response;
use serde_json::Value;

const NAMESPACE: &str = "urn:ietf:params:acme:error:";

/// What the RFC says of answers, whatever server they come from.
pub(crate) trait Expect {
    /// The type of a problem, without ACME's namespace; empty if there is none.
    fn kind(&self) -> String;
    /// It is a success of any kind.
    fn success(self) -> Self;
    /// It is an error that the client has made.
    fn refused(self) -> Self;
    /// It is such an error, with this type.
    fn refused_as(self, kind: &str) -> Self;
    /// It is an error of this status and this type.
    fn refused_with(self, status: u16, kind: &str) -> Self;
}

impl Expect for Response {
    fn kind(&self) -> String {
        let kind = self.json()["type"].as_str().unwrap_or_default().to_owned();
        kind.strip_prefix(NAMESPACE).map(str::to_owned).unwrap_or(kind)
    }

    #[track_caller]
    fn success(self) -> Self {
        assert!((200..300).contains(&self.status), "expected success, got {self}");
        self
    }

    #[track_caller]
    fn refused(self) -> Self {
        assert!((400..500).contains(&self.status), "expected a refusal, got {self}");
        self
    }

    #[track_caller]
    fn refused_as(self, kind: &str) -> Self {
        let answer = self.refused();
        assert_eq!(answer.kind(), kind, "got {answer}");
        answer
    }

    #[track_caller]
    fn refused_with(self, status: u16, kind: &str) -> Self {
        assert_eq!((self.status, &*self.kind()), (status, kind), "got {self}");
        self
    }
}

/// It is a time as in RFC 3339.
#[track_caller]
pub(crate) fn assert_timestamp(value: &Value) -> Timestamp {
    let time = value.as_str().and_then(|text| text.parse().ok());
    time.unwrap_or_else(|| panic!("{value} is no timestamp"))
}

/// It is a URL of HTTP.
#[track_caller]
pub(crate) fn assert_url(value: &Value) {
    let is_url = value.as_str().is_some_and(|url| url.starts_with("https://") || url.starts_with("http://"));
    assert!(is_url, "{value} is no URL");
}
