//! A CA's certificate, and those above it.

use std::fmt;

use coyote_protocol::Timestamp;
use der::asn1::OctetString;
use der::{Decode, Encode};
use openssl::x509::{X509, X509Ref, X509VerifyResult};
use x509_cert::Certificate;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, SubjectKeyIdentifier};

use super::ca_error::CaError;
use super::constraints::Constraints;
use super::encoding::{key_identifier, timestamp};

/// A chain that holds together, with all that an issuer needs of it at hand.
pub(super) struct CaChain {
    /// The certificate of the key that signs.
    pub(super) certificate: X509,
    /// Its subject, as DER.
    pub(super) subject: Vec<u8>,
    pub(super) key_identifier: OctetString,
    /// When all certificates of the chain are valid.
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    pub(super) constraints: Constraints,
    /// The public keys of all certificates of the chain, as DER.
    pub(super) public_keys: Vec<Vec<u8>>,
    /// What is handed out with each certificate: all but the root, as DER.
    pub(super) intermediates: Vec<Vec<u8>>,
    /// The root, if the chain reaches it.
    pub(super) root: Option<Vec<u8>>,
}

impl CaChain {
    pub(super) fn new(chain: &[X509]) -> Result<Self, CaError> {
        let (Some(first), Some(last)) = (chain.first(), chain.last()) else {
            return Err(CaError::unfit("the CA has no certificate"));
        };
        for pair in chain.windows(2) {
            if let [certificate, issuer] = pair
                && !has_issued(issuer, certificate)?
            {
                let detail = format!(
                    "the CA's chain is broken: {} is not signed by {}",
                    name(certificate),
                    name(issuer)
                );
                return Err(CaError::Unfit(detail));
            }
        }
        let encoded = chain.iter().map(|certificate| certificate.to_der()).collect::<Result<Vec<_>, _>>()?;
        let parsed = encoded.iter().map(|der| Certificate::from_der(der)).collect::<Result<Vec<_>, _>>()?;
        let mut constraints = Constraints::default();
        let (mut not_before, mut not_after) = (Timestamp::UNIX_EPOCH, Timestamp::from_millis(i64::MAX));
        for (below, certificate) in parsed.iter().enumerate() {
            check_authority(certificate, below)?;
            constraints.add(certificate)?;
            let validity = certificate.tbs_certificate().validity();
            not_before = not_before.max(timestamp(validity.not_before));
            not_after = not_after.min(timestamp(validity.not_after));
        }
        let Some(issuing) = parsed.first().map(Certificate::tbs_certificate) else {
            return Err(CaError::unfit("the CA has no certificate"));
        };
        let key_identifier = match issuing.get_extension::<SubjectKeyIdentifier>()? {
            Some((_, identifier)) => identifier.0,
            None => key_identifier(&issuing.subject_public_key_info().subject_public_key)?,
        };
        let mut intermediates = encoded;
        let root = if has_issued(last, last)? { intermediates.pop() } else { None };
        Ok(Self {
            certificate: first.clone(),
            subject: issuing.subject().to_der()?,
            key_identifier,
            not_before,
            not_after,
            constraints,
            public_keys: chain
                .iter()
                .map(|certificate| certificate.public_key()?.public_key_to_der())
                .collect::<Result<_, _>>()?,
            intermediates,
            root,
        })
    }
}

fn has_issued(issuer: &X509Ref, certificate: &X509Ref) -> Result<bool, CaError> {
    Ok(issuer.issued(certificate) == X509VerifyResult::OK && certificate.verify(&*issuer.public_key()?)?)
}

/// A certificate that may sign others, with so many CAs below it. RFC 5280 sections 4.2.1.3 and 4.2.1.9.
fn check_authority(certificate: &Certificate, below: usize) -> Result<(), CaError> {
    let certificate = certificate.tbs_certificate();
    let unfit = |what| CaError::Unfit(format!("the certificate of {} {what}", certificate.subject()));
    match certificate.get_extension::<BasicConstraints>()? {
        Some((_, BasicConstraints { ca: true, path_len_constraint: None })) => {}
        Some((_, BasicConstraints { ca: true, path_len_constraint: Some(limit) }))
            if usize::from(limit) >= below => {}
        Some((_, BasicConstraints { ca: true, .. })) => {
            return Err(unfit("allows fewer CAs below it than there are"));
        }
        _ => return Err(unfit("is not a CA's")),
    }
    match certificate.get_extension::<KeyUsage>()? {
        Some((_, usage)) if !usage.key_cert_sign() => Err(unfit("does not allow it to sign certificates")),
        _ => Ok(()),
    }
}

fn name(certificate: &X509Ref) -> String {
    format!("{:?}", certificate.subject_name())
}

impl fmt::Debug for CaChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CaChain")
            .field("certificate", &self.certificate.subject_name())
            .field("not_before", &self.not_before)
            .field("not_after", &self.not_after)
            .field("constraints", &self.constraints)
            .finish_non_exhaustive()
    }
}
