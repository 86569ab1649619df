//! HMAC. RFC 7518 section 3.2.

use openssl::error::ErrorStack;
use openssl::memcmp;
use openssl::pkey::PKey;
use openssl::sign::Signer;

use crate::algorithm::Algorithm;

pub(crate) fn compute(algorithm: Algorithm, secret: &[u8], message: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    let key = PKey::hmac(secret)?;
    Signer::new(algorithm.digest(), &key)?.sign_oneshot_to_vec(message)
}

pub(crate) fn verify(
    algorithm: Algorithm,
    secret: &[u8],
    message: &[u8],
    mac: &[u8],
) -> Result<bool, ErrorStack> {
    let expected = compute(algorithm, secret, message)?;
    Ok(expected.len() == mac.len() && memcmp::eq(&expected, mac)) // eq panics when the lengths differ
}
