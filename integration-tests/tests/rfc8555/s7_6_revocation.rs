//! RFC 8555 section 7.6: certificate revocation.

use coyote_jose::base64url;
use integration_tests::{Account, ChallengeCertificate, Key, Response, dns_name, leaf};
use openssl::x509::X509;
use serde_json::{Value, json};

use crate::{
    expect::Expect,
    promise::{Promise, must, should},
    server::{Issued, Server},
};

pub(crate) const PROMISES: &[Promise] = &[
    must("7.6", "the account that a certificate was issued to can revoke it", |server| {
        let issued = server.issued(server.owner());
        let _ = revoke(server, server.owner(), &issued, json!({})).expect(200);
    }),
    must(
        "7.6",
        "an account that holds authorizations for all names of a certificate can revoke it",
        |server| {
            let names = [server.name(), server.name()];
            let issued = server.issued_for(server.owner(), &[&names[0], &names[1]]);
            let other = server.account();
            let _ = server.ready_for(&other, &[&names[0], &names[1]]);
            let _ = revoke(server, &other, &issued, json!({})).expect(200);
        },
    ),
    must("7.6", "an account that holds authorizations for some names only cannot", |server| {
        let names = [server.name(), server.name()];
        let issued = server.issued_for(server.owner(), &[&names[0], &names[1]]);
        let other = server.account();
        let _ = server.ready_for(&other, &[&names[0]]);
        let _ = revoke(server, &other, &issued, json!({})).refused();
    }),
    must("7.6", "the key of a certificate can revoke it", |server| {
        let issued = server.issued(server.owner());
        let key = Key::of("ES256", issued.key.clone());
        let _ = revoke_by_key(server, &key, &issued, json!({})).expect(200);
    }),
    must("7.6", "another account cannot revoke a certificate", |server| {
        let issued = server.issued(server.owner());
        let _ = revoke(server, &server.account(), &issued, json!({})).refused();
        let _ = revoke(server, server.owner(), &issued, json!({})).expect(200);
    }),
    must("7.6", "another key cannot revoke a certificate", |server| {
        let issued = server.issued(server.owner());
        let _ = revoke_by_key(server, &Key::new(), &issued, json!({})).refused();
        let _ = revoke(server, server.owner(), &issued, json!({})).expect(200);
    }),
    must("7.6", "to revoke what is revoked is alreadyRevoked, 400", |server| {
        let issued = server.issued(server.owner());
        let _ = revoke(server, server.owner(), &issued, json!({})).expect(200);
        let again = revoke(server, server.owner(), &issued, json!({}));
        let _ = again.refused_with(400, "alreadyRevoked");
    }),
    must("7.6", "a reason that is an allowed one is accepted", |server| {
        let issued = server.issued(server.owner());
        let _ = revoke(server, server.owner(), &issued, json!({"reason": 1})).expect(200);
    }),
    must("7.6", "a reason that is none is badRevocationReason", |server| {
        let issued = server.issued(server.owner());
        for reason in [7, 99] {
            let answer = revoke(server, server.owner(), &issued, json!({"reason": reason}));
            let _ = answer.refused_as("badRevocationReason");
        }
    }),
    should("7.6", "badRevocationReason says which reasons are allowed", |server| {
        let issued = server.issued(server.owner());
        let answer = revoke(server, server.owner(), &issued, json!({"reason": 7})).refused();
        let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
        assert!(detail.contains('1') && detail.contains('4'), "{detail:?} names no reasons");
    }),
    must("7.6", "a certificate that the server has not issued is not revoked", |server| {
        let key = Key::new();
        let certificate = ChallengeCertificate {
            key: key.private().clone(),
            ..ChallengeCertificate::new(&dns_name(server.name().as_bytes()), "x")
        };
        let payload = payload(&certificate.to_x509(), json!({}));
        let _ = server.owner().post(&server.url("revokeCert"), &payload).refused();
    }),
    must("7.6", "what is no base64url of a DER certificate is refused", |server| {
        for certificate in [json!(""), json!("AAAA"), json!("-----BEGIN"), json!(1), Value::Null] {
            let payload = json!({"certificate": certificate});
            let _ = server.owner().post(&server.url("revokeCert"), &payload).refused();
        }
        let _ = server.owner().post(&server.url("revokeCert"), &json!({})).refused();
    }),
    must("7.6", "an issuer's certificate is not revoked by whoever has a certificate of it", |server| {
        let issued = server.issued(server.owner());
        let chain = X509::stack_from_pem(issued.chain.as_bytes()).expect("PEM");
        let payload = payload(chain.last().expect("an issuer"), json!({}));
        let _ = server.owner().post(&server.url("revokeCert"), &payload).refused();
    }),
    must("7.6", "a request with a wrong signature revokes nothing", |server| {
        let issued = server.issued(server.owner());
        let payload = payload(&leaf(&issued.chain), json!({}));
        let signed = server.owner().signed(&server.url("revokeCert"), &payload).signed_by(&Key::new());
        let _ = server.client.send(&signed.request()).refused();
        let _ = revoke(server, server.owner(), &issued, json!({})).expect(200);
    }),
];

fn payload(certificate: &X509, members: Value) -> Value {
    let mut payload = members;
    payload["certificate"] = base64url::encode(certificate.to_der().expect("DER")).into();
    payload
}

fn revoke(server: &Server, account: &Account, issued: &Issued, members: Value) -> Response {
    account.post(&server.url("revokeCert"), &payload(&leaf(&issued.chain), members))
}

fn revoke_by_key(server: &Server, key: &Key, issued: &Issued, members: Value) -> Response {
    let payload = payload(&leaf(&issued.chain), members);
    server.client.send(&server.client.signed_by_jwk(key, &server.url("revokeCert"), &payload).request())
}
