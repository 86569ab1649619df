//! RFC 8555 section 6.1: HTTPS requests.

use coyote_jose::base64url;
use integration_tests::{Csr, flatten, leaf};
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode, SslVersion};
use serde_json::json;

use crate::{
    expect::Expect,
    promise::{Promise, must, not_applicable, should},
    server::Server,
};

pub(crate) const PROMISES: &[Promise] = &[
    must("6.1", "every URL of a resource in the directory is an HTTPS URL", |server| {
        require_tls(server);
        for (name, url) in server.client.directory.as_object().expect("an object") {
            assert!(url.as_str().is_none_or(|url| url.starts_with("https://")), "{name}: {url}");
        }
    }),
    should("6.1", "TLS 1.1 is not spoken any more", |server| {
        require_tls(server);
        let mut connector = SslConnector::builder(SslMethod::tls_client()).expect("a connector");
        connector.set_verify(SslVerifyMode::NONE);
        connector.set_cipher_list("ALL:@SECLEVEL=0").expect("ciphers");
        connector.set_min_proto_version(Some(SslVersion::TLS1)).expect("a version");
        connector.set_max_proto_version(Some(SslVersion::TLS1_1)).expect("a version");
        let handshake = connector.build().connect("localhost", server.client.http.socket());
        assert!(handshake.is_err(), "the handshake should fail");
    }),
    should("6.1", "who lets scripts of other origins read the directory lets those of all", |server| {
        let answer = server.get(&server.client.directory_url).expect(200);
        match answer.header("Access-Control-Allow-Origin") {
            Some(origins) => assert_eq!(origins, "*"),
            None => not_applicable("nothing says that it is meant to be generally accessible"),
        }
    }),
    must("6.1", "a protected header with padding is refused", |server| padded(server, "protected")),
    must("6.1", "a payload with padding is refused", |server| padded(server, "payload")),
    must("6.1", "a signature with padding is refused", |server| padded(server, "signature")),
    must("6.1", "a CSR with padding is refused", |server| {
        let account = server.owner();
        let order = server.ready(account);
        let csrs = std::iter::repeat_with(|| Csr::new(&[&order.names()[0]]).to_der());
        let der = csrs.take(100).find(|der| der.len() % 3 != 0).expect("signatures of several lengths");
        let mut text = base64url::encode(&der);
        pad(&mut text);
        let _ = account.post(&order.text("finalize"), &json!({"csr": text})).refused();
    }),
    must("6.1", "a certificate with padding is refused by revokeCert", |server| {
        let account = server.owner();
        let certificates =
            std::iter::repeat_with(|| leaf(&server.issued(account).chain).to_der().expect("DER"));
        let der =
            certificates.take(30).find(|der| der.len() % 3 != 0).expect("signatures of several lengths");
        let mut text = base64url::encode(&der);
        pad(&mut text);
        let _ = account.post(&server.url("revokeCert"), &json!({"certificate": text})).refused();
    }),
];

fn require_tls(server: &Server) {
    if !server.client.http.is_tls() {
        not_applicable("it is aimed at without HTTPS, which somebody else adds");
    }
}

/// A good newOrder, but for the padding of this member.
fn padded(server: &Server, member: &str) {
    let good = server.good();
    let (mut protected, mut payload) =
        (good.protected.to_string(), String::from_utf8_lossy(&good.payload).into_owned());
    // Blanks at the end of JSON mean nothing, and make a length that needs padding.
    protected += &" ".repeat(usize::from(protected.len() % 3 == 0));
    payload += &" ".repeat(usize::from(payload.len() % 3 == 0));
    let (mut protected, mut payload) = (base64url::encode(protected), base64url::encode(payload));
    match member {
        "protected" => pad(&mut protected),
        "payload" => pad(&mut payload),
        _ => {}
    }
    // The signature is over what is sent: nothing but the padding is wrong.
    let mut jws = flatten(&good.key, &protected, &payload);
    if member == "signature" {
        let mut signature = jws[member].as_str().expect("text").to_owned();
        pad(&mut signature);
        jws[member] = signature.into();
    }
    let _ = server.post_body(&server.url("newOrder"), jws.to_string()).refused();
}

fn pad(text: &mut String) {
    *text += &"=="[..4 - text.len() % 4];
}
