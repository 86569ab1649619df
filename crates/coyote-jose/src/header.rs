use std::borrow::Cow;

use crate::algorithm::Algorithm;
use crate::base64url;
use crate::error::Error;
use crate::jwk::Jwk;
use crate::members::{Members, Value};

/// The protected header of a JWS. RFC 8555 section 6.2.
///
/// Parameters that are not listed there are ignored, as RFC 7515 section 4 wants it; nothing is ever fetched
/// because of one (`jku`, `x5u`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// `alg`
    pub algorithm: Algorithm,
    /// `jwk` or `kid`
    pub key: KeyId,
    /// `nonce`: base64url, not empty, of any length.
    pub nonce: Option<String>,
    /// `url`
    pub url: Option<String>,
}

/// Which key a JWS says that it is signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyId {
    /// `jwk`: the key itself.
    Jwk(Box<Jwk>),
    /// `kid`: a name for it; in ACME the account's URL.
    Kid(String),
}

/// Which algorithms a JWS may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepted {
    Signatures,
    Macs,
}

impl Header {
    pub(crate) fn parse(json: &[u8], accepted: Accepted) -> Result<Self, Error> {
        let mut members = Members::parse(json)?;
        // Even an empty crit is an error, and there is no extension here that one could name.
        if members.has("crit") {
            return Err(Error::Malformed("the protected header has crit, and no extension is supported"));
        }
        if members.has("b64") {
            return Err(Error::Malformed("the protected header has b64: the payload has to be encoded"));
        }
        let algorithm = algorithm(&mut members, accepted)?;
        let nonce = members.take_text("nonce", "the nonce is not a string")?;
        if nonce.as_ref().is_some_and(|nonce| nonce.is_empty() || !base64url::is_valid(nonce)) {
            return Err(Error::Malformed("the nonce is not base64url"));
        }
        let url = members.take_text("url", "the url is not a string")?;
        let key = KeyId::take(&mut members, algorithm)?;
        Ok(Self { algorithm, key, nonce: nonce.map(Cow::into_owned), url: url.map(Cow::into_owned) })
    }
}

/// Taken before anything else, so that a client with another algorithm learns what to use instead.
fn algorithm(members: &mut Members<'_>, accepted: Accepted) -> Result<Algorithm, Error> {
    let name = members
        .take_text("alg", "the alg is not a string")?
        .ok_or(Error::Malformed("the protected header has no alg"))?;
    name.parse()
        .ok()
        .filter(|algorithm: &Algorithm| algorithm.is_mac() == (accepted == Accepted::Macs))
        .ok_or_else(|| Error::unsupported(&name))
}

impl KeyId {
    fn take(members: &mut Members<'_>, algorithm: Algorithm) -> Result<Self, Error> {
        let kid = members.take_text("kid", "the kid is not a string")?;
        match (members.take("jwk"), kid) {
            (Some(_), Some(_)) => Err(Error::Malformed("the protected header has both jwk and kid")),
            (None, None) => Err(Error::Malformed("the protected header has neither jwk nor kid")),
            (None, Some(kid)) => Ok(Self::Kid(kid.into_owned())),
            (Some(_), None) if algorithm.is_mac() => {
                Err(Error::Malformed("a MAC key is named by kid, never sent as jwk"))
            }
            (Some(Value::Object(jwk)), None) => Ok(Self::Jwk(Box::new(Jwk::for_algorithm(jwk, algorithm)?))),
            (Some(_), None) => Err(Error::Malformed("the jwk is not a JSON object")),
        }
    }
}
