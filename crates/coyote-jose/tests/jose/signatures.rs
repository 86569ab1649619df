//! Signatures and MACs that do not verify, and the one that does.

use coyote_jose::{
    Algorithm, Jws, KeyCache, KeyId, SigningKey, VerifyingKey, base64url, sign as sign_request, sign_mac,
};
use openssl::ecdsa::EcdsaSig;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::rsa::Padding;
use openssl::sign::{RsaPssSaltlen, Signer};

use crate::{
    Accepted, Answer, BadKey, BadSignature, Malformed, UnsupportedAlgorithm, answer, envelope, header, key,
    sign,
};

const MESSAGE: &[u8] = b"protected.payload";

fn verifying(key: &SigningKey) -> VerifyingKey {
    VerifyingKey::new(key.jwk()).unwrap()
}

/// One signature as it should be, and the variations that are refused without a trace.
#[track_caller]
fn refuses(key: &VerifyingKey, algorithm: Algorithm, case: &str, signature: &[u8]) {
    assert!(!key.verify(algorithm, MESSAGE, signature), "{case} is refused");
    assert!(ErrorStack::get().errors().is_empty(), "{case} leaves nothing in OpenSSL's error queue");
}

#[test]
fn ecdsa_signatures_are_two_numbers_of_fixed_length() {
    for algorithm in [Algorithm::ES256, Algorithm::ES384, Algorithm::ES512] {
        let signer = SigningKey::generate(algorithm).unwrap();
        let key = verifying(&signer);
        let signature = signer.sign(MESSAGE).unwrap();
        let (r, s) = signature.split_at(signature.len() / 2);
        let number = |bytes| openssl::bn::BigNum::from_slice(bytes).unwrap();
        let der = EcdsaSig::from_private_components(number(r), number(s)).unwrap().to_der().unwrap();
        let zero = vec![0; r.len()];

        assert!(key.verify(algorithm, MESSAGE, &signature));
        refuses(&key, algorithm, "J44 DER", &der);
        refuses(&key, algorithm, "J45 a zero too many", &[&[0], &signature[..]].concat());
        refuses(&key, algorithm, "J45 a byte too few", &signature[1..]);
        refuses(&key, algorithm, "J46 zeros", &[&zero[..], &zero[..]].concat());
        refuses(&key, algorithm, "r = 0", &[&zero[..], s].concat());
        refuses(&key, algorithm, "s = 0", &[r, &zero[..]].concat());
        refuses(&key, algorithm, "all ones", &vec![0xff; signature.len()]);
        refuses(&key, algorithm, "swapped", &[s, r].concat());
        refuses(&key, algorithm, "nothing", &[]);
    }
}

#[test]
fn rsa_signatures_are_as_long_as_the_modulus() {
    let signer = SigningKey::generate(Algorithm::RS256).unwrap();
    let pss = SigningKey::from_private_key(signer.private_key().clone(), Algorithm::PS256).unwrap();
    let key = verifying(&signer);

    for (signer, algorithm, other) in
        [(&signer, Algorithm::RS256, Algorithm::PS256), (&pss, Algorithm::PS256, Algorithm::RS256)]
    {
        let signature = signer.sign(MESSAGE).unwrap();
        assert!(key.verify(algorithm, MESSAGE, &signature));
        refuses(&key, other, "the other padding", &signature);
        refuses(&key, algorithm, "J49 255 bytes", &signature[1..]);
        refuses(&key, algorithm, "J49 257 bytes", &[&[0], &signature[..]].concat());
        refuses(&key, algorithm, "J49 zeros", &[0; 256]);
        refuses(&key, algorithm, "J49 beyond the modulus", &[0xff; 256]);
        refuses(&key, algorithm, "nothing", &[]);
    }
}

/// RFC 7518 section 3.5: as many bytes as the hash has.
#[test]
fn the_salt_of_pss_has_a_fixed_length() {
    let signer = SigningKey::generate(Algorithm::PS256).unwrap();
    for (length, accepted) in [(32, true), (0, false), (20, false), (222, false)] {
        let mut pss = Signer::new(MessageDigest::sha256(), signer.private_key()).unwrap();
        pss.set_rsa_padding(Padding::PKCS1_PSS).unwrap();
        pss.set_rsa_pss_saltlen(RsaPssSaltlen::custom(length)).unwrap();
        let signature = pss.sign_oneshot_to_vec(MESSAGE).unwrap();
        assert_eq!(
            verifying(&signer).verify(Algorithm::PS256, MESSAGE, &signature),
            accepted,
            "{length} bytes"
        );
    }
}

#[test]
fn ed25519_signatures_are_64_bytes() {
    let signer = SigningKey::generate(Algorithm::EdDSA).unwrap();
    let key = verifying(&signer);
    let signature = signer.sign(MESSAGE).unwrap();

    assert!(key.verify(Algorithm::EdDSA, MESSAGE, &signature));
    refuses(&key, Algorithm::EdDSA, "63 bytes", &signature[1..]);
    refuses(&key, Algorithm::EdDSA, "65 bytes", &[&signature[..], &[0]].concat());
    refuses(&key, Algorithm::EdDSA, "zeros", &[0; 64]);
    refuses(&key, Algorithm::EdDSA, "nothing", &[]);
}

#[test]
fn a_key_verifies_nothing_with_an_algorithm_of_others() {
    for &own in Algorithm::SIGNATURES {
        let signer = SigningKey::generate(own).unwrap();
        let (key, signature) = (verifying(&signer), signer.sign(MESSAGE).unwrap());
        for &other in Algorithm::SIGNATURES.iter().chain(&[Algorithm::HS256]).filter(|other| **other != own) {
            refuses(&key, other, "another algorithm", &signature);
        }
    }
}

#[test]
fn another_key_or_another_payload_does_not_verify() {
    let (owner, attacker) = (key(), key());
    let protected = base64url::encode(header(&owner));
    let signature = sign(&owner, &protected, "e30");

    let forged = envelope(&protected, "e30", &sign(&attacker, &protected, "e30"));
    assert_eq!(answer(&forged), BadSignature, "J42");
    assert_eq!(answer(&envelope(&protected, "e3x", &signature)), Malformed, "bits to spare");
    assert_eq!(answer(&envelope(&protected, "e3s", &signature)), BadSignature, "J43");

    let verified = Jws::parse(forged.as_bytes()).unwrap().verify(&verifying(&attacker));
    assert_eq!(Answer::from(verified), BadSignature, "the signer's key, but not the one in the header");
}

#[test]
fn by_kid_an_algorithm_that_does_not_fit_is_a_bad_signature() {
    let (p256, p384) = (key(), SigningKey::generate(Algorithm::ES384).unwrap());
    let body = sign_request(&p256, KeyId::Kid("https://ca.test/1".to_owned()), None, "u", b"").unwrap();

    let verify = |key| Answer::from(Jws::parse(body.as_bytes()).unwrap().verify(&verifying(key)));

    assert_eq!(verify(&p384), BadSignature);
    assert_eq!(verify(&p256), Accepted);
}

#[test]
fn a_mac_verifies_with_its_secret_only() {
    for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        let body = sign_mac(algorithm, b"secret", "kid-1", "https://ca.test/new", b"{}").unwrap();
        let parsed = || Jws::parse_mac(body.as_bytes()).unwrap();

        assert_eq!(parsed().header().key, KeyId::Kid("kid-1".to_owned()));
        assert_eq!(parsed().verify_mac(b"secret").unwrap(), b"{}");
        for wrong in [&b"Secret"[..], b"secret2", b"s"] {
            assert_eq!(Answer::from(parsed().verify_mac(wrong)), BadSignature, "{wrong:?}");
        }
        assert_eq!(Answer::from(parsed().verify_mac(b"")), BadKey, "no secret is none");
        assert_eq!(Answer::from(parsed().verify(&verifying(&key()))), BadSignature, "a MAC is no signature");
    }
}

#[test]
fn a_mac_of_another_length_is_refused() {
    let body = sign_mac(Algorithm::HS256, b"secret", "kid-1", "u", b"{}").unwrap();
    let (rest, mac) = body.trim_end_matches("\"}").rsplit_once('"').unwrap();
    let mac = base64url::decode(mac).unwrap();

    for wrong in [&mac[1..], &mac[..31], &[&mac[..], &[0]].concat(), &[0]] {
        let body = format!("{rest}\"{}\"}}", base64url::encode(wrong));
        assert_eq!(
            Answer::from(Jws::parse_mac(body.as_bytes()).unwrap().verify_mac(b"secret")),
            BadSignature
        );
    }
}

#[test]
fn a_mac_needs_a_kid_and_a_mac_algorithm() {
    let inner = |header: &str| envelope(&base64url::encode(header), "e30", "AAAA");
    let parse = |header: &str| Answer::from(Jws::parse_mac(inner(header).as_bytes()));

    assert_eq!(parse(r#"{"alg":"HS256","kid":"1"}"#), Accepted);
    assert_eq!(parse(r#"{"alg":"HS256"}"#), Malformed);
    assert_eq!(parse(r#"{"alg":"HS256","jwk":{"kty":"oct","k":"AAAA"}}"#), Malformed);
    assert_eq!(parse(r#"{"alg":"HS256","kid":1}"#), Malformed);
    assert_eq!(parse(r#"{"alg":"ES256","kid":"1"}"#), UnsupportedAlgorithm);
    assert_eq!(parse(r#"{"alg":"none","kid":"1"}"#), UnsupportedAlgorithm);
    assert_eq!(Answer::from(sign_mac(Algorithm::ES256, b"", "1", "u", b"")), UnsupportedAlgorithm);
    assert_eq!(Answer::from(SigningKey::generate(Algorithm::HS256)), UnsupportedAlgorithm);
    let signed = sign_request(&key(), KeyId::Kid("1".to_owned()), None, "u", b"").unwrap();
    let verified = Jws::parse(signed.as_bytes()).unwrap().verify_mac(b"");
    assert_eq!(Answer::from(verified), BadSignature, "a signature is no MAC");
}

#[test]
fn keys_and_caches_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<VerifyingKey>();
    shared::<KeyCache>();
    shared::<SigningKey>();
}
