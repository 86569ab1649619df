//! Anti-replay nonces. RFC 8555 section 6.5.

use std::fmt;
use std::str::FromStr;

use coyote_jose::base64url;

use crate::text::{is_base64url, serde_as_text};
use crate::{Problem, ProblemType};

/// The name of the header that carries a fresh nonce. RFC 8555 section 6.5.1.
pub const REPLAY_NONCE: &str = "Replay-Nonce";

/// A nonce: base64url of bounded length, hence harmless in a header, a key or a query.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Nonce(String);

impl Nonce {
    /// The most characters a nonce has here.
    pub const MAX_LENGTH: usize = 128;

    /// Writes these bytes as a nonce. There must be at least one and at most 96, which the compiler checks.
    pub fn from_bytes<const N: usize>(bytes: &[u8; N]) -> Self {
        const { assert!(N >= 1 && N <= Self::MAX_LENGTH / 4 * 3, "1 to 96 bytes") };
        Self(base64url::encode(bytes))
    }

    /// Reads a nonce as a client sends it back.
    ///
    /// # Errors
    ///
    /// See [`InvalidNonce`].
    pub fn parse(text: &str) -> Result<Self, InvalidNonce> {
        if text.len() > Self::MAX_LENGTH {
            return Err(InvalidNonce::TooLong);
        }
        if !is_base64url(text) {
            return Err(InvalidNonce::NotBase64url);
        }
        Ok(Self(text.to_owned()))
    }

    /// The nonce as it is written on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Nonce {
    type Err = InvalidNonce;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

serde_as_text!(Nonce);

/// Why a text is not a nonce.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidNonce {
    /// No nonce looks like this: `malformed`. RFC 8555 section 6.5.2.
    #[error("the nonce is not base64url")]
    NotBase64url,
    /// This may be a nonce, but not one of ours: `badNonce`.
    #[error("the nonce is longer than any this server issues")]
    TooLong,
}

impl From<InvalidNonce> for Problem {
    fn from(error: InvalidNonce) -> Self {
        let kind = match error {
            InvalidNonce::NotBase64url => ProblemType::Malformed,
            InvalidNonce::TooLong => ProblemType::BadNonce,
        };
        Self::new(kind, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(text: &str) -> Option<ProblemType> {
        Nonce::parse(text).err().map(|error| Problem::from(error).kind)
    }

    #[test]
    fn what_is_minted_is_accepted() {
        assert_eq!(complaint(Nonce::from_bytes(&[0xff; 16]).as_str()), None);
        assert_eq!(complaint(Nonce::from_bytes(&[0; 96]).as_str()), None, "the longest there is");
    }

    #[test]
    fn what_is_not_base64url_is_malformed() {
        for text in ["", "x", "x\r\nFLUSHALL\r\n", "nonce:*", "ab\0c", "ab'c", "abc=", "ab+/", "äbcd"] {
            assert_eq!(complaint(text), Some(ProblemType::Malformed), "{text:?}");
        }
    }

    #[test]
    fn what_is_too_long_is_just_a_bad_nonce() {
        assert_eq!(complaint(&"a".repeat(128)), None);
        assert_eq!(complaint(&"a".repeat(130)), Some(ProblemType::BadNonce));
        assert_eq!(complaint(&"a".repeat(100 * 1024)), Some(ProblemType::BadNonce));
    }
}
