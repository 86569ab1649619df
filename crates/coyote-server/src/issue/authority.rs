//! The certificates of a new CA. RFC 5280 section 4.2; the Baseline Requirements, sections 7.1.2.1 and 7.1.2.6.

use std::time::Duration;

use const_oid::db::{rfc4519, rfc5280};
use coyote_protocol::{DnsName, Timestamp};
use coyote_storage::Serial;
use der::asn1::{Ia5String, OctetString};
use der::{Decode, Encode};
use openssl::x509::X509Ref;
use x509_cert::Certificate;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::constraints::name::GeneralSubtree;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage as ExtKeyUsage, KeyUsage, KeyUsages,
    NameConstraints, SubjectKeyIdentifier,
};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::ca_error::CaError;
use super::certificate::{Content, assemble};
use super::encoding::{distinguished_name, extension, key_identifier, octets, timestamp};
use super::leaf::purpose;
use super::profile::{ExtendedKeyUsage, Profile};
use super::{CaRequest, KeySigner, Signer};
use crate::entropy::Entropy;

/// How many CAs may be below a root.
const ROOT_PATH_LENGTH: u8 = 1;

/// A key that is to be a CA's.
pub(super) struct Authority {
    public_key_info: Vec<u8>,
    key_identifier: OctetString,
    subject: Vec<u8>,
}

impl Authority {
    /// A root certificate for the key, as DER.
    pub(super) fn root(
        request: &CaRequest,
        key: &KeySigner,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, CaError> {
        let root = Self::new(request, "Root", key)?;
        let content = Content {
            serial: &serial(entropy)?,
            algorithm: key.algorithm(),
            issuer: &root.subject,
            not_before: beginning(now),
            not_after: end(now, request.root_lifetime),
            subject: &root.subject,
            public_key_info: &root.public_key_info,
            extensions: root.extensions(ROOT_PATH_LENGTH, request.domain.as_ref())?,
        };
        sign(content, key)
    }

    /// A certificate for a key that is to sign for clients, signed by the root, as DER.
    pub(super) fn intermediate(
        request: &CaRequest,
        key: &KeySigner,
        root: &X509Ref,
        root_key: &KeySigner,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, CaError> {
        let root = root.to_der()?;
        let root = Certificate::from_der(&root)?;
        let root = root.tbs_certificate();
        let intermediate = Self::new(request, "Intermediate", key)?;

        let mut extensions = intermediate.extensions(0, request.domain.as_ref())?;
        let purposes = [ExtendedKeyUsage::ServerAuth, ExtendedKeyUsage::ClientAuth].map(purpose);
        extensions.push(extension(rfc5280::ID_CE_EXT_KEY_USAGE, false, &ExtKeyUsage(purposes.to_vec()))?);
        let authority = AuthorityKeyIdentifier {
            key_identifier: root.get_extension::<SubjectKeyIdentifier>()?.map(|(_, identifier)| identifier.0),
            authority_cert_issuer: None,
            authority_cert_serial_number: None,
        };
        extensions.push(extension(rfc5280::ID_CE_AUTHORITY_KEY_IDENTIFIER, false, &authority)?);
        let root_not_after = timestamp(root.validity().not_after);
        let content = Content {
            serial: &serial(entropy)?,
            algorithm: root_key.algorithm(),
            issuer: &root.subject().to_der()?,
            not_before: beginning(now).max(timestamp(root.validity().not_before)),
            not_after: end(now, request.intermediate_lifetime).min(root_not_after),
            subject: &intermediate.subject,
            public_key_info: &intermediate.public_key_info,
            extensions,
        };
        sign(content, root_key)
    }

    fn new(request: &CaRequest, role: &str, key: &KeySigner) -> Result<Self, CaError> {
        let public_key_info = key.public_key().public_key_to_der()?;
        let parsed = SubjectPublicKeyInfoOwned::from_der(&public_key_info)?;
        let key_identifier = key_identifier(&parsed.subject_public_key)?;
        // Part of the key, so that no two CAs have the same name: certificates are looked up by it.
        let mark =
            key_identifier.as_bytes().iter().take(3).map(|byte| format!("{byte:02x}")).collect::<String>();
        let organization = request.organization.as_str();
        let name = format!("{organization} {role} {mark}");
        let subject =
            distinguished_name(&[(rfc4519::ORGANIZATION_NAME, organization), (rfc4519::COMMON_NAME, &name)])?;
        Ok(Self { public_key_info, key_identifier, subject })
    }

    /// What roots and intermediates have in common.
    fn extensions(&self, path_length: u8, domain: Option<&DnsName>) -> der::Result<Vec<Extension>> {
        let ca = BasicConstraints { ca: true, path_len_constraint: Some(path_length) };
        let usage = KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign);
        let mut extensions = vec![
            extension(rfc5280::ID_CE_BASIC_CONSTRAINTS, true, &ca)?,
            extension(rfc5280::ID_CE_KEY_USAGE, true, &usage)?,
            extension(rfc5280::ID_CE_SUBJECT_KEY_IDENTIFIER, false, &self.key_identifier)?,
        ];
        if let Some(domain) = domain {
            extensions.push(extension(rfc5280::ID_CE_NAME_CONSTRAINTS, true, &constraints(domain)?)?);
        }
        Ok(extensions)
    }
}

/// This domain and what is below it; no IP address.
fn constraints(domain: &DnsName) -> der::Result<NameConstraints> {
    let subtree = |base| GeneralSubtree { base, minimum: 0, maximum: None };
    let everything = [octets(&[0; 8])?, octets(&[0; 32])?];
    Ok(NameConstraints {
        permitted_subtrees: Some(vec![subtree(GeneralName::DnsName(Ia5String::new(domain.as_str())?))]),
        excluded_subtrees: Some(everything.map(subtree).to_vec()),
    })
}

/// Before what may be the beginning of the first certificate that it signs.
fn beginning(now: Timestamp) -> Timestamp {
    (now - Profile::MAX_BACKDATE).max(Timestamp::UNIX_EPOCH).truncate_to_seconds()
}

/// The last second.
fn end(now: Timestamp, lifetime: Duration) -> Timestamp {
    now.truncate_to_seconds() + lifetime - Duration::from_secs(1)
}

fn serial(entropy: &dyn Entropy) -> Result<Serial, CaError> {
    Ok(Serial::from_random(entropy.bytes()?))
}

fn sign(content: Content<'_>, key: &KeySigner) -> Result<Vec<u8>, CaError> {
    let to_be_signed = content.into_signable()?;
    let signature = key.sign_now(&to_be_signed)?;
    Ok(assemble(&to_be_signed, key.algorithm(), &signature)?)
}
