//! What CAA records forbid. RFC 8659, RFC 8657.

use std::time::Duration;

use crate::{
    Case,
    name_server::{Lie, Record},
    probe::{Observed, Probe},
    room::Room,
    transport::timed,
};

/// What CAA records call the server under test.
const US: &str = "us.example.net";

const SOON: Duration = Duration::from_secs(10);

pub(crate) const CASES: &[Case] = &[
    Case("V70", |room| {
        vec![
            has(room, "", |_| vec![(0, "issue", ";".into())]),
            has(room, "empty", |_| vec![(0, "issue", String::new())]),
            has(room, "another CA's", |_| vec![(0, "issue", "other.example.net".into())]),
            has(room, "malformed", |_| vec![(0, "issue", "%%%%%".into())]),
        ]
    }),
    Case("V71", |room| {
        vec![Probe::of("", move || {
            let name = room.name();
            let records = [(0, "issue", US.to_owned()), (0, "issuewild", ";".to_owned())];
            room.names.answer(&name, caa(&name, &records));
            let wildcard = format!("*.{name}");
            room.prove("dns-01", &wildcard, |right| {
                let owner = format!("_acme-challenge.{name}");
                room.names.answer(&owner, Lie::text(&owner, &crate::proofs::dns_digest(right)));
            })
        })]
    }),
    Case("V72", |room| {
        vec![
            has(room, "", |_| vec![(128, "future", "x".into()), (0, "issue", US.into())]),
            has(room, "at the parent", |_| vec![(128, "future", "x".into())]),
        ]
    }),
    Case("V73", |room| {
        let other = room.attacker.url.clone();
        vec![
            has(room, "", move |_| vec![(0, "issue", format!("{US}; accounturi={other}"))]),
            has(room, "in other letters", |own| {
                vec![(0, "issue", format!("{US}; accounturi={}", own.to_uppercase()))]
            }),
        ]
    }),
    Case("V74", |room| {
        vec![
            has(room, "accounturi", |own| {
                vec![(0, "issue", format!("{US}; accounturi={own}; accounturi=https://example.org/1"))]
            }),
            has(room, "accounturi, the same", |own| {
                vec![(0, "issue", format!("{US}; accounturi={own}; accounturi={own}"))]
            }),
            has(room, "validationmethods", |_| {
                vec![(0, "issue", format!("{US}; validationmethods=http-01; validationmethods=dns-01"))]
            }),
        ]
    }),
    Case("V75", |room| {
        vec![has(room, "", |_| vec![(0, "issue", format!("{US}; validationmethods=dns-01"))])]
    }),
    Case("V77", |room| {
        vec![
            fails(room, "SERVFAIL", "", Lie::code(2)),
            fails(room, "REFUSED, at a parent", "below.", Lie::code(5)),
            timed(fails(room, "silence", "", Lie::of(|_| Vec::new())), SOON),
        ]
    }),
    // The catalogue has finalize answer this; here, the check belongs to the signing, and ends the order.
    Case("F46", |room| vec![Probe::of("", move || forbidden_later(room)).also(200, "caa").may_write()]),
];

/// CAA records of a name, beside its address.
fn caa(name: &str, records: &[(u8, &str, String)]) -> Lie {
    let record = |(flags, tag, value): &(u8, &str, String)| Record::caa(name, *flags, tag, value);
    Lie::beside_address(records.iter().map(record).collect())
}

/// A validation by http-01 that finds what it should, of a name with these CAA records, made from the URL of the account.
fn has<'r>(
    room: &'r Room,
    what: &str,
    records: impl FnOnce(&str) -> Vec<(u8, &'static str, String)> + 'r,
) -> Probe<'r> {
    let below = if what.ends_with("parent") { "below." } else { "" };
    Probe::of(what, move || {
        let name = room.name();
        room.names.answer(&name, caa(&name, &records(&room.prover.url)));
        prove(room, &format!("{below}{name}"))
    })
}

/// The same of a name whose CAA records, or a parent's, are answered so.
fn fails<'r>(room: &'r Room, what: &str, below: &'r str, lie: Lie) -> Probe<'r> {
    Probe::of(what, move || {
        let name = room.name();
        room.names.answer(&name, lie.about_caa());
        prove(room, &format!("{below}{name}"))
    })
}

fn prove(room: &Room, name: &str) -> Observed {
    room.prove("http-01", name, |right| {
        let (token, _) = right.split_once('.').expect("a key authorization");
        room.proving.responder.answer_token(token, integration_tests::Answer::text(200, right));
    })
}

/// An order of three names, one of which another CA is named for once they are proved.
fn forbidden_later(room: &Room) -> Observed {
    let names = [room.name(), room.name(), room.name()];
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let order = room.prover.ready_order(&names, &room.proving.responder);
    room.names.answer(names[1], caa(names[1], &[(0, "issue", "other.example.net".into())]));

    let csr = integration_tests::Csr::new(&names).to_der();
    let _ = room.prover.finalize(&order, &csr).expect(200);
    let order = room.prover.settled(&order.url);

    assert_eq!(order.status(), "invalid", "{}", order.json);
    let parts = order.json["error"]["subproblems"].as_array().expect("subproblems");
    let refused: Vec<_> = parts.iter().map(|part| part["identifier"]["value"].as_str()).collect();
    assert_eq!(refused, [Some(names[1])]);
    assert_eq!(order.json["certificate"], serde_json::Value::Null, "nothing is signed");
    Observed::Verdict(order)
}
