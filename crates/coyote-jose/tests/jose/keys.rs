//! Which keys are taken: the cases of RFC 7518 section 6, RFC 8037 section 2 and RFC 8555 section 6.2.

use coyote_jose::{Algorithm, Error, Jwk, JwkParameters, SigningKey, VerifyingKey, base64url};
use openssl::bn::{BigNum, MsbOption};
use openssl::pkey::PKey;
use openssl::rsa::Rsa;

use crate::{Accepted, Answer, BadKey, Malformed, answer, header, key, request};

const E: &str = "AQAB";

fn outcome(jwk: &str) -> Answer {
    Jwk::parse(jwk).and_then(|jwk| VerifyingKey::new(&jwk)).into()
}

fn ec(crv: &str, x: &[u8], y: &[u8]) -> String {
    let (x, y) = (base64url::encode(x), base64url::encode(y));
    format!(r#"{{"kty":"EC","crv":"{crv}","x":"{x}","y":"{y}"}}"#)
}

fn rsa(n: &[u8], e: &str) -> String {
    format!(r#"{{"kty":"RSA","n":"{}","e":"{e}"}}"#, base64url::encode(n))
}

/// An odd number of so many bits: whether it is a product of two primes is not asked here.
fn modulus(bits: i32) -> Vec<u8> {
    let mut n = BigNum::new().unwrap();
    n.rand(bits, MsbOption::ONE, true).unwrap();
    n.to_vec()
}

fn even(bits: i32) -> Vec<u8> {
    let mut n = BigNum::from_slice(&modulus(bits)).unwrap();
    n.sub_word(1).unwrap();
    n.to_vec()
}

fn point() -> (Vec<u8>, Vec<u8>) {
    match key().jwk().parameters() {
        JwkParameters::Ec { x, y, .. } => (x.clone(), y.clone()),
        other => panic!("an EC key, but got {other:?}"),
    }
}

#[test]
fn elliptic_curve_keys_are_points_of_their_curve() {
    let (x, y) = point();
    let mut off = y.clone();
    off[31] ^= 1;

    assert_eq!(outcome(&ec("P-256", &x, &y)), Accepted);
    for (case, jwk) in [
        ("K11 not on the curve", ec("P-256", &x, &off)),
        ("K12 zero", ec("P-256", &[0; 32], &[0; 32])),
        ("x beyond the field", ec("P-256", &[0xff; 32], &y)),
        ("K14 a coordinate too short", ec("P-256", &x[1..], &y)),
        ("a coordinate too long", ec("P-256", &[&[0], &x[..]].concat(), &y)),
        ("an empty coordinate", ec("P-256", &x, &[])),
        ("K15 another curve's name", ec("P-384", &x, &y)),
        ("K15 P-521", ec("P-521", &x, &y)),
        ("K16 secp256k1", ec("secp256k1", &x, &y)),
        ("a curve of OKP keys", ec("Ed25519", &x, &y)),
        ("K16 no crv", ec("P-256", &x, &y).replace(r#""crv":"P-256","#, "")),
        ("no y", format!(r#"{{"kty":"EC","crv":"P-256","x":"{}"}}"#, base64url::encode(&x))),
        ("a huge coordinate", ec("P-256", &vec![1; 1 << 20], &y)),
    ] {
        assert_eq!(outcome(&jwk), BadKey, "{case}");
    }
}

#[test]
fn rsa_keys_have_a_modulus_and_an_exponent_of_reason() {
    let n = modulus(2048);

    assert_eq!(outcome(&rsa(&n, E)), Accepted);
    assert_eq!(outcome(&rsa(&modulus(4096), "_____w")), Accepted, "4096 bits, e = 2^32 - 1");
    for (case, jwk) in [
        ("K01 1024 bits", rsa(&modulus(1024), E)),
        ("K02 2047 bits", rsa(&modulus(2047), E)),
        ("2049 bits", rsa(&modulus(2049), E)),
        ("4104 bits", rsa(&modulus(4104), E)),
        ("K03 16384 bits", rsa(&[0xff; 2048], E)),
        ("K03 65536 bits", rsa(&[0xff; 8192], E)),
        ("K06 even", rsa(&even(2048), E)),
        ("a leading zero", rsa(&[&[0], &n[..]].concat(), E)),
        ("no modulus", rsa(&[], E)),
        ("K04 e = 1", rsa(&n, "AQ")),
        ("e = 3", rsa(&n, "Aw")),
        ("e = 65536", rsa(&n, "AQAA")),
        ("e = 65538", rsa(&n, "AQAC")),
        ("e = 2^32 + 65537", rsa(&n, "AQABAAE")),
        ("e with a leading zero", rsa(&n, "AAEAAQ")),
        ("e empty", rsa(&n, "")),
        ("no e", rsa(&n, E).replace(r#","e":"AQAB""#, "")),
    ] {
        assert_eq!(outcome(&jwk), BadKey, "{case}");
    }
}

#[test]
fn edwards_keys_are_on_ed25519_and_not_of_small_order() {
    let okp =
        |crv: &str, x: &[u8]| format!(r#"{{"kty":"OKP","crv":"{crv}","x":"{}"}}"#, base64url::encode(x));
    let mut identity = [0; 32];
    identity[0] = 1;
    let mut negative_identity = identity;
    negative_identity[31] = 0x80;

    for (case, jwk) in [
        ("K19 X25519", okp("X25519", &[9; 32])),
        ("K19 Ed448", okp("Ed448", &[9; 57])),
        ("a curve of EC keys", okp("P-256", &[9; 32])),
        ("31 bytes", okp("Ed25519", &[9; 31])),
        ("33 bytes", okp("Ed25519", &[9; 33])),
        ("no x", r#"{"kty":"OKP","crv":"Ed25519"}"#.to_owned()),
        ("no crv", r#"{"kty":"OKP","x":"AA"}"#.to_owned()),
        ("zero", okp("Ed25519", &[0; 32])),
        ("the identity", okp("Ed25519", &identity)),
        ("the identity with a sign", okp("Ed25519", &negative_identity)),
    ] {
        assert_eq!(outcome(&jwk), BadKey, "{case}");
    }
}

#[test]
fn other_types_and_private_keys_are_refused() {
    for jwk in [r#"{"kty":"AKP"}"#, r#"{"kty":"oct"}"#, r#"{"kty":"ec"}"#, "{}"] {
        assert_eq!(outcome(jwk), BadKey, "{jwk}");
    }
    let public = key().jwk().to_string();
    for name in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
        let private = public.replacen('{', &format!("{{\"{name}\":\"AAAA\","), 1);
        assert_eq!(outcome(&private), Malformed, "{private}");
    }
    for jwk in [
        r#"{"kty":1}"#,
        r#"{"kty":"EC","crv":"P-256","x":1}"#,
        r#"{"kty":"EC","crv":"P-256","x":"A="}"#,
        "[]",
    ] {
        assert_eq!(outcome(jwk), Malformed, "{jwk}");
    }
}

#[test]
fn the_header_and_its_jwk_agree_on_the_algorithm() {
    let p256 = key();
    let rsa = SigningKey::generate(Algorithm::RS256).unwrap();
    let p256_with = |alg: &str| header(&p256).replace(r#""kty""#, &format!(r#""alg":{alg},"kty""#));

    for (case, body) in [
        ("J29 ES256 with an RSA jwk", request(&rsa, &header(&rsa).replace("RS256", "ES256"))),
        ("RS256 with an EC jwk", request(&p256, &header(&p256).replace("ES256", "RS256"))),
        ("J31 ES384 with P-256", request(&p256, &header(&p256).replace("ES256", "ES384"))),
        ("EdDSA with P-256", request(&p256, &header(&p256).replace("ES256", "EdDSA"))),
        ("K18 jwk.alg contradicts", request(&p256, &p256_with(r#""RS256""#))),
        ("jwk.alg a number", request(&p256, &p256_with("1"))),
    ] {
        assert_eq!(answer(&body), Malformed, "{case}: {body}");
    }
    assert_eq!(answer(&request(&p256, &p256_with(r#""ES256""#))), Accepted, "jwk.alg may agree");
}

#[test]
fn keys_of_openssl_pass_the_same_checks() {
    let small = PKey::from_rsa(Rsa::generate(1024).unwrap()).unwrap();
    assert_eq!(Answer::from(Jwk::from_public_key(&small)), BadKey);
    assert_eq!(Answer::from(Jwk::from_public_key(&PKey::generate_ed448().unwrap())), BadKey);
    assert_eq!(Answer::from(Jwk::from_public_key(&PKey::generate_x25519().unwrap())), BadKey);

    let rsa = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    match SigningKey::from_private_key(rsa, Algorithm::ES256) {
        Err(Error::BadKey(_)) => {}
        other => panic!("an RSA key is none for ES256, but got {other:?}"),
    }
}
