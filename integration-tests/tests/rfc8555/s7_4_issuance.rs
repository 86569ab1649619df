//! RFC 8555 sections 7.4 and 11.1: applying for certificate issuance.

use std::collections::BTreeSet;

use coyote_jose::base64url;
use coyote_protocol::Timestamp;
use integration_tests::{
    Account, Csr, Key, Object, Response,
    der::{attribute, sequence, tlv},
    leaf,
};
use openssl::{asn1::Asn1Time, x509::X509};
use serde_json::{Value, json};

use crate::{
    aim::now,
    expect::{Expect, assert_url},
    promise::{Promise, must, not_applicable, should},
    server::{Server, finished, identifiers},
};

pub(crate) const PROMISES: &[Promise] = &[
    must("7.4", "newOrder is 201, with the order and its URL", |server| {
        let (account, name) = (server.owner(), server.name());
        let answer = account.post(&server.url("newOrder"), &identifiers(&[&name])).expect(201);
        assert_url(&json!(answer.location()));
        assert_eq!(answer.json()["identifiers"], identifiers(&[&name])["identifiers"], "got {answer}");
        assert_eq!(account.read(&answer.location()).json["finalize"], answer.json()["finalize"]);
    }),
    must("7.4", "an order has the identifiers that were asked for, in any order", |server| {
        let names = [server.name(), server.name(), server.name()];
        let order = server.owner().order(&[&names[0], &names[1], &names[2]]);
        let got: BTreeSet<_> = order.names().into_iter().collect();
        assert_eq!(got, names.into());
    }),
    must("7.4", "an order without identifiers is refused", |server| {
        for payload in [json!({}), json!({"identifiers": []}), json!({"identifiers": "x"})] {
            let _ = order(server, &payload).refused();
        }
    }),
    must("7.4", "an order for an identifier of an unknown type is refused", |server| {
        let _ = order(server, &json!({"identifiers": [{"type": "nothing", "value": "x"}]})).refused();
    }),
    should("7.4", "an unknown type of identifier is unsupportedIdentifier", |server| {
        let payload = json!({"identifiers": [{"type": "nothing", "value": "x"}]});
        let _ = order(server, &payload).refused_as("unsupportedIdentifier");
    }),
    must("7.4", "an order for what is no domain name is refused", |server| {
        let long = format!("{}.example.org", "a".repeat(64));
        for name in ["", "a..example.org", "-a.example.org", "a b.example.org", "a/b.example.org", &long] {
            let answer = order(server, &identifiers(&[name]));
            assert!((400..500).contains(&answer.status), "{name:?}: got {answer}");
        }
    }),
    must("7.4", "an asterisk anywhere but alone in front is refused", |server| {
        for name in ["a.*.example.org", "*.*.example.org", "a*.example.org", "*"] {
            let answer = order(server, &identifiers(&[name]));
            assert!((400..500).contains(&answer.status), "{name:?}: got {answer}");
        }
    }),
    must("7.4", "an order for a time that it cannot be for is refused", |server| {
        for time in ["yesterday", "2001-02-30T00:00:00Z"] {
            let mut payload = identifiers(&[&server.name()]);
            payload["notAfter"] = time.into();
            let answer = order(server, &payload);
            assert!((400..500).contains(&answer.status), "{time}: got {answer}");
        }
        let mut payload = identifiers(&[&server.name()]);
        payload["notBefore"] = later(20).to_string().into();
        payload["notAfter"] = later(10).to_string().into();
        let _ = order(server, &payload).refused();
    }),
    must("7.4", "a certificate has the times that were asked for, if the order was accepted", |server| {
        let (account, name) = (server.owner(), server.name());
        let mut payload = identifiers(&[&name]);
        payload["notAfter"] = later(7).to_string().into();
        let answer = order(server, &payload);
        if answer.status != 201 {
            not_applicable(format!("it takes no times: {}", answer.kind()));
        }
        let certificate = certify(server, account, &answer, &Csr::new(&[&name]));
        let wanted = Asn1Time::from_unix(later(7).as_seconds()).expect("a time");
        assert!(
            certificate.not_after() == wanted,
            "{} instead of {}",
            certificate.not_after(),
            wanted.as_ref() as &openssl::asn1::Asn1TimeRef
        );
    }),
    must("7.4", "a certificate has the names of the order and no others", |server| {
        let names = [server.name(), server.name()];
        let issued = server.issued_for(server.owner(), &[&names[0], &names[1]]);
        let certified = leaf(&issued.chain).subject_alt_names().expect("names");
        let got: BTreeSet<_> =
            certified.iter().filter_map(|name| name.dnsname().map(str::to_owned)).collect();
        assert_eq!((certified.len(), got), (2, names.into()));
    }),
    must("7.4", "a certificate has the key of the CSR", |server| {
        let issued = server.issued(server.owner());
        let certified = leaf(&issued.chain).public_key().expect("a key");
        assert!(certified.public_eq(&issued.key));
    }),
    must("7.4", "names in the commonName alone are enough", |server| {
        let (account, name) = (server.owner(), server.name());
        let order = server.ready_for(account, &[&name]);
        let csr = Csr::new(&[]).with_subject(&[attribute("2.5.4.3", 0x0c, name.as_bytes())]);
        let _ = account.finalize(&order, &csr.to_der()).expect(200);
        assert_eq!(finished(account, &order.url).status(), "valid");
    }),
    must("7.4", "a name in both commonName and subjectAltName is one name", |server| {
        let (account, name) = (server.owner(), server.name());
        let order = server.ready_for(account, &[&name]);
        let csr = Csr::new(&[&name]).with_subject(&[attribute("2.5.4.3", 0x0c, name.as_bytes())]);
        let _ = account.finalize(&order, &csr.to_der()).expect(200);
        assert_eq!(finished(account, &order.url).status(), "valid");
    }),
    must("7.4", "the names of the CSR may be in any order", |server| {
        let (account, names) = (server.owner(), [server.name(), server.name()]);
        let order = server.ready_for(account, &[&names[0], &names[1]]);
        let _ = account.finalize(&order, &Csr::new(&[&names[1], &names[0]]).to_der()).expect(200);
        assert_eq!(finished(account, &order.url).status(), "valid");
    }),
    must("7.4", "a CSR with a name that was not ordered is refused", |server| {
        let _ = bad_csr(server, |name| Csr::new(&[name, "other.example.org"]).to_der()).refused();
    }),
    must("7.4", "a CSR without a name that was ordered is refused", |server| {
        let (account, names) = (server.owner(), [server.name(), server.name()]);
        let order = server.ready_for(account, &[&names[0], &names[1]]);
        let _ = account.finalize(&order, &Csr::new(&[&names[0]]).to_der()).refused();
    }),
    must("7.4", "a CSR whose commonName was not ordered is refused", |server| {
        let other = || attribute("2.5.4.3", 0x0c, b"other.example.org");
        let _ = bad_csr(server, |name| Csr::new(&[name]).with_subject(&[other()]).to_der()).refused();
    }),
    must("7.4", "a CSR with a wrong signature is refused (RFC 2986 section 3)", |server| {
        let spoilt = |name: &str| {
            let other = Key::new().private().public_key_to_der().expect("a public key");
            Csr::new(&[name]).with_public_key(other).to_der()
        };
        let _ = bad_csr(server, spoilt).refused();
    }),
    should("7.4", "a CSR whose names are not the order's is badCSR", |server| {
        let _ = bad_csr(server, |name| Csr::new(&[name, "other.example.org"]).to_der()).refused_as("badCSR");
    }),
    should("7.4", "an order stays ready after a CSR that was refused", |server| {
        let (account, name) = (server.owner(), server.name());
        let order = server.ready_for(account, &[&name]);
        let _ = account.finalize(&order, &Csr::new(&["other.example.org"]).to_der()).refused();
        assert_eq!(account.read(&order.url).status(), "ready");
        let _ = account.finalize(&order, &Csr::new(&[&name]).to_der()).expect(200);
    }),
    must("7.4", "a CSR that is no base64url of DER is refused", |server| {
        let account = server.owner();
        let order = server.ready(account);
        let pem = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n";
        for csr in [json!(""), json!("AAAA"), json!(pem), json!(1), Value::Null] {
            let _ = account.post(&order.text("finalize"), &json!({"csr": csr})).refused();
        }
        let _ = account.post(&order.text("finalize"), &json!({})).refused();
    }),
    must("7.4", "a CSR that asks for a CA's certificate does not get one", |server| {
        let (account, name) = (server.owner(), server.name());
        let order = server.ready_for(account, &[&name]);
        let is_ca = sequence(&[tlv(0x01, [0xff])]);
        let csr = Csr::new(&[&name]).with_extension("2.5.29.19", true, &is_ca);
        let answer = account.finalize(&order, &csr.to_der());
        if answer.status == 200 {
            let certificate = download(account, &order);
            let text = String::from_utf8(certificate.to_text().expect("text")).expect("UTF-8");
            assert!(!text.contains("CA:TRUE"), "{text}");
        } else {
            let _ = answer.refused();
        }
    }),
    should("11.1", "a CSR with the key of the account is refused", |server| {
        let key = server.owner().key.private().clone();
        let _ = bad_csr(server, |name| Csr::with_key(&[name], &key).to_der()).refused();
    }),
    must("7.4", "to finalize an order that is pending is orderNotReady, 403", |server| {
        let account = server.owner();
        let order = server.order(account);
        let csr = Csr::new(&[&order.names()[0]]).to_der();
        let _ = account.finalize(&order, &csr).refused_with(403, "orderNotReady");
    }),
    must("7.4", "to finalize an order that is valid is orderNotReady, 403", |server| {
        let account = server.owner();
        let issued = server.issued(account);
        let csr = Csr::new(&[&issued.order.names()[0]]).to_der();
        let _ = account.finalize(&issued.order, &csr).refused_with(403, "orderNotReady");
    }),
    must("7.4", "to finalize an order that is invalid is orderNotReady, 403", |server| {
        let account = server.owner();
        let order = server.order(account);
        let authorization = account.authorizations(&order).remove(0);
        let challenge = crate::server::challenge(&authorization, "http-01");
        let _ = crate::server::respond(account, &authorization, &challenge);
        let csr = Csr::new(&[&order.names()[0]]).to_der();
        let _ = account.finalize(&order, &csr).refused_with(403, "orderNotReady");
    }),
    must("7.4", "finalize is 200, with the order", |server| {
        let account = server.owner();
        let order = server.ready(account);
        let answer = account.finalize(&order, &Csr::new(&[&order.names()[0]]).to_der()).expect(200);
        assert_eq!(answer.json()["finalize"], order.json["finalize"], "got {answer}");
        let status = answer.json()["status"].as_str().unwrap_or_default().to_owned();
        assert!(["processing", "valid"].contains(&&*status), "got {answer}");
    }),
    must("7.4", "a certificate is for a server, and not a CA's", |server| {
        let issued = server.issued(server.owner());
        let certificate = leaf(&issued.chain);
        let text = String::from_utf8(certificate.to_text().expect("text")).expect("UTF-8");
        assert!(!text.contains("CA:TRUE"), "{text}");
    }),
];

fn order(server: &Server, payload: &Value) -> Response {
    server.owner().post(&server.url("newOrder"), payload)
}

/// What a ready order is answered with for this CSR.
fn bad_csr(server: &Server, csr: impl Fn(&str) -> Vec<u8>) -> Response {
    let (account, name) = (server.owner(), server.name());
    let order = server.ready_for(account, &[&name]);
    let payload = json!({"csr": base64url::encode(csr(&name))});
    account.post(&order.text("finalize"), &payload)
}

/// From the answer to newOrder to the certificate.
fn certify(server: &Server, account: &Account, created: &Response, csr: &Csr) -> X509 {
    let order = Object { url: created.location(), json: created.json() };
    server.prove(account, &order);
    let _ = account.finalize(&order, &csr.to_der()).expect(200);
    download(account, &order)
}

fn download(account: &Account, order: &Object) -> X509 {
    let order = finished(account, &order.url);
    assert_eq!(order.status(), "valid", "{}", order.json);
    leaf(&account.post_as_get(&order.text("certificate")).expect(200).text())
}

/// In so many days, at a whole hour.
fn later(days: i64) -> Timestamp {
    let hour = now().as_seconds() / 3_600 * 3_600;
    Timestamp::from_seconds(hour + days * 86_400)
}
