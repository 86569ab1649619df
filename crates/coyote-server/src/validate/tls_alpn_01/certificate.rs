//! The certificate of a challenge. RFC 8737 section 3.

use std::collections::BTreeSet;

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280;
use coyote_protocol::Identifier;
use der::Decode;
use der::asn1::OctetStringRef;
use openssl::x509::{X509, X509Ref};
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;

/// `id-pe-acmeIdentifier`.
const ACME_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.31");

/// What is wrong with a certificate. It continues the sentence "such-and-such answered with …", and repeats nothing
/// of the certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Flaw {
    #[error("no certificate")]
    None,
    #[error("a certificate that cannot be read")]
    Malformed,
    #[error("a certificate that is not self-signed")]
    NotSelfSigned,
    #[error("a certificate that has an extension twice")]
    Repeated,
    #[error("a certificate without a subjectAltName")]
    NoName,
    #[error("a certificate for other names than the identifier alone")]
    OtherNames,
    #[error("a certificate without the acmeIdentifier extension")]
    NoAcmeIdentifier,
    #[error("a certificate whose acmeIdentifier extension is not critical")]
    NotCritical,
    #[error("a certificate whose acmeIdentifier is not a SHA-256 digest")]
    NoDigest,
    #[error("a certificate whose acmeIdentifier is not the digest of the key authorization")]
    OtherDigest,
}

/// A certificate that was read. Nothing of it is believed.
#[derive(Debug)]
pub(super) struct Shown {
    certificate: CertificateInner<Raw>,
    is_self_signed: bool,
}

impl Shown {
    pub(super) fn read(certificate: &X509) -> Result<Self, Flaw> {
        let der = certificate.to_der().map_err(|_| Flaw::Malformed)?;
        let is_signed_by_its_key = is_signed_by_its_key(certificate);
        let certificate = CertificateInner::<Raw>::from_der(&der).map_err(|_| Flaw::Malformed)?;
        let content = certificate.tbs_certificate();
        let is_self_signed = content.issuer() == content.subject() && is_signed_by_its_key;
        Ok(Self { certificate, is_self_signed })
    }

    /// Whether this is the certificate that proves control of the identifier.
    pub(super) fn check(&self, identifier: &Identifier, digest: &[u8; 32]) -> Result<(), Flaw> {
        if !self.is_self_signed {
            return Err(Flaw::NotSelfSigned);
        }
        let mut seen = BTreeSet::new();
        if !self.extensions().iter().all(|extension| seen.insert(extension.extn_id)) {
            return Err(Flaw::Repeated);
        }
        let names = self.extension(rfc5280::ID_CE_SUBJECT_ALT_NAME).ok_or(Flaw::NoName)?;
        check_names(names.extn_value.as_bytes(), identifier)?;
        let acme_identifier = self.extension(ACME_IDENTIFIER).ok_or(Flaw::NoAcmeIdentifier)?;
        check_acme_identifier(acme_identifier, digest)
    }

    /// The names that it is for, for the operator.
    pub(super) fn names(&self) -> String {
        let Some(extension) = self.extension(rfc5280::ID_CE_SUBJECT_ALT_NAME) else {
            return "no name".to_owned();
        };
        let Ok(names) = Vec::<GeneralName>::from_der(extension.extn_value.as_bytes()) else {
            return "names that cannot be read".to_owned();
        };
        names.iter().map(told).collect::<Vec<_>>().join(", ")
    }

    /// Its acmeIdentifier extension, for the operator.
    pub(super) fn acme_identifier(&self) -> Option<String> {
        let Extension { critical, extn_value, .. } = self.extension(ACME_IDENTIFIER)?;
        let critical = if *critical { "" } else { "not critical, " };
        Some(format!("{critical}{}", in_hex(extn_value.as_bytes())))
    }

    fn extension(&self, id: ObjectIdentifier) -> Option<&Extension> {
        self.extensions().iter().find(|extension| extension.extn_id == id)
    }

    fn extensions(&self) -> &[Extension] {
        self.certificate.tbs_certificate().extensions().map_or(&[], Vec::as_slice)
    }
}

fn is_signed_by_its_key(certificate: &X509Ref) -> bool {
    let key = certificate.public_key();
    key.and_then(|key| certificate.verify(&key)).unwrap_or(false)
}

/// Exactly one name, and that the identifier.
fn check_names(extension: &[u8], identifier: &Identifier) -> Result<(), Flaw> {
    let names = Vec::<GeneralName>::from_der(extension).map_err(|_| Flaw::OtherNames)?;
    let is_right = match (names.as_slice(), identifier) {
        ([GeneralName::DnsName(name)], Identifier::Dns(expected)) => {
            name.as_str().eq_ignore_ascii_case(expected.as_str())
        }
        ([GeneralName::IpAddress(address)], Identifier::Ip(expected)) => match expected {
            std::net::IpAddr::V4(expected) => address.as_bytes() == expected.octets(),
            std::net::IpAddr::V6(expected) => address.as_bytes() == expected.octets(),
        },
        _ => false,
    };
    if is_right { Ok(()) } else { Err(Flaw::OtherNames) }
}

/// `Authorization ::= OCTET STRING (SIZE (32))`.
fn check_acme_identifier(extension: &Extension, digest: &[u8; 32]) -> Result<(), Flaw> {
    if !extension.critical {
        return Err(Flaw::NotCritical);
    }
    let value = <&OctetStringRef>::from_der(extension.extn_value.as_bytes()).map_err(|_| Flaw::NoDigest)?;
    match value.as_bytes() {
        value if value == digest => Ok(()),
        value if value.len() == digest.len() => Err(Flaw::OtherDigest),
        _ => Err(Flaw::NoDigest),
    }
}

fn told(name: &GeneralName) -> String {
    match name {
        GeneralName::DnsName(name) => format!("DNS {}", name.as_str()),
        GeneralName::IpAddress(address) => format!("IP {}", in_hex(address.as_bytes())),
        _ => "a name of another kind".to_owned(),
    }
}

pub(super) fn in_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
