//! Certificate requests, right and wrong. RFC 2986.

use openssl::{
    hash::MessageDigest,
    pkey::{Id, PKey, Private},
    sign::Signer,
};

use crate::{
    Key,
    der::{bit_string, extension, integer, oid, sequence, set, tlv},
};

/// A request, before it is signed. Each part is DER and can be anything.
#[derive(Clone)]
pub struct Csr {
    /// The version's number; 0 means 1.
    pub version: u8,
    /// The subject: a SEQUENCE of its attributes.
    pub subject: Vec<u8>,
    /// The SubjectPublicKeyInfo.
    pub public_key: Vec<u8>,
    /// The GeneralNames of the subjectAltName; none, and there is no such extension.
    pub names: Vec<Vec<u8>>,
    /// Further extensions.
    pub extensions: Vec<Vec<u8>>,
    /// The key that signs.
    pub key: PKey<Private>,
    /// The hash, and the AlgorithmIdentifier that says so.
    pub algorithm: (MessageDigest, Vec<u8>),
}

impl Csr {
    /// A good request for these DNS names and a new P-256 key, without a subject.
    #[must_use]
    pub fn new(names: &[&str]) -> Self {
        Self::with_key(names, Key::new().private())
    }

    /// A good request for these DNS names and this key.
    ///
    /// # Panics
    ///
    /// If the key is of a kind that signs no requests.
    #[must_use]
    pub fn with_key(names: &[&str], key: &PKey<Private>) -> Self {
        let signature = match key.id() {
            Id::RSA => sequence(&[oid("1.2.840.113549.1.1.11"), tlv(0x05, [])]),
            Id::DSA => sequence(&[oid("2.16.840.1.101.3.4.3.2")]),
            Id::ED25519 => sequence(&[oid("1.3.101.112")]),
            Id::ED448 => sequence(&[oid("1.3.101.113")]),
            _ => sequence(&[oid("1.2.840.10045.4.3.2")]),
        };
        let digest = match key.id() {
            Id::ED25519 | Id::ED448 => MessageDigest::null(),
            _ => MessageDigest::sha256(),
        };
        Self {
            version: 0,
            subject: sequence(&[]),
            public_key: key.public_key_to_der().expect("a public key"),
            names: names.iter().map(|name| dns_name(name.as_bytes())).collect(),
            extensions: Vec::new(),
            key: key.clone(),
            algorithm: (digest, signature),
        }
    }

    /// With this public key, which need not be that of the key that signs.
    #[must_use]
    pub fn with_public_key(self, public_key: Vec<u8>) -> Self {
        Self { public_key, ..self }
    }

    /// With one more GeneralName.
    #[must_use]
    pub fn with_name(mut self, name: Vec<u8>) -> Self {
        self.names.push(name);
        self
    }

    /// With one more extension.
    #[must_use]
    pub fn with_extension(mut self, id: &str, critical: bool, value: &[u8]) -> Self {
        self.extensions.push(extension(id, critical, value));
        self
    }

    /// With this subject: a list of attributes.
    #[must_use]
    pub fn with_subject(self, attributes: &[Vec<u8>]) -> Self {
        Self { subject: sequence(attributes), ..self }
    }

    /// The request, signed.
    ///
    /// # Panics
    ///
    /// If the key cannot sign.
    #[must_use]
    pub fn to_der(&self) -> Vec<u8> {
        let info = self.info();
        let (digest, algorithm) = &self.algorithm;
        let signature = match self.key.id() {
            Id::ED25519 | Id::ED448 => {
                Signer::new_without_digest(&self.key).and_then(|mut signer| signer.sign_oneshot_to_vec(&info))
            }
            _ => Signer::new(*digest, &self.key).and_then(|mut signer| signer.sign_oneshot_to_vec(&info)),
        };
        sequence(&[info, algorithm.clone(), bit_string(&signature.expect("a signature"))])
    }

    /// The request with these bytes for a signature.
    #[must_use]
    pub fn to_der_with(&self, signature: &[u8]) -> Vec<u8> {
        sequence(&[self.info(), self.algorithm.1.clone(), bit_string(signature)])
    }

    /// What is signed: the CertificationRequestInfo.
    #[must_use]
    pub fn info(&self) -> Vec<u8> {
        let mut extensions = self.extensions.clone();
        if !self.names.is_empty() {
            extensions.insert(0, extension("2.5.29.17", false, &sequence(&self.names)));
        }
        let attributes = match extensions.as_slice() {
            [] => tlv(0xa0, []),
            some => tlv(0xa0, sequence(&[oid("1.2.840.113549.1.9.14"), set(&sequence(some))])),
        };
        sequence(&[integer(self.version), self.subject.clone(), self.public_key.clone(), attributes])
    }
}

/// A dNSName with these bytes.
#[must_use]
pub fn dns_name(bytes: &[u8]) -> Vec<u8> {
    tlv(0x82, bytes)
}
