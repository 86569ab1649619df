//! The envelope, nonces and the `url`. RFC 8555 sections 6.2, 6.4 and 6.5, RFC 7515.

use std::{thread, time::Duration};

use coyote_jose::base64url;
use integration_tests::{Account, Key, Signed, flatten};
use openssl::{
    bn::BigNum, ec::EcGroup, ecdsa::EcdsaSig, hash::MessageDigest, nid::Nid, pkey::PKey, sign::Signer,
};
use serde_json::{Value, json};

use crate::{
    Case,
    probe::{Observed, Probe},
    room::Room,
};

pub(crate) const CASES: &[Case] = &[
    Case("J01", |room| vec![without(room, "protected")]),
    Case("J02", |room| {
        let mut jws = flatten(&room.owner.key, &room.good().protected_text(), "");
        jws.as_object_mut().expect("an object").remove("payload");
        vec![body(room, "", &jws)]
    }),
    Case("J03", |room| vec![without(room, "signature")]),
    Case("J04", |room| vec![with_signature(room, "", "")]),
    Case("J05", |room| {
        let jws = room.good().flattened();
        let signature = json!({"protected": jws["protected"], "signature": jws["signature"]});
        vec![body(room, "", &json!({"payload": jws["payload"], "signatures": [signature]}))]
    }),
    Case("J07", |room| {
        let mut jws = room.attacker.signed(&room.new_order(), &room.good_payload()).flattened();
        jws["header"] = json!({"kid": room.owner.url});
        vec![body(room, "", &jws)]
    }),
    Case("J08", |room| {
        let with = |header: Value| {
            let mut jws = room.good().flattened();
            jws["header"] = header;
            jws
        };
        vec![
            body(room, "{}", &with(json!({}))),
            body(room, "null", &with(Value::Null)).also(201, "").may_write(),
        ]
    }),
    Case("J10", |room| {
        let jws = room.good().flattened();
        let part = |name: &str| jws[name].as_str().expect("a string").to_owned();
        let compact = [part("protected"), part("payload"), part("signature")].join(".");
        vec![text(room, "", &compact)]
    }),
    Case("J11", |room| {
        let protected =
            room.good().with("x", "?????????").protected_text().replace('-', "+").replace('_', "/");
        assert!(protected.contains('/'), "{protected}");
        vec![body(room, "", &flatten(&room.owner.key, &protected, &room.good().payload_text()))]
    }),
    Case("J12", |room| {
        let good = room.good();
        vec![body(room, "", &flatten(&good.key, &(good.protected_text() + "="), &good.payload_text()))]
    }),
    Case("J13", |room| {
        let good = room.good();
        vec![body(room, "", &flatten(&good.key, &good.protected_text(), &(good.payload_text() + "=")))]
    }),
    Case("J14", |room| {
        let signature = room.good().flattened()["signature"].as_str().expect("a string").to_owned() + "==";
        vec![with_signature(room, "", &signature)]
    }),
    Case("J15", |room| {
        let good = room.good();
        let broken = |text: String| {
            let lines: Vec<_> =
                text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
            lines.join("\n")
        };
        let (protected, payload) = (good.protected_text(), good.payload_text());
        vec![
            body(room, "protected", &flatten(&good.key, &broken(protected.clone()), &payload)),
            body(room, "payload", &flatten(&good.key, &protected, &format!("{payload} "))),
        ]
    }),
    Case("J16", |room| {
        let with =
            |text: &str| flatten(&room.owner.key, &base64url::encode(text), &room.good().payload_text());
        ["x", "[]"].map(|text| body(room, text, &with(text))).into()
    }),
    Case("J17", |room| {
        let good = room.good();
        let twice = |first: &str, second: &str| {
            let rest = good.protected.to_string().replacen(r#""alg":"ES256""#, "", 1);
            let header = rest.replacen('{', &format!(r#"{{"alg":"{first}","alg":"{second}""#), 1);
            flatten(&good.key, &base64url::encode(header), &good.payload_text())
        };
        vec![
            body(room, "ES256 and none", &twice("ES256", "none")),
            body(room, "none and ES256", &twice("none", "ES256")),
        ]
    }),
    Case("J20", |room| vec![send(room, "", room.good().with("crit", json!(["exp"])).with("exp", 1))]),
    Case("J21", |room| vec![send(room, "", room.good().with("crit", json!([])))]),
    Case("J22", |room| {
        let good = room.good().with("b64", false).with("crit", json!(["b64"]));
        let payload = String::from_utf8(good.payload.clone()).expect("JSON");
        vec![
            body(room, "raw", &flatten(&good.key, &good.protected_text(), &payload)),
            send(room, "without crit", room.good().with("b64", false)),
        ]
    }),
    Case("J24", |room| vec![unsigned(room, "none").then(lists_algorithms)]),
    Case("J25", |room| ["nOnE", " none", "none ", "NONE"].map(|alg| unsigned(room, alg)).into()),
    Case("J26", |room| {
        let secret = [7; 32];
        let jwk = json!({"kty": "oct", "k": base64url::encode(secret)});
        let good = room.joining(&Key::new()).with("alg", "HS256").with("jwk", jwk);
        vec![Probe::send(room, "", good.request_with(with_mac(&good, &secret).to_string()))]
    }),
    Case("J27", |room| {
        let good = || room.good().with("alg", "HS256");
        let key = room.owner.key.private();
        let secrets = [
            ("PEM", key.public_key_to_pem().expect("PEM")),
            ("DER", key.public_key_to_der().expect("DER")),
            ("JWK", room.owner.key.jwk.to_string().into_bytes()),
        ];
        secrets.map(|(what, secret)| body(room, what, &with_mac(&good(), &secret))).into()
    }),
    Case("J28", |room| {
        ["PS512", "ES256K"]
            .map(|alg| send(room, alg, room.joining(&Key::generate(alg))).then(lists_algorithms))
            .into()
    }),
    Case("J29", |room| vec![send(room, "", room.joining(&Key::generate("RS256")).with("alg", "ES256"))]),
    Case("J31", |room| vec![send(room, "", room.joining(&Key::new().with_alg("ES384")))]),
    Case("J32", |room| {
        vec![
            send(room, "missing", room.good().without("alg")),
            send(room, "number", room.good().with("alg", 1)),
            send(room, "array", room.good().with("alg", json!(["ES256"]))),
        ]
    }),
    Case("J33", |room| vec![send(room, "", room.good().with("jwk", room.owner.key.jwk.clone()))]),
    Case("J34", |room| vec![send(room, "", room.good().without("kid"))]),
    Case("J35", |room| vec![send(room, "", room.owner.signed(&room.new_account(), &json!({})))]),
    Case("J36", |room| {
        let signed = room.world.client.signed_by_jwk(&Key::new(), &room.new_order(), &room.good_payload());
        vec![send(room, "", signed)]
    }),
    Case("J37", |room| {
        let (order, key) = (room.ready(), &room.owner.key);
        let csr = integration_tests::Csr::new(&[&order.names()[0]]).to_der();
        let payload = json!({"csr": base64url::encode(csr)});
        vec![send(room, "", room.world.client.signed_by_jwk(key, &order.text("finalize"), &payload))]
    }),
    Case("J38", |room| {
        let path = room.world.client.http.target(&room.owner.url);
        vec![send(room, "", room.good().with("kid", format!("https://evil.example{path}")))]
    }),
    Case("J40", |room| {
        let url = &room.owner.url;
        let unknown = format!("{}AAAAAAAAAAAAAAAAAAAAAA", &url[..url.len() - 22]);
        vec![send(room, "", room.good().with("kid", unknown))]
    }),
    Case("J41", |room| {
        [json!(1), json!({}), Value::Null]
            .map(|kid| send(room, kid.to_string(), room.good().with("kid", kid)))
            .into()
    }),
    Case("J42", |room| vec![send(room, "", room.good().signed_by(&room.attacker.key))]),
    Case("J43", |room| {
        let good = room.good();
        let mut jws = good.flattened();
        let mut payload = good.payload.clone();
        payload[17] ^= 1;
        jws["payload"] = base64url::encode(payload).into();
        vec![body(room, "", &jws)]
    }),
    Case("J44", |room| {
        let (jws, signature) = signature(room);
        let (r, s) = signature.split_at(32);
        let number = |bytes: &[u8]| BigNum::from_slice(bytes).expect("a number");
        let der = EcdsaSig::from_private_components(number(r), number(s)).and_then(|sig| sig.to_der());
        vec![resigned(room, "", jws, &der.expect("DER"))]
    }),
    Case("J45", |room| {
        let (jws, signature) = signature(room);
        let longer = [&[0], &*signature].concat();
        let (short_jws, short) =
            std::iter::repeat_with(|| self::signature(room)).find(|(_, s)| s[0] == 0).expect("one");
        vec![resigned(room, "65", jws, &longer), resigned(room, "63", short_jws, &short[1..])]
    }),
    Case("J46", |room| vec![resigned(room, "", signature(room).0, &[0; 64])]),
    Case("J48", |room| {
        let (jws, signature) = signature(room);
        let target = room.world.client.http.target(&room.new_order());
        let request = integration_tests::Request::post(&target, jws.to_string());
        let _ = room.world.client.send(&request).expect(201);
        vec![resigned(room, "", jws, &mirrored(&signature))]
    }),
    Case("J49", |room| {
        let account = room.world.client.account_of(Key::generate("RS256"));
        let good = || account.signed(&room.new_order(), &room.good_payload()).flattened();
        let signature =
            |jws: &Value| base64url::decode(jws["signature"].as_str().expect("text")).expect("base64url");
        let modulus = base64url::decode(account.key.jwk["n"].as_str().expect("n")).expect("base64url");
        let (short, long) = (good(), good());
        let (shorter, longer) = (signature(&short)[1..].to_vec(), [&[0], &*signature(&long)].concat());
        vec![
            resigned(room, "255", short, &shorter),
            resigned(room, "257", long, &longer),
            resigned(room, "zeros", good(), &[0; 256]),
            resigned(room, "the modulus", good(), &modulus),
        ]
    }),
    Case("J50", |room| {
        ["x", "[]", "", "[[]]"]
            .map(|text| send(room, format!("{text:?}"), room.good().with_payload(text)))
            .into()
    }),
    Case("J51", |room| {
        let good = room.good();
        let payload = [&*good.payload, b"x"].concat();
        vec![send(room, "", good.with_payload(payload))]
    }),
    Case("J52", |room| {
        let identifiers = |name: &str| format!(r#""identifiers":[{{"type":"dns","value":"{name}"}}]"#);
        let payload = format!("{{{},{}}}", identifiers(&room.name()), identifiers(&room.name()));
        vec![send(room, "", room.good().with_payload(payload))]
    }),
    Case("J53", |room| vec![send(room, "", room.owner.signed(&room.done.url, &json!({})))]),
    Case("J54", |room| {
        let signed = |payload: &str| room.owner.signed_bytes(&room.done.text("certificate"), payload.into());
        ["null", " ", "{}"].map(|payload| send(room, format!("{payload:?}"), signed(payload))).into()
    }),
    Case("J55", |room| {
        let bait = format!("http://127.0.0.1:{}/bait", room.world.responder.port());
        let good = room.joining(&Key::new()).without("jwk");
        let good = good.with("jku", bait.clone()).with("x5u", bait).with("x5c", json!(["AAAA"]));
        vec![send(room, "", good).then(|_| assert_eq!(room.world.responder.requests_for("bait"), 0))]
    }),
];

pub(crate) const NONCES_AND_URLS: &[Case] = &[
    Case("N01", |room| vec![send(room, "", room.good().without("nonce"))]),
    Case("N02", |room| vec![send(room, "", room.good().with("nonce", base64url::encode([7; 32])))]),
    Case("N03", |room| {
        let request = room.good().request();
        let _ = room.world.client.send(&request).expect(201);
        vec![Probe::send(room, "", request)]
    }),
    Case("N05", |room| {
        let nonces = [json!(1), Value::Null, json!([]), json!("")];
        nonces.map(|nonce| send(room, nonce.to_string(), room.good().with("nonce", nonce))).into()
    }),
    Case("N06", |room| {
        let account = hasty_account(room);
        let url = account.client.resource("newOrder");
        let request =
            account.signed(&url, &room.good_payload()).with("nonce", account.client.new_nonce()).request();
        thread::sleep(Duration::from_millis(1_200));
        let nonce_is_usable = |seen: &Observed| {
            let nonce = seen.response().nonce().expect("a nonce").to_owned();
            let request = account.signed_bytes(&account.url, Vec::new()).with("nonce", nonce).request();
            let _ = account.client.http.send(&request).expect(200);
        };
        let response = room.hasty.client.http.send(&request);
        nonce_is_usable(&Observed::answer(response.clone()));
        vec![Probe::of("", move || foreign(room, response))]
    }),
    Case("N07", |room| vec![send(room, "", room.good().with("nonce", room.hasty.client.new_nonce()))]),
    Case("N08", |room| vec![send(room, "", room.good().with("nonce", "A".repeat(100 << 10)))]),
    Case("N09", |room| {
        let nonces = ["x\r\nFLUSHALL\r\n", "nonce:*", "x\0", "'\"", "' OR 1=1 --"];
        nonces.map(|nonce| send(room, format!("{nonce:?}"), room.good().with("nonce", nonce))).into()
    }),
    Case("N11", |room| {
        vec![Probe::of("2,000 of them", || {
            let request = integration_tests::Request::new("HEAD", "/acme/new-nonce");
            let before = room.world.acmed.memory();
            let rounds = Room::at_once(4, |_| {
                (0..500).map(|_| room.world.client.http.send(&request).expect(200)).last().expect("an answer")
            });
            let last = rounds.into_iter().last().expect("a round");
            assert_eq!(last.header("Cache-Control"), Some("no-store"));
            assert!(
                room.world.acmed.memory().saturating_sub(before) < 8 << 20,
                "nothing is kept for a nonce"
            );
            Observed::answer(last)
        })]
    }),
    Case("N12", |room| {
        let round = |round: usize| {
            Probe::of(format!("round {round}"), || {
                let request = room.good().request();
                let answers = Room::at_once(20, |_| room.world.client.http.send(&request));
                let (good, bad): (Vec<_>, Vec<_>) =
                    answers.into_iter().partition(|answer| answer.status == 201);
                assert_eq!(good.len(), 1, "a nonce is good for one request");
                for answer in &bad {
                    answer.expect_problem(400, "badNonce");
                }
                Observed::posted(bad.into_iter().next().expect("19"))
            })
        };
        (0..20).map(round).collect()
    }),
    Case("U01", |room| vec![send(room, "", room.good().without("url"))]),
    Case("U02", |room| vec![send(room, "", room.good().with("url", room.new_account()))]),
    Case("U03", |room| {
        vec![send(room, "", room.good().with("url", room.new_order().replace("http://", "https://")))]
    }),
    Case("U05", |room| vec![send(room, "", room.good().with("url", room.new_order() + "?x=1"))]),
    Case("U07", |room| {
        let url = room.new_order();
        let urls = [
            url.replace("http://", "HTTP://"),
            url.replace("127.0.0.1", "localhost"),
            url.replace("127.0.0.1", "127.1"),
            format!("{url}/"),
            url.replace("new-order", "new%2Dorder"),
        ];
        urls.map(|url| send(room, url.clone(), room.good().with("url", url))).into()
    }),
    Case("U08", |room| {
        let urls = [json!(1), Value::Null, json!([room.new_order()])];
        urls.map(|url| send(room, url.to_string(), room.good().with("url", url))).into()
    }),
];

/// An account where the terms have to be agreed to.
pub(crate) fn hasty_account(room: &Room) -> Account {
    room.hasty.client.forget_nonces();
    room.hasty.client.account()
}

/// The answer of the other server: its index and its nonce are its own.
pub(crate) fn foreign(room: &Room, response: integration_tests::Response) -> Observed {
    let mut response = response;
    let directory = format!("<{}/directory>;rel=\"index\"", room.world.acmed.base_url());
    for (name, value) in &mut response.headers {
        if name.eq_ignore_ascii_case("Link") && value.contains("\"index\"") {
            value.clone_from(&directory);
        }
    }
    Observed::answer(response)
}

pub(crate) fn send<'r>(room: &'r Room, what: impl Into<String>, signed: Signed) -> Probe<'r> {
    Probe::send(room, what, signed.request())
}

fn text<'r>(room: &'r Room, what: &str, body: &str) -> Probe<'r> {
    let target = room.world.client.http.target(&room.new_order());
    Probe::send(room, what, integration_tests::Request::post(&target, body))
}

fn body<'r>(room: &'r Room, what: &str, jws: &Value) -> Probe<'r> {
    text(room, what, &jws.to_string())
}

/// A good newOrder without one of its parts.
fn without<'r>(room: &'r Room, member: &str) -> Probe<'r> {
    let mut jws = room.good().flattened();
    jws.as_object_mut().expect("an object").remove(member);
    body(room, "", &jws)
}

/// A good newOrder with another signature.
fn with_signature<'r>(room: &'r Room, what: &str, signature: &str) -> Probe<'r> {
    let mut jws = room.good().flattened();
    jws["signature"] = signature.into();
    body(room, what, &jws)
}

/// A newOrder whose algorithm says that it needs no signature.
fn unsigned<'r>(room: &'r Room, alg: &str) -> Probe<'r> {
    let mut jws = room.good().with("alg", alg).flattened();
    jws["signature"] = "".into();
    body(room, alg, &jws)
}

/// A good newOrder, and the bytes of its signature.
fn signature(room: &Room) -> (Value, Vec<u8>) {
    let jws = room.good().flattened();
    let signature = base64url::decode(jws["signature"].as_str().expect("text")).expect("base64url");
    (jws, signature)
}

fn resigned<'r>(room: &'r Room, what: &str, mut jws: Value, signature: &[u8]) -> Probe<'r> {
    jws["signature"] = base64url::encode(signature).into();
    body(room, what, &jws)
}

/// The other signature that ECDSA has for the same message: (r, n - s).
fn mirrored(signature: &[u8]) -> Vec<u8> {
    let (r, s) = signature.split_at(32);
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("a curve");
    let mut order = BigNum::new().expect("a number");
    let mut context = openssl::bn::BigNumContext::new().expect("a context");
    group.order(&mut order, &mut context).expect("an order");
    let mirrored = &order - &BigNum::from_slice(s).expect("a number");
    [r, &mirrored.to_vec_padded(32).expect("32 octets")].concat()
}

fn with_mac(signed: &Signed, secret: &[u8]) -> Value {
    let (protected, payload) = (signed.protected_text(), signed.payload_text());
    let key = PKey::hmac(secret).expect("a key");
    let mut signer = Signer::new(MessageDigest::sha256(), &key).expect("a signer");
    let mac = signer.sign_oneshot_to_vec(format!("{protected}.{payload}").as_bytes()).expect("a MAC");
    json!({"protected": protected, "payload": payload, "signature": base64url::encode(mac)})
}

/// RFC 8555 section 6.2: the client is told what it may use instead.
fn lists_algorithms(seen: &Observed) {
    let response = seen.response();
    if response.problem().as_deref() == Some("badSignatureAlgorithm") {
        let algorithms = response.json()["algorithms"].clone();
        assert!(algorithms.as_array().is_some_and(|all| all.contains(&json!("ES256"))), "{algorithms}");
    }
}
