//! The certificate extensions that a CSR asks for. RFC 2985 section 5.4.2.

use std::collections::BTreeSet;

use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5280, rfc5912};
use coyote_protocol::{Identifier, Problem};
use der::Decode;
use der::asn1::SetOfVec;
use x509_cert::attr::Attribute;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage};

use super::{bad_csr, names};

/// Extensions that clients send out of habit, and that may be left out of the certificate without harm to anyone.
const IGNORED: [ObjectIdentifier; 7] = [
    rfc5280::ID_CE_SUBJECT_KEY_IDENTIFIER,
    ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.24"), // TLS feature ("must staple"): there is nothing to staple
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.15"), // S/MIME capabilities, from Windows
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.21.7"), // certificate template, from Windows
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.21.10"), // application policies, from Windows
    ObjectIdentifier::new_unwrap("2.16.840.1.113730.1.1"), // Netscape's certificate type, from OpenSSL's examples
    ObjectIdentifier::new_unwrap("2.16.840.1.113730.1.13"), // Netscape's comment, likewise
];

/// The names in the subjectAltName that is asked for; an error if something else is asked for that is not granted.
/// Attributes other than the extension request (a challenge password, the name of a program) ask for nothing.
pub(super) fn requested_names(attributes: &SetOfVec<Attribute>) -> Result<BTreeSet<Identifier>, Problem> {
    let mut names = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for extension in requested(attributes)? {
        if !seen.insert(extension.extn_id) {
            return Err(bad_csr("the CSR asks for an extension twice"));
        }
        let value = extension.extn_value.as_bytes();
        match extension.extn_id {
            rfc5280::ID_CE_SUBJECT_ALT_NAME => names.extend(names::alternative_names(value)?),
            oid => check(oid, value)?,
        }
    }
    Ok(names)
}

fn requested(attributes: &SetOfVec<Attribute>) -> Result<Vec<Extension>, Problem> {
    let mut requests = attributes.iter().filter(|attribute| attribute.oid == rfc5912::ID_EXTENSION_REQ);
    let Some(request) = requests.next() else {
        return Ok(Vec::new());
    };
    let value = match request.values.as_slice() {
        [value] if requests.next().is_none() => value,
        _ => return Err(bad_csr("the CSR has more than one extension request, or an empty one")),
    };
    value.decode_as().map_err(|_| bad_csr("the extension request of the CSR is malformed"))
}

/// Lets pass what asks for no more than a certificate here has anyway.
fn check(oid: ObjectIdentifier, value: &[u8]) -> Result<(), Problem> {
    let granted = match oid {
        rfc5280::ID_CE_BASIC_CONSTRAINTS => {
            BasicConstraints::from_der(value).is_ok_and(|constraints| !constraints.ca)
        }
        rfc5280::ID_CE_KEY_USAGE => {
            KeyUsage::from_der(value).is_ok_and(|usage| !usage.key_cert_sign() && !usage.crl_sign())
        }
        rfc5280::ID_CE_EXT_KEY_USAGE => ExtendedKeyUsage::from_der(value)
            .is_ok_and(|usage| usage.0.iter().all(|purpose| PURPOSES.contains(purpose))),
        _ => IGNORED.contains(&oid),
    };
    if granted {
        Ok(())
    } else {
        Err(bad_csr(format!("the CSR asks for an extension that is not granted: {oid}")))
    }
}

const PURPOSES: [ObjectIdentifier; 2] = [rfc5280::ID_KP_SERVER_AUTH, rfc5280::ID_KP_CLIENT_AUTH];
