use std::fmt;

use openssl::ec::EcKey;
use openssl::error::ErrorStack;
use openssl::pkey::{PKey, PKeyRef, Public};
use openssl::rsa::Padding;
use openssl::sign::{RsaPssSaltlen, Verifier};

use crate::algorithm::Algorithm;
use crate::ecdsa;
use crate::error::Error;
use crate::jwk::{self, EcCurve, Jwk, JwkParameters};
use crate::thumbprint::Thumbprint;

/// A public key, ready to verify signatures with: nothing is parsed again.
///
/// It can be shared between threads.
pub struct VerifyingKey {
    jwk: Jwk,
    thumbprint: Thumbprint,
    key: PKey<Public>,
    /// The same key again: verifying with it spares a DER round trip per signature.
    ec: Option<(EcCurve, EcKey<Public>)>,
}

impl VerifyingKey {
    /// Makes a key ready.
    ///
    /// # Errors
    ///
    /// [`Error::BadKey`] if there is no usable key behind the JWK: its point is not on the curve.
    pub fn new(jwk: &Jwk) -> Result<Self, Error> {
        let mut ec = None;
        let key = match jwk.parameters() {
            JwkParameters::Ec { curve, x, y } => {
                let key = jwk::ec::public_key(*curve, x, y)?;
                ec = Some((*curve, key.clone()));
                PKey::from_ec_key(key)?
            }
            JwkParameters::Rsa { n, e } => jwk::rsa::public_key(n, e)?,
            JwkParameters::Okp { x, .. } => jwk::okp::public_key(x)?,
        };
        Ok(Self { thumbprint: jwk.thumbprint(), jwk: jwk.clone(), key, ec })
    }

    /// The key as JWK.
    #[must_use]
    pub fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    /// The key's name. RFC 7638.
    #[must_use]
    pub fn thumbprint(&self) -> Thumbprint {
        self.thumbprint
    }

    /// The key as OpenSSL has it, to compare with a certificate's.
    #[must_use]
    pub fn public_key(&self) -> &PKeyRef<Public> {
        &self.key
    }

    /// Whether the signature is this key's over this message.
    ///
    /// `false` for whatever is wrong with it, an algorithm that does not fit the key included.
    #[must_use]
    pub fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        if !algorithm.fits(self.jwk.parameters()) {
            return false;
        }
        let verified = match &self.ec {
            Some((curve, key)) => ecdsa::verify(key, *curve, algorithm.digest(), message, signature),
            None => self.verify_with_evp(algorithm, message, signature),
        };
        // OpenSSL reports some bad signatures as errors, and leaves errors behind that it does not report.
        let verified = verified.unwrap_or(false);
        if !verified {
            drop(ErrorStack::get());
        }
        verified
    }

    fn verify_with_evp(
        &self,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<bool, ErrorStack> {
        if algorithm == Algorithm::EdDSA {
            return Verifier::new_without_digest(&self.key)?.verify_oneshot(signature, message);
        }
        if signature.len() != self.key.size() {
            return Ok(false);
        }
        let mut verifier = Verifier::new(algorithm.digest(), &self.key)?;
        if algorithm == Algorithm::PS256 {
            verifier.set_rsa_padding(Padding::PKCS1_PSS)?;
            verifier.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)?;
        }
        verifier.verify_oneshot(signature, message)
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", self.thumbprint)
    }
}
