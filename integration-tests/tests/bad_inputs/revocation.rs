//! revokeCert. RFC 8555 section 7.6.

use std::{
    thread,
    time::{Duration, SystemTime},
};

use coyote_jose::base64url;
use coyote_protocol::Timestamp;
use integration_tests::{Account, Csr, Key, Object, leaf};
use openssl::{
    asn1::Asn1Time,
    bn::BigNum,
    hash::MessageDigest,
    x509::{X509, X509Builder},
};
use serde_json::{Value, json};

use crate::{
    Case,
    jws::send,
    probe::{Observed, Probe},
    room::Room,
};

pub(crate) const CASES: &[Case] = &[
    Case("R01", |room| {
        let certificate = issue(room, &room.owner).1;
        let text = base64url::encode(certificate.to_der().expect("DER"));
        let pem = String::from_utf8(certificate.to_pem().expect("PEM")).expect("text");
        let payloads = [
            ("missing", json!({})),
            ("PEM", json!({"certificate": pem})),
            ("padded", json!({"certificate": text.clone() + "="})),
            ("garbage", json!({"certificate": base64url::encode([7; 300])})),
            ("cut", json!({"certificate": &text[..text.len() - 4]})),
            ("a number", json!({"certificate": 1})),
        ];
        let probe =
            |(what, payload): (&str, Value)| send(room, what, room.owner.signed(&url(room), &payload));
        payloads.map(probe).into()
    }),
    Case("R02", |room| {
        let (_, certificate) = issue(room, &room.owner);
        let key = Key::new();
        let forged = forged(&certificate, &key);
        let signed = room.world.client.signed_by_jwk(&key, &url(room), &payload(&forged));
        vec![
            send(room, "", signed),
            send(room, "by the owner", room.owner.signed(&url(room), &payload(&forged))),
        ]
    }),
    Case("R04", |room| {
        let (key, certificate) = issue(room, &room.owner);
        let signed = room.world.client.signed_by_jwk(&key, &url(room), &payload(&certificate));
        vec![send(room, "", signed.signed_by(&Key::new()))]
    }),
    Case("R05", |room| {
        let (_, certificate) = issue(room, &room.owner);
        let mut jws = room.attacker.signed(&url(room), &payload(&certificate)).flattened();
        jws["header"] = json!({"kid": room.owner.url});
        let target = room.world.client.http.target(&url(room));
        vec![Probe::send(room, "", integration_tests::Request::post(&target, jws.to_string()))]
    }),
    Case("R06", |room| {
        let (_, certificate) = issue(room, &room.owner);
        vec![send(room, "", room.attacker.signed(&url(room), &payload(&certificate)))]
    }),
    Case("R07", |room| {
        let (one, two) = (room.name(), room.name());
        let order = room.owner.ready_order(&[&one, &two], &room.world.responder);
        let chain = room.owner.certificate(&order);
        let _ = room.attacker.ready_order(&[&one], &room.world.responder);
        vec![send(room, "", room.attacker.signed(&url(room), &payload(&leaf(&chain))))]
    }),
    Case("R09", |room| {
        let name = room.name();
        let (_, certificate) = issue_for(room, &room.owner, &name);
        let (other_key, _) = issue_for(room, &room.attacker, &name);
        vec![send(room, "", room.world.client.signed_by_jwk(&other_key, &url(room), &payload(&certificate)))]
    }),
    Case("R10", |room| {
        let (_, certificate) = issue(room, &room.owner);
        let with = |reason: &Value| {
            let mut payload = payload(&certificate);
            payload["reason"] = reason.clone();
            room.owner.signed(&url(room), &payload)
        };
        [7, 99, 2, 6, 8, 10].map(|reason| send(room, reason.to_string(), with(&json!(reason)))).into()
    }),
    Case("R12", |room| {
        let (key, certificate) = issue(room, &room.owner);
        let _ =
            room.owner.post(&url(room), &json!({"certificate": text(&certificate), "reason": 4})).expect(200);
        let again = |reason: u8| json!({"certificate": text(&certificate), "reason": reason});
        vec![
            send(room, "by the account", room.owner.signed(&url(room), &again(5))),
            send(room, "by the key", room.world.client.signed_by_jwk(&key, &url(room), &again(4))),
        ]
    }),
    Case("R13", |room| {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock").as_secs();
        let end = Timestamp::from_seconds(i64::try_from(since).expect("a time") + 3).to_string();
        let identifiers = json!([{"type": "dns", "value": room.name()}]);
        let payload = json!({"identifiers": identifiers, "notAfter": end});
        let answer =
            room.world.client.send(&room.owner.signed(&room.new_order(), &payload).request()).expect(201);
        let order = Object { url: answer.location(), json: answer.json() };
        room.owner.validate(&order, &room.world.responder);
        let certificate = leaf(&room.owner.certificate(&order));
        thread::sleep(Duration::from_secs(4));
        vec![send(room, "", room.owner.signed(&url(room), &self::payload(&certificate)))]
    }),
    Case("R14", |room| {
        let (_, certificate) = issue(room, &room.owner);
        let mut der = certificate.to_der().expect("DER");
        *der.last_mut().expect("a signature") ^= 1;
        let payload = json!({"certificate": base64url::encode(der)});
        vec![send(room, "", room.owner.signed(&url(room), &payload))]
    }),
    Case("R15", |room| {
        let chain = room.owner.post_as_get(&room.done.text("certificate")).expect(200).body;
        let issuer = X509::stack_from_pem(&chain).expect("PEM").remove(1);
        let root = X509::from_pem(&room.world.client.http.get("/ca/root.pem").body).expect("PEM");
        let probe = |what: &str, ca: &X509| send(room, what, room.owner.signed(&url(room), &payload(ca)));
        vec![probe("issuer", &issuer), probe("root", &root)]
    }),
    Case("R16", |room| {
        let account = room.world.client.account();
        let (_, certificate) = issue(room, &account);
        let _ = account.post(&account.url, &json!({"status": "deactivated"})).expect(200);
        vec![send(room, "", account.signed(&url(room), &payload(&certificate)))]
    }),
    Case("R17", |room| {
        vec![Probe::of("", || {
            let (_, certificate) = issue(room, &room.owner);
            let reasons = [0, 1, 3, 4, 5];
            let answers = Room::at_once(50, |at| {
                let payload = json!({"certificate": text(&certificate), "reason": reasons[at % 5]});
                room.world.client.http.send(&room.owner.signed(&url(room), &payload).request())
            });
            let good: Vec<_> = (0..answers.len()).filter(|at| answers[*at].status == 200).collect();
            assert_eq!(good.len(), 1, "a certificate is revoked once");
            for answer in answers.iter().filter(|answer| answer.status != 200) {
                answer.expect_problem(400, "alreadyRevoked");
            }
            let serial = certificate.serial_number().to_bn().expect("a number").to_hex_str().expect("hex");
            let query = format!(
                "SELECT CAST(revocation_reason AS TEXT) AS line FROM certificates WHERE serial = '{}'",
                serial.to_ascii_lowercase()
            );
            assert_eq!(room.world.acmed.database().text(&query), reasons[good[0] % 5].to_string());
            Observed::posted(answers[good[0]].clone())
        })]
    }),
];

fn url(room: &Room) -> String {
    room.world.client.resource("revokeCert")
}

fn text(certificate: &X509) -> String {
    base64url::encode(certificate.to_der().expect("DER"))
}

fn payload(certificate: &X509) -> Value {
    json!({"certificate": text(certificate)})
}

/// A certificate for a new name, and its key.
fn issue(room: &Room, account: &Account) -> (Key, X509) {
    issue_for(room, account, &room.name())
}

fn issue_for(room: &Room, account: &Account, name: &str) -> (Key, X509) {
    let order = account.ready_order(&[name], &room.world.responder);
    let key = Key::new();
    let _ = account.finalize(&order, &Csr::with_key(&[name], key.private()).to_der()).expect(200);
    let order = account.settled(&order.url);
    assert_eq!(order.status(), "valid", "{}", order.json);
    (key, leaf(&account.post_as_get(&order.text("certificate")).expect(200).text()))
}

/// A certificate of another CA, with the serial number and the issuer of this one.
fn forged(certificate: &X509, key: &Key) -> X509 {
    let mut builder: X509Builder = X509::builder().expect("a builder");
    let serial: BigNum = certificate.serial_number().to_bn().expect("a number");
    builder.set_serial_number(&serial.to_asn1_integer().expect("a number")).expect("a serial");
    builder.set_issuer_name(certificate.issuer_name()).expect("an issuer");
    builder.set_subject_name(certificate.subject_name()).expect("a subject");
    builder.set_pubkey(key.private()).expect("a key");
    builder.set_not_before(&Asn1Time::days_from_now(0).expect("a time")).expect("a time");
    builder.set_not_after(&Asn1Time::days_from_now(1).expect("a time")).expect("a time");
    builder.sign(key.private(), MessageDigest::sha256()).expect("a signature");
    builder.build()
}
