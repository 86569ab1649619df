//! ECDSA signatures as JWS writes them: r and s, each as long as the field. RFC 7518 section 3.4.

use openssl::bn::BigNum;
use openssl::ec::EcKeyRef;
use openssl::ecdsa::EcdsaSig;
use openssl::error::ErrorStack;
use openssl::hash::{MessageDigest, hash};
use openssl::pkey::{HasPrivate, HasPublic};

use crate::jwk::EcCurve;

pub(crate) fn verify<T: HasPublic>(
    key: &EcKeyRef<T>,
    curve: EcCurve,
    digest: MessageDigest,
    message: &[u8],
    signature: &[u8],
) -> Result<bool, ErrorStack> {
    let length = curve.coordinate_length();
    if signature.len() != 2 * length {
        return Ok(false);
    }
    let (r, s) = signature.split_at(length);
    let signature = EcdsaSig::from_private_components(BigNum::from_slice(r)?, BigNum::from_slice(s)?)?;
    signature.verify(&hash(digest, message)?, key)
}

pub(crate) fn sign<T: HasPrivate>(
    key: &EcKeyRef<T>,
    curve: EcCurve,
    digest: MessageDigest,
    message: &[u8],
) -> Result<Vec<u8>, ErrorStack> {
    let length = i32::try_from(curve.coordinate_length()).unwrap_or(i32::MAX);
    let signature = EcdsaSig::sign(&hash(digest, message)?, key)?;
    let mut bytes = signature.r().to_vec_padded(length)?;
    bytes.extend(signature.s().to_vec_padded(length)?);
    Ok(bytes)
}
