//! What a JWS may look like: the cases of RFC 8555 sections 6.1, 6.2, 6.4 and 6.5, and of RFC 7515 section 4.

use coyote_jose::{Algorithm, Error, Header, Jws, KeyId, base64url, sign_mac};

use crate::{
    Answer, Malformed, UnsupportedAlgorithm, answer, envelope, header, header_with, key, request, sign,
};

#[test]
fn a_request_in_order_is_taken_and_its_header_told() {
    let key = key();
    let body = request(&key, &header(&key));

    let jws = Jws::parse(body.as_bytes()).unwrap();

    let expected = Header {
        algorithm: Algorithm::ES256,
        key: KeyId::Jwk(Box::new(key.jwk().clone())),
        nonce: Some("bm9uY2U".to_owned()),
        url: Some("https://ca.test/new".to_owned()),
    };
    assert_eq!(*jws.header(), expected);
    assert!(!format!("{jws:?}").contains("payload"), "an unverified payload is not even printed");
    assert_eq!(answer(&body), Answer::Accepted);
}

#[test]
fn only_the_three_members_of_the_flattened_serialization_are_taken() {
    let key = key();
    let protected = base64url::encode(header(&key));
    let signature = sign(&key, &protected, "e30");
    let detached = sign(&key, &protected, "");
    let with = |more: &str| {
        envelope(&protected, "e30", &format!("{signature}\",{more},\"x\":\"")).replace(",\"x\":\"\"", "")
    };

    for (case, body) in [
        ("J01 no protected", format!(r#"{{"payload":"e30","signature":"{signature}"}}"#)),
        ("J02 no payload", format!(r#"{{"protected":"{protected}","signature":"{detached}"}}"#)),
        ("J03 no signature", format!(r#"{{"protected":"{protected}","payload":"e30"}}"#)),
        ("J04 empty signature", envelope(&protected, "e30", "")),
        (
            "J05 general serialization",
            format!(
                r#"{{"payload":"e30","signatures":[{{"protected":"{protected}","signature":"{signature}"}}]}}"#
            ),
        ),
        ("J05 both serializations", with(r#""signatures":[]"#)),
        ("J07 unprotected header", with(r#""header":{"kid":"https://ca.test/victim"}"#)),
        ("J08 empty unprotected header", with(r#""header":{}"#)),
        ("J08 null unprotected header", with(r#""header":null"#)),
        ("an unknown member", with(r#""resource":"new-order""#)),
        ("a member twice", with(r#""payload":"e30""#)),
        ("J10 compact serialization", format!("{protected}.e30.{signature}")),
        (
            "a payload that is no string",
            format!(r#"{{"protected":"{protected}","payload":{{}},"signature":"AA"}}"#),
        ),
        ("an array", "[]".to_owned()),
        ("nothing", String::new()),
        ("two objects", request(&key, &header(&key)).repeat(2)),
        ("deep nesting", "[".repeat(100_000)),
        ("deep nesting inside", with(&format!(r#""x":{}"#, "[".repeat(100_000)))),
    ] {
        assert_eq!(answer(&body), Malformed, "{case}: {}", body.get(..400).unwrap_or(&body));
    }
}

#[test]
fn no_other_spelling_of_base64_is_taken() {
    let key = key();
    // A header whose encoding has both characters in which the alphabets differ.
    let protected = base64url::encode(header_with(&key, r#","x":"???>>>~~~""#));
    let standard = protected.replace('-', "+").replace('_', "/");
    assert_ne!(standard, protected, "the case shows something");
    let lines: Vec<String> =
        protected.as_bytes().chunks(64).map(|line| String::from_utf8(line.to_vec()).unwrap()).collect();
    let signed =
        |protected: &str, payload: &str| envelope(protected, payload, &sign(&key, protected, payload));
    let signature = sign(&key, &protected, "e30");

    for (case, body) in [
        ("J11 standard alphabet", signed(&standard, "e30")),
        ("J12 padded protected", signed(&format!("{protected}="), "e30")),
        ("J13 padded payload", signed(&protected, "e30=")),
        ("J14 padded signature", envelope(&protected, "e30", &format!("{signature}=="))),
        ("J15 white space", signed(&lines.join("\\n"), "e30")),
        ("J15 a space at the end", signed(&protected, "e30 ")),
        ("bits to spare", signed(&protected, "e31")),
    ] {
        assert_eq!(answer(&body), Malformed, "{case}: {body}");
    }
}

#[test]
fn the_protected_header_is_an_object_without_surprises() {
    let key = key();
    let jwk = key.jwk().to_string();
    let signed = |header: &str| request(&key, header);
    let with = |more: &str| request(&key, &header_with(&key, more));

    for (case, body) in [
        ("J16 not JSON", signed("x")),
        ("J16 not an object", signed("[]")),
        ("J16 empty", signed("")),
        ("J17 alg twice", with(r#","alg":"none""#)),
        ("an unknown member twice", with(r#","x":1,"x":1"#)),
        (
            "a member of the jwk twice",
            signed(&header(&key).replace(r#""kty":"EC""#, r#""kty":"EC","kty":"EC""#)),
        ),
        (
            "an unknown member of the jwk twice",
            signed(&header(&key).replace(r#""kty""#, r#""u":1,"u":1,"kty""#)),
        ),
        ("J20 unknown crit", with(r#","crit":["exp"],"exp":1"#)),
        ("J21 empty crit", with(r#","crit":[]"#)),
        ("J22 b64 in crit", with(r#","b64":false,"crit":["b64"]"#)),
        ("b64 alone", with(r#","b64":true"#)),
        ("J32 no alg", signed(&format!(r#"{{"jwk":{jwk}}}"#))),
        ("J32 alg a number", signed(&format!(r#"{{"alg":1,"jwk":{jwk}}}"#))),
        ("J32 alg an array", signed(&format!(r#"{{"alg":["ES256"],"jwk":{jwk}}}"#))),
        ("J33 jwk and kid", with(r#","kid":"https://ca.test/1""#)),
        ("J34 neither", signed(r#"{"alg":"ES256"}"#)),
        ("J41 kid a number", signed(r#"{"alg":"ES256","kid":1}"#)),
        ("J41 kid an object", signed(r#"{"alg":"ES256","kid":{}}"#)),
        ("J41 kid null", signed(r#"{"alg":"ES256","kid":null}"#)),
        ("jwk a string", signed(r#"{"alg":"ES256","jwk":"EC"}"#)),
        ("jwk null", signed(r#"{"alg":"ES256","jwk":null}"#)),
        (
            "J55 key by reference",
            signed(r#"{"alg":"ES256","jku":"https://x.test","x5u":"https://x.test","x5c":[]}"#),
        ),
        ("deep nesting", with(&format!(r#","x":{}"#, "[".repeat(100_000)))),
    ] {
        assert_eq!(answer(&body), Malformed, "{case}: {}", body.get(..400).unwrap_or(&body));
    }
    assert_eq!(
        answer(&with(r#","typ":"x","x":{"y":[1,{}]}"#)),
        Answer::Accepted,
        "unknown members are ignored"
    );
}

#[test]
fn nonce_and_url_are_strings_and_the_nonce_is_base64url() {
    let key = key();
    let with = |nonce: &str, url: &str| {
        request(&key, &format!(r#"{{"alg":"ES256","jwk":{},"nonce":{nonce},"url":{url}}}"#, key.jwk()))
    };
    let url = r#""https://ca.test/new""#;

    for nonce in [
        "1",
        "null",
        "[]",
        r#""""#,
        r#""x\r\nFLUSHALL\r\n""#,
        r#""nonce:*""#,
        r#""\u0000AAA""#,
        r#""'AAA""#,
        r#""AAA=""#,
        r#""A""#,
        r#""AB""#,
    ] {
        assert_eq!(answer(&with(nonce, url)), Malformed, "N05, N09: {nonce}");
    }
    for url in ["1", "null", r#"["https://ca.test/new"]"#] {
        assert_eq!(answer(&with(r#""AAAA""#, url)), Malformed, "U08: {url}");
    }
    let long = format!("\"{}\"", "A".repeat(100 * 1024));
    assert_eq!(
        answer(&with(&long, url)),
        Answer::Accepted,
        "N08: what is too long for a nonce is not decided here"
    );
}

#[test]
fn an_algorithm_that_is_not_for_requests_is_named_before_the_key_is_looked_at() {
    let key = key();
    for (case, alg) in [
        ("J24", "none"),
        ("J25", "nOnE"),
        ("J25", " none"),
        ("J26", "HS256"),
        ("J28", "PS512"),
        ("J28", "ES256K"),
        ("empty", ""),
    ] {
        for jwk in [r#"{"kty":"oct","k":"AAAA"}"#, "{}", "1", &key.jwk().to_string()] {
            let protected = base64url::encode(format!(r#"{{"alg":"{alg}","jwk":{jwk}}}"#));
            for signature in ["", "AAAA"] {
                let body = envelope(&protected, "e30", signature);
                assert_eq!(answer(&body), UnsupportedAlgorithm, "{case}: {alg:?} with {jwk}");
            }
        }
    }
    let body = request(&key, &format!(r#"{{"alg":"{}","kid":"x"}}"#, "é".repeat(1000)));
    match Jws::parse(body.as_bytes()) {
        Err(Error::UnsupportedAlgorithm(name)) => assert_eq!(name, "é".repeat(64), "names are cut"),
        other => panic!("an unknown algorithm, but got {other:?}"),
    }
}

/// J27: a public key is no secret, and nobody gets to say that it was one.
#[test]
fn a_mac_under_a_public_key_is_no_signature() {
    let public = key().jwk().to_string();
    let body = sign_mac(Algorithm::HS256, public.as_bytes(), "https://ca.test/1", "u", b"{}").unwrap();

    assert_eq!(Answer::from(Jws::parse(body.as_bytes())), UnsupportedAlgorithm);
}
