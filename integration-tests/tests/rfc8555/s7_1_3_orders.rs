//! RFC 8555 section 7.1.3: order objects.

use std::collections::BTreeSet;

use integration_tests::{Csr, Object};
use serde_json::json;

use crate::{
    expect::{Expect, assert_timestamp, assert_url},
    promise::{Promise, must, not_applicable, should},
    server::{finished, identifiers},
};

pub(crate) const PROMISES: &[Promise] = &[
    must("7.1.3", "a pending order says when it expires", |server| {
        let order = server.order(server.owner());
        assert_eq!(order.status(), "pending");
        assert!(assert_timestamp(&order.json["expires"]) > crate::aim::now());
    }),
    must("7.1.3", "a valid order says when it expires", |server| {
        let issued = server.issued(server.owner());
        let _ = assert_timestamp(&issued.order.json["expires"]);
    }),
    must("7.1.3", "an order has the URLs of its authorizations and of finalize", |server| {
        let order = server.order(server.owner());
        assert!(!order.list("authorizations").is_empty());
        for url in order.json["authorizations"].as_array().expect("an array") {
            assert_url(url);
        }
        assert_url(&order.json["finalize"]);
    }),
    must("7.1.3", "an order has a certificate only once that is issued", |server| {
        let account = server.owner();
        let order = server.order(account);
        assert!(order.json["certificate"].is_null(), "{}", order.json);
        server.prove(account, &order);
        assert!(account.read(&order.url).json["certificate"].is_null());
        let _ = account.finalize(&order, &Csr::new(&[&order.names()[0]]).to_der()).expect(200);
        assert_url(&finished(account, &order.url).json["certificate"]);
    }),
    must("7.1.3", "identifiers and authorizations of an order do not change", |server| {
        let account = server.owner();
        let names = [server.name(), server.name()];
        let order = account.order(&[&names[0], &names[1]]);
        let arrays = |order: &Object| {
            let identifiers: BTreeSet<_> = order.names().into_iter().collect();
            (identifiers, order.list("authorizations").into_iter().collect::<BTreeSet<_>>())
        };
        let before = arrays(&order);
        server.prove(account, &order);
        assert_eq!(arrays(&account.read(&order.url)), before, "when it is ready");
        let _ = account.finalize(&order, &Csr::new(&[&names[0], &names[1]]).to_der()).expect(200);
        assert_eq!(arrays(&finished(account, &order.url)), before, "when it is valid");
    }),
    must("7.1.3", "the authorization of a wildcard has the name without it, and says so", |server| {
        let account = server.owner();
        let name = server.name();
        let answer = account.post(&server.url("newOrder"), &identifiers(&[&format!("*.{name}")]));
        if answer.status != 201 {
            not_applicable(format!("it takes no wildcard: {}", answer.kind()));
        }
        let order = Object { url: answer.location(), json: answer.json() };
        assert_eq!(order.names(), [format!("*.{name}")]);
        for authorization in account.authorizations(&order) {
            assert_eq!(authorization.json["identifier"], json!({"type": "dns", "value": name}));
            assert_eq!(authorization.json["wildcard"], json!(true), "{}", authorization.json);
        }
    }),
    should("7.1.3", "an order shows authorizations that were fulfilled earlier", |server| {
        let account = server.account();
        let name = server.name();
        let _ = server.ready_for(&account, &[&name]);
        let order = account.order(&[&name]);
        assert!(!order.list("authorizations").is_empty(), "{}", order.json);
        if order.status() == "ready" {
            assert!(account.authorizations(&order).iter().all(|one| one.status() == "valid"));
        }
    }),
    must("7.1.3", "an order shows the times that were asked for", |server| {
        let account = server.owner();
        let mut payload = identifiers(&[&server.name()]);
        let day = |days: i64| {
            coyote_protocol::Timestamp::from_seconds(crate::aim::now().as_seconds() + days * 86_400)
        };
        payload["notAfter"] = day(7).to_string().into();
        let answer = account.post(&server.url("newOrder"), &payload);
        if answer.status != 201 {
            not_applicable(format!("it takes no times: {}", answer.kind()));
        }
        assert_eq!(assert_timestamp(&answer.json()["notAfter"]).as_seconds(), day(7).as_seconds());
    }),
];
