//! Renewal information (ARI). RFC 9773.

use std::fmt;
use std::str::FromStr;

use coyote_jose::base64url;
use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::text::serde_as_text;

/// When the server suggests to renew a certificate. RFC 9773 section 4.2.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RenewalInfo {
    /// The window to renew in, at a random time.
    pub suggested_window: SuggestedWindow,
    /// A page that says why the window is what it is.
    #[serde(rename = "explanationURL", default, skip_serializing_if = "Option::is_none")]
    pub explanation_url: Option<String>,
}

/// A period of time.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SuggestedWindow {
    /// When it begins.
    pub start: Timestamp,
    /// When it ends; later than `start`.
    pub end: Timestamp,
}

/// What names a certificate in a URL and in an order's `replaces`: the key identifier of its authority
/// and its serial number. RFC 9773 section 4.1.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CertificateIdentifier {
    authority_key_identifier: Vec<u8>,
    serial: Vec<u8>,
}

impl CertificateIdentifier {
    /// The most characters an identifier has here. Key identifiers have 20 octets, serial numbers up to 20.
    pub const MAX_LENGTH: usize = 256;

    /// Names the certificate with this keyIdentifier in its authority key identifier extension and this
    /// serial number, big-endian and not negative.
    pub fn new(authority_key_identifier: impl Into<Vec<u8>>, serial: &[u8]) -> Self {
        let leading_zeros = serial.iter().take_while(|&&octet| octet == 0).count();
        Self {
            authority_key_identifier: authority_key_identifier.into(),
            serial: serial.iter().skip(leading_zeros).copied().collect(),
        }
    }

    /// The keyIdentifier of the authority key identifier extension.
    pub fn authority_key_identifier(&self) -> &[u8] {
        &self.authority_key_identifier
    }

    /// The serial number, big-endian without leading zeros.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }
}

impl fmt::Display for CertificateIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key_identifier = base64url::encode(&self.authority_key_identifier);
        write!(f, "{key_identifier}.{}", base64url::encode(der_integer(&self.serial)))
    }
}

/// The content octets of a DER INTEGER: a leading zero keeps the number from being negative.
fn der_integer(magnitude: &[u8]) -> Vec<u8> {
    let needs_zero = magnitude.first().is_none_or(|&octet| octet >= 0x80);
    let mut octets = if needs_zero { vec![0] } else { Vec::new() };
    octets.extend_from_slice(magnitude);
    octets
}

/// Reads the one spelling that [`CertificateIdentifier`] prints.
impl FromStr for CertificateIdentifier {
    type Err = InvalidCertificateIdentifier;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > Self::MAX_LENGTH {
            return Err(InvalidCertificateIdentifier);
        }
        let (key_identifier, serial) = text.split_once('.').ok_or(InvalidCertificateIdentifier)?;
        let decode = |part| base64url::decode(part).map_err(|_| InvalidCertificateIdentifier);
        let (key_identifier, octets) = (decode(key_identifier)?, decode(serial)?);
        let identifier = Self::new(key_identifier, &octets);
        // Negative numbers and superfluous zeros do not come back as they were.
        if identifier.authority_key_identifier.is_empty() || der_integer(&identifier.serial) != octets {
            return Err(InvalidCertificateIdentifier);
        }
        Ok(identifier)
    }
}

serde_as_text!(CertificateIdentifier);

/// The text does not name a certificate as RFC 9773 section 4.1 does.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "not a certificate identifier: the base64url of a key identifier and of a serial number, with a dot between"
)]
pub struct InvalidCertificateIdentifier;

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9773 section 4.1 and appendix A.
    const EXAMPLE: &str = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE";

    #[test]
    fn the_example_of_the_rfc_round_trips() {
        let identifier: CertificateIdentifier = EXAMPLE.parse().expect("an identifier");
        assert_eq!(identifier.serial(), [0x87, 0x65, 0x43, 0x21], "without the octet for the sign");
        assert_eq!(identifier.authority_key_identifier().len(), 20);
        assert_eq!(identifier.to_string(), EXAMPLE);
    }

    #[test]
    fn a_certificate_has_one_identifier() {
        let key_identifier = [0x69; 20];
        let name = |serial: &[u8]| CertificateIdentifier::new(key_identifier, serial).to_string();
        assert_eq!(name(&[0, 0, 1]), name(&[1]));
        assert!(name(&[0x7f]).ends_with(".fw"));
        assert!(name(&[0x80]).ends_with(".AIA"));
        assert!(name(&[]).ends_with(".AA"), "zero is one octet");
    }

    #[test]
    fn any_other_spelling_is_refused() {
        let wrong = [
            "",
            ".",
            "x.y",
            "aYhba4dGQEHhs3uEe6CuLN4ByNQ",
            "aYhba4dGQEHhs3uEe6CuLN4ByNQ.",
            ".AIdlQyE",
            "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE.AIdlQyE",
            "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE=",
            "aYhba4dGQEHhs3uEe6CuLN4ByNQ.h2VDIQ",  // negative
            "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AAE",     // a zero too many
            "aYhba4dGQEHhs3uEe6CuLN4ByNR.AIdlQyE", // bits behind the last octet
        ];
        for text in wrong {
            assert_eq!(text.parse::<CertificateIdentifier>(), Err(InvalidCertificateIdentifier), "{text:?}");
        }
        assert!(format!("{}.AQ", "a".repeat(256)).parse::<CertificateIdentifier>().is_err());
    }
}
