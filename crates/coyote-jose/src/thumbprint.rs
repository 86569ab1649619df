use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::base64url::{self, Invalid};

/// The SHA-256 thumbprint of a public key: its name, wherever the key itself would be too long. RFC 7638.
///
/// As text, and so in JSON, it is base64url.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Thumbprint([u8; 32]);

impl Thumbprint {
    /// The thumbprint that is this digest, as read back from where it was stored.
    #[must_use]
    pub fn from_bytes(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The digest.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64url::encode(self.0))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thumbprint({self})")
    }
}

impl FromStr for Thumbprint {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.len() != 43 {
            return Err(Invalid);
        }
        let digest = base64url::decode(text)?;
        digest.try_into().map(Self).map_err(|_| Invalid)
    }
}

impl Serialize for Thumbprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Thumbprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_its_text_in_json_and_back() {
        let thumbprint = Thumbprint::from_bytes([7; 32]);
        let json = serde_json::to_string(&thumbprint).unwrap();

        assert_eq!(json, format!("\"{thumbprint}\""));
        assert_eq!(serde_json::from_str::<Thumbprint>(&json).unwrap(), thumbprint);
    }

    #[test]
    fn a_text_of_another_length_is_none() {
        for text in ["", "AAAA", &"A".repeat(42), &"A".repeat(44), &"=".repeat(43)] {
            assert_eq!(text.parse::<Thumbprint>(), Err(Invalid), "{text:?} is refused");
        }
    }
}
