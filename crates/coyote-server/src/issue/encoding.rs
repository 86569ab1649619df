//! The parts of certificates, as DER.

use std::net::IpAddr;
use std::time::Duration;

use const_oid::ObjectIdentifier;
use const_oid::db::rfc4519;
use coyote_protocol::{Identifier, Timestamp};
use der::asn1::{Any, BitString, GeneralizedTime, Ia5String, OctetString, UtcTime};
use der::{DateTime, Encode, Tag};
use openssl::sha::sha256;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::{RdnSequence, RelativeDistinguishedName};
use x509_cert::time::Time;

/// UTCTime up to 2049, GeneralizedTime from 2050 on. RFC 5280 section 4.1.2.5.
pub(super) fn time(at: Timestamp) -> der::Result<Time> {
    let seconds = u64::try_from(at.as_seconds()).map_err(|_| der::ErrorKind::DateTime)?;
    let at = DateTime::from_unix_duration(Duration::from_secs(seconds))?;
    if at.year() <= UtcTime::MAX_YEAR {
        UtcTime::from_date_time(at).map(Time::UtcTime)
    } else {
        Ok(Time::GeneralTime(GeneralizedTime::from_date_time(at)))
    }
}

pub(super) fn timestamp(time: Time) -> Timestamp {
    Timestamp::UNIX_EPOCH + time.to_unix_duration()
}

pub(super) fn extension(id: ObjectIdentifier, critical: bool, value: &impl Encode) -> der::Result<Extension> {
    Ok(Extension { extn_id: id, critical, extn_value: OctetString::new(value.to_der()?)? })
}

/// A name as subjectAltName has it. RFC 5280 section 4.2.1.6, RFC 8738 section 3.
pub(super) fn general_name(identifier: &Identifier) -> der::Result<GeneralName> {
    match identifier {
        Identifier::Dns(_) | Identifier::Wildcard(_) => {
            Ok(GeneralName::DnsName(Ia5String::new(&identifier.value())?))
        }
        Identifier::Ip(IpAddr::V4(address)) => octets(&address.octets()),
        Identifier::Ip(IpAddr::V6(address)) => octets(&address.octets()),
    }
}

pub(super) fn octets(address: &[u8]) -> der::Result<GeneralName> {
    OctetString::new(address).map(GeneralName::IpAddress)
}

pub(super) fn uri(uri: &str) -> der::Result<GeneralName> {
    Ia5String::new(uri).map(GeneralName::UniformResourceIdentifier)
}

/// What a key is called within certificates: the first 160 bits of the SHA-256 of its bits. RFC 7093 section 2.
pub(super) fn key_identifier(key: &BitString) -> der::Result<OctetString> {
    OctetString::new(sha256(key.raw_bytes()).get(..20).unwrap_or_default())
}

/// A distinguished name that has these attributes, one to a level; empty without any.
pub(super) fn distinguished_name(attributes: &[(ObjectIdentifier, &str)]) -> der::Result<Vec<u8>> {
    let levels = attributes.iter().map(|(oid, text)| {
        let value = Any::new(Tag::Utf8String, text.as_bytes())?;
        RelativeDistinguishedName::try_from(vec![AttributeTypeAndValue { oid: *oid, value }])
    });
    RdnSequence::from(levels.collect::<der::Result<Vec<_>>>()?).to_der()
}

pub(super) fn common_name(text: &str) -> der::Result<Vec<u8>> {
    distinguished_name(&[(rfc4519::COMMON_NAME, text)])
}
