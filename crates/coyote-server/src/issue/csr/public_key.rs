//! From the `SubjectPublicKeyInfo` of a CSR to a key that OpenSSL works with. RFC 5480, RFC 3279, RFC 8410.

use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5912, rfc8410};
use der::asn1::UintRef;
use der::{Decode, Sequence};
use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::{EcGroup, EcKey, EcPoint};
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Public};
use openssl::rsa::Rsa;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

const UNREADABLE: &str = "the public key is malformed";
const UNSUPPORTED: &str = "the public key is neither RSA nor Ed25519 nor EC on P-256, P-384 or P-521";

/// RFC 8017 appendix A.1.1.
#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    public_exponent: UintRef<'a>,
}

/// Makes a key of its numbers, so that OpenSSL never parses it. For each key exactly one encoding is taken: named
/// curves, uncompressed points, NULL as RSA's parameters. Whether the key is good is not asked here, except that a
/// point must be on its curve.
pub(super) fn read(info: &SubjectPublicKeyInfoOwned) -> Result<PKey<Public>, &'static str> {
    let key = info.subject_public_key.as_bytes().ok_or(UNREADABLE)?;
    let parameters = info.algorithm.parameters.as_ref();
    match info.algorithm.oid {
        rfc5912::ID_EC_PUBLIC_KEY => {
            let curve = parameters.and_then(|parameters| parameters.decode_as::<ObjectIdentifier>().ok());
            ec(curve.ok_or("the public key's curve is not given by name")?, key)
        }
        rfc5912::RSA_ENCRYPTION if parameters.is_some_and(|parameters| parameters.is_null()) => rsa(key),
        rfc8410::ID_ED_25519 if parameters.is_none() => {
            PKey::public_key_from_raw_bytes(key, Id::ED25519).map_err(|_| UNREADABLE)
        }
        _ => Err(UNSUPPORTED),
    }
}

fn ec(curve: ObjectIdentifier, point: &[u8]) -> Result<PKey<Public>, &'static str> {
    let (nid, length) = match curve {
        rfc5912::SECP_256_R_1 => (Nid::X9_62_PRIME256V1, 32),
        rfc5912::SECP_384_R_1 => (Nid::SECP384R1, 48),
        rfc5912::SECP_521_R_1 => (Nid::SECP521R1, 66),
        _ => return Err(UNSUPPORTED),
    };
    if point.len() != 1 + 2 * length || point.first() != Some(&4) {
        return Err("the public key is not an uncompressed point of its curve");
    }
    let key = || -> Result<_, ErrorStack> {
        let group = EcGroup::from_curve_name(nid)?;
        let point = EcPoint::from_bytes(&group, point, &mut *BigNumContext::new()?)?;
        PKey::from_ec_key(EcKey::from_public_key(&group, &point)?)
    };
    key().map_err(|_| "the public key is not a point on its curve")
}

fn rsa(key: &[u8]) -> Result<PKey<Public>, &'static str> {
    let RsaPublicKey { modulus, public_exponent } = RsaPublicKey::from_der(key).map_err(|_| UNREADABLE)?;
    let key = || -> Result<_, ErrorStack> {
        let n = BigNum::from_slice(modulus.as_bytes())?;
        let e = BigNum::from_slice(public_exponent.as_bytes())?;
        PKey::from_rsa(Rsa::from_public_components(n, e)?)
    };
    key().map_err(|_| UNREADABLE)
}
