//! Certificate signing requests. RFC 8555 section 7.4, RFC 2986.
//!
//! From a CSR come a public key, the proof that the client holds the private half, and a set of names to compare
//! with the order's. Nothing else of it reaches a certificate; what asks for more than an ACME server gives is
//! refused rather than left out, so that nobody takes the certificate for what was asked for.

use std::collections::BTreeSet;

use coyote_jose::{Jwk, Thumbprint};
use coyote_protocol::{Identifier, Problem, ProblemType};
use der::asn1::AnyRef;
use der::{Decode, Encode, Reader, SliceReader};
use openssl::pkey::{PKey, PKeyRef, Public};
use x509_cert::request::CertReq;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::SignatureAlgorithm;
use crate::policy::KeyPolicy;

mod extensions;
mod names;
mod public_key;

/// The longest CSR that is read, in bytes. A hundred names of the greatest length fit.
const MAX_LENGTH: usize = 32 * 1024;

/// How many names a problem lists, at most.
const MAX_LISTED: usize = 5;

/// A certificate signing request that has been checked, all but for whether the names are the order's.
#[derive(Clone, Debug)]
pub struct Csr {
    request: Request,
    public_key: PKey<Public>,
    thumbprint: Thumbprint,
}

impl Csr {
    /// Reads and checks a CSR. OpenSSL sees none of it that has not passed a strict parser.
    ///
    /// # Errors
    ///
    /// `badCSR` if it is not DER to the letter and to the end, or not version 1; if the key is weak, unsupported,
    /// or not on a named curve; if the signature is wrong or made with MD5 or SHA-1; if a name is not a DNS name,
    /// wildcard or IP address in proper form; or if it asks for what no certificate here has. `malformed` with
    /// status 413 if it is longer than 32 KiB.
    pub fn parse(der: &[u8], keys: &KeyPolicy) -> Result<Self, Problem> {
        let request = Request::parse(der)?;
        let public_key = request.public_key()?;
        keys.check(&public_key).map_err(|weak| bad_csr(weak.to_string()))?;
        request.check_signature(&public_key)?;
        let jwk = Jwk::from_public_key(&public_key).map_err(|error| bad_csr(error.to_string()))?;
        Ok(Self { request, thumbprint: jwk.thumbprint(), public_key })
    }

    /// Checks that the CSR names what the order does: no more, no less. RFC 8555 section 7.4.
    ///
    /// A name may be in the subjectAltName, be the commonName, or both.
    ///
    /// # Errors
    ///
    /// `badCSR`, which lists the names that differ.
    pub fn check_against(&self, identifiers: &[Identifier]) -> Result<(), Problem> {
        self.request.check_against(identifiers)
    }

    /// The key that is to be certified.
    pub fn public_key(&self) -> &PKeyRef<Public> {
        &self.public_key
    }

    /// The key's thumbprint, to be compared with those of accounts: their keys are not certified. RFC 8555
    /// section 11.1.
    pub fn key_thumbprint(&self) -> Thumbprint {
        self.thumbprint
    }

    /// The names, in canonical form.
    pub fn identifiers(&self) -> impl Iterator<Item = &Identifier> {
        self.request.names.iter()
    }

    /// The CSR, as it was handed in.
    pub fn as_der(&self) -> &[u8] {
        &self.request.der
    }

    /// The CSR, as it was handed in.
    pub fn into_der(self) -> Vec<u8> {
        self.request.der
    }
}

/// A CSR of which all is known but whether its key is good and its signature right. It serves on its own when a CSR
/// that was accepted before is read again.
#[derive(Clone, Debug)]
pub(super) struct Request {
    der: Vec<u8>,
    parsed: CertReq,
    names: BTreeSet<Identifier>,
}

impl Request {
    pub(super) fn parse(der: &[u8]) -> Result<Self, Problem> {
        if der.len() > MAX_LENGTH {
            let problem = Problem::new(ProblemType::Malformed, "the CSR is longer than 32 KiB");
            return Err(problem.with_status(413));
        }
        let parsed = CertReq::from_der(der)
            .map_err(|_| bad_csr("the CSR is not a PKCS#10 request of version 1 in DER, and nothing else"))?;
        let mut names = extensions::requested_names(&parsed.info.attributes)?;
        names.extend(names::common_name(&parsed.info.subject)?);
        Ok(Self { der: der.to_vec(), parsed, names })
    }

    pub(super) fn check_against(&self, identifiers: &[Identifier]) -> Result<(), Problem> {
        let ordered = identifiers.iter().cloned().collect::<BTreeSet<_>>();
        if self.names == ordered {
            return Ok(());
        }
        let mut differences = Vec::new();
        let missing = list(ordered.difference(&self.names));
        if !missing.is_empty() {
            differences.push(format!("the order names {missing}, which the CSR does not"));
        }
        let extra = list(self.names.difference(&ordered));
        if !extra.is_empty() {
            differences.push(format!("the CSR names {extra}, which the order does not"));
        }
        Err(bad_csr(differences.join("; ")))
    }

    /// The key that is to be certified.
    pub(super) fn public_key(&self) -> Result<PKey<Public>, Problem> {
        public_key::read(self.parsed_key()).map_err(bad_csr)
    }

    /// The same, as it stands in the CSR and will stand in the certificate.
    pub(super) fn parsed_key(&self) -> &SubjectPublicKeyInfoOwned {
        &self.parsed.info.public_key
    }

    /// The same, as DER. No key has a second encoding that is accepted, so equal keys are equal bytes.
    pub(super) fn public_key_info(&self) -> Result<Vec<u8>, Problem> {
        self.parsed_key().to_der().map_err(|_| bad_csr("the public key cannot be written as DER"))
    }

    fn check_signature(&self, key: &PKeyRef<Public>) -> Result<(), Problem> {
        let algorithm = SignatureAlgorithm::from_identifier(&self.parsed.algorithm);
        let algorithm = algorithm.ok_or_else(|| {
            bad_csr(
                "the CSR is not signed with ECDSA, RSA (PKCS#1) or Ed25519, and SHA-256, SHA-384 or SHA-512",
            )
        })?;
        let signed = signed_bytes(&self.der).map_err(|_| bad_csr("the CSR cannot be read"))?;
        let signature = self.parsed.signature.as_bytes();
        match signature {
            Some(signature) if algorithm.verify(key, signed, signature) => Ok(()),
            _ => Err(bad_csr("the signature of the CSR does not verify")),
        }
    }
}

/// The `CertificationRequestInfo`, as it came.
fn signed_bytes(der: &[u8]) -> der::Result<&[u8]> {
    let content = AnyRef::from_der(der)?.value();
    SliceReader::new(content)?.tlv_bytes()
}

fn list<'a>(names: impl Iterator<Item = &'a Identifier>) -> String {
    let names = names.map(ToString::to_string).collect::<Vec<_>>();
    match names.len().checked_sub(MAX_LISTED) {
        Some(more @ 1..) => {
            let listed = names.into_iter().take(MAX_LISTED).collect::<Vec<_>>();
            format!("{} and {more} more", listed.join(", "))
        }
        _ => names.join(", "),
    }
}

fn bad_csr(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemType::BadCsr, detail)
}

#[cfg(test)]
mod tests;
