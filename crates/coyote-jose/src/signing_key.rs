use std::fmt;

use openssl::ec::EcKey;
use openssl::pkey::{PKey, Private};
use openssl::rsa::{Padding, Rsa};
use openssl::sign::{RsaPssSaltlen, Signer};

use crate::algorithm::Algorithm;
use crate::ecdsa;
use crate::error::Error;
use crate::jwk::{EcCurve, Jwk, JwkParameters};

/// A private key and the algorithm it signs with: a client's side of things.
pub struct SigningKey {
    algorithm: Algorithm,
    jwk: Jwk,
    key: PKey<Private>,
    ec: Option<(EcCurve, EcKey<Private>)>,
}

impl SigningKey {
    /// A new key, with OpenSSL's randomness; RSA keys have 2048 bits.
    ///
    /// # Errors
    ///
    /// [`Error::UnsupportedAlgorithm`] if the algorithm is a MAC.
    pub fn generate(algorithm: Algorithm) -> Result<Self, Error> {
        let elliptic = |curve: EcCurve| PKey::from_ec_key(EcKey::generate(&*curve.group()?)?);
        let key = match algorithm {
            Algorithm::ES256 => elliptic(EcCurve::P256),
            Algorithm::ES384 => elliptic(EcCurve::P384),
            Algorithm::ES512 => elliptic(EcCurve::P521),
            Algorithm::RS256 | Algorithm::PS256 => PKey::from_rsa(Rsa::generate(2048)?),
            Algorithm::EdDSA => PKey::generate_ed25519(),
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => {
                return Err(Error::unsupported(algorithm.name()));
            }
        };
        Self::from_private_key(key?, algorithm)
    }

    /// A key that exists already.
    ///
    /// # Errors
    ///
    /// [`Error::BadKey`] if it is not one for the algorithm, or not one whose JWK would be taken here.
    pub fn from_private_key(key: PKey<Private>, algorithm: Algorithm) -> Result<Self, Error> {
        let jwk = Jwk::from_public_key(&key)?;
        if !algorithm.fits(jwk.parameters()) {
            return Err(Error::BadKey("the key is not one for the algorithm"));
        }
        let ec = match jwk.parameters() {
            JwkParameters::Ec { curve, .. } => Some((*curve, key.ec_key()?)),
            _ => None,
        };
        Ok(Self { algorithm, jwk, key, ec })
    }

    /// The public key.
    #[must_use]
    pub fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    /// The algorithm of its signatures.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The private key, to store it.
    #[must_use]
    pub fn private_key(&self) -> &PKey<Private> {
        &self.key
    }

    /// Signs a message, in the form that JWS wants. RFC 7518 section 3.
    ///
    /// # Errors
    ///
    /// [`Error::Crypto`] if OpenSSL fails.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let digest = self.algorithm.digest();
        if let Some((curve, key)) = &self.ec {
            return Ok(ecdsa::sign(key, *curve, digest, message)?);
        }
        if self.algorithm == Algorithm::EdDSA {
            return Ok(Signer::new_without_digest(&self.key)?.sign_oneshot_to_vec(message)?);
        }
        let mut signer = Signer::new(digest, &self.key)?;
        if self.algorithm == Algorithm::PS256 {
            signer.set_rsa_padding(Padding::PKCS1_PSS)?;
            signer.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)?;
        }
        Ok(signer.sign_oneshot_to_vec(message)?)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, {})", self.algorithm, self.jwk.thumbprint())
    }
}
