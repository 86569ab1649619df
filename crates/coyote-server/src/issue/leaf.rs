//! The certificates that clients get. RFC 5280 section 4.2; where that leaves a choice, the Baseline Requirements of
//! the CA/Browser Forum, section 7.1.2.7.

use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5280, rfc5912};
use coyote_protocol::Identifier;
use der::asn1::OctetString;
use der::flagset::FlagSet;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::crl::dp::DistributionPoint;
use x509_cert::ext::pkix::name::DistributionPointName;
use x509_cert::ext::pkix::{
    AccessDescription, AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage as ExtKeyUsage, KeyUsage,
    KeyUsages,
};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::encoding::{common_name, distinguished_name, extension, general_name, key_identifier, uri};
use super::profile::{ExtendedKeyUsage, Profile};

/// The longest commonName. RFC 5280 appendix A.1.
const MAX_COMMON_NAME: usize = 64;

/// What the issuer adds to each certificate.
pub(super) struct IssuerPart<'a> {
    pub(super) key_identifier: &'a OctetString,
    pub(super) certificate_url: Option<&'a str>,
    pub(super) crl_url: Option<&'a str>,
}

/// What is made of a profile and an order.
pub(super) struct Leaf {
    /// DER.
    pub(super) subject: Vec<u8>,
    pub(super) extensions: Vec<Extension>,
}

impl Leaf {
    pub(super) fn new(
        profile: &Profile,
        identifiers: &[Identifier],
        key: &SubjectPublicKeyInfoOwned,
        issuer: &IssuerPart<'_>,
    ) -> der::Result<Self> {
        // The subject is empty, as all names are in the subjectAltName; unless the profile wants one repeated.
        let name = first_short_name(identifiers).filter(|_| profile.common_name);
        let subject = match &name {
            Some(name) => common_name(name)?,
            None => distinguished_name(&[])?,
        };
        let extensions = extensions(profile, identifiers, name.is_some(), key, issuer)?;
        Ok(Self { subject, extensions })
    }
}

fn first_short_name(identifiers: &[Identifier]) -> Option<String> {
    let mut names = identifiers.iter().filter(|identifier| !matches!(identifier, Identifier::Ip(_)));
    names.find_map(|name| Some(name.value()).filter(|name| name.len() <= MAX_COMMON_NAME))
}

fn extensions(
    profile: &Profile,
    identifiers: &[Identifier],
    has_subject: bool,
    key: &SubjectPublicKeyInfoOwned,
    issuer: &IssuerPart<'_>,
) -> der::Result<Vec<Extension>> {
    let names = identifiers.iter().map(general_name).collect::<der::Result<Vec<_>>>()?;
    let authority = AuthorityKeyIdentifier {
        key_identifier: Some(issuer.key_identifier.clone()),
        authority_cert_issuer: None,
        authority_cert_serial_number: None,
    };
    let not_a_ca = BasicConstraints { ca: false, path_len_constraint: None };
    let purposes = ExtKeyUsage(profile.extended_key_usages.iter().map(|usage| purpose(*usage)).collect());

    let mut extensions = vec![
        extension(rfc5280::ID_CE_KEY_USAGE, true, &KeyUsage(key_usage(key)))?,
        extension(rfc5280::ID_CE_EXT_KEY_USAGE, false, &purposes)?,
        extension(rfc5280::ID_CE_BASIC_CONSTRAINTS, true, &not_a_ca)?,
        extension(rfc5280::ID_CE_SUBJECT_KEY_IDENTIFIER, false, &key_identifier(&key.subject_public_key)?)?,
        extension(rfc5280::ID_CE_AUTHORITY_KEY_IDENTIFIER, false, &authority)?,
    ];
    if let Some(url) = issuer.certificate_url {
        let access =
            AccessDescription { access_method: rfc5280::ID_AD_CA_ISSUERS, access_location: uri(url)? };
        extensions.push(extension(rfc5280::ID_PE_AUTHORITY_INFO_ACCESS, false, &vec![access])?);
    }
    // Critical if and only if nothing but these names says whose certificate it is.
    extensions.push(extension(rfc5280::ID_CE_SUBJECT_ALT_NAME, !has_subject, &names)?);
    if let Some(url) = issuer.crl_url {
        let point = DistributionPoint {
            distribution_point: Some(DistributionPointName::FullName(vec![uri(url)?])),
            reasons: None,
            crl_issuer: None,
        };
        extensions.push(extension(rfc5280::ID_CE_CRL_DISTRIBUTION_POINTS, false, &vec![point])?);
    }
    Ok(extensions)
}

/// RSA keys may also be what TLS 1.2 clients encrypt to.
fn key_usage(key: &SubjectPublicKeyInfoOwned) -> FlagSet<KeyUsages> {
    let usage = FlagSet::from(KeyUsages::DigitalSignature);
    if key.algorithm.oid == rfc5912::RSA_ENCRYPTION { usage | KeyUsages::KeyEncipherment } else { usage }
}

pub(super) fn purpose(usage: ExtendedKeyUsage) -> ObjectIdentifier {
    match usage {
        ExtendedKeyUsage::ServerAuth => rfc5280::ID_KP_SERVER_AUTH,
        ExtendedKeyUsage::ClientAuth => rfc5280::ID_KP_CLIENT_AUTH,
    }
}
