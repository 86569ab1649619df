//! Elliptic curve keys. RFC 7518 section 6.2.

use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::{EcGroup, EcKey, EcKeyRef};
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::pkey::{HasPublic, Public};

use super::{JwkParameters, Parameters};
use crate::error::Error;

/// A curve of `EC` keys. RFC 7518 section 6.2.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EcCurve {
    /// `P-256`
    P256,
    /// `P-384`
    P384,
    /// `P-521`
    P521,
}

impl EcCurve {
    const ALL: [EcCurve; 3] = [Self::P256, Self::P384, Self::P521];

    /// The `crv` parameter.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        }
    }

    /// How many bytes a coordinate has, and each half of a signature.
    #[must_use]
    pub fn coordinate_length(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    pub(crate) fn group(self) -> Result<EcGroup, ErrorStack> {
        EcGroup::from_curve_name(self.nid())
    }

    fn nid(self) -> Nid {
        match self {
            Self::P256 => Nid::X9_62_PRIME256V1,
            Self::P384 => Nid::SECP384R1,
            Self::P521 => Nid::SECP521R1,
        }
    }
}

pub(super) fn parse(parameters: &mut Parameters<'_>) -> Result<JwkParameters, Error> {
    let name = parameters.text("crv")?.ok_or(Error::BadKey("the jwk has no crv"))?;
    let curve = EcCurve::ALL
        .into_iter()
        .find(|curve| curve.name() == name)
        .ok_or(Error::BadKey("the curve is not supported for EC keys"))?;
    let (x, y) = (parameters.bytes("x")?, parameters.bytes("y")?);
    if [&x, &y].iter().any(|coordinate| coordinate.len() != curve.coordinate_length()) {
        return Err(Error::BadKey("a coordinate does not have the length of its curve"));
    }
    Ok(JwkParameters::Ec { curve, x, y })
}

pub(super) fn from_public_key<T: HasPublic>(key: &EcKeyRef<T>) -> Result<JwkParameters, Error> {
    let name = key.group().curve_name();
    let curve = EcCurve::ALL
        .into_iter()
        .find(|curve| Some(curve.nid()) == name)
        .ok_or(Error::BadKey("the key's curve is not supported"))?;
    let (mut x, mut y) = (BigNum::new()?, BigNum::new()?);
    let mut context = BigNumContext::new()?;
    key.public_key()
        .affine_coordinates(key.group(), &mut x, &mut y, &mut context)
        .map_err(|_| Error::BadKey("the point is not on the curve"))?;
    let length = i32::try_from(curve.coordinate_length()).unwrap_or(i32::MAX);
    Ok(JwkParameters::Ec { curve, x: x.to_vec_padded(length)?, y: y.to_vec_padded(length)? })
}

/// The OpenSSL key; making it from coordinates checks that they are on the curve.
pub(crate) fn public_key(curve: EcCurve, x: &[u8], y: &[u8]) -> Result<EcKey<Public>, Error> {
    let (group, x, y) = (curve.group()?, BigNum::from_slice(x)?, BigNum::from_slice(y)?);
    EcKey::from_public_key_affine_coordinates(&group, &x, &y)
        .map_err(|_| Error::BadKey("the point is not on the curve"))
}
