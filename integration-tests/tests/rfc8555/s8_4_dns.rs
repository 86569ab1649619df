//! RFC 8555 section 8.4: DNS challenge.

use coyote_jose::base64url;
use integration_tests::{Account, DnsAnswer, Object};
use openssl::sha::sha256;

use crate::{
    expect::Expect,
    promise::{Promise, must, not_applicable},
    s8_3_http::assert_token,
    server::{Server, challenge, identifiers, respond},
};

pub(crate) const PROMISES: &[Promise] = &[
    must("8.4", "dns-01 has a token of at least 128 bits, in base64url", |server| {
        assert_token(&offered(server).1);
    }),
    must("8.4", "a TXT record with the digest makes the authorization valid", |server| {
        assert_eq!(ends(server, |right| vec![digest(right)]), "valid");
    }),
    must("8.4", "one right record among several is enough", |server| {
        let others = || ["v=spf1 -all".to_owned(), digest("other")];
        assert_eq!(ends(server, |right| others().into_iter().chain([digest(right)]).collect()), "valid");
    }),
    must("8.4", "records of which none is right make it invalid", |server| {
        assert_eq!(ends(server, |_| vec![digest("wrong")]), "invalid");
        assert_eq!(ends(server, |_| vec!["v=spf1 -all".to_owned(), String::new()]), "invalid");
    }),
    must("8.4", "the key authorization itself, instead of its digest, makes it invalid", |server| {
        assert_eq!(ends(server, |right| vec![right.to_owned()]), "invalid");
    }),
    must("8.4", "a digest with padding makes it invalid", |server| {
        assert_eq!(ends(server, |right| vec![digest(right) + "="]), "invalid");
    }),
    must("8.4", "no record makes it invalid", |server| {
        assert_eq!(ends(server, |_| Vec::new()), "invalid");
    }),
    must("8.4", "a record under the name itself makes nothing valid", |server| {
        let (authorization, challenge) = offered(server);
        let name = authorization.json["identifier"]["value"].as_str().expect("a name").to_owned();
        let right = server.owner().key_authorization(&challenge.text("token"));
        server.dns.answer(&name, DnsAnswer::Texts(vec![digest(&right)]));
        server.dns.answer(&format!("_acme-challenge.{name}"), DnsAnswer::NoSuchName);
        assert_eq!(respond(server.owner(), &authorization, &challenge).status(), "invalid");
    }),
    must("8.4", "a wildcard is proved under its base name", |server| {
        let (account, name) = (server.owner(), server.name());
        let answer = account.post(&server.url("newOrder"), &identifiers(&[&format!("*.{name}")]));
        if answer.status != 201 {
            not_applicable(format!("it takes no wildcard: {}", answer.kind()));
        }
        let order = Object { url: answer.location(), json: answer.json() };
        let authorization = account.authorizations(&order).remove(0);
        let challenge = challenge(&authorization, "dns-01");
        provision(server, account, &name, &challenge);
        assert_eq!(respond(account, &authorization, &challenge).status(), "valid");
        assert_eq!(account.read(&order.url).status(), "ready");
    }),
    must("8.4", "a name and its wildcard are proved side by side", |server| {
        let (account, name) = (server.account(), server.name());
        let wildcard = format!("*.{name}");
        let answer = account.post(&server.url("newOrder"), &identifiers(&[&name, &wildcard]));
        if answer.status != 201 {
            not_applicable(format!("it takes no wildcard: {}", answer.kind()));
        }
        let order = Object { url: answer.location(), json: answer.json() };
        let authorizations = account.authorizations(&order);
        let challenges: Vec<_> = authorizations.iter().map(|one| challenge(one, "dns-01")).collect();
        let right = |one: &Object| digest(&account.key_authorization(&one.text("token")));
        let texts = challenges.iter().map(right).collect();
        server.dns.answer(&format!("_acme-challenge.{name}"), DnsAnswer::Texts(texts));
        for (authorization, challenge) in authorizations.iter().zip(&challenges) {
            assert_eq!(respond(&account, authorization, challenge).status(), "valid");
        }
        assert_eq!(account.read(&order.url).status(), "ready");
    }),
];

fn offered(server: &Server) -> (Object, Object) {
    let account = server.owner();
    let authorization = account.authorizations(&server.order(account)).remove(0);
    let challenge = challenge(&authorization, "dns-01");
    (authorization, challenge)
}

/// The end of an authorization whose name has these texts, made of the right key authorization.
fn ends(server: &Server, texts: impl Fn(&str) -> Vec<String>) -> String {
    let (authorization, challenge) = offered(server);
    let name = authorization.json["identifier"]["value"].as_str().expect("a name").to_owned();
    let right = server.owner().key_authorization(&challenge.text("token"));
    server.dns.answer(&format!("_acme-challenge.{name}"), DnsAnswer::Texts(texts(&right)));
    respond(server.owner(), &authorization, &challenge).status().to_owned()
}

fn provision(server: &Server, account: &Account, name: &str, challenge: &Object) {
    let right = account.key_authorization(&challenge.text("token"));
    server.dns.answer(&format!("_acme-challenge.{name}"), DnsAnswer::Texts(vec![digest(&right)]));
}

/// What is put into DNS.
fn digest(key_authorization: &str) -> String {
    base64url::encode(sha256(key_authorization.as_bytes()))
}
