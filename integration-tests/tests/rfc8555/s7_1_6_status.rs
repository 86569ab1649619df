//! RFC 8555 section 7.1.6: status changes.

use integration_tests::{Csr, Object};
use serde_json::json;

use crate::{
    promise::{Promise, must},
    server::{Server, challenge, finished, respond},
};

pub(crate) const PROMISES: &[Promise] = &[
    must("7.1.6", "orders, authorizations and challenges begin as pending", |server| {
        let account = server.owner();
        let order = server.order(account);
        assert_eq!(order.status(), "pending");
        for authorization in account.authorizations(&order) {
            assert_eq!(authorization.status(), "pending");
            for challenge in authorization.json["challenges"].as_array().expect("an array") {
                assert_eq!(challenge["status"], "pending");
            }
        }
    }),
    must("7.1.6", "an authorization is valid once one of its challenges is", |server| {
        let account = server.owner();
        let authorization = account.authorizations(&server.order(account)).remove(0);
        let challenge = server.provision(account, &authorization);
        let end = respond(account, &authorization, &challenge);
        assert_eq!((end.status(), end.challenge("http-01").status()), ("valid", "valid"));
    }),
    must("7.1.6", "an order stays pending until all its authorizations are valid", |server| {
        let account = server.owner();
        let order = account.order(&[&server.name(), &server.name()]);
        let first = account.authorizations(&order).remove(0);
        let challenge = server.provision(account, &first);
        assert_eq!(respond(account, &first, &challenge).status(), "valid");
        assert_eq!(account.read(&order.url).status(), "pending");
        server.prove(account, &order);
        assert_eq!(account.read(&order.url).status(), "ready");
    }),
    must("7.1.6", "a challenge and its authorization are invalid once the validation has failed", |server| {
        let (_, authorization) = failed(server);
        let challenge = authorization.challenge("http-01");
        assert_eq!((authorization.status(), challenge.status()), ("invalid", "invalid"));
    }),
    must("7.1.6", "an order is invalid once one of its authorizations is", |server| {
        let (order, _) = failed(server);
        assert_eq!(server.owner().read(&order.url).status(), "invalid");
    }),
    must("7.1.6", "an order is valid once its certificate is issued", |server| {
        let account = server.owner();
        let order = server.ready(account);
        let answer = account.finalize(&order, &Csr::new(&[&order.names()[0]]).to_der()).expect(200);
        let status = answer.json()["status"].clone();
        assert!(["processing", "valid"].map(|status| json!(status)).contains(&status), "got {answer}");
        assert_eq!(finished(account, &order.url).status(), "valid");
    }),
    must("7.1.6", "an order is invalid once one of its authorizations is deactivated", |server| {
        let account = server.account();
        let order = server.ready(&account);
        let authorization = &order.list("authorizations")[0];
        let _ = account.post(authorization, &json!({"status": "deactivated"})).expect(200);
        assert_eq!(account.read(&order.url).status(), "invalid");
    }),
    must("7.1.6", "an authorization that is valid stays so when its challenge is answered again", |server| {
        let account = server.owner();
        let order = server.ready(account);
        let authorization = account.authorizations(&order).remove(0);
        let _ = account.post(&authorization.challenge("http-01").url, &json!({}));
        assert_eq!(account.read(&authorization.url).status(), "valid");
        assert_eq!(account.read(&order.url).status(), "ready");
    }),
];

/// An order whose authorization has failed, and that.
fn failed(server: &Server) -> (Object, Object) {
    let account = server.owner();
    let order = server.order(account);
    let authorization = account.authorizations(&order).remove(0);
    let challenge = challenge(&authorization, "http-01");
    let end = respond(account, &authorization, &challenge);
    (order, end)
}
