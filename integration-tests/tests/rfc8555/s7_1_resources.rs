//! RFC 8555 sections 7.1, 7.1.1 and 7.1.2: resources, directory, account objects.

use std::collections::BTreeSet;

use integration_tests::{Account, Key, Object, Response};
use serde_json::{Value, json};

use crate::{
    expect::{Expect, assert_url},
    promise::{Promise, must, not_applicable, should},
    server::{Server, decided},
};

pub(crate) const PROMISES: &[Promise] = &[
    must("7.1", "there are a directory and a newNonce resource", |server| {
        let _ = server.get(&server.client.directory_url).expect(200);
        assert!(server.get(&server.url("newNonce")).success().nonce().is_some());
    }),
    must("7.1", "newNonce and newAccount lead to the directory by a link", |server| {
        leads_to_the_directory(server, &server.get(&server.url("newNonce")));
        leads_to_the_directory(server, &server.join(&Key::new(), json!({})));
    }),
    must("7.1", "an account, an order, an authorization and a challenge lead to the directory", |server| {
        let account = server.owner();
        let order = server.order(account);
        let authorization = account.authorizations(&order).remove(0);
        let challenge = authorization.json["challenges"][0]["url"].as_str().expect("a URL").to_owned();
        for url in [&account.url, &order.url, &authorization.url, &challenge] {
            leads_to_the_directory(server, &account.post_as_get(url).expect(200));
        }
    }),
    must("7.1", "a certificate leads to the directory", |server| {
        let issued = server.issued(server.owner());
        let answer = server.owner().post_as_get(&issued.order.text("certificate")).expect(200);
        leads_to_the_directory(server, &answer);
    }),
    must("7.1", "a challenge leads up to its authorization", |server| {
        let account = server.owner();
        let authorization = account.authorizations(&server.order(account)).remove(0);
        let challenge = authorization.json["challenges"][0]["url"].as_str().expect("a URL").to_owned();
        let answer = account.post_as_get(&challenge).expect(200);
        assert_eq!(answer.links("up"), [authorization.url], "got {answer}");
    }),
    must("7.1", "the answer to whoever says that a challenge is ready leads up, too", |server| {
        let account = server.owner();
        let authorization = account.authorizations(&server.order(account)).remove(0);
        let challenge = server.provision(account, &authorization);
        let answer = account.post(&challenge.url, &json!({})).expect(200);
        assert_eq!(answer.links("up"), [&*authorization.url], "got {answer}");
        let _ = decided(account, &authorization.url);
    }),
    must("7.1.1", "the directory is a JSON object", |server| {
        let answer = server.get(&server.client.directory_url).expect(200);
        assert_eq!(answer.media_type(), "application/json");
        assert!(answer.json().is_object(), "got {answer}");
    }),
    must("7.1.1", "the directory has the URLs of all operations", |server| {
        for resource in ["newNonce", "newAccount", "newOrder", "revokeCert", "keyChange"] {
            assert_url(&server.client.directory[resource]);
        }
    }),
    should("7.1.1", "the directory has another URL than the other resources", |server| {
        let directory = server.client.directory.as_object().expect("an object");
        let is_its_own = |url: &Value| url == &json!(server.client.directory_url);
        assert!(!directory.values().any(is_its_own), "{directory:?}");
    }),
    must("7.1.1", "newAuthz is there only if it is implemented", |server| {
        let answer = server.owner().post(&server.optional_url("newAuthz"), &json!({}));
        assert!(![404, 405, 501].contains(&answer.status), "got {answer}");
    }),
    must("7.1.1", "meta, if it is there, is an object of values of the right types", |server| {
        let meta = &server.client.directory["meta"];
        if meta.is_null() {
            not_applicable("its directory has no meta");
        }
        assert!(meta.is_object(), "{meta}");
        let (terms, website) = (&meta["termsOfService"], &meta["website"]);
        // The terms may have a URL of any scheme.
        assert!(terms.is_null() || terms.as_str().is_some_and(|url| url.contains(':')), "{terms}");
        if !website.is_null() {
            assert_url(website);
        }
        let names = &meta["caaIdentities"];
        let are_text = |names: &Vec<Value>| names.iter().all(Value::is_string);
        assert!(names.is_null() || names.as_array().is_some_and(are_text), "{names}");
        let required = &meta["externalAccountRequired"];
        assert!(required.is_null() || required.is_boolean(), "{required}");
    }),
    must("7.1.2", "an account has a status, which is valid", |server| {
        let answer = server.join(&Key::new(), json!({})).expect(201);
        assert_eq!(answer.json()["status"], "valid", "got {answer}");
    }),
    must("7.1.2", "an account has a URL of its orders", |server| {
        let account = server.owner();
        assert_url(&account.read(&account.url).json["orders"]);
    }),
    must("7.1.2", "an account shows its contacts", |server| {
        let contacts = json!(["mailto:admin@example.org", "mailto:two@example.org"]);
        let answer = server.join(&Key::new(), json!({"contact": contacts})).expect(201);
        assert_eq!(answer.json()["contact"], contacts, "got {answer}");
    }),
    must("7.1.2", "the orders list is an object whose orders are URLs of orders of the account", |server| {
        let account = server.account();
        let made = server.order(&account).url;
        for url in orders(&account) {
            assert!(account.read(&url).json["identifiers"].is_array());
            assert_eq!(url, made);
        }
    }),
    should("7.1.2", "the orders list has pending orders, on as many pages as it takes", |server| {
        let account = server.account();
        let made: BTreeSet<_> = (0..12).map(|_| server.order(&account).url).collect();
        assert_eq!(orders(&account), made);
    }),
    should("7.1.2", "the orders list does not have invalid orders", |server| {
        let account = server.account();
        let order = server.order(&account);
        let authorization = account.authorizations(&order).remove(0);
        let challenge = crate::server::challenge(&authorization, "http-01");
        let _ = account.post(&challenge.url, &json!({})).expect(200);
        assert_eq!(decided(&account, &authorization.url).status(), "invalid");
        assert_eq!(account.read(&order.url).status(), "invalid");
        assert_eq!(orders(&account), BTreeSet::new());
    }),
    must("7.1.2", "the orders list of another account cannot be read", |server| {
        let account = server.owner();
        let url = account.read(&account.url).json["orders"].as_str().map(str::to_owned);
        let Some(url) = url else { not_applicable("its accounts have no orders list") };
        let _ = server.account().post_as_get(&url).refused();
    }),
];

#[track_caller]
fn leads_to_the_directory(server: &Server, answer: &Response) {
    assert_eq!(answer.links("index"), [server.client.directory_url.as_str()], "got {answer}");
}

/// All orders that an account lists.
fn orders(account: &Account) -> BTreeSet<String> {
    let mut page = account.read(&account.url).json["orders"].as_str().map(str::to_owned);
    if page.is_none() {
        not_applicable("its accounts have no orders list");
    }
    let mut orders = BTreeSet::new();
    while let Some(url) = page {
        let answer = account.post_as_get(&url).expect(200);
        orders.extend(Object { url, json: answer.json() }.list("orders"));
        page = answer.links("next").pop();
    }
    orders
}
