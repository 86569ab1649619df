//! An issuer that signs with a key of its own.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use coyote_protocol::{Identifier, Problem, ProblemType, RevocationReason, Timestamp};
use coyote_storage::{BoxError, Certificate, ReadyOrder};
use der::Encode;
use openssl::pkey::{PKeyRef, Public};
use openssl::sha::sha256;
use openssl::x509::{X509, X509VerifyResult};

use super::ca_error::CaError;
use super::certificate::{self, Content};
use super::chain::CaChain;
use super::csr::Request;
use super::leaf::{IssuerPart, Leaf};
use super::{IssuanceFailure, IssuanceRequest, IssuedCertificate, Issuer, RevocationFailure, Signer};

/// A CA that is part of the server. What it signs is made from the order, the public key and the profile, and read
/// back and verified by other code than made it before anybody gets it.
pub struct LocalCa {
    signer: Arc<dyn Signer>,
    chain: CaChain,
    certificate_url: Option<String>,
    crl_url: Option<String>,
}

impl LocalCa {
    /// A CA that signs with `signer`. `chain` begins with the certificate of the signer's key, followed by each
    /// one's issuer; the root comes last, if it is known.
    ///
    /// # Errors
    ///
    /// [`CaError`], if the certificate is not a CA's, has another key, or the chain does not hold together. Whether
    /// a certificate has expired is not asked here but whenever one is issued.
    pub fn new(signer: Arc<dyn Signer>, chain: &[X509]) -> Result<Self, CaError> {
        let chain = CaChain::new(chain)?;
        if !chain.certificate.public_key()?.public_eq(signer.public_key()) {
            return Err(CaError::unfit("the CA's certificate is not for the key that it is to sign with"));
        }
        Ok(Self { signer, chain, certificate_url: None, crl_url: None })
    }

    /// Says in each certificate where the CA's own certificate is to be had (as DER). RFC 5280 section 4.2.2.1.
    #[must_use]
    pub fn with_certificate_url(self, url: impl Into<String>) -> Self {
        Self { certificate_url: Some(url.into()), ..self }
    }

    /// Says in each certificate where the CA's list of revoked ones is to be had. RFC 5280 section 4.2.1.13.
    #[must_use]
    pub fn with_crl_url(self, url: impl Into<String>) -> Self {
        Self { crl_url: Some(url.into()), ..self }
    }

    /// The SHA-256 of the root's certificate, by which people recognise it; `None` if the root is not known.
    pub fn root_fingerprint(&self) -> Option<[u8; 32]> {
        self.chain.root.as_deref().map(sha256)
    }

    /// Whether the CA's own certificates allow it to certify the name. RFC 5280 section 4.2.1.10.
    pub fn permits(&self, name: &Identifier) -> bool {
        self.chain.constraints.permit(name)
    }

    /// That the CA's certificates are valid now; or a sentence.
    pub(super) fn check_validity(&self, now: Timestamp) -> Result<(), String> {
        let (from, until) = (self.chain.not_before, self.chain.not_after);
        if (from..=until).contains(&now.truncate_to_seconds()) {
            return Ok(());
        }
        Err(format!("the CA's certificates are valid from {from} to {until}, and it is {now}"))
    }

    /// The CSR, if what it asks for is what the order is for, and this CA may certify it and its key.
    fn accept(&self, order: &ReadyOrder<'_>) -> Result<Request, Problem> {
        let identifiers = &order.order().identifiers;
        let csr = Request::parse(&order.issuance().csr)?;
        csr.check_against(identifiers)?;
        identifiers.iter().try_for_each(|name| self.check_identifier(name))?;
        if self.chain.public_keys.contains(&csr.public_key_info()?) {
            return Err(Problem::new(ProblemType::BadCsr, "the public key is one of the CA's own"));
        }
        Ok(csr)
    }

    fn validity(&self, request: &IssuanceRequest<'_>) -> Result<(Timestamp, Timestamp), IssuanceFailure> {
        self.check_validity(request.now).map_err(transient)?;
        let (from, until) = (self.chain.not_before, self.chain.not_after);
        let order = request.order.order();
        let validity = request.profile.validity(order, until, request.now);
        let (not_before, not_after) = validity.map_err(IssuanceFailure::Refused)?;
        if order.not_before.is_some() && not_before < from {
            let detail = format!("notBefore may be {from} at least: the CA's certificate begins then");
            return Err(IssuanceFailure::Refused(Problem::new(ProblemType::Malformed, detail)));
        }
        Ok((not_before.max(from), not_after))
    }

    fn to_be_signed(
        &self,
        request: &IssuanceRequest<'_>,
        csr: &Request,
        (not_before, not_after): (Timestamp, Timestamp),
    ) -> der::Result<Vec<u8>> {
        let issuer = IssuerPart {
            key_identifier: &self.chain.key_identifier,
            certificate_url: self.certificate_url.as_deref(),
            crl_url: self.crl_url.as_deref(),
        };
        let key = csr.parsed_key();
        let leaf = Leaf::new(request.profile, &request.order.order().identifiers, key, &issuer)?;
        let content = Content {
            serial: &request.order.issuance().serial,
            algorithm: self.signer.algorithm(),
            issuer: &self.chain.subject,
            not_before,
            not_after,
            subject: &leaf.subject,
            public_key_info: &key.to_der()?,
            extensions: leaf.extensions,
        };
        content.into_signable()
    }

    /// Reads the certificate as a client would, and checks what must never be wrong.
    fn verify(&self, der: &[u8], identifiers: &[Identifier], key: &PKeyRef<Public>) -> Result<(), BoxError> {
        let certificate = X509::from_der(der)?;
        if self.chain.certificate.issued(&certificate) != X509VerifyResult::OK
            || !certificate.verify(self.signer.public_key())?
        {
            return Err("the signature does not verify with the CA's certificate".into());
        }
        if !certificate.public_key()?.public_eq(key) {
            return Err("it has another key than the CSR".into());
        }
        if names(&certificate) != identifiers.iter().map(Identifier::value).collect() {
            return Err("it has other names than the order".into());
        }
        Ok(())
    }
}

#[async_trait]
impl Issuer for LocalCa {
    async fn issue(&self, request: &IssuanceRequest<'_>) -> Result<IssuedCertificate, IssuanceFailure> {
        let validity = self.validity(request)?;
        let csr = self.accept(request.order).map_err(IssuanceFailure::Refused)?;
        let key = csr.public_key().map_err(IssuanceFailure::Refused)?;

        let to_be_signed = self.to_be_signed(request, &csr, validity).map_err(transient)?;
        let signature = self.signer.sign(&to_be_signed).await.map_err(IssuanceFailure::Transient)?;
        let leaf =
            certificate::assemble(&to_be_signed, self.signer.algorithm(), &signature).map_err(transient)?;
        self.verify(&leaf, &request.order.order().identifiers, &key)
            .map_err(|source| transient(WrongCertificate(source)))?;

        let mut chain = vec![leaf];
        chain.extend(self.chain.intermediates.iter().cloned());
        Ok(IssuedCertificate {
            serial: request.order.issuance().serial.clone(),
            not_before: validity.0,
            not_after: validity.1,
            chain,
            alternates: Vec::new(),
        })
    }

    /// Nothing has to be told: what is revoked is on record.
    async fn revoke(
        &self,
        _certificate: &Certificate,
        _reason: RevocationReason,
    ) -> Result<(), RevocationFailure> {
        Ok(())
    }

    fn wants_revocations(&self) -> bool {
        false
    }

    fn check_identifier(&self, name: &Identifier) -> Result<(), Problem> {
        if self.permits(name) {
            return Ok(());
        }
        let detail = format!("the CA's own certificate does not allow it to certify {name}");
        Err(Problem::new(ProblemType::RejectedIdentifier, detail))
    }

    fn not_after(&self) -> Timestamp {
        self.chain.not_after
    }

    fn roots(&self) -> Vec<Vec<u8>> {
        self.chain.root.iter().cloned().collect()
    }
}

impl fmt::Debug for LocalCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalCa").field("chain", &self.chain).finish_non_exhaustive()
    }
}

fn transient(error: impl Into<BoxError>) -> IssuanceFailure {
    IssuanceFailure::Transient(error.into())
}

/// Something is wrong with the signer, the CA's files or this program.
#[derive(Debug, thiserror::Error)]
#[error("the certificate that was signed is wrong, and was thrown away")]
struct WrongCertificate(#[source] BoxError);

/// The names that OpenSSL finds in a certificate, as text.
fn names(certificate: &X509) -> BTreeSet<String> {
    let mut texts = BTreeSet::new();
    for name in certificate.subject_alt_names().into_iter().flatten() {
        let address = name.ipaddress().and_then(|octets| match octets.len() {
            4 => <[u8; 4]>::try_from(octets).ok().map(|octets| std::net::IpAddr::from(octets).to_string()),
            _ => <[u8; 16]>::try_from(octets).ok().map(|octets| std::net::IpAddr::from(octets).to_string()),
        });
        texts.insert(address.or(name.dnsname().map(str::to_owned)).unwrap_or_default());
    }
    texts
}

#[cfg(test)]
mod tests;
