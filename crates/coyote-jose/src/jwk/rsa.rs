//! RSA keys. RFC 7518 section 6.3.

use openssl::bn::BigNum;
use openssl::pkey::{HasPublic, PKey, Public};
use openssl::rsa::{Rsa, RsaRef};

use super::{JwkParameters, Parameters};
use crate::error::Error;

/// 2048 bits, which RFC 7518 section 3.3 asks for at least, in bytes.
const MIN_MODULUS: usize = 256;
/// 4096 bits in bytes: beyond that, checking a signature is work that a client could burden us with.
const MAX_MODULUS: usize = 512;
/// Smaller exponents have a history of broken padding checks; it is also what CAs must ask for.
const MIN_EXPONENT: u32 = 65537;

pub(super) fn parse(parameters: &mut Parameters<'_>) -> Result<JwkParameters, Error> {
    new(parameters.bytes("n")?, parameters.bytes("e")?)
}

pub(super) fn from_public_key<T: HasPublic>(key: &RsaRef<T>) -> Result<JwkParameters, Error> {
    new(key.n().to_vec(), key.e().to_vec())
}

/// The OpenSSL key. Whether its modulus is hard to factor is for a policy to ask.
pub(crate) fn public_key(n: &[u8], e: &[u8]) -> Result<PKey<Public>, Error> {
    Ok(PKey::from_rsa(Rsa::from_public_components(BigNum::from_slice(n)?, BigNum::from_slice(e)?)?)?)
}

fn new(n: Vec<u8>, e: Vec<u8>) -> Result<JwkParameters, Error> {
    check_modulus(&n)?;
    check_exponent(&e)?;
    Ok(JwkParameters::Rsa { n, e })
}

fn check_modulus(n: &[u8]) -> Result<(), Error> {
    let (Some(first), Some(last)) = (n.first(), n.last()) else {
        return Err(Error::BadKey("the RSA modulus is empty"));
    };
    if *first == 0 {
        return Err(Error::BadKey("the RSA modulus has a leading zero")); // RFC 7518 section 2, Base64urlUInt
    }
    if n.len() < MIN_MODULUS {
        return Err(Error::BadKey("the RSA modulus has fewer than 2048 bits"));
    }
    if n.len() > MAX_MODULUS {
        return Err(Error::BadKey("the RSA modulus has more than 4096 bits"));
    }
    if *first < 0x80 {
        return Err(Error::BadKey("the RSA modulus has a number of bits that is not a multiple of 8"));
    }
    if last % 2 == 0 {
        return Err(Error::BadKey("the RSA modulus is even"));
    }
    Ok(())
}

fn check_exponent(e: &[u8]) -> Result<(), Error> {
    if e.first() == Some(&0) {
        return Err(Error::BadKey("the RSA exponent has a leading zero"));
    }
    if e.len() > 4 {
        return Err(Error::BadKey("the RSA exponent is too large"));
    }
    let value = e.iter().fold(0, |value: u32, byte| value << 8 | u32::from(*byte));
    if value < MIN_EXPONENT {
        return Err(Error::BadKey("the RSA exponent is smaller than 65537"));
    }
    if value % 2 == 0 {
        return Err(Error::BadKey("the RSA exponent is even"));
    }
    Ok(())
}
