//! keyChange. RFC 8555 section 7.3.5.

use integration_tests::{Account, Key, Signed, flatten};
use serde_json::{Value, json};

use crate::{
    Case,
    jws::send,
    probe::{Observed, Probe},
    room::Room,
    weak,
};

pub(crate) const CASES: &[Case] = &[
    Case("H01", |room| ["{}", "[]", "x", ""].map(|inner| probe(room, inner, inner.to_owned())).into()),
    Case("H02", |room| {
        let (_, change) = change(room);
        vec![inner(room, "", change.without("jwk").with("kid", room.owner.url.clone()))]
    }),
    Case("H03", |room| vec![inner(room, "", change(room).1.signed_by(&room.owner.key))]),
    Case("H04", |room| {
        vec![
            inner(room, "another", change(room).1.with("url", room.new_order())),
            inner(room, "none", change(room).1.without("url")),
        ]
    }),
    Case("H05", |room| {
        let payload = json!({"account": room.attacker.url, "oldKey": room.owner.key.jwk}).to_string();
        vec![inner(room, "", change(room).1.with_payload(payload))]
    }),
    Case("H06", |room| {
        let account = &room.owner.url;
        let payloads = [
            ("random", json!({"account": account, "oldKey": Key::new().jwk})),
            ("absent", json!({"account": account})),
            ("null", json!({"account": account, "oldKey": null})),
        ];
        payloads
            .map(|(what, payload)| inner(room, what, change(room).1.with_payload(payload.to_string())))
            .into()
    }),
    Case("H07", |room| vec![inner(room, "", change_to(room, &room.owner.key))]),
    Case("H08", |room| {
        let probe = inner(room, "", change_to(room, &room.attacker.key));
        vec![probe.then(|seen| assert_eq!(seen.response().location(), room.attacker.url))]
    }),
    Case("H09", |room| {
        let gone = room.world.client.account();
        let _ = gone.post(&gone.url, &json!({"status": "deactivated"})).expect(200);
        vec![inner(room, "", change_to(room, &gone.key))]
    }),
    Case("H10", |room| {
        let mut off_curve = Key::new();
        off_curve.jwk["y"] = off_curve.jwk["x"].clone();
        let keys = [
            ("RSA 1024", Key::rsa(1024)),
            ("e = 1", weak::exponent_one()),
            ("ROCA", weak::roca()),
            ("off the curve", off_curve),
        ];
        keys.map(|(what, key)| inner(room, what, change_to(room, &key))).into()
    }),
    Case("H11", |room| {
        let unsigned = |alg: &str| {
            let mut jws = change(room).1.with("alg", alg).flattened();
            if alg == "none" {
                jws["signature"] = "".into();
            }
            probe(room, alg, jws.to_string())
        };
        ["none", "HS256"].map(unsigned).into()
    }),
    Case("H13", |room| vec![inner(room, "", change(room).1.with("kid", room.owner.url.clone()))]),
    Case("H14", |room| {
        let old = room.world.client.account();
        let new = Key::new();
        let _ = room
            .world
            .client
            .send(&outer(room, &old, &change_of(room, &old, &new).flattened()).request())
            .expect(200);
        let changed = Account { key: new, ..old.clone() };
        assert_eq!(changed.read(&changed.url).status(), "valid");
        let found =
            room.world.client.new_account(&changed.key, &json!({"onlyReturnExisting": true})).expect(200);
        assert_eq!(found.location(), old.url, "the account is the same, and so is its URL");
        vec![send(room, "", old.signed(&room.new_order(), &room.good_payload()))]
    }),
    Case("H15", |room| {
        vec![Probe::of("", || {
            let account = room.world.client.account();
            let keys: Vec<_> = (0..10).map(|_| Key::new()).collect();
            let answers = Room::at_once(keys.len(), |at| {
                let change = change_of(room, &account, &keys[at]);
                room.world.client.http.send(&outer(room, &account, &change.flattened()).request())
            });
            let good: Vec<_> = (0..keys.len()).filter(|at| answers[*at].status == 200).collect();
            assert_eq!(good.len(), 1, "one of them is first");
            for key in keys.iter().chain([&account.key]) {
                let with = Account { key: key.clone(), ..account.clone() };
                let works = with.post_as_get(&account.url).status == 200;
                assert_eq!(
                    works,
                    key.jwk == keys[good[0]].jwk,
                    "one key works, and it is the one that was told"
                );
            }
            Observed::posted(answers[good[0]].clone())
        })]
    }),
];

/// The inner JWS of a good change of the owner's to a new key, and the key.
fn change(room: &Room) -> (Key, Signed) {
    let key = Key::new();
    let change = change_to(room, &key);
    (key, change)
}

fn change_to(room: &Room, key: &Key) -> Signed {
    change_of(room, &room.owner, key)
}

fn change_of(room: &Room, account: &Account, key: &Key) -> Signed {
    let payload = json!({"account": account.url, "oldKey": account.key.jwk});
    let url = room.world.client.resource("keyChange");
    room.world.client.signed_by_jwk(key, &url, &payload).without("nonce")
}

/// The whole request, around this inner JWS.
fn outer(room: &Room, account: &Account, inner: &Value) -> Signed {
    account.signed(&room.world.client.resource("keyChange"), inner)
}

fn inner<'r>(room: &'r Room, what: &str, change: Signed) -> Probe<'r> {
    let jws = flatten(&change.key, &change.protected_text(), &change.payload_text());
    probe(room, what, jws.to_string())
}

/// A request of the owner's around this text.
fn probe<'r>(room: &'r Room, what: &str, inner: String) -> Probe<'r> {
    let url = room.world.client.resource("keyChange");
    send(room, what, room.owner.signed_bytes(&url, inner.into_bytes()))
}
