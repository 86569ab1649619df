//! What builds on RFC 8555: RFC 8737, RFC 8738, RFC 9773 and draft-ietf-acme-profiles.

use coyote_protocol::Timestamp;
use integration_tests::{
    Account, ChallengeCertificate, Client, Csr, Object, Response, TlsAnswer,
    der::tlv,
    dns_name, leaf,
    tls_responder::{acme_identifier, digest},
};
use openssl::ssl::{AlpnError, select_next_proto};
use serde_json::{Value, json};

use crate::{
    expect::{Expect, assert_timestamp},
    promise::{Promise, must, not_applicable, should},
    s8_3_http::assert_token,
    server::{Server, challenge, finished, identifiers, respond},
};

pub(crate) const TLS_ALPN: &[Promise] = &[
    must("RFC 8737", "tls-alpn-01 has a token of at least 128 bits, in base64url", |server| {
        assert_token(&offered(server).1);
    }),
    must("RFC 8737", "the right certificate makes the authorization valid", |server| {
        assert_eq!(ends(server, |right| TlsAnswer::showing(&right)), "valid");
    }),
    must("RFC 8737", "a certificate without acmeIdentifier makes it invalid", |server| {
        let without = |right| ChallengeCertificate { acme_identifier: None, ..right };
        assert_eq!(ends(server, |right| TlsAnswer::showing(&without(right))), "invalid");
    }),
    must("RFC 8737", "an acmeIdentifier that is not critical makes it invalid", |server| {
        let (authorization, challenge) = offered(server);
        let (name, right) = certificate(server, &authorization, &challenge);
        let key_authorization = server.owner().key_authorization(&challenge.text("token"));
        let extension = acme_identifier(false, &digest(&key_authorization));
        let certificate = ChallengeCertificate { acme_identifier: Some(extension), ..right };
        server.tls.answer(&name, TlsAnswer::showing(&certificate));
        assert_eq!(respond(server.owner(), &authorization, &challenge).status(), "invalid");
    }),
    must("RFC 8737", "a wrong digest makes it invalid", |server| {
        let wrong = Some(acme_identifier(true, &digest("wrong")));
        let spoilt = move |right| ChallengeCertificate { acme_identifier: wrong.clone(), ..right };
        assert_eq!(ends(server, |right| TlsAnswer::showing(&spoilt(right))), "invalid");
    }),
    must("RFC 8737", "a certificate for another name makes it invalid", |server| {
        let other = |right: ChallengeCertificate| right.with_names(&[dns_name(b"other.example.org")]);
        assert_eq!(ends(server, |right| TlsAnswer::showing(&other(right))), "invalid");
    }),
    must("RFC 8737", "a certificate for a second name, too, makes it invalid", |server| {
        let (authorization, challenge) = offered(server);
        let (name, right) = certificate(server, &authorization, &challenge);
        let names = [dns_name(name.as_bytes()), dns_name(b"other.example.org")];
        server.tls.answer(&name, TlsAnswer::showing(&right.with_names(&names)));
        assert_eq!(respond(server.owner(), &authorization, &challenge).status(), "invalid");
    }),
    must("RFC 8737", "a certificate without names makes it invalid", |server| {
        let without = |right| ChallengeCertificate { names: None, ..right };
        assert_eq!(ends(server, |right| TlsAnswer::showing(&without(right))), "invalid");
    }),
    must("RFC 8737", "a server that does not agree on acme-tls/1 makes it invalid", |server| {
        assert_eq!(ends(server, |right| TlsAnswer::with(&right, |_| {})), "invalid");
        let http = |right: ChallengeCertificate| {
            TlsAnswer::with(&right, |context| {
                context.set_alpn_select_callback(|_, offered| {
                    select_next_proto(b"\x08http/1.1", offered).ok_or(AlpnError::NOACK)
                });
            })
        };
        assert_eq!(ends(server, http), "invalid");
    }),
];

pub(crate) const ADDRESSES: &[Promise] = &[
    must("RFC 8738", "an order for an IPv4 address has an authorization for it", |server| {
        let (_, authorization) = address(server);
        assert_eq!(authorization.json["identifier"], json!({"type": "ip", "value": "127.0.0.1"}));
    }),
    must("RFC 8738", "an order for an IPv6 address in the form of RFC 5952 is taken", |server| {
        let _ = address(server);
        let answer = order(server, &ip("2001:db8::1"));
        if answer.status != 201 {
            let _ = answer.refused_as("rejectedIdentifier");
        }
    }),
    must("RFC 8738", "what is no address in its textual form is refused", |server| {
        let _ = address(server);
        for text in ["127.0.0", "256.0.0.1", "127.0.0.1/32", "example.org", "[::1]", ""] {
            let answer = order(server, &ip(text));
            assert!((400..500).contains(&answer.status), "{text:?}: got {answer}");
        }
    }),
    must("RFC 8738", "dns-01 is not offered for an address", |server| {
        let (_, authorization) = address(server);
        let challenges = authorization.json["challenges"].as_array().expect("an array");
        assert!(challenges.iter().all(|challenge| challenge["type"] != "dns-01"), "{}", authorization.json);
    }),
    must("RFC 8738", "an address is proved by http-01, and its certificate is for it", |server| {
        let (account, (order, authorization)) = (server.owner(), address(server));
        let challenge = server.provision(account, &authorization);
        assert_eq!(respond(account, &authorization, &challenge).status(), "valid");
        let csr = Csr::new(&[]).with_name(tlv(0x87, [127, 0, 0, 1])).to_der();
        let _ = account.finalize(&order, &csr).expect(200);
        let order = finished(account, &order.url);
        let chain = account.post_as_get(&order.text("certificate")).expect(200).text();
        let names = leaf(&chain).subject_alt_names().expect("names");
        assert_eq!((names.len(), names[0].ipaddress()), (1, Some(&[127, 0, 0, 1][..])));
    }),
    must("RFC 8738", "a CSR with an address as a DNS name is refused", |server| {
        let account = server.account();
        let answer = account.post(&server.url("newOrder"), &ip("127.0.0.1"));
        if answer.status != 201 {
            not_applicable(format!("it takes no addresses: {}", answer.kind()));
        }
        let order = Object { url: answer.location(), json: answer.json() };
        server.prove(&account, &order);
        let _ = account.finalize(&order, &Csr::new(&["127.0.0.1"]).to_der()).refused();
    }),
    must("RFC 8738", "an address is proved by tls-alpn-01 under its name in the reverse zone", |server| {
        let account = server.account();
        let answer = account.post(&server.url("newOrder"), &ip("127.0.0.1"));
        if answer.status != 201 {
            not_applicable(format!("it takes no addresses: {}", answer.kind()));
        }
        let order = Object { url: answer.location(), json: answer.json() };
        let authorization = account.authorizations(&order).remove(0);
        let challenge = challenge(&authorization, "tls-alpn-01");
        let right = account.key_authorization(&challenge.text("token"));
        let certificate = ChallengeCertificate::new(&tlv(0x87, [127, 0, 0, 1]), &right);
        server.tls.answer("1.0.0.127.in-addr.arpa", TlsAnswer::showing(&certificate));
        assert_eq!(respond(&account, &authorization, &challenge).status(), "valid");
    }),
];

pub(crate) const RENEWAL: &[Promise] = &[
    must("RFC 9773", "renewal information can be read by GET, without authentication", |server| {
        let (_, answer) = renewal_info(server);
        assert_eq!(answer.media_type(), "application/json", "got {answer}");
    }),
    must("RFC 9773", "the suggested window has a start, and an end after it", |server| {
        let window = renewal_info(server).1.json()["suggestedWindow"].clone();
        assert!(assert_timestamp(&window["start"]) < assert_timestamp(&window["end"]), "{window}");
    }),
    must("RFC 9773", "renewal information says when to ask again", |server| {
        let (_, answer) = renewal_info(server);
        assert!(answer.header("Retry-After").is_some(), "got {answer}");
    }),
    must("RFC 9773", "what identifies no certificate has no renewal information", |server| {
        let url = server.optional_url("renewalInfo");
        for id in ["x", "AAAA.AAAA", "AAAA", "a.b.c"] {
            let _ = server.get(&format!("{url}/{id}")).refused();
        }
    }),
    should("RFC 9773", "a window is within the life of the certificate", |server| {
        let account = server.owner();
        let _ = server.optional_url("renewalInfo");
        let (id, answer) = renewal_info(server);
        let window = answer.json()["suggestedWindow"].clone();
        let start: Timestamp = assert_timestamp(&window["start"]);
        assert!(start > crate::aim::now(), "{id} of {} is to be renewed at once: {window}", account.url);
    }),
    must("RFC 9773", "an order shows what it replaces, at once and later", |server| {
        let account = server.owner();
        let (id, order) = replacement(server, account);
        assert_eq!(order.json["replaces"], id, "{}", order.json);
        assert_eq!(account.read(&order.url).json["replaces"], id);
    }),
    must("RFC 9773", "a second order that replaces the same is alreadyReplaced, 409", |server| {
        let account = server.owner();
        let (id, order) = replacement(server, account);
        let mut payload = identifiers(&[&order.names()[0]]);
        payload["replaces"] = id.into();
        let answer = account.post(&server.url("newOrder"), &payload);
        if answer.status == 201 {
            not_applicable("it lets a certificate be replaced twice");
        }
        let _ = answer.refused_with(409, "alreadyReplaced");
    }),
    should("RFC 9773", "a certificate of another account cannot be replaced", |server| {
        let (id, names) = renewable(server);
        let mut payload = identifiers(&[&names[0]]);
        payload["replaces"] = id.into();
        let _ = server.account().post(&server.url("newOrder"), &payload).refused();
    }),
    should("RFC 9773", "a certificate cannot be replaced by one for other names only", |server| {
        let (id, _) = renewable(server);
        let mut payload = identifiers(&[&server.name()]);
        payload["replaces"] = id.into();
        let _ = server.owner().post(&server.url("newOrder"), &payload).refused();
    }),
];

pub(crate) const PROFILES: &[Promise] = &[
    must("profiles", "the profiles are an object of descriptions", |server| {
        let profiles = profiles(server);
        let are_text = |profiles: &serde_json::Map<String, Value>| profiles.values().all(Value::is_string);
        assert!(profiles.as_object().is_some_and(are_text), "{profiles}");
    }),
    must("profiles", "an order for a profile shows it", |server| {
        let profiles = profiles(server);
        for profile in profiles.as_object().expect("an object").keys() {
            let mut payload = identifiers(&[&server.name()]);
            payload["profile"] = profile.clone().into();
            let answer = order(server, &payload).expect(201);
            assert_eq!(answer.json()["profile"], **profile, "got {answer}");
        }
    }),
    must("profiles", "an order for a profile that there is not is invalidProfile", |server| {
        let _ = profiles(server);
        let mut payload = identifiers(&[&server.name()]);
        payload["profile"] = "no such profile".into();
        let _ = order(server, &payload).refused_as("invalidProfile");
    }),
    should("profiles", "an order that asks for no profile shows the one that it gets", |server| {
        let profiles = profiles(server);
        let answer = order(server, &identifiers(&[&server.name()])).expect(201);
        let profile = answer.json()["profile"].as_str().unwrap_or_default().to_owned();
        assert!(!profiles[&profile].is_null(), "got {answer}");
    }),
];

/// A new authorization and its tls-alpn-01 challenge.
fn offered(server: &Server) -> (Object, Object) {
    let account = server.owner();
    let authorization = account.authorizations(&server.order(account)).remove(0);
    let challenge = challenge(&authorization, "tls-alpn-01");
    (authorization, challenge)
}

/// The name that is to be proved, and the right certificate for it.
fn certificate(
    server: &Server,
    authorization: &Object,
    challenge: &Object,
) -> (String, ChallengeCertificate) {
    let name = authorization.json["identifier"]["value"].as_str().expect("a name").to_owned();
    let right = server.owner().key_authorization(&challenge.text("token"));
    let certificate = ChallengeCertificate::new(&dns_name(name.as_bytes()), &right);
    (name, certificate)
}

/// The end of an authorization whose challenge is answered with this, made of the right certificate.
fn ends(server: &Server, answer: impl Fn(ChallengeCertificate) -> TlsAnswer) -> String {
    let (authorization, challenge) = offered(server);
    let (name, right) = certificate(server, &authorization, &challenge);
    server.tls.answer(&name, answer(right));
    respond(server.owner(), &authorization, &challenge).status().to_owned()
}

fn order(server: &Server, payload: &Value) -> Response {
    server.owner().post(&server.url("newOrder"), payload)
}

fn ip(address: &str) -> Value {
    json!({"identifiers": [{"type": "ip", "value": address}]})
}

/// An order of the owner's for an address, and its authorization.
fn address(server: &Server) -> (Object, Object) {
    let answer = order(server, &ip("127.0.0.1"));
    if answer.status != 201 {
        not_applicable(format!("it takes no addresses: {}", answer.kind()));
    }
    let order = Object { url: answer.location(), json: answer.json() };
    let authorization = server.owner().authorizations(&order).remove(0);
    (order, authorization)
}

/// A new certificate of the owner's: its identifier and its names.
fn renewable(server: &Server) -> (String, Vec<String>) {
    let _ = server.optional_url("renewalInfo");
    let issued = server.issued(server.owner());
    (Client::certificate_id(&leaf(&issued.chain)), issued.order.names())
}

/// The renewal information of a new certificate, and its identifier.
fn renewal_info(server: &Server) -> (String, Response) {
    let url = server.optional_url("renewalInfo");
    let (id, _) = renewable(server);
    let answer = server.get(&format!("{}/{id}", url.trim_end_matches('/'))).expect(200);
    (id, answer)
}

/// An order that replaces a new certificate, and that certificate's identifier.
fn replacement(server: &Server, account: &Account) -> (String, Object) {
    let (id, names) = renewable(server);
    let mut payload = identifiers(&[&names[0]]);
    payload["replaces"] = id.clone().into();
    let answer = account.post(&server.url("newOrder"), &payload).expect(201);
    (id, Object { url: answer.location(), json: answer.json() })
}

fn profiles(server: &Server) -> Value {
    let profiles = server.meta("profiles").clone();
    if profiles.is_null() {
        not_applicable("its directory has no profiles");
    }
    profiles
}
