//! Certificates by the other challenges than http-01. RFC 8555 section 8.4, RFC 8737 and RFC 8738.

use std::collections::BTreeSet;

use integration_tests::{
    Account, ChallengeCertificate, Csr, DnsAnswer, Object, TlsAnswer, TlsResponder, World,
    assert_chain_verifies, der::tlv, dns_name, eventually, leaf,
};
use openssl::sha::sha256;
use serde_json::json;

/// A server that offers every challenge, and where it looks for tls-alpn-01.
fn world() -> (World, TlsResponder) {
    let tls = TlsResponder::start();
    let world = World::with(|setup| {
        setup
            .replacing("validation", "challenges", "[\"http-01\", \"dns-01\", \"tls-alpn-01\"]")
            .with("validation", &format!("tls_port = {}", tls.port()))
            .with("limits", "validation_backoff = \"100ms\"")
    });
    (world, tls)
}

/// Where dns-01 is to be found, and what. RFC 8555 section 8.4.
fn record(account: &Account, authorization: &Object) -> (String, String) {
    let name = authorization.json["identifier"]["value"].as_str().expect("a name");
    let right = account.key_authorization(&authorization.challenge("dns-01").text("token"));
    let digest = coyote_jose::base64url::encode(sha256(right.as_bytes()));
    (format!("_acme-challenge.{name}"), digest)
}

/// Says that the answer to a challenge is in place, and waits until the authorization is valid.
fn validate(account: &Account, authorization: &Object, kind: &str) {
    let challenge = authorization.challenge(kind);
    let _ = account.post(&challenge.url, &json!({})).expect(200);
    let end = account.settled(&authorization.url);
    assert_eq!(end.status(), "valid", "{}", end.json);
    let tried = end.json["challenges"].as_array().expect("challenges");
    assert_eq!(tried.len(), 1, "the challenge that was validated: {}", end.json);
    assert_eq!(tried[0]["type"], kind);
}

#[test]
fn each_identifier_is_offered_what_can_prove_it() {
    let (world, _tls) = world();
    let account = world.client.account();
    let identifiers = json!([
        {"type": "dns", "value": "a.example.org"},
        {"type": "dns", "value": "*.a.example.org"},
        {"type": "ip", "value": "127.0.0.1"},
    ]);
    let answer =
        account.post(&world.client.resource("newOrder"), &json!({"identifiers": identifiers})).expect(201);
    let order = Object { url: answer.location(), json: answer.json() };
    for authorization in account.authorizations(&order) {
        let (kind, is_wildcard) =
            (&authorization.json["identifier"]["type"], authorization.json["wildcard"] == json!(true));
        let challenges = authorization.json["challenges"].as_array().expect("challenges");
        let offered: Vec<_> =
            challenges.iter().map(|challenge| challenge["type"].as_str().unwrap_or_default()).collect();
        let expected: &[&str] = match kind.as_str() {
            Some("ip") => &["http-01", "tls-alpn-01"],
            _ if is_wildcard => &["dns-01"],
            _ => &["http-01", "dns-01", "tls-alpn-01"],
        };
        assert_eq!(offered, expected, "{}", authorization.json);
    }
}

#[test]
fn a_name_and_its_wildcard_are_certified_by_dns_01_side_by_side() {
    let (world, _tls) = world();
    let account = world.client.account();
    let names = ["a.example.org", "*.a.example.org"];
    let order = account.order(&names);
    let authorizations = account.authorizations(&order);
    let records: Vec<_> =
        authorizations.iter().map(|authorization| record(&account, authorization)).collect();
    let owners: BTreeSet<_> = records.iter().map(|(owner, _)| owner).collect();
    assert_eq!(owners, BTreeSet::from([&"_acme-challenge.a.example.org".to_owned()]), "one name for both");
    let texts = records.into_iter().map(|(_, digest)| digest).chain(["v=spf1 -all".to_owned()]).collect();
    world.dns.answer("_acme-challenge.a.example.org", DnsAnswer::Texts(texts));

    for authorization in &authorizations {
        validate(&account, authorization, "dns-01");
    }
    let chain = account.certificate(&account.read(&order.url));

    let issued = leaf(&chain).subject_alt_names().expect("names");
    let issued: BTreeSet<_> = issued.iter().filter_map(|name| name.dnsname().map(str::to_owned)).collect();
    assert_eq!(issued, names.map(str::to_owned).into());
    assert_chain_verifies(&chain, &world.acmed.roots(), "any.a.example.org");
}

/// RFC 8555 section 8.2: the commonest mistake is to be too early.
#[test]
fn a_record_that_comes_late_is_found() {
    let (world, _tls) = world();
    let account = world.client.account();
    let order = account.order(&["late.example.org"]);
    let authorization = account.authorizations(&order).remove(0);
    let challenge = authorization.challenge("dns-01");
    let (owner, digest) = record(&account, &authorization);
    world.dns.answer(&owner, DnsAnswer::NoSuchName);

    let _ = account.post(&challenge.url, &json!({})).expect(200);
    eventually("the first attempt fails", std::time::Duration::from_secs(10), || {
        let challenge = account.read(&challenge.url).json;
        (challenge["error"]["type"] == "urn:ietf:params:acme:error:dns").then_some(())
    });
    world.dns.answer(&owner, DnsAnswer::Texts(vec![digest]));

    assert_eq!(account.settled(&authorization.url).status(), "valid");
    assert_eq!(account.read(&order.url).status(), "ready");
}

#[test]
fn a_name_is_certified_by_tls_alpn_01() {
    let (world, tls) = world();
    let account = world.client.account();
    let name = "a.example.org";
    let order = account.order(&[name]);
    let authorization = account.authorizations(&order).remove(0);
    let right = account.key_authorization(&authorization.challenge("tls-alpn-01").text("token"));
    let certificate = ChallengeCertificate::new(&dns_name(name.as_bytes()), &right);
    tls.answer(name, TlsAnswer::showing(&certificate));

    validate(&account, &authorization, "tls-alpn-01");
    let chain = account.certificate(&account.read(&order.url));

    assert_chain_verifies(&chain, &world.acmed.roots(), name);
}

/// RFC 8738 section 6.
#[test]
fn an_address_is_certified_by_tls_alpn_01() {
    let (world, tls) = world();
    let account = world.client.account();
    let identifiers = json!({"identifiers": [{"type": "ip", "value": "127.0.0.1"}]});
    let answer = account.post(&world.client.resource("newOrder"), &identifiers).expect(201);
    let order = Object { url: answer.location(), json: answer.json() };
    let authorization = account.authorizations(&order).remove(0);
    let right = account.key_authorization(&authorization.challenge("tls-alpn-01").text("token"));
    let address = tlv(0x87, [127, 0, 0, 1]);
    tls.answer("1.0.0.127.in-addr.arpa", TlsAnswer::showing(&ChallengeCertificate::new(&address, &right)));

    validate(&account, &authorization, "tls-alpn-01");
    let csr = Csr::new(&[]).with_name(address).to_der();
    let _ = account.finalize(&account.read(&order.url), &csr).expect(200);
    let order = account.settled(&order.url);

    assert_eq!(order.status(), "valid", "{}", order.json);
    let chain = account.post_as_get(&order.text("certificate")).expect(200).text();
    let names = leaf(&chain).subject_alt_names().expect("names");
    assert_eq!(names[0].ipaddress(), Some(&[127, 0, 0, 1][..]));
}

/// Names stay on this machine, whatever that name server says.
#[test]
fn acmed_dev_asks_a_name_server_for_texts_only() {
    let dns = integration_tests::Dns::start();
    let acmed = integration_tests::Acmed::dev(&["--resolver", &dns.address().to_string()]);
    let account = acmed.client().account();
    let order = account.order(&["*.a.example.org"]);
    let authorization = account.authorizations(&order).remove(0);
    let (owner, digest) = record(&account, &authorization);
    dns.answer(&owner, DnsAnswer::Texts(vec![digest]));

    validate(&account, &authorization, "dns-01");
    let chain = account.certificate(&account.read(&order.url));

    assert_chain_verifies(&chain, &acmed.roots(), "any.a.example.org");
}
