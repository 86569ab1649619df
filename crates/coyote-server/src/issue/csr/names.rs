//! The names in a CSR, in one canonical form.

use std::net::IpAddr;

use const_oid::db::rfc4519;
use coyote_protocol::{Identifier, Problem};
use der::asn1::{Any, PrintableStringRef, Utf8StringRef};
use der::{Decode, Tag, Tagged};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;

use super::bad_csr;

/// The names of a subjectAltName. RFC 5280 section 4.2.1.6.
pub(super) fn alternative_names(extension: &[u8]) -> Result<Vec<Identifier>, Problem> {
    let names = Vec::<GeneralName>::from_der(extension).map_err(|_| {
        bad_csr("the subjectAltName has a name that is malformed or of a type that is not certified")
    })?;
    if names.is_empty() {
        return Err(bad_csr("the subjectAltName is empty"));
    }
    names.iter().map(alternative_name).collect()
}

fn alternative_name(name: &GeneralName) -> Result<Identifier, Problem> {
    match name {
        GeneralName::DnsName(name) => dns_name(name.as_str(), "a dNSName"),
        GeneralName::IpAddress(address) => ip_address(address.as_bytes())
            .ok_or_else(|| bad_csr("an iPAddress of the subjectAltName has neither 4 nor 16 octets")),
        _ => Err(bad_csr(
            "the subjectAltName has names other than dNSName and iPAddress; only those are certified",
        )),
    }
}

fn dns_name(text: &str, what: &str) -> Result<Identifier, Problem> {
    Identifier::parse("dns", text).map_err(|error| bad_csr(format!("{what} of the CSR is refused: {error}")))
}

fn ip_address(octets: &[u8]) -> Option<Identifier> {
    let address = match octets.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(octets).ok()?),
        16 => IpAddr::from(<[u8; 16]>::try_from(octets).ok()?),
        _ => return None,
    };
    Some(Identifier::Ip(address))
}

/// The name in the subject, if there is one. RFC 8555 section 7.4 takes it for one of the requested names.
pub(super) fn common_name(subject: &Name) -> Result<Option<Identifier>, Problem> {
    let mut name = None;
    for attribute in subject.iter() {
        if attribute.oid != rfc4519::COMMON_NAME {
            let detail =
                "the subject of the CSR has attributes other than the commonName, which are not certified";
            return Err(bad_csr(detail));
        }
        if name.is_some() {
            return Err(bad_csr("the subject of the CSR has more than one commonName"));
        }
        let text = text(&attribute.value)
            .ok_or_else(|| bad_csr("the commonName of the CSR is not a UTF8String or PrintableString"))?;
        name = Some(match text.parse::<IpAddr>() {
            Ok(address) => Identifier::Ip(address),
            Err(_) => dns_name(text, "the commonName")?,
        });
    }
    Ok(name)
}

/// Of the kinds of strings, those that RFC 5280 section 4.1.2.4 allows in new certificates, and IA5String, which
/// some clients write.
fn text(value: &Any) -> Option<&str> {
    match value.tag() {
        Tag::Utf8String => value.decode_as::<Utf8StringRef<'_>>().ok().map(|text| text.as_str()),
        Tag::PrintableString => value.decode_as::<PrintableStringRef<'_>>().ok().map(|text| text.as_str()),
        Tag::Ia5String => value.decode_as::<der::asn1::Ia5StringRef<'_>>().ok().map(|text| text.as_str()),
        _ => None,
    }
}
