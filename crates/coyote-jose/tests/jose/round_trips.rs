//! What one side makes, the other understands.

use std::sync::LazyLock;

use coyote_jose::{Algorithm, Jwk, Jws, KeyCache, KeyId, SigningKey, VerifyingKey, sign, sign_mac};
use proptest::prelude::*;

static KEYS: LazyLock<Vec<SigningKey>> =
    LazyLock::new(|| Algorithm::SIGNATURES.iter().map(|alg| SigningKey::generate(*alg).unwrap()).collect());

#[test]
fn a_key_survives_being_written_and_read() {
    for key in &*KEYS {
        let jwk = key.jwk();
        let json = serde_json::to_string(jwk).unwrap();

        assert_eq!(json, jwk.to_string(), "serialized in the canonical form");
        assert_eq!(Jwk::parse(&json).unwrap(), *jwk);
        assert_eq!(serde_json::from_str::<Jwk>(&json).unwrap(), *jwk);
        assert_eq!(serde_json::from_value::<Jwk>(serde_json::to_value(jwk).unwrap()).unwrap(), *jwk);
        let ready = VerifyingKey::new(jwk).unwrap();
        assert_eq!(Jwk::from_public_key(ready.public_key()).unwrap(), *jwk);
        assert!(ready.public_key().public_eq(key.private_key()), "the same key in OpenSSL");
        assert_eq!(ready.thumbprint(), jwk.thumbprint());
    }
}

#[test]
fn the_thumbprint_depends_on_the_key_alone() {
    let jwk = KEYS[0].jwk();
    let value = serde_json::to_value(jwk).unwrap();
    let (x, y) = (&value["x"], &value["y"]);
    let decorated =
        format!(r#"{{"y":{y},"use":"sig","x":{x},"kid":"a","kty":"EC","ext":true,"crv":"P-256"}}"#);

    assert_eq!(Jwk::parse(&decorated).unwrap().thumbprint(), jwk.thumbprint());
    assert_ne!(KEYS[1].jwk().thumbprint(), jwk.thumbprint());
}

#[test]
fn jwks_are_deserialized_as_strictly_as_they_are_parsed() {
    for json in ["1", "[]", r#"{"kty":"oct"}"#, r#"{"kty":"EC","kty":"EC"}"#] {
        assert!(serde_json::from_str::<Jwk>(json).is_err(), "{json}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_signed_verifies(
        index in 0..Algorithm::SIGNATURES.len(),
        payload: Vec<u8>,
        url: String,
        kid: Option<String>,
        nonce in proptest::option::of("([A-Za-z0-9_-]{4}){1,8}"),
    ) {
        let key = &KEYS[index];
        let key_id = kid.map_or_else(|| KeyId::Jwk(Box::new(key.jwk().clone())), KeyId::Kid);

        let body = sign(key, key_id.clone(), nonce.as_deref(), &url, &payload).unwrap();
        let jws = Jws::parse(body.as_bytes()).unwrap();

        prop_assert_eq!(jws.header().algorithm, key.algorithm());
        prop_assert_eq!(&jws.header().key, &key_id);
        prop_assert_eq!(&jws.header().nonce, &nonce);
        prop_assert_eq!(jws.header().url.as_deref(), Some(&*url));
        prop_assert_eq!(jws.verify(&KeyCache::new(1).verifying_key(key.jwk()).unwrap()).unwrap(), payload);
    }

    #[test]
    fn a_flipped_bit_is_noticed(index in 0..Algorithm::SIGNATURES.len(), message: Vec<u8>, at: prop::sample::Index) {
        let key = &KEYS[index];
        let mut signature = key.sign(&message).unwrap();
        let bit = at.index(signature.len() * 8);
        signature[bit / 8] ^= 1 << (bit % 8);

        prop_assert!(!VerifyingKey::new(key.jwk()).unwrap().verify(key.algorithm(), &message, &signature));
    }

    #[test]
    fn what_is_authenticated_verifies(secret in prop::collection::vec(any::<u8>(), 1..100), payload: Vec<u8>, kid: String) {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let body = sign_mac(algorithm, &secret, &kid, "https://ca.test/new", &payload).unwrap();
            let jws = Jws::parse_mac(body.as_bytes()).unwrap();
            prop_assert_eq!(jws.verify_mac(&secret).unwrap(), payload.clone());
        }
    }

    #[test]
    fn no_bytes_make_the_parser_panic(mut body: Vec<u8>, cut: prop::sample::Index, byte: u8) {
        drop(Jws::parse(&body));
        let key = &KEYS[0];
        body = sign(key, KeyId::Kid("k".to_owned()), None, "u", &body).unwrap().into_bytes();
        let at = cut.index(body.len());
        body[at] = byte;
        drop(Jws::parse(&body));
        drop(Jws::parse(&body[..at]));
    }
}
