//! Base64url as RFC 7515 section 2 defines and RFC 8555 section 6.1 demands it.
//!
//! No padding, no white space, nothing of the standard alphabet, and no bits set that the last character
//! has to spare: every byte string has exactly one encoding, so texts may be compared instead of bytes.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The text is not base64url.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not unpadded base64url")]
pub struct Invalid;

/// Encodes without padding.
#[must_use]
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Decodes what [`encode`] can have produced, and nothing else.
///
/// # Errors
///
/// [`Invalid`] for anything that `encode` does not produce.
pub fn decode(text: &str) -> Result<Vec<u8>, Invalid> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Invalid)
}

/// Whether [`decode`] would succeed; answers without allocating.
#[must_use]
pub fn is_valid(text: &str) -> bool {
    let Some(&last) = text.as_bytes().last() else { return true };
    let spare_bits = match text.len() % 4 {
        0 => 0,
        2 => 0b1111,
        3 => 0b11,
        _ => return false,
    };
    text.bytes().all(|byte| value(byte).is_some()) && value(last).is_some_and(|value| value & spare_bits == 0)
}

/// What a character of the alphabet stands for. RFC 4648 section 5.
fn value(character: u8) -> Option<u8> {
    match character {
        b'A'..=b'Z' => Some(character - b'A'),
        b'a'..=b'z' => Some(character - b'a' + 26),
        b'0'..=b'9' => Some(character - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 7515 appendix C.
    #[test]
    fn encodes_as_the_rfc_does() {
        assert_eq!(encode([3, 236, 255, 224, 193]), "A-z_4ME");
        assert_eq!(decode("A-z_4ME"), Ok(vec![3, 236, 255, 224, 193]));
        assert_eq!(decode(""), Ok(vec![]));
    }

    #[test]
    fn refuses_every_other_spelling() {
        for (text, why) in [
            ("A-z_4ME=", "padding"),
            ("QQ==", "padding"),
            ("A+z/4ME", "the standard alphabet"),
            ("A-z_\n4ME", "a newline"),
            (" A-z_4ME", "a space"),
            ("A-z_4", "a length that no byte string has"),
            ("QR", "bits that mean nothing (two characters)"),
            ("QUF", "bits that mean nothing (three characters)"),
            ("\u{fc}QQ", "a character outside ASCII"),
            ("A\0", "NUL"),
            ("=", "nothing but padding"),
        ] {
            assert_eq!(decode(text), Err(Invalid), "{why} is refused");
            assert!(!is_valid(text), "{why} is not valid");
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_decodes_to_itself(bytes: Vec<u8>) {
            let text = encode(&bytes);
            prop_assert!(is_valid(&text));
            prop_assert_eq!(decode(&text), Ok(bytes));
        }

        #[test]
        fn whatever_decodes_has_one_spelling(text in "[A-Za-z0-9_=+/ -]{0,12}") {
            let decoded = decode(&text);
            prop_assert_eq!(is_valid(&text), decoded.is_ok());
            if let Ok(bytes) = decoded {
                prop_assert_eq!(encode(bytes), text);
            }
        }
    }
}
