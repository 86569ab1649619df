//! Edwards curve keys. RFC 8037 section 2.

use openssl::error::ErrorStack;
use openssl::pkey::{Id, PKey, Public};

use super::{JwkParameters, Parameters};
use crate::error::Error;

/// A curve of `OKP` keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OkpCurve {
    /// `Ed25519`
    Ed25519,
}

impl OkpCurve {
    /// The `crv` parameter.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "Ed25519",
        }
    }
}

/// The y coordinates, little-endian, of the points whose order divides 8, also as non-canonical encodings
/// write them. Under such a "key" anyone can make signatures. RFC 8032 section 5.1.7 leaves them in.
const SMALL_ORDER: [[u8; 32]; 7] = [
    spread(0x00, 0x00, 0x00),
    spread(0x01, 0x00, 0x00),
    spread(0xec, 0xff, 0x7f),
    spread(0xed, 0xff, 0x7f),
    spread(0xee, 0xff, 0x7f),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
        0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
        0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

pub(super) fn parse(parameters: &mut Parameters<'_>) -> Result<JwkParameters, Error> {
    match parameters.text("crv")?.as_deref() {
        Some("Ed25519") => new(parameters.bytes("x")?),
        Some(_) => Err(Error::BadKey("the curve is not supported for OKP keys")),
        None => Err(Error::BadKey("the jwk has no crv")),
    }
}

pub(super) fn new(x: Vec<u8>) -> Result<JwkParameters, Error> {
    let Some((sign_and_y, low)) = x.split_last().filter(|_| x.len() == 32) else {
        return Err(Error::BadKey("an Ed25519 key has 32 bytes"));
    };
    let y = (sign_and_y & 0x7f, low);
    if SMALL_ORDER.iter().any(|point| point.split_last().is_some_and(|(high, low)| (*high, low) == y)) {
        return Err(Error::BadKey("the point is of small order"));
    }
    Ok(JwkParameters::Okp { curve: OkpCurve::Ed25519, x })
}

pub(crate) fn public_key(x: &[u8]) -> Result<PKey<Public>, ErrorStack> {
    PKey::public_key_from_raw_bytes(x, Id::ED25519)
}

/// 32 bytes: the first, the last, and one that fills the space between.
const fn spread(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut bytes = [middle; 32];
    bytes[0] = first;
    bytes[31] = last;
    bytes
}
