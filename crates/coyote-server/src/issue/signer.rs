//! Signing bytes with the CA's key, wherever it is kept.

use async_trait::async_trait;
use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5912, rfc8410};
use coyote_storage::BoxError;
use der::asn1::{Any, AnyRef};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{HasPublic, Id, PKey, PKeyRef, Private, Public};
use openssl::sign::{Signer as Signing, Verifier};
use x509_cert::spki::AlgorithmIdentifierOwned;

/// Signs with the private key of a CA: a key in memory, a token, a service.
#[async_trait]
pub trait Signer: Send + Sync + 'static {
    /// The algorithm of the signatures.
    fn algorithm(&self) -> SignatureAlgorithm;

    /// The public half of the key.
    fn public_key(&self) -> &PKeyRef<Public>;

    /// Signs a message (not its digest). The signature is in the form that X.509 wants: for ECDSA, the DER of
    /// `ECDSA-Sig-Value`. It need not be checked by the signer: the issuer checks it.
    ///
    /// # Errors
    ///
    /// Whatever keeps the key from signing now; it is tried again later.
    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, BoxError>;
}

/// How certificates and certificate requests are signed. MD5 and SHA-1 are not among the ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignatureAlgorithm {
    /// ECDSA with SHA-256. RFC 5758 section 3.2.
    EcdsaSha256,
    /// ECDSA with SHA-384.
    EcdsaSha384,
    /// ECDSA with SHA-512.
    EcdsaSha512,
    /// RSASSA-PKCS1-v1_5 with SHA-256. RFC 4055 section 5.
    RsaSha256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RsaSha384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RsaSha512,
    /// Ed25519. RFC 8410 section 3.
    Ed25519,
}

impl SignatureAlgorithm {
    const ALL: [Self; 7] = [
        Self::EcdsaSha256,
        Self::EcdsaSha384,
        Self::EcdsaSha512,
        Self::RsaSha256,
        Self::RsaSha384,
        Self::RsaSha512,
        Self::Ed25519,
    ];

    /// The usual algorithm for a key: that of the digest which is as strong as the key. `None` if no algorithm
    /// here fits the key.
    pub fn for_key<T: HasPublic>(key: &PKeyRef<T>) -> Option<Self> {
        match key.id() {
            Id::RSA => Some(Self::RsaSha256),
            Id::ED25519 => Some(Self::Ed25519),
            Id::EC => match key.ec_key().ok()?.group().curve_name()? {
                Nid::X9_62_PRIME256V1 => Some(Self::EcdsaSha256),
                Nid::SECP384R1 => Some(Self::EcdsaSha384),
                Nid::SECP521R1 => Some(Self::EcdsaSha512),
                _ => None,
            },
            _ => None,
        }
    }

    /// As certificates name it.
    pub(super) fn identifier(self) -> AlgorithmIdentifierOwned {
        let parameters = self.is_rsa().then(|| Any::from(AnyRef::NULL));
        AlgorithmIdentifierOwned { oid: self.oid(), parameters }
    }

    /// The algorithm of that name. Where there are no parameters, an explicit NULL is let pass, as some write it.
    pub(super) fn from_identifier(identifier: &AlgorithmIdentifierOwned) -> Option<Self> {
        let plain = identifier.parameters.as_ref().is_none_or(Any::is_null);
        Self::ALL.into_iter().find(|algorithm| plain && algorithm.oid() == identifier.oid)
    }

    /// Whether the signature was made over the message with the key. `false` also for a key that does not fit.
    pub(super) fn verify(self, key: &PKeyRef<Public>, message: &[u8], signature: &[u8]) -> bool {
        let verdict = match self.digest() {
            Some(digest) => Verifier::new(digest, key)
                .and_then(|mut verifier| verifier.verify_oneshot(signature, message)),
            None => Verifier::new_without_digest(key)
                .and_then(|mut verifier| verifier.verify_oneshot(signature, message)),
        };
        verdict.unwrap_or(false) // OpenSSL fails, rather than says no, for what is not in the form of a signature
    }

    fn sign(self, key: &PKeyRef<Private>, message: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        match self.digest() {
            Some(digest) => Signing::new(digest, key)?.sign_oneshot_to_vec(message),
            None => Signing::new_without_digest(key)?.sign_oneshot_to_vec(message),
        }
    }

    const fn is_rsa(self) -> bool {
        matches!(self, Self::RsaSha256 | Self::RsaSha384 | Self::RsaSha512)
    }

    const fn oid(self) -> ObjectIdentifier {
        match self {
            Self::EcdsaSha256 => rfc5912::ECDSA_WITH_SHA_256,
            Self::EcdsaSha384 => rfc5912::ECDSA_WITH_SHA_384,
            Self::EcdsaSha512 => rfc5912::ECDSA_WITH_SHA_512,
            Self::RsaSha256 => rfc5912::SHA_256_WITH_RSA_ENCRYPTION,
            Self::RsaSha384 => rfc5912::SHA_384_WITH_RSA_ENCRYPTION,
            Self::RsaSha512 => rfc5912::SHA_512_WITH_RSA_ENCRYPTION,
            Self::Ed25519 => rfc8410::ID_ED_25519,
        }
    }

    fn digest(self) -> Option<MessageDigest> {
        match self {
            Self::EcdsaSha256 | Self::RsaSha256 => Some(MessageDigest::sha256()),
            Self::EcdsaSha384 | Self::RsaSha384 => Some(MessageDigest::sha384()),
            Self::EcdsaSha512 | Self::RsaSha512 => Some(MessageDigest::sha512()),
            Self::Ed25519 => None,
        }
    }
}

/// The key cannot be a CA's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnusableKey {
    /// Its type or curve is not supported.
    #[error("the key is neither RSA nor Ed25519 nor EC on P-256, P-384 or P-521")]
    Unsupported,
    /// It cannot be read.
    #[error("the private key cannot be read")]
    Unreadable(#[from] ErrorStack),
}

/// A signer whose key is in memory.
#[derive(Clone)]
pub struct KeySigner {
    private_key: PKey<Private>,
    public_key: PKey<Public>,
    algorithm: SignatureAlgorithm,
}

impl KeySigner {
    /// A signer with this key and the [usual algorithm](SignatureAlgorithm::for_key) for it.
    ///
    /// # Errors
    ///
    /// [`UnusableKey::Unsupported`].
    pub fn new(private_key: PKey<Private>) -> Result<Self, UnusableKey> {
        let algorithm = SignatureAlgorithm::for_key(&private_key).ok_or(UnusableKey::Unsupported)?;
        let public_key = PKey::public_key_from_der(&private_key.public_key_to_der()?)?;
        Ok(Self { private_key, public_key, algorithm })
    }

    /// A signer with a key in PEM: PKCS#8, or one of the older forms that OpenSSL reads; not encrypted.
    ///
    /// # Errors
    ///
    /// [`UnusableKey`].
    pub fn from_pem(pem: &[u8]) -> Result<Self, UnusableKey> {
        // Without the callback, OpenSSL would ask a terminal for the passphrase of an encrypted key.
        Self::new(PKey::private_key_from_pem_callback(pem, |_| Err(ErrorStack::get()))?)
    }

    /// Signs at once, on the calling thread.
    pub(super) fn sign_now(&self, message: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        self.algorithm.sign(&self.private_key, message)
    }
}

#[async_trait]
impl Signer for KeySigner {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    fn public_key(&self) -> &PKeyRef<Public> {
        &self.public_key
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, BoxError> {
        // The cheap ones take some 20 us; RSA takes a hundred times that, and would stall others on this thread.
        if matches!(self.algorithm, SignatureAlgorithm::EcdsaSha256 | SignatureAlgorithm::Ed25519) {
            return Ok(self.sign_now(message)?);
        }
        let (signer, message) = (self.clone(), message.to_vec());
        Ok(tokio::task::spawn_blocking(move || signer.sign_now(&message)).await??)
    }
}

impl std::fmt::Debug for KeySigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeySigner").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}
