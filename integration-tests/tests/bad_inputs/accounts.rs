//! newAccount, accounts and lists of orders. RFC 8555 sections 7.1.2 and 7.3.

use std::collections::BTreeSet;

use integration_tests::{Key, Response};
use serde_json::{Value, json};

use crate::{
    Case,
    jws::{foreign, hasty_account, send},
    probe::{Observed, Probe},
    room::Room,
};

pub(crate) const CASES: &[Case] = &[
    Case("A01", |room| {
        let payload = json!({"onlyReturnExisting": true});
        vec![send(room, "", room.world.client.signed_by_jwk(&Key::new(), &room.new_account(), &payload))]
    }),
    Case("A03", |room| {
        let payloads =
            [json!({}), json!({"termsOfServiceAgreed": false}), json!({"termsOfServiceAgreed": "true"})];
        let probe = |payload: Value| {
            Probe::of(payload.to_string(), move || {
                room.hasty.client.forget_nonces();
                let before = room.hasty.acmed.database().dump();
                let answer = room.hasty.client.new_account(&Key::new(), &payload);
                assert_eq!(before, room.hasty.acmed.database().dump());
                if answer.problem().as_deref() == Some("userActionRequired") {
                    assert_eq!(answer.links("terms-of-service"), ["https://example.org/terms"]);
                }
                foreign(room, answer)
            })
        };
        payloads.map(probe).into()
    }),
    Case("A04", |room| contacts(room, &["mailto:", "mailto:@", "mailto:a"])),
    Case("A05", |room| contacts(room, &["mailto:a@example.org?cc=b@example.org"])),
    Case("A06", |room| contacts(room, &["mailto:a@x.org,b@x.org"])),
    Case("A07", |room| contacts(room, &["tel:+1", "javascript:alert(1)", "https://x"])),
    Case("A08", |room| contacts(room, &["mailto:a@x.org%0d%0aBcc:z@x.org", "mailto:a@x.org\r\nBcc:z@x.org"])),
    Case("A09", |room| {
        let many: Vec<_> = (0..1_000).map(|n| format!("mailto:a{n}@example.org")).collect();
        vec![send(room, "", room.joining_with(&json!(many)))]
    }),
    Case("A10", |room| {
        let contacts = [json!("mailto:a@example.org"), json!({"mailto": "a@example.org"}), json!([1])];
        contacts.map(|contact| send(room, contact.to_string(), room.joining_with(&contact))).into()
    }),
    Case("A12", |room| {
        let account = room.world.client.account();
        let _ = account.post(&account.url, &json!({"status": "deactivated"})).expect(200);
        vec![send(room, "", room.joining(&account.key))]
    }),
    Case("A13", |room| {
        let payload = json!({"contact": ["mailto:other@example.org"]});
        let signed = room.world.client.signed_by_jwk(&room.owner.key, &room.new_account(), &payload);
        vec![send(room, "", signed).then(|seen| assert_eq!(seen.response().location(), room.owner.url))]
    }),
    Case("A14", |room| {
        vec![Probe::of("", || {
            let (key, before) = (Key::new(), room.world.acmed.database().count("accounts"));
            let answers = Room::at_once(50, |_| room.world.client.http.send(&room.joining(&key).request()));
            assert_eq!(room.world.acmed.database().count("accounts"), before + 1);
            let urls: BTreeSet<_> = answers.iter().map(Response::location).collect();
            assert_eq!(urls.len(), 1);
            let (made, found): (Vec<_>, Vec<_>) =
                answers.into_iter().partition(|answer| answer.status == 201);
            assert!(made.len() == 1 && found.iter().all(|answer| answer.status == 200));
            Observed::posted(made.into_iter().next().expect("one"))
        })]
    }),
    Case("G01", |room| {
        let update = json!({"contact": ["mailto:evil@example.org"]});
        vec![
            send(room, "contact", room.attacker.signed(&room.owner.url, &update)),
            send(room, "status", room.attacker.signed(&room.owner.url, &json!({"status": "deactivated"}))),
        ]
    }),
    Case("G02", |room| {
        let probe = send(room, "", room.owner.signed(&room.owner.url, &json!({"status": "revoked"})));
        vec![probe.then(|_| assert_eq!(room.owner.read(&room.owner.url).status(), "valid"))]
    }),
    Case("G03", |room| {
        let account = room.world.client.account();
        let order = account.ready_order(&[&room.name()], &room.world.responder);
        let done = account.ready_order(&[&room.name()], &room.world.responder);
        let _ = account.certificate(&done);
        let done = account.read(&done.url);
        let csr = integration_tests::Csr::new(&[&order.names()[0]]).to_der();
        let csr = json!({"csr": coyote_jose::base64url::encode(csr)});
        let requests = [
            ("newOrder", account.signed(&room.new_order(), &room.good_payload())),
            ("order", account.signed_bytes(&order.url, Vec::new())),
            ("authorization", account.signed_bytes(&order.list("authorizations")[0], Vec::new())),
            ("finalize", account.signed(&order.text("finalize"), &csr)),
            ("certificate", account.signed_bytes(&done.text("certificate"), Vec::new())),
            ("account", account.signed_bytes(&account.url, Vec::new())),
        ];
        let _ = account.post(&account.url, &json!({"status": "deactivated"})).expect(200);
        requests.map(|(what, request)| send(room, what, request)).into()
    }),
    Case("G04", |room| {
        let account = room.world.client.account();
        let _ = account.post(&account.url, &json!({"status": "deactivated"})).expect(200);
        vec![send(room, "", account.signed(&account.url, &json!({"status": "valid"})))]
    }),
    Case("G05", |room| {
        let at = room.owner.url.len() - 22;
        let unknown = |n: u8| format!("{}{}", &room.owner.url[..at], coyote_jose::base64url::encode([n; 16]));
        let read = |url: &str| {
            let request = room.attacker.signed_bytes(url, Vec::new()).request();
            let answer = room.world.client.http.send(&request);
            let json = answer.json();
            ((answer.status, answer.problem(), json["detail"].clone()), answer)
        };
        let (real, answer) = read(&room.owner.url);
        for n in 0..20 {
            assert_eq!(read(&unknown(n)).0, real, "a real id and a random one are answered alike");
        }
        vec![Probe::of("", move || Observed::posted(answer))]
    }),
    Case("G06", |room| {
        let orders = room.owner.read(&room.owner.url).text("orders");
        vec![send(room, "", room.attacker.signed_bytes(&orders, Vec::new()))]
    }),
    Case("G07", |room| {
        let orders = room.owner.read(&room.owner.url).text("orders");
        let queries = [
            "cursor=-1",
            "cursor=1e309",
            "cursor=%27%20OR%201=1",
            "cursor=18446744073709551616",
            "cursor=AAAAAAAAAAAAAAAAAAAAAA&cursor=AAAAAAAAAAAAAAAAAAAAAA",
            "cursor=",
            "x=1",
        ];
        let probe = |query: &str| {
            send(room, query, room.owner.signed_bytes(&format!("{orders}?{query}"), Vec::new()))
        };
        queries.map(probe).into()
    }),
    Case("Z13", |room| {
        let account = hasty_account(room);
        let order = account.order(&[&room.name()]);
        let authorization = account.authorizations(&order).remove(0);
        let challenge = account.provision(&authorization, &room.hasty.responder);
        vec![Probe::of("", move || {
            std::thread::sleep(std::time::Duration::from_millis(4_200));
            account.client.forget_nonces();
            let answer = account.post(&challenge.url, &json!({}));
            account.client.forget_nonces();
            assert_ne!(account.read(&authorization.url).status(), "valid");
            foreign(room, answer)
        })]
    }),
];

/// One newAccount for each contact.
fn contacts<'r>(room: &'r Room, contacts: &[&str]) -> Vec<Probe<'r>> {
    contacts
        .iter()
        .map(|contact| send(room, format!("{contact:?}"), room.joining_with(&json!([contact]))))
        .collect()
}
