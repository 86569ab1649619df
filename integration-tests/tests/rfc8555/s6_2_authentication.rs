//! RFC 8555 section 6.2: request authentication.

use coyote_jose::base64url;
use integration_tests::{Key, Request, Response, Signed};
use openssl::{hash::MessageDigest, pkey::PKey, sign::Signer};
use serde_json::{Value, json};

use crate::{
    expect::Expect,
    promise::{Promise, must, not_applicable, should},
    server::{Server, identifiers},
};

pub(crate) const PROMISES: &[Promise] = &[
    must("6.2", "a body that is no JWS is refused", |server| {
        let payload = identifiers(&[&server.name()]).to_string();
        for body in ["", "hello", "[]", "{}", &payload] {
            let _ = server.post_body(&server.url("newOrder"), body).refused();
        }
    }),
    must("6.2", "a JWS in compact serialization is refused", |server| {
        let jws = server.good().flattened();
        let part = |name: &str| jws[name].as_str().expect("text").to_owned();
        let compact = format!("{}.{}.{}", part("protected"), part("payload"), part("signature"));
        let _ = server.post_body(&server.url("newOrder"), compact).refused();
    }),
    must("6.2", "a JWS in general serialization is refused", |server| {
        let jws = server.good().flattened();
        let signature = json!({"protected": jws["protected"], "signature": jws["signature"]});
        let general = json!({"payload": jws["payload"], "signatures": [signature]});
        let _ = server.post_body(&server.url("newOrder"), general.to_string()).refused();
    }),
    must("6.2", "a JWS with several signatures is refused", |server| {
        let mut jws = server.good().flattened();
        let signature = json!({"protected": jws["protected"], "signature": jws["signature"]});
        jws["signatures"] = json!([signature, signature]);
        let _ = server.post_body(&server.url("newOrder"), jws.to_string()).refused();
    }),
    must("6.2", "an unencoded payload (RFC 7797) is refused", |server| {
        let good = server.good().with("b64", false).with("crit", json!(["b64"]));
        let payload = String::from_utf8(good.payload.clone()).expect("JSON");
        let jws = integration_tests::flatten(&good.key, &good.protected_text(), &payload);
        let _ = server.post_body(&server.url("newOrder"), jws.to_string()).refused();
    }),
    must("6.2", "an unprotected header is refused", |server| {
        let mut jws = server.good().flattened();
        jws["header"] = json!({"kid": server.owner().url});
        let _ = server.post_body(&server.url("newOrder"), jws.to_string()).refused();
    }),
    must("6.2", "a detached payload is refused", |server| {
        let mut jws = server.good().flattened();
        jws.as_object_mut().expect("an object").remove("payload");
        let _ = server.post_body(&server.url("newOrder"), jws.to_string()).refused();
    }),
    must("6.2", "a JWS without a protected header is refused", |server| {
        let mut jws = server.good().flattened();
        jws.as_object_mut().expect("an object").remove("protected");
        let _ = server.post_body(&server.url("newOrder"), jws.to_string()).refused();
    }),
    must("6.2", "a JWS without alg is refused", |server| {
        let _ = send(server, &server.good().without("alg")).refused();
    }),
    must("6.2", "a JWS without url is refused", |server| {
        let _ = send(server, &server.good().without("url")).refused();
    }),
    must("6.2", "a JWS with neither jwk nor kid is refused", |server| {
        let _ = send(server, &server.good().without("kid")).refused();
    }),
    must("6.2", "a JWS whose alg is none is refused", |server| {
        let mut jws = server.good().with("alg", "none").flattened();
        jws["signature"] = "".into();
        let _ = server.post_body(&server.url("newOrder"), jws.to_string()).refused();
    }),
    must("6.2", "a JWS whose alg is a MAC is refused, even if it verifies with the public key", |server| {
        let good = server.good().with("alg", "HS256");
        let secret = server.owner().key.private().public_key_to_der().expect("a public key");
        let (protected, payload) = (good.protected_text(), good.payload_text());
        let key = PKey::hmac(&secret).expect("a key");
        let mut signer = Signer::new(MessageDigest::sha256(), &key).expect("a signer");
        let mac = signer.sign_oneshot_to_vec(format!("{protected}.{payload}").as_bytes()).expect("a MAC");
        let jws = json!({"protected": protected, "payload": payload, "signature": base64url::encode(mac)});
        let _ = server.post_body(&server.url("newOrder"), jws.to_string()).refused();
    }),
    must("6.2", "ES256 is implemented", |server| {
        let _ = server.join(&Key::generate("ES256"), json!({})).expect(201);
    }),
    should("6.2", "EdDSA with Ed25519 is implemented", |server| {
        let _ = server.join(&Key::generate("EdDSA"), json!({})).expect(201);
    }),
    must("6.2", "a JWS with both jwk and kid is refused", |server| {
        let jwk = server.owner().key.jwk.clone();
        let _ = send(server, &server.good().with("jwk", jwk)).refused();
    }),
    must("6.2", "newAccount needs a jwk: a kid is refused", |server| {
        let account = server.owner();
        let payload = server.joining(&account.key, json!({}));
        let _ = account.post(&server.url("newAccount"), &payload).refused();
    }),
    must("6.2", "all else needs a kid: a jwk is refused", |server| {
        let (account, url) = (server.owner(), server.url("newOrder"));
        let signed = server.client.signed_by_jwk(&account.key, &url, &identifiers(&[&server.name()]));
        let _ = send(server, &signed).refused();
    }),
    must("6.2", "a kid that is not the URL of an account is refused", |server| {
        let account = server.account();
        for kid in [format!("{}x", account.url), server.url("newOrder"), "1".to_owned()] {
            let _ = send(server, &server.good().with("kid", kid)).refused();
        }
    }),
    must("6.2", "a kid of another account than the one that signs is refused", |server| {
        let other = server.account();
        let _ = send(server, &server.good().with("kid", other.url)).refused();
    }),
    must("6.2", "a signature by another key is refused", |server| {
        let _ = send(server, &server.good().signed_by(&Key::new())).refused();
    }),
    must("6.2", "a signature over another payload is refused", |server| {
        let mut jws = server.good().flattened();
        jws["payload"] = base64url::encode(identifiers(&[&server.name()]).to_string()).into();
        let _ = server.post_body(&server.url("newOrder"), jws.to_string()).refused();
    }),
    must("6.2", "a signature by another key than the jwk is refused", |server| {
        let (key, url) = (Key::new(), server.url("newAccount"));
        let signed = server.client.signed_by_jwk(&key, &url, &server.joining(&key, json!({})));
        let _ = send(server, &signed.signed_by(&Key::new())).refused();
    }),
    must("6.2", "a request is not processed before its JWS is verified", |server| {
        let account = server.account();
        let signed = account.signed(&account.url, &json!({"status": "deactivated"}));
        let _ = send(server, &signed.signed_by(&Key::new())).refused();
        assert_eq!(account.read(&account.url).status(), "valid");
    }),
    must("6.2", "an unsupported algorithm is badSignatureAlgorithm, 400", |server| {
        let _ = unsupported(server).refused_with(400, "badSignatureAlgorithm");
    }),
    must("6.2", "badSignatureAlgorithm comes with the algorithms that are supported", |server| {
        let answer = unsupported(server).refused();
        let algorithms = answer.json()["algorithms"].clone();
        assert!(algorithms.as_array().is_some_and(|all| all.contains(&json!("ES256"))), "got {answer}");
    }),
    must("6.2", "each algorithm that is said to be supported is", |server| {
        let algorithms = unsupported(server).json()["algorithms"].clone();
        let Some(algorithms) = algorithms.as_array() else { not_applicable("it lists no algorithms") };
        for alg in algorithms.iter().filter_map(Value::as_str) {
            if ["ES256", "ES384", "ES512", "RS256", "PS256", "PS512", "EdDSA"].contains(&alg) {
                let answer = server.join(&Key::generate(alg), json!({}));
                assert_eq!(answer.status, 201, "{alg}: got {answer}");
            }
        }
    }),
    must("6.2", "an RSA key of 512 bits is badPublicKey, 400", |server| {
        let _ = weak(server).refused_with(400, "badPublicKey");
    }),
    should("6.2", "badPublicKey says what is wrong with the key", |server| {
        let answer = weak(server).refused();
        assert!(answer.json()["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "got {answer}");
    }),
    must("6.2", "a jwk that is not a point of its curve is badPublicKey, 400", |server| {
        let mut key = Key::new();
        let payload = server.joining(&key, json!({}));
        key.jwk["y"] = key.jwk["x"].clone();
        let url = server.url("newAccount");
        let _ = send(server, &server.client.signed_by_jwk(&key, &url, &payload))
            .refused_with(400, "badPublicKey");
    }),
    must("6.2", "a Content-Type other than application/jose+json is 415", |server| {
        for media_type in ["application/json", "text/plain"] {
            let request = server.good().request().without("Content-Type").with("Content-Type", media_type);
            let answer = server.client.send(&request);
            assert_eq!(answer.status, 415, "{media_type}: got {answer}");
        }
    }),
    must("6.2", "no Content-Type is 415", |server| {
        let answer = server.client.send(&server.good().request().without("Content-Type"));
        assert_eq!(answer.status, 415, "got {answer}");
    }),
];

fn send(server: &Server, signed: &Signed) -> Response {
    server.client.send(&signed.request())
}

fn unsupported(server: &Server) -> Response {
    let (key, url) = (Key::new(), server.url("newAccount"));
    let signed = server.client.signed_by_jwk(&key, &url, &server.joining(&key, json!({})));
    send(server, &signed.with("alg", "ES999"))
}

fn weak(server: &Server) -> Response {
    let key = Key::rsa(512);
    let url = server.url("newAccount");
    let signed = server.client.signed_by_jwk(&key, &url, &server.joining(&key, json!({})));
    let request: Request = signed.request();
    server.client.send(&request)
}
