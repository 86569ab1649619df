//! Revocation. RFC 8555 section 7.6.

use std::fmt;

use coyote_jose::base64url;
use serde::{Deserialize, Serialize};

use crate::{Problem, ProblemType};

/// The payload of a revokeCert request.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RevokeCertificate {
    /// The certificate, in base64url of its DER.
    pub certificate: String,
    /// The code of a [`RevocationReason`], not yet judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<u8>,
}

impl RevokeCertificate {
    /// Asks for the revocation of this certificate, in DER.
    pub fn from_der(certificate: impl AsRef<[u8]>, reason: Option<RevocationReason>) -> Self {
        Self { certificate: base64url::encode(certificate), reason: reason.map(RevocationReason::code) }
    }

    /// The certificate, decoded to what should be DER.
    ///
    /// # Errors
    ///
    /// If it is not base64url without padding.
    pub fn der(&self) -> Result<Vec<u8>, base64url::Invalid> {
        base64url::decode(&self.certificate)
    }
}

/// Defines [`RevocationReason`]: each reason once, with its code and its name.
macro_rules! revocation_reasons {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $name:literal;)*) => {
        /// Why a certificate is revoked: a CRLReason. RFC 5280 section 5.3.1, which has no code 7.
        ///
        /// In JSON it is its code.
        #[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
        #[serde(try_from = "u8", into = "u8")]
        #[repr(u8)]
        pub enum RevocationReason {
            $($(#[$doc])* $variant = $code,)*
        }

        impl RevocationReason {
            /// Every reason there is, by code.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The code, as in a CRL entry.
            pub const fn code(self) -> u8 {
                match self { $(Self::$variant => $code,)* }
            }

            /// The name that RFC 5280 gives it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }

        impl TryFrom<u8> for RevocationReason {
            type Error = UnknownReason;

            fn try_from(code: u8) -> Result<Self, Self::Error> {
                match code {
                    $($code => Ok(Self::$variant),)*
                    _ => Err(UnknownReason(code)),
                }
            }
        }
    };
}

revocation_reasons! {
    /// No reason is given.
    Unspecified = 0, "unspecified";
    /// The certificate's private key is known to others.
    KeyCompromise = 1, "keyCompromise";
    /// The CA's private key is known to others.
    CaCompromise = 2, "cACompromise";
    /// The subject is no longer what the certificate says.
    AffiliationChanged = 3, "affiliationChanged";
    /// Another certificate has taken its place.
    Superseded = 4, "superseded";
    /// It is no longer needed.
    CessationOfOperation = 5, "cessationOfOperation";
    /// It is suspended.
    CertificateHold = 6, "certificateHold";
    /// Its suspension has ended; for delta CRLs.
    RemoveFromCrl = 8, "removeFromCRL";
    /// Its subject may no longer have it.
    PrivilegeWithdrawn = 9, "privilegeWithdrawn";
    /// The attribute authority's private key is known to others.
    AaCompromise = 10, "aACompromise";
}

/// The code.
impl From<RevocationReason> for u8 {
    fn from(reason: RevocationReason) -> Self {
        reason.code()
    }
}

/// The name.
impl fmt::Display for RevocationReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No revocation reason has this code.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no revocation reason has the code {0}")]
pub struct UnknownReason(pub u8);

impl From<UnknownReason> for Problem {
    fn from(error: UnknownReason) -> Self {
        Self::new(ProblemType::BadRevocationReason, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_those_of_rfc_5280() {
        let codes: Vec<_> = RevocationReason::ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 8, 9, 10]);
        for &reason in RevocationReason::ALL {
            assert_eq!(RevocationReason::try_from(reason.code()), Ok(reason));
            assert_eq!(serde_json::to_value(reason).expect("JSON"), reason.code());
        }
    }

    #[test]
    fn another_code_is_a_bad_revocation_reason() {
        for code in [7, 11, 99, 255] {
            let error = RevocationReason::try_from(code).expect_err("no such reason");
            assert_eq!(Problem::from(error).kind, ProblemType::BadRevocationReason);
            assert!(serde_json::from_value::<RevocationReason>(code.into()).is_err());
        }
    }

    #[test]
    fn the_certificate_must_be_base64url_without_padding() {
        let request = RevokeCertificate::from_der([1, 2, 3, 4], Some(RevocationReason::Superseded));
        assert_eq!(request.der().ok(), Some(vec![1, 2, 3, 4]));
        for wrong in ["AQIDBA==", "AQ+/", "-----BEGIN CERTIFICATE-----"] {
            let request = RevokeCertificate { certificate: wrong.to_owned(), reason: None };
            assert!(request.der().is_err(), "{wrong}");
        }
    }
}
