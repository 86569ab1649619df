//! Which public keys are good enough: for accounts, and for certificates.

use std::collections::HashSet;

use coyote_jose::EcCurve;
use openssl::bn::BigNumContext;
use openssl::ec::{Asn1Flag, EcKeyRef};
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKeyRef, Public};
use openssl::rsa::RsaRef;
use openssl::sha::sha256;

mod known_weak;
mod roca;
mod rsa;

pub use known_weak::{InvalidWeakKey, KnownWeakKeys};

/// Why a key is refused. `Display` is fit for a client's eyes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct WeakKey(&'static str);

impl From<ErrorStack> for WeakKey {
    fn from(_: ErrorStack) -> Self {
        Self("the key is not usable")
    }
}

/// What is demanded of a public key, whoever brings it. RFC 8555 sections 6.7 and 11.1.
///
/// Some demands are not for choice, as a key that fails them protects nothing: an RSA key has an odd public
/// exponent from 65537 to 2^32 - 1, whole bytes, no factor below 752, no factors close to each other (110 rounds
/// of Fermat's method, CVE-2022-26320), and was not made by the library that CVE-2017-15361 ("ROCA") is about;
/// a point is on its curve.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KeyPolicy {
    /// The shortest RSA modulus, in bits; 2048 by default.
    pub min_rsa_bits: u32,
    /// The longest, in bits; 4096 by default, as longer ones cost the server more than they protect. 0 refuses RSA.
    pub max_rsa_bits: u32,
    /// The curves of EC keys; P-256, P-384 and P-521 by default.
    pub curves: Vec<EcCurve>,
    /// Whether Ed25519 keys are taken; they are by default.
    pub ed25519: bool,
    /// Keys that are known to have leaked, as SHA-256 of their DER `SubjectPublicKeyInfo`; none by default.
    pub blocked: HashSet<[u8; 32]>,
    /// RSA keys that anybody can make again, such as Debian's (CVE-2008-0166); none by default.
    pub known_weak: KnownWeakKeys,
}

impl Default for KeyPolicy {
    fn default() -> Self {
        Self {
            min_rsa_bits: 2048,
            max_rsa_bits: 4096,
            curves: vec![EcCurve::P256, EcCurve::P384, EcCurve::P521],
            ed25519: true,
            blocked: HashSet::new(),
            known_weak: KnownWeakKeys::default(),
        }
    }
}

impl KeyPolicy {
    /// Checks a key. The work is bounded whatever the key is: its size is looked at before anything else.
    ///
    /// # Errors
    ///
    /// [`WeakKey`], which says why.
    pub fn check(&self, key: &PKeyRef<Public>) -> Result<(), WeakKey> {
        match key.id() {
            Id::RSA => self.check_rsa(&*key.rsa()?)?,
            Id::EC => self.check_ec(&*key.ec_key()?)?,
            Id::ED25519 if self.ed25519 => {}
            _ => return Err(WeakKey("keys of this type are not taken")),
        }
        if !self.blocked.is_empty() && self.blocked.contains(&sha256(&key.public_key_to_der()?)) {
            return Err(WeakKey("the key is known to have leaked"));
        }
        Ok(())
    }

    fn check_rsa(&self, key: &RsaRef<Public>) -> Result<(), WeakKey> {
        rsa::check(key, self.min_rsa_bits..=self.max_rsa_bits)?;
        if self.known_weak.contain(key.n())? {
            return Err(WeakKey("the key is one that anybody can make (CVE-2008-0166)"));
        }
        Ok(())
    }

    fn check_ec(&self, key: &EcKeyRef<Public>) -> Result<(), WeakKey> {
        let group = key.group();
        let curve = group.curve_name().and_then(curve).filter(|curve| self.curves.contains(curve));
        if curve.is_none() || group.asn1_flag() != Asn1Flag::NAMED_CURVE {
            return Err(WeakKey("keys on this curve are not taken"));
        }
        // These curves have no small subgroups: a point on one generates all of it.
        let point = key.public_key();
        if point.is_infinity(group) || !point.is_on_curve(group, &mut *BigNumContext::new()?)? {
            return Err(WeakKey("the key is not a point on its curve"));
        }
        Ok(())
    }
}

fn curve(nid: Nid) -> Option<EcCurve> {
    match nid {
        Nid::X9_62_PRIME256V1 => Some(EcCurve::P256),
        Nid::SECP384R1 => Some(EcCurve::P384),
        Nid::SECP521R1 => Some(EcCurve::P521),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
