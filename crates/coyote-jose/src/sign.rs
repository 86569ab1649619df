use serde::Serialize;

use crate::algorithm::Algorithm;
use crate::base64url;
use crate::error::Error;
use crate::header::KeyId;
use crate::jwk::Jwk;
use crate::mac;
use crate::signing_key::SigningKey;

/// Makes a request's body: a signed JWS in the flattened JSON serialization. RFC 8555 section 6.2.
///
/// The inner JWS of a key change is one without a nonce. RFC 8555 section 7.3.5.
///
/// # Errors
///
/// [`Error::Crypto`] if OpenSSL fails.
pub fn sign(
    key: &SigningKey,
    key_id: KeyId,
    nonce: Option<&str>,
    url: &str,
    payload: &[u8],
) -> Result<String, Error> {
    let (jwk, kid) = match &key_id {
        KeyId::Jwk(jwk) => (Some(&**jwk), None),
        KeyId::Kid(kid) => (None, Some(kid.as_str())),
    };
    let header = Protected { alg: key.algorithm().name(), jwk, kid, nonce, url };
    flattened(&header, payload, |input| key.sign(input))
}

/// Makes an external account binding: a JWS with a MAC. RFC 8555 section 7.3.4.
///
/// # Errors
///
/// [`Error::UnsupportedAlgorithm`] if the algorithm is not a MAC; [`Error::BadKey`] if the secret is empty;
/// [`Error::Crypto`] if OpenSSL fails.
pub fn sign_mac(
    algorithm: Algorithm,
    secret: &[u8],
    kid: &str,
    url: &str,
    payload: &[u8],
) -> Result<String, Error> {
    if !algorithm.is_mac() {
        return Err(Error::unsupported(algorithm.name()));
    }
    let header = Protected { alg: algorithm.name(), jwk: None, kid: Some(kid), nonce: None, url };
    flattened(&header, payload, |input| mac::compute(algorithm, secret, input))
}

#[derive(Serialize)]
struct Protected<'a> {
    alg: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwk: Option<&'a Jwk>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
    url: &'a str,
}

fn flattened(
    header: &Protected<'_>,
    payload: &[u8],
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, Error>,
) -> Result<String, Error> {
    let header = serde_json::to_vec(header).map_err(|_| Error::Malformed("the header is not JSON"))?;
    let (protected, payload) = (base64url::encode(header), base64url::encode(payload));
    let signature = base64url::encode(sign([&*protected, &*payload].join(".").as_bytes())?);
    // Base64url needs no escaping.
    Ok(format!(r#"{{"protected":"{protected}","payload":"{payload}","signature":"{signature}"}}"#))
}
