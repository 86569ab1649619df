//! Challenges. RFC 8555 sections 7.1.5, 7.5.1 and 8.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use coyote_jose::base64url;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::text::{is_base64url, serde_as_text, statuses};
use crate::{Problem, Timestamp};

statuses! {
    /// The status of a challenge. RFC 8555 section 7.1.6.
    pub enum ChallengeStatus {
        /// Waits for the client to respond.
        Pending = "pending",
        /// Waits for the server to validate; it may already have tried, and failed.
        Processing = "processing",
        /// Met.
        Valid = "valid",
        /// Failed.
        Invalid = "invalid",
    }
}

/// The name of a validation method, from the IANA registry or an embedder's own.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct ChallengeType(Cow<'static, str>);

impl ChallengeType {
    /// RFC 8555 section 8.3.
    pub const HTTP_01: Self = Self(Cow::Borrowed("http-01"));
    /// RFC 8555 section 8.4.
    pub const DNS_01: Self = Self(Cow::Borrowed("dns-01"));
    /// RFC 8737 section 3.
    pub const TLS_ALPN_01: Self = Self(Cow::Borrowed("tls-alpn-01"));
    /// draft-ietf-acme-dns-account-label.
    pub const DNS_ACCOUNT_01: Self = Self(Cow::Borrowed("dns-account-01"));
    /// draft-ietf-acme-dns-persist.
    pub const DNS_PERSIST_01: Self = Self(Cow::Borrowed("dns-persist-01"));
    /// draft-ietf-acme-device-attest.
    pub const DEVICE_ATTEST_01: Self = Self(Cow::Borrowed("device-attest-01"));
    /// RFC 9799 section 3.2.
    pub const ONION_CSR_01: Self = Self(Cow::Borrowed("onion-csr-01"));
    /// RFC 9447.
    pub const TKAUTH_01: Self = Self(Cow::Borrowed("tkauth-01"));
    /// RFC 8823.
    pub const EMAIL_REPLY_00: Self = Self(Cow::Borrowed("email-reply-00"));

    /// A method by its name.
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChallengeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The challenge object.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Challenge {
    /// The validation method.
    #[serde(rename = "type")]
    pub kind: ChallengeType,
    /// Where the client responds.
    pub url: String,
    /// Its status.
    pub status: ChallengeStatus,
    /// When it was met. Always there if it is valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validated: Option<Timestamp>,
    /// Why it failed, or why it has not been met yet. RFC 8555 section 8.2, erratum 5732.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Problem>,
    /// The random value of methods that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Token>,
    /// What else the method's own specification puts into the object.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The payload of a request to a challenge URL: `{}` for most methods. RFC 8555 section 7.5.1, erratum 5729.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct ChallengeResponse(pub Map<String, Value>);

/// The random value of a challenge: at least 128 bits in base64url. RFC 8555 section 8.
///
/// Being base64url it can stand in a URL path, a DNS record or a shell without harm, and clients should
/// insist on that as much as servers do.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Token(String);

impl Token {
    /// The fewest characters that hold 128 bits.
    pub const MIN_LENGTH: usize = 22;
    /// The most characters a token has here.
    pub const MAX_LENGTH: usize = 256;

    /// Writes these random bytes as a token. There must be 16 to 192 of them, which the compiler checks.
    pub fn from_bytes<const N: usize>(bytes: &[u8; N]) -> Self {
        const { assert!(N >= 16 && N <= Self::MAX_LENGTH / 4 * 3, "16 to 192 bytes") };
        Self(base64url::encode(bytes))
    }

    /// Reads a token.
    ///
    /// # Errors
    ///
    /// If it is anything but base64url of [`MIN_LENGTH`](Self::MIN_LENGTH) to
    /// [`MAX_LENGTH`](Self::MAX_LENGTH) characters.
    pub fn parse(text: &str) -> Result<Self, InvalidToken> {
        let fits = (Self::MIN_LENGTH..=Self::MAX_LENGTH).contains(&text.len());
        if fits && is_base64url(text) { Ok(Self(text.to_owned())) } else { Err(InvalidToken) }
    }

    /// The token as it is written on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Token {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

serde_as_text!(Token);

/// The text is not a challenge token.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a token: 22 to 256 characters of base64url")]
pub struct InvalidToken;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_holds_at_least_128_bits() {
        assert_eq!(Token::from_bytes(&[0xff; 16]).as_str().len(), Token::MIN_LENGTH);
        assert_eq!(Token::parse(&"a".repeat(22)).map(|token| token.to_string()), Ok("a".repeat(22)));
        for length in [0, 20, 257, 100_000] {
            assert_eq!(Token::parse(&"a".repeat(length)), Err(InvalidToken), "{length} characters");
        }
    }

    #[test]
    fn a_token_is_harmless_wherever_it_is_put() {
        for wrong in
            ["../../../../../../etc/passwd", "$(touch${IFS}pwned)aaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaaa=="]
        {
            assert_eq!(Token::parse(wrong), Err(InvalidToken), "{wrong:?}");
        }
    }

    #[test]
    fn a_response_is_an_object() {
        let read = |json| serde_json::from_str::<ChallengeResponse>(json);
        assert_eq!(read("{}").expect("the usual response"), ChallengeResponse::default());
        assert_eq!(read(r#"{"tkauth":"x"}"#).expect("a response").0["tkauth"], "x");
        for wrong in ["[]", "1", "null", r#""""#] {
            assert!(read(wrong).is_err(), "{wrong} is no object");
        }
    }

    #[test]
    fn what_a_method_adds_to_its_challenge_is_kept() {
        let json = serde_json::json!({
            "type": "dns-persist-01", "url": "https://ca.example/chall/1", "status": "pending",
            "issuer-domain-names": ["ca.example"]
        });
        let challenge: Challenge = serde_json::from_value(json.clone()).expect("a challenge");
        assert_eq!(challenge.kind, ChallengeType::DNS_PERSIST_01);
        assert_eq!(serde_json::to_value(&challenge).expect("JSON"), json);
    }
}
