//! Public keys as JSON. RFC 7517, RFC 7518 section 6, RFC 8037 section 2.

pub(crate) mod ec;
pub(crate) mod okp;
pub(crate) mod rsa;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use openssl::pkey::{HasPublic, Id, PKeyRef};
use openssl::sha::sha256;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::algorithm::Algorithm;
use crate::base64url;
use crate::error::Error;
use crate::members::{Members, Value};
use crate::thumbprint::Thumbprint;

pub use self::ec::EcCurve;
pub use self::okp::OkpCurve;

/// Longer than the text of any parameter of a key that is taken: 4096 bits are 683 characters.
const MAX_PARAMETER: usize = 683;

/// The members that only private and symmetric keys have. RFC 7518 section 6, RFC 8037 section 2.
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// A public key, as a JSON Web Key.
///
/// The form is checked: type and curve are known, each coordinate has its curve's length, an RSA modulus
/// has 2048 to 4096 bits, in whole bytes. Whether there is a usable key behind it (the point is on the
/// curve, say) is [`VerifyingKey::new`](crate::VerifyingKey::new)'s to find out.
///
/// Two are equal if they are the same key; members that say something *about* the key are not kept.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Jwk(JwkParameters);

/// What a key consists of: integers and points as big-endian bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JwkParameters {
    /// An elliptic curve key, `kty` `EC`.
    Ec {
        /// `crv`
        curve: EcCurve,
        /// The x coordinate, as long as the curve's field.
        x: Vec<u8>,
        /// The y coordinate, as long as the curve's field.
        y: Vec<u8>,
    },
    /// An RSA key, `kty` `RSA`.
    Rsa {
        /// The modulus.
        n: Vec<u8>,
        /// The public exponent.
        e: Vec<u8>,
    },
    /// An Edwards curve key, `kty` `OKP`.
    Okp {
        /// `crv`
        curve: OkpCurve,
        /// The public key.
        x: Vec<u8>,
    },
}

impl Jwk {
    /// Reads a JWK from JSON.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] if it is not a JSON object with unique members, if it has members of a private
    /// key, or a parameter that is not base64url; [`Error::BadKey`] if it is not a public key of a kind,
    /// size and exponent that is taken here.
    pub fn parse(json: &str) -> Result<Self, Error> {
        Self::from_members(Members::parse(json.as_bytes())?)
    }

    /// The JWK of an OpenSSL public key, or of the public half of a private one.
    ///
    /// # Errors
    ///
    /// [`Error::BadKey`] for keys that [`Jwk::parse`] does not take either.
    pub fn from_public_key<T: HasPublic>(key: &PKeyRef<T>) -> Result<Self, Error> {
        match key.id() {
            Id::EC => ec::from_public_key(&*key.ec_key()?),
            Id::RSA => rsa::from_public_key(&*key.rsa()?),
            Id::ED25519 => okp::new(key.raw_public_key()?),
            _ => Err(Error::BadKey("the key's type is not supported")),
        }
        .map(Self)
    }

    /// The key's name. RFC 7638.
    #[must_use]
    pub fn thumbprint(&self) -> Thumbprint {
        Thumbprint::from_bytes(sha256(self.to_string().as_bytes()))
    }

    /// What the key consists of.
    #[must_use]
    pub fn parameters(&self) -> &JwkParameters {
        &self.0
    }

    /// Reads the `jwk` of a protected header whose `alg` is `algorithm`.
    pub(crate) fn for_algorithm(mut members: Members<'_>, algorithm: Algorithm) -> Result<Self, Error> {
        let intended = members.take_text("alg", "the alg of the jwk is not a string")?;
        if intended.is_some_and(|intended| intended != algorithm.name()) {
            return Err(Error::Malformed("the jwk is meant for another alg than the header's"));
        }
        let jwk = Self::from_members(members)?;
        if !algorithm.fits(&jwk.0) {
            return Err(Error::Malformed("the jwk is not a key for the header's alg"));
        }
        Ok(jwk)
    }

    fn from_members(members: Members<'_>) -> Result<Self, Error> {
        if PRIVATE.iter().any(|name| members.has(name)) {
            return Err(Error::Malformed("the jwk holds a private or symmetric key"));
        }
        let mut parameters = Parameters(members);
        match parameters.text("kty")?.as_deref() {
            Some("EC") => ec::parse(&mut parameters),
            Some("RSA") => rsa::parse(&mut parameters),
            Some("OKP") => okp::parse(&mut parameters),
            Some(_) => Err(Error::BadKey("the key's type is not supported")),
            None => Err(Error::BadKey("the jwk has no kty")),
        }
        .map(Self)
    }

    /// The members that make the key, in the order of RFC 7638 section 3.3.
    fn members(&self) -> Vec<(&'static str, Cow<'static, str>)> {
        let text = Cow::Borrowed;
        let bytes = |bytes: &[u8]| Cow::Owned(base64url::encode(bytes));
        match &self.0 {
            JwkParameters::Ec { curve, x, y } => {
                vec![("crv", text(curve.name())), ("kty", text("EC")), ("x", bytes(x)), ("y", bytes(y))]
            }
            JwkParameters::Rsa { n, e } => vec![("e", bytes(e)), ("kty", text("RSA")), ("n", bytes(n))],
            JwkParameters::Okp { curve, x } => {
                vec![("crv", text(curve.name())), ("kty", text("OKP")), ("x", bytes(x))]
            }
        }
    }
}

/// The JSON of which the thumbprint is taken: required members only, sorted, no white space.
impl fmt::Display for Jwk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = '{';
        for (name, value) in self.members() {
            write!(f, "{separator}\"{name}\":\"{value}\"")?; // nothing in them needs escaping
            separator = ',';
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Jwk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Jwk({self})")
    }
}

impl FromStr for Jwk {
    type Err = Error;

    fn from_str(json: &str) -> Result<Self, Error> {
        Self::parse(json)
    }
}

impl Serialize for Jwk {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let members = self.members();
        let mut map = serializer.serialize_map(Some(members.len()))?;
        for (name, value) in &members {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Jwk {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Object(members) => Self::from_members(members).map_err(de::Error::custom),
            _ => Err(de::Error::custom("a JWK is a JSON object")),
        }
    }
}

/// The members of a JWK, as its parameters are read.
struct Parameters<'a>(Members<'a>);

impl<'a> Parameters<'a> {
    fn text(&mut self, name: &str) -> Result<Option<Cow<'a, str>>, Error> {
        self.0.take_text(name, "a parameter of the jwk is not a string")
    }

    /// A parameter that is base64url, bounded before it is decoded.
    fn bytes(&mut self, name: &str) -> Result<Vec<u8>, Error> {
        let Some(text) = self.text(name)? else {
            return Err(Error::BadKey("the jwk lacks a parameter that its kty requires"));
        };
        if text.len() > MAX_PARAMETER {
            return Err(Error::BadKey("the key is too long"));
        }
        base64url::decode(&text).map_err(|_| Error::Malformed("a parameter of the jwk is not base64url"))
    }
}
