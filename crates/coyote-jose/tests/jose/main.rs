//! The crate as its users see it.
//!
//! Cases such as `J01` and `K11` are numbered as in the catalogue of bad requests that every server has to answer well.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod envelope;
mod keys;
mod round_trips;
mod signatures;
mod vectors;

use coyote_jose::{Algorithm, Error, Jws, SigningKey, VerifyingKey, base64url};

/// How something has to be answered.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    Accepted,
    Malformed,
    UnsupportedAlgorithm,
    BadKey,
    BadSignature,
}

use Answer::*;

impl<T> From<Result<T, Error>> for Answer {
    fn from(result: Result<T, Error>) -> Self {
        match result {
            Ok(_) => Accepted,
            Err(Error::Malformed(_)) => Malformed,
            Err(Error::UnsupportedAlgorithm(_)) => UnsupportedAlgorithm,
            Err(Error::BadKey(_)) => BadKey,
            Err(Error::BadSignature) => BadSignature,
            Err(error) => panic!("no input may cause {error:?}"),
        }
    }
}

/// What becomes of a body, if the key is the one in the header: as a server would go about newAccount.
fn answer(body: &str) -> Answer {
    let verified = Jws::parse(body.as_bytes()).and_then(|jws| {
        let coyote_jose::KeyId::Jwk(jwk) = jws.header().key.clone() else { panic!("no jwk in {body}") };
        jws.verify(&VerifyingKey::new(&jwk)?)
    });
    verified.into()
}

/// A request signed as it should be, whatever its header says.
fn request(key: &SigningKey, header: &str) -> String {
    let (protected, payload) = (base64url::encode(header), base64url::encode("{}"));
    envelope(&protected, &payload, &sign(key, &protected, &payload))
}

fn sign(key: &SigningKey, protected: &str, payload: &str) -> String {
    base64url::encode(key.sign(format!("{protected}.{payload}").as_bytes()).unwrap())
}

fn envelope(protected: &str, payload: &str, signature: &str) -> String {
    format!(r#"{{"protected":"{protected}","payload":"{payload}","signature":"{signature}"}}"#)
}

/// A header with which everything is in order.
fn header(key: &SigningKey) -> String {
    header_with(key, "")
}

/// The same, with more members.
fn header_with(key: &SigningKey, more: &str) -> String {
    let (alg, jwk) = (key.algorithm(), key.jwk());
    format!(r#"{{"alg":"{alg}","jwk":{jwk},"nonce":"bm9uY2U","url":"https://ca.test/new"{more}}}"#)
}

fn key() -> SigningKey {
    SigningKey::generate(Algorithm::ES256).unwrap()
}
