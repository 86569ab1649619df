//! newOrder, and access to what is another's. RFC 8555 sections 7.1.3, 7.1.4, 7.4 and 7.5.

use coyote_jose::base64url;
use integration_tests::Csr;
use serde_json::{Value, json};

use crate::{
    Case,
    jws::send,
    probe::{Observed, Probe},
    room::Room,
};

pub(crate) const CASES: &[Case] = &[
    Case("O01", |room| payloads(room, &[json!({}), json!({"identifiers": []})])),
    Case("O02", |room| {
        let identifiers = [
            json!("example.org"),
            json!({"type": "dns", "value": "example.org"}),
            json!([1]),
            json!([null]),
            json!([{"type": "dns", "value": 1}]),
        ];
        payloads(room, &identifiers.map(|identifiers| json!({"identifiers": identifiers})))
    }),
    Case("O03", |room| {
        orders(
            room,
            &[&[("email", "a@example.org")], &[("tkauth", "x")], &[("", "example.org")], &[("DNS", "a.org")]],
        )
    }),
    Case("O04", |room| {
        let identifiers =
            [json!({"type": "dns"}), json!({"value": "a.org"}), json!({"type": "dns", "value": ""})];
        payloads(room, &identifiers.map(|identifier| json!({"identifiers": [identifier]})))
    }),
    Case("O05", |room| names(room, &["example.org."])),
    Case("O06", |room| names(room, &["a..example.org", ".example.org"])),
    Case("O07", |room| {
        let label = "a".repeat(64) + ".org";
        let long = ["a".repeat(63).as_str(); 4].join(".");
        names(room, &[&label, &long[..254]])
    }),
    Case("O08", |room| names(room, &["_a.example.org", "-a.example.org", "a-.example.org"])),
    Case("O09", |room| {
        names(room, &["a.example.org\0.evil.org", "a b.example.org", "a.example.org\r\n", "\u{7f}.org"])
    }),
    Case("O11", |room| names(room, &["exämple.org"])),
    Case("O13", |room| names(room, &["xn--0.example.org", "xn--zzzzzz99999.example.org"])),
    Case("O15", |room| names(room, &["ab--cd.example.org"])),
    Case("O16", |room| names(room, &["192.0.2.1"])),
    Case("O17", |room| names(room, &["127.1", "2130706433", "127.0.1", "0x7f.1"])),
    Case("O19", |room| names(room, &["[::1]", "::1", "::ffff:127.0.0.1"])),
    Case("O20", |room| {
        names(room, &["*", "*.", "*.*.example.org", "a.*.example.org", "f*.example.org", "**.example.org"])
    }),
    Case("O21", |room| {
        let because = |seen: &Observed| {
            let detail = seen.response().json()["detail"].to_string();
            assert!(detail.contains("public suffix"), "{detail}");
        };
        names(room, &["*.com", "*.co.uk"]).into_iter().map(|probe| probe.then(because)).collect()
    }),
    Case("O22", |room| orders(room, &[&[("dns", "*.1.2.3.4")], &[("ip", "*")], &[("ip", "*.1.2.3")]])),
    Case("O23", |room| {
        addresses(room, &["192.0.2.1/32", "192.000.002.001", "300.1.1.1", "", "a.example.org"])
    }),
    Case("O24", |room| addresses(room, &["2001:DB8::1", "2001:db8:0:0:0:0:0:1", "fe80::1%eth0"])),
    Case("O25", |room| addresses(room, &["::ffff:192.0.2.1"])),
    Case("O26", |room| {
        let names: Vec<_> = (0..101).map(|n| format!("n{n}.example.org")).collect();
        let identifiers: Vec<_> = names.iter().map(|name| ("dns", name.as_str())).collect();
        orders(room, &[&identifiers])
    }),
    Case("O27", |room| {
        let name = "a.".repeat(116) + "example.org";
        names(room, &[&name])
    }),
    Case("O28", |room| {
        let (name, upper) = ("twice.example.org", "Twice.Example.org");
        let probe = send(room, "", room.ordering(&[("dns", upper), ("dns", name)]));
        vec![probe.then(move |seen| {
            if seen.status() == 201 {
                let order = seen.response().json();
                assert_eq!(order["identifiers"], json!([{"type": "dns", "value": name}]));
                assert_eq!(order["authorizations"].as_array().map(Vec::len), Some(1));
            }
        })]
    }),
    Case("O29", |room| {
        let (good, bad) = (room.name(), "ab--cd.example.org");
        let probe = send(room, "a reserved label", room.ordering(&[("dns", &good), ("dns", bad)]));
        vec![probe.then(move |seen| {
            let named: Vec<_> =
                subproblems(seen).iter().map(|problem| problem["identifier"]["value"].clone()).collect();
            assert_eq!(named, [json!(bad)], "RFC 8555 section 6.7.1");
        })]
    }),
    Case("O30", |room| {
        names(room, &["EVIL.example", "sub.evil.example", "*.evil.example", "Sub.Evil.EXAMPLE"])
    }),
    Case("O31", |room| dated(room, "notBefore", &["tomorrow", "2026-13-40T00:00:00Z", "2026-01-01", ""])),
    Case("O32", |room| {
        let name = room.name();
        let dates = [
            ("2031-01-02T00:00:00Z", "2031-01-01T00:00:00Z"),
            ("2031-01-01T00:00:00Z", "2031-01-01T00:00:00Z"),
        ];
        let payload = |(not_before, not_after): (&str, &str)| json!({"identifiers": [{"type": "dns", "value": name}], "notBefore": not_before, "notAfter": not_after});
        payloads(room, &dates.map(payload))
    }),
    Case("O33", |room| dated(room, "notAfter", &["2099-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])),
    Case("O34", |room| dated(room, "notBefore", &["2001-01-01T00:00:00Z", "1950-01-01T00:00:00Z"])),
    Case("O36", |room| {
        payloads(room, &[json!({"identifiers": [{"type": "dns", "value": room.name()}], "profile": "nope"})])
    }),
    Case("Z01", |room| {
        let unknown = room.done.url[..room.done.url.len() - 22].to_owned() + "AAAAAAAAAAAAAAAAAAAAAA";
        let random = room.attacker.post_as_get(&unknown).json();
        let probe = send(room, "", room.attacker.signed_bytes(&room.done.url, Vec::new()));
        vec![probe.then(move |seen| assert_eq!(seen.response().json(), random))]
    }),
    Case("Z02", |room| vec![send(room, "", room.attacker.signed_bytes(&room.challenge().1.url, Vec::new()))]),
    Case("Z03", |room| {
        let (_, authorization, challenge) = room.challenge();
        let _ = room.owner.provision(&authorization, &room.world.responder);
        let token = challenge.text("token");
        let probe = send(room, "", room.attacker.signed(&challenge.url, &json!({})));
        vec![probe.then(move |_| assert_eq!(room.world.responder.requests_for(&token), 0))]
    }),
    Case("Z04", |room| {
        vec![send(room, "", room.attacker.signed_bytes(&room.done.text("certificate"), Vec::new()))]
    }),
    Case("Z05", |room| {
        let order = room.ready();
        let csr = Csr::new(&[&order.names()[0]]).to_der();
        let payload = json!({"csr": base64url::encode(csr)});
        let probe = send(room, "", room.attacker.signed(&order.text("finalize"), &payload));
        vec![probe.then(move |_| assert_eq!(room.owner.read(&order.url).status(), "ready"))]
    }),
    Case("Z06", |room| {
        let (long, base) = ("A".repeat(10 << 10), &room.done.url[..room.done.url.len() - 22]);
        let ids = ["1", "-1", "0", "18446744073709551616", "1%00", "%27%20OR%201%3D1--", &long, "..%2f", "%"];
        let probe = |id: &str| {
            let what: String = id.chars().take(30).collect();
            send(room, what, room.owner.signed_bytes(&format!("{base}{id}"), Vec::new()))
        };
        ids.map(probe).into()
    }),
    Case("Z07", |room| {
        let (_, authorization, _) = room.challenge();
        let payloads = [json!({}), json!({"status": "valid"}), json!({"status": "pending"})];
        let probe =
            |payload: Value| send(room, payload.to_string(), room.owner.signed(&authorization.url, &payload));
        payloads.map(probe).into()
    }),
    Case("Z08", |room| {
        let url = room.challenge().1.url;
        let probe = send(room, "", room.attacker.signed(&url, &json!({"status": "deactivated"})));
        vec![probe.then(move |_| assert_eq!(room.owner.read(&url).status(), "pending"))]
    }),
    Case("Z09", |room| {
        let (_, authorization, challenge) = room.challenge();
        let _ = room.owner.provision(&authorization, &room.world.responder);
        let token = challenge.text("token");
        let probe = send(room, "", room.owner.signed_bytes(&challenge.url, Vec::new()));
        vec![probe.then(move |seen| {
            assert_eq!(seen.response().json()["status"], "pending");
            assert_eq!(room.world.responder.requests_for(&token), 0);
        })]
    }),
    Case("Z11", |room| {
        let (_, authorization, challenge) = room.challenge();
        let token = challenge.text("token");
        let _ = room.owner.post(&challenge.url, &json!({})).expect(200);
        assert_eq!(room.owner.settled(&authorization.url).status(), "invalid");
        let asked = room.world.responder.requests_for(&token);
        let _ = room.owner.provision(&authorization, &room.world.responder);
        let probe = send(room, "", room.owner.signed(&challenge.url, &json!({})));
        vec![probe.then(move |_| {
            assert_eq!(room.owner.settled(&authorization.url).status(), "invalid");
            assert_eq!(room.world.responder.requests_for(&token), asked);
        })]
    }),
    Case("Z14", |room| {
        let (_, authorization, challenge) = room.challenge();
        let _ = room.owner.provision(&authorization, &room.world.responder);
        let token = challenge.text("token");
        let act = move || {
            let signed = || room.owner.signed(&challenge.url, &json!({})).request();
            let answers = Room::at_once(2, |_| room.world.client.http.send(&signed()));
            Observed::posted(answers.into_iter().next().expect("two"))
        };
        vec![Probe::of("", act).then(move |_| {
            assert_eq!(room.owner.settled(&authorization.url).status(), "valid");
            assert_eq!(room.world.responder.requests_for(&token), 1);
        })]
    }),
    Case("Z15", |room| {
        let url = room.challenge().2.url;
        [json!([]), json!(1)]
            .map(|payload| send(room, payload.to_string(), room.owner.signed(&url, &payload)))
            .into()
    }),
    Case("C01", |room| {
        let url = room.done.text("certificate");
        let urls = [format!("{}x", &url[..url.len() - 22]), format!("{url}/99"), format!("{url}/-1")];
        urls.map(|url| send(room, url.clone(), room.owner.signed_bytes(&url, Vec::new()))).into()
    }),
];

fn payloads<'r>(room: &'r Room, payloads: &[Value]) -> Vec<Probe<'r>> {
    let signed = |payload: &Value| room.owner.signed(&room.new_order(), payload);
    payloads.iter().map(|payload| send(room, payload.to_string(), signed(payload))).collect()
}

fn orders<'r>(room: &'r Room, orders: &[&[(&str, &str)]]) -> Vec<Probe<'r>> {
    orders
        .iter()
        .map(|identifiers| send(room, format!("{:?}", identifiers[0]), room.ordering(identifiers)))
        .collect()
}

fn names<'r>(room: &'r Room, names: &[&str]) -> Vec<Probe<'r>> {
    names.iter().map(|name| send(room, format!("{name:?}"), room.ordering(&[("dns", name)]))).collect()
}

fn addresses<'r>(room: &'r Room, addresses: &[&str]) -> Vec<Probe<'r>> {
    addresses
        .iter()
        .map(|address| send(room, format!("{address:?}"), room.ordering(&[("ip", address)])))
        .collect()
}

fn dated<'r>(room: &'r Room, member: &str, dates: &[&str]) -> Vec<Probe<'r>> {
    let name = room.name();
    let payload = |date: &&str| json!({"identifiers": [{"type": "dns", "value": name}], member: date});
    payloads(room, &dates.iter().map(payload).collect::<Vec<_>>())
}

fn subproblems(seen: &Observed) -> Vec<Value> {
    seen.response().json()["subproblems"].as_array().cloned().unwrap_or_default()
}
