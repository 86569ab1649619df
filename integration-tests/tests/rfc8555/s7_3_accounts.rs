//! RFC 8555 sections 7.3 to 7.3.3: account management.

use integration_tests::{Key, Response};
use serde_json::{Value, json};

use crate::{
    expect::{Expect, assert_url},
    promise::{Promise, must, not_applicable, should},
    server::{Server, identifiers},
};

pub(crate) const PROMISES: &[Promise] = &[
    must("7.3", "newAccount is 201, with the account and its URL", |server| {
        let answer = server.join(&Key::new(), json!({})).expect(201);
        assert_url(&json!(answer.location()));
        assert_eq!(answer.json()["status"], "valid", "got {answer}");
    }),
    must("7.3", "the key of the account authenticates its requests", |server| {
        let account = server.account();
        assert_eq!(account.read(&account.url).status(), "valid");
    }),
    must("7.3", "orders in a newAccount are ignored", |server| {
        let orders = "https://client.example/orders";
        let answer = server.join(&Key::new(), json!({"orders": orders})).expect(201);
        assert_ne!(answer.json()["orders"], orders, "got {answer}");
    }),
    must(
        "7.3",
        "members of a newAccount that the server does not know are ignored, and not shown",
        |server| {
            let answer = server.join(&Key::new(), json!({"unheardOf": {"x": 1}})).expect(201);
            assert!(answer.json().get("unheardOf").is_none(), "got {answer}");
        },
    ),
    must("7.3", "onlyReturnExisting is not shown", |server| {
        let answer = server.join(&Key::new(), json!({"onlyReturnExisting": false})).expect(201);
        assert!(answer.json().get("onlyReturnExisting").is_none(), "got {answer}");
    }),
    must("7.3", "contacts by mailto are supported", |server| {
        let _ = server.join(&Key::new(), json!({"contact": ["mailto:admin@example.org"]})).expect(201);
    }),
    should("7.3", "a mailto with header fields is refused", |server| {
        let _ = with_contact(server, "mailto:admin@example.org?subject=x").refused();
    }),
    should("7.3", "a mailto with several addresses is refused", |server| {
        let _ = with_contact(server, "mailto:admin@example.org,two@example.org").refused();
    }),
    should("7.3", "a mailto that has no address is refused", |server| {
        let _ = with_contact(server, "mailto:nobody").refused();
    }),
    must("7.3", "a contact that is refused for its value is invalidContact", |server| {
        for contact in ["mailto:admin@example.org?subject=x", "mailto:a@example.org,b@example.org"] {
            let answer = with_contact(server, contact);
            if answer.status != 201 {
                let _ = answer.refused_as("invalidContact");
            }
        }
    }),
    must("7.3", "a contact that is refused for its scheme is unsupportedContact", |server| {
        let answer = with_contact(server, "tel:+12025551212");
        if answer.status == 201 {
            not_applicable("it supports contacts by telephone");
        }
        let _ = answer.refused_as("unsupportedContact");
    }),
    must("7.3", "who does not agree to the terms gets no account", |server| {
        require_terms(server);
        for agreed in [Value::Null, json!(false)] {
            let key = Key::new();
            let mut payload = server.joining(&key, json!({"termsOfServiceAgreed": agreed}));
            if agreed.is_null() {
                payload.as_object_mut().expect("an object").remove("termsOfServiceAgreed");
            }
            let _ = server.client.new_account(&key, &payload).refused();
        }
    }),
    must("7.3.1", "newAccount with the key of an account is 200, with that account's URL", |server| {
        let account = server.account();
        let found = server.join(&account.key, json!({})).expect(200);
        assert_eq!(found.location(), account.url);
    }),
    must("7.3.1", "what an existing account's newAccount says is ignored", |server| {
        let key = Key::new();
        let created = server.join(&key, json!({"contact": ["mailto:one@example.org"]})).expect(201);
        let found = server.client.new_account(&key, &json!({"contact": ["mailto:two@example.org"]}));
        let found = found.expect(200);
        assert_eq!(found.json()["contact"], json!(["mailto:one@example.org"]), "got {found}");
        let account =
            integration_tests::Account { client: server.client.clone(), key, url: created.location() };
        assert_eq!(account.read(&account.url).json["contact"], json!(["mailto:one@example.org"]));
    }),
    must("7.3.1", "onlyReturnExisting finds an account", |server| {
        let account = server.account();
        let found = server.client.new_account(&account.key, &json!({"onlyReturnExisting": true})).expect(200);
        assert_eq!(found.location(), account.url);
    }),
    must("7.3.1", "onlyReturnExisting where there is none is accountDoesNotExist, 400", |server| {
        let answer = server.client.new_account(&Key::new(), &json!({"onlyReturnExisting": true}));
        let _ = answer.refused_with(400, "accountDoesNotExist");
    }),
    must("7.3.1", "onlyReturnExisting creates no account", |server| {
        let key = Key::new();
        let _ = server.join(&key, json!({"onlyReturnExisting": true})).refused();
        let _ = server.join(&key, json!({})).expect(201);
    }),
    must("7.3.2", "an update of the contacts is 200, with the account as it is then", |server| {
        let account = server.account();
        let contacts = json!(["mailto:new@example.org"]);
        let answer = account.post(&account.url, &json!({"contact": contacts})).expect(200);
        assert_eq!(answer.json()["contact"], contacts, "got {answer}");
        assert_eq!(account.read(&account.url).json["contact"], contacts);
    }),
    must("7.3.2", "updates of orders are ignored", |server| {
        let (before, after) = updated(server, json!({"orders": "https://client.example/"}));
        assert_eq!(after["orders"], before["orders"]);
    }),
    must("7.3.2", "updates of termsOfServiceAgreed are ignored", |server| {
        let (before, after) = updated(server, json!({"termsOfServiceAgreed": false}));
        assert_eq!(after["termsOfServiceAgreed"], before["termsOfServiceAgreed"]);
    }),
    must("7.3.2", "updates of the status to anything but deactivated are ignored", |server| {
        for status in ["valid", "revoked"] {
            let (_, after) = updated(server, json!({"status": status}));
            assert_eq!(after["status"], "valid");
        }
    }),
    must(
        "7.3.2",
        "members of an update that the server does not know are ignored, and not shown",
        |server| {
            let (_, after) = updated(server, json!({"unheardOf": 1}));
            assert!(after.get("unheardOf").is_none(), "{after}");
        },
    ),
    must("7.3.2", "another account cannot update an account", |server| {
        let account = server.account();
        let update = json!({"contact": ["mailto:evil@example.org"]});
        let _ = server.account().post(&account.url, &update).refused();
        assert_ne!(account.read(&account.url).json["contact"], update["contact"]);
    }),
    must("7.3.3", "who has not agreed to changed terms gets userActionRequired, 403", |server| {
        after_a_change_of_terms(server, |_, answer| {
            let _ = answer.refused_with(403, "userActionRequired");
        });
    }),
    must("7.3.3", "userActionRequired has a link to the latest terms", |server| {
        after_a_change_of_terms(server, |server, answer| {
            let terms = server.meta("termsOfService").as_str().expect("terms");
            assert_eq!(answer.links("terms-of-service"), [terms], "got {answer}");
        });
    }),
    must("7.3.3", "userActionRequired has the URL of a page to visit", |server| {
        after_a_change_of_terms(server, |_, answer| assert_url(&answer.json()["instance"]));
    }),
];

fn with_contact(server: &Server, contact: &str) -> Response {
    server.join(&Key::new(), json!({"contact": [contact]}))
}

/// An account before and after an update of its contacts that says this, too.
fn updated(server: &Server, members: Value) -> (Value, Value) {
    let account = server.account();
    let before = account.read(&account.url).json;
    let mut update = members;
    update["contact"] = json!(["mailto:new@example.org"]);
    let answer = account.post(&account.url, &update).expect(200);
    assert_eq!(answer.json()["contact"], update["contact"], "got {answer}");
    (before, account.read(&account.url).json)
}

fn require_terms(server: &Server) {
    if server.meta("termsOfService").is_null() {
        not_applicable("it has no terms of service");
    }
}

/// What an order is answered with.
fn after_a_change_of_terms(server: &Server, check: impl FnOnce(&Server, Response)) {
    server.where_terms_have_changed(|server, account| {
        let answer = account.post(&server.url("newOrder"), &identifiers(&[&server.name()]));
        check(server, answer);
    });
}
