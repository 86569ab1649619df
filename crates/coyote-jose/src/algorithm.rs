use std::fmt;
use std::str::FromStr;

use openssl::hash::MessageDigest;

use crate::jwk::{EcCurve, JwkParameters};

/// One table for the enum, the names and the lists, so that none can lack what another has.
macro_rules! algorithms {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $kind:ident;)*) => {
        /// A JWS algorithm of RFC 7518 or RFC 8037 that this crate implements.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Algorithm { $($(#[$doc])* $variant,)* }

        impl Algorithm {
            /// Every algorithm, of both kinds.
            pub(crate) const ALL: &'static [Algorithm] = &[$(Algorithm::$variant,)*];

            /// The name in the `alg` header parameter.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Whether this is a MAC, made and checked with the same secret.
            #[must_use]
            pub fn is_mac(self) -> bool {
                match self { $(Self::$variant => algorithms!(@$kind),)* }
            }
        }
    };
    (@mac) => { true };
    (@signature) => { false };
}

algorithms! {
    /// ECDSA on P-256 with SHA-256.
    ES256 = "ES256", signature;
    /// ECDSA on P-384 with SHA-384.
    ES384 = "ES384", signature;
    /// ECDSA on P-521 with SHA-512.
    ES512 = "ES512", signature;
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256 = "RS256", signature;
    /// RSASSA-PSS with SHA-256, MGF1 with SHA-256 and a salt of 32 bytes.
    PS256 = "PS256", signature;
    /// Ed25519. RFC 8037.
    EdDSA = "EdDSA", signature;
    /// HMAC with SHA-256.
    HS256 = "HS256", mac;
    /// HMAC with SHA-384.
    HS384 = "HS384", mac;
    /// HMAC with SHA-512.
    HS512 = "HS512", mac;
}

impl Algorithm {
    /// The algorithms of requests, the preferred first; what `algorithms` in a `badSignatureAlgorithm`
    /// problem lists. RFC 8555 section 6.2.
    pub const SIGNATURES: &'static [Algorithm] =
        &[Self::ES256, Self::ES384, Self::ES512, Self::EdDSA, Self::RS256, Self::PS256];

    /// Whether a key with these parameters can make a signature of this algorithm.
    #[must_use]
    pub fn fits(self, key: &JwkParameters) -> bool {
        match key {
            JwkParameters::Ec { curve: EcCurve::P256, .. } => self == Self::ES256,
            JwkParameters::Ec { curve: EcCurve::P384, .. } => self == Self::ES384,
            JwkParameters::Ec { curve: EcCurve::P521, .. } => self == Self::ES512,
            JwkParameters::Rsa { .. } => matches!(self, Self::RS256 | Self::PS256),
            JwkParameters::Okp { .. } => self == Self::EdDSA,
        }
    }

    /// The hash that is signed; EdDSA brings its own.
    pub(crate) fn digest(self) -> MessageDigest {
        match self {
            Self::ES256 | Self::RS256 | Self::PS256 | Self::HS256 => MessageDigest::sha256(),
            Self::ES384 | Self::HS384 => MessageDigest::sha384(),
            Self::ES512 | Self::HS512 => MessageDigest::sha512(),
            Self::EdDSA => MessageDigest::null(),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name is not that of an [`Algorithm`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of an algorithm")]
pub struct UnknownAlgorithm;

/// Names are compared exactly: `es256` and `nOnE` are nobody's.
impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, UnknownAlgorithm> {
        Self::ALL.iter().copied().find(|algorithm| algorithm.name() == name).ok_or(UnknownAlgorithm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_is_found_by_its_name() {
        for &algorithm in Algorithm::ALL {
            assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
        }
        for name in ["none", "nOnE", " none", "es256", "ES256K", "PS512", "RS1", ""] {
            assert_eq!(name.parse::<Algorithm>(), Err(UnknownAlgorithm), "{name:?} is not supported");
        }
    }

    #[test]
    fn the_signatures_are_all_that_is_not_a_mac() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::SIGNATURES.contains(algorithm), !algorithm.is_mac(), "{algorithm}");
        }
    }
}
