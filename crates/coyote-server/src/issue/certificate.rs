//! Certificates, before and after they are signed. RFC 5280 section 4.1.

use coyote_protocol::Timestamp;
use coyote_storage::Serial;
use der::asn1::{AnyRef, BitStringRef, UintRef};
use der::{Decode, Encode, Sequence};
use x509_cert::ext::Extension;
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_cert::time::Time;

use super::SignatureAlgorithm;
use super::encoding::time;

/// What a certificate says, but for its extensions. Names and keys are DER.
pub(super) struct Content<'a> {
    pub(super) serial: &'a Serial,
    pub(super) algorithm: SignatureAlgorithm,
    pub(super) issuer: &'a [u8],
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    pub(super) subject: &'a [u8],
    pub(super) public_key_info: &'a [u8],
    pub(super) extensions: Vec<Extension>,
}

/// `TBSCertificate`, version 3.
#[derive(Sequence)]
struct ToBeSigned<'a> {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    version: u8,
    serial_number: UintRef<'a>,
    signature: AlgorithmIdentifierOwned,
    issuer: AnyRef<'a>,
    validity: Validity,
    subject: AnyRef<'a>,
    subject_public_key_info: AnyRef<'a>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT")]
    extensions: Vec<Extension>,
}

#[derive(Sequence)]
struct Validity {
    not_before: Time,
    not_after: Time,
}

#[derive(Sequence)]
struct Signed<'a> {
    to_be_signed: AnyRef<'a>,
    algorithm: AlgorithmIdentifierOwned,
    signature: BitStringRef<'a>,
}

impl Content<'_> {
    /// The bytes that are to be signed.
    pub(super) fn into_signable(self) -> der::Result<Vec<u8>> {
        let to_be_signed = ToBeSigned {
            version: 2, // which stands for version 3
            serial_number: UintRef::new(self.serial.as_bytes())?,
            signature: self.algorithm.identifier(),
            issuer: AnyRef::from_der(self.issuer)?,
            validity: Validity { not_before: time(self.not_before)?, not_after: time(self.not_after)? },
            subject: AnyRef::from_der(self.subject)?,
            subject_public_key_info: AnyRef::from_der(self.public_key_info)?,
            extensions: self.extensions,
        };
        to_be_signed.to_der()
    }
}

/// The certificate, as DER.
pub(super) fn assemble(
    to_be_signed: &[u8],
    algorithm: SignatureAlgorithm,
    signature: &[u8],
) -> der::Result<Vec<u8>> {
    let signed = Signed {
        to_be_signed: AnyRef::from_der(to_be_signed)?,
        algorithm: algorithm.identifier(),
        signature: BitStringRef::from_bytes(signature)?,
    };
    signed.to_der()
}
