//! finalize: orders that are not ready, and CSRs that ask for what they must not get. RFC 8555 section 7.4, RFC 2986.

use std::{thread, time::Duration};

use coyote_jose::base64url;
use integration_tests::{
    Csr, Key, Object, Request,
    der::{attribute, extension, integer, oid, sequence, tlv},
    dns_name, leaf,
};
use openssl::{
    dsa::Dsa,
    ec::{Asn1Flag, EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private},
};
use serde_json::json;

use crate::{
    Case,
    jws::{foreign, hasty_account, send},
    probe::{Observed, Probe},
    room::Room,
    transport::timed,
    weak,
};

const COMMON_NAME: &str = "2.5.4.3";
const UTF8: u8 = 0x0c;
const SECOND: Duration = Duration::from_secs(1);

pub(crate) const CASES: &[Case] = &[
    Case("F01", |room| {
        let order = room.pending();
        let csr = Csr::new(&[&order.names()[0]]).to_der();
        vec![finalize(room, "", &order, &csr)]
    }),
    Case("F02", |room| {
        let order = room.ready();
        let name = order.names().remove(0);
        let csr = Csr::new(&[&name]).to_der();
        let _ = room.owner.finalize(&order, &csr).expect(200);
        let _ = room.owner.settled(&order.url);
        vec![
            finalize(room, "the same CSR", &order, &csr),
            finalize(room, "another CSR", &order, &Csr::new(&[&name]).to_der()),
        ]
    }),
    Case("F04", |room| {
        let account = hasty_account(room);
        let order = account.order(&[&room.name()]);
        thread::sleep(Duration::from_millis(4_200));
        account.client.forget_nonces();
        let answer = account.finalize(&order, &Csr::new(&[&order.names()[0]]).to_der());
        account.client.forget_nonces();
        assert_eq!(account.read(&order.url).status(), "invalid");
        vec![Probe::of("", move || foreign(room, answer))]
    }),
    Case("F05", |room| {
        let order = room.ready();
        let authorization = &order.list("authorizations")[0];
        let _ = room.owner.post(authorization, &json!({"status": "deactivated"})).expect(200);
        vec![finalize(room, "", &order, &Csr::new(&[&order.names()[0]]).to_der())]
    }),
    Case("F06", |room| {
        let account = hasty_account(room);
        let order = account.ready_order(&[&room.name()], &room.hasty.responder);
        thread::sleep(Duration::from_millis(2_200));
        account.client.forget_nonces();
        let answer = account.finalize(&order, &Csr::new(&[&order.names()[0]]).to_der());
        vec![Probe::of("", move || foreign(room, answer))]
    }),
    Case("F07", |room| {
        let order = room.ready();
        let payloads = [json!({}), json!({"csr": 1}), json!({"csr": []}), json!({"csr": null})];
        let probe = |payload: serde_json::Value| {
            let signed = room.owner.signed(&order.text("finalize"), &payload);
            still_ready(room, &order, send(room, payload.to_string(), signed))
        };
        payloads.map(probe).into()
    }),
    Case("F08", |room| {
        let order = room.ready();
        let csr = Csr::new(&[&order.names()[0]]).to_der();
        let standard = openssl::base64::encode_block(&csr);
        let pem =
            format!("-----BEGIN CERTIFICATE REQUEST-----\n{standard}\n-----END CERTIFICATE REQUEST-----\n");
        let texts = [("PEM", pem), ("padded", base64url::encode(&csr) + "="), ("standard", standard + "+/")];
        let probe = |(what, text): (&str, String)| {
            let signed = room.owner.signed(&order.text("finalize"), &json!({"csr": text}));
            still_ready(room, &order, send(room, what, signed))
        };
        texts.map(probe).into()
    }),
    Case("F09", |room| {
        let order = room.ready();
        let good = Csr::new(&[&order.names()[0]]).to_der();
        let content = &good[4..];
        let variants = [
            ("random", vec![0x55; 300]),
            ("empty", Vec::new()),
            ("cut", good[..good.len() - 1].to_vec()),
            ("4 GiB", [&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], content].concat()),
            ("indefinite", [&[0x30, 0x80], content, &[0, 0]].concat()),
            ("long form", [&[0x30, 0x83, 0], &good[2..]].concat()),
        ];
        variants.map(|(what, csr)| refused(room, what, &order, &csr)).into()
    }),
    Case("F10", |room| each(room, &[Variant("", |name| [&*Csr::new(&[name]).to_der(), &[0]].concat())])),
    Case("F11", |room| {
        each(
            room,
            &[Variant("", |name| {
                let mut csr = Csr::new(&[name]).to_der();
                *csr.last_mut().expect("a signature") ^= 1;
                csr
            })],
        )
    }),
    Case("F12", |room| {
        each(
            room,
            &[
                Variant("RSA, MD5", |name| {
                    with_digest(name, &Key::rsa(2048), MessageDigest::md5(), "1.2.840.113549.1.1.4")
                }),
                Variant("RSA, SHA-1", |name| {
                    with_digest(name, &Key::rsa(2048), MessageDigest::sha1(), "1.2.840.113549.1.1.5")
                }),
                Variant("ECDSA, SHA-1", |name| {
                    with_digest(name, &Key::new(), MessageDigest::sha1(), "1.2.840.10045.4.1")
                }),
            ],
        )
    }),
    Case("F13", |room| each(room, &[Variant("", |name| Csr::new(&[name, "victim.org"]).to_der())])),
    Case("F14", |room| {
        let (one, two) = (room.name(), room.name());
        let order = room.owner.ready_order(&[&one, &two], &room.world.responder);
        vec![
            refused(room, "one", &order, &Csr::new(&[&one]).to_der()),
            refused(room, "none", &order, &Csr::new(&[]).to_der()),
        ]
    }),
    Case("F15", |room| with_name(room, &[("", tlv(0x81, "ceo@victim.org"))])),
    Case("F16", |room| {
        let value = tlv(0xa0, tlv(UTF8, "ceo@victim.org"));
        with_name(room, &[("", tlv(0xa0, [oid("1.3.6.1.4.1.311.20.2.3"), value].concat()))])
    }),
    Case("F18", |room| with_name(room, &[("", tlv(0x87, [10, 0, 0, 1]))])),
    Case("F19", |room| {
        each(room, &[Variant("", |name| with_subject(name, &[attribute(COMMON_NAME, UTF8, b"victim.org")]))])
    }),
    Case("F21", |room| {
        each(
            room,
            &[
                Variant("emailAddress", |name| {
                    with_subject(name, &[attribute("1.2.840.113549.1.9.1", 0x16, b"a@victim.org")])
                }),
                Variant("O", |name| with_subject(name, &[attribute("2.5.4.10", UTF8, b"Victim")])),
                Variant("OU", |name| with_subject(name, &[attribute("2.5.4.11", UTF8, b"Victim")])),
                Variant("serialNumber", |name| with_subject(name, &[attribute("2.5.4.5", 0x13, b"42")])),
            ],
        )
    }),
    Case("F22", |room| with_extension(room, &[("", "2.5.29.19", true, sequence(&[tlv(0x01, [0xff])]))])),
    Case("F23", |room| with_extension(room, &[("", "2.5.29.15", true, tlv(0x03, [1, 0x06]))])),
    Case("F24", |room| {
        let purposes = ["1.3.6.1.5.5.7.3.3", "2.5.29.37.0", "1.3.6.1.5.5.7.3.9"];
        let extensions = purposes.map(|purpose| (purpose, "2.5.29.37", false, sequence(&[oid(purpose)])));
        with_extension(room, &extensions)
    }),
    Case("F25", |room| {
        let uri = |text: &str| tlv(0x86, text);
        let access = sequence(&[sequence(&[oid("1.3.6.1.5.5.7.48.1"), uri("http://evil.example/")])]);
        let point = sequence(&[sequence(&[tlv(0xa0, tlv(0xa0, uri("http://evil.example/")))])]);
        let constraints = sequence(&[tlv(0xa0, sequence(&[dns_name(b"victim.org")]))]);
        let kinds = [
            ("CT poison", "1.3.6.1.4.1.11129.2.4.3", tlv(0x05, [])),
            ("SCT list", "1.3.6.1.4.1.11129.2.4.2", tlv(0x04, [0, 0])),
            ("AIA", "1.3.6.1.5.5.7.1.1", access),
            ("CRLDP", "2.5.29.31", point),
            ("nameConstraints", "2.5.29.30", constraints),
            ("policies", "2.5.29.32", sequence(&[sequence(&[oid("2.23.140.1.2.1")])])),
        ];
        let both = kinds.iter().flat_map(|(what, id, value)| {
            [true, false].map(|critical| (*what, *id, critical, value.clone()))
        });
        with_extension(room, &both.collect::<Vec<_>>())
    }),
    Case("F28", |room| with_key(room, "", &room.owner.key)),
    Case("F29", |room| with_key(room, "", &room.attacker.key)),
    Case("F30", |room| {
        let order = room.ready();
        let keys = [
            ("e = 1", weak::exponent_one()),
            ("factor 3", weak::small_factor()),
            ("ROCA", weak::roca()),
            ("Fermat", weak::close_primes()),
        ];
        let numbers = keys.iter().map(|(what, key)| refused(room, what, &order, &of_numbers(&order, key)));
        let name = &order.names()[0];
        let small = Csr::with_key(&[name], Key::rsa(1024).private()).to_der();
        numbers.chain([refused(room, "RSA 1024", &order, &small)]).collect()
    }),
    Case("F31", |room| {
        let order = room.ready();
        let name = &order.names()[0];
        let mut group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("a curve");
        group.set_asn1_flag(Asn1Flag::EXPLICIT_CURVE);
        let key = PKey::from_ec_key(EcKey::generate(&group).expect("a key")).expect("a key");
        let explicit = Csr::with_key(&[name], &key).to_der();
        let trap = Csr::new(&[name]).with_public_key(endless_square_root()).to_der();
        vec![
            timed(refused(room, "P-256, spelt out", &order, &explicit), SECOND),
            timed(refused(room, "CVE-2022-0778", &order, &trap), SECOND),
        ]
    }),
    Case("F32", |room| {
        let order = room.ready();
        let name = &order.names()[0];
        let curve = |nid| {
            let group = EcGroup::from_curve_name(nid).expect("a curve");
            PKey::from_ec_key(EcKey::generate(&group).expect("a key")).expect("a key")
        };
        let dsa = PKey::from_dsa(Dsa::generate(1024).expect("a key")).expect("a key");
        let x25519 = PKey::generate_x25519().expect("a key").public_key_to_der().expect("DER");
        let signed = |key: &PKey<Private>| Csr::with_key(&[name], key).to_der();
        vec![
            refused(room, "DSA", &order, &signed(&dsa)),
            refused(room, "P-192", &order, &signed(&curve(Nid::X9_62_PRIME192V1))),
            refused(room, "secp256k1", &order, &signed(&curve(Nid::SECP256K1))),
            refused(room, "brainpool", &order, &signed(&curve(Nid::BRAINPOOL_P256R1))),
            refused(room, "Ed448", &order, &signed(&PKey::generate_ed448().expect("a key"))),
            refused(room, "X25519", &order, &Csr::new(&[name]).with_public_key(x25519).to_der()),
        ]
    }),
    Case("F33", |room| {
        let order = room.ready();
        let keys = [("16,384 bits", weak::huge(16_384)), ("enormous e", weak::enormous_exponent())];
        let probe =
            |(what, key): (&str, Key)| timed(refused(room, what, &order, &of_numbers(&order, &key)), SECOND);
        keys.map(probe).into()
    }),
    Case("F34", |room| each(room, &[Variant("", |name| Csr::new(&[&format!("{name}.")]).to_der())])),
    Case("F35", |room| {
        each(room, &[Variant("", |name| Csr::new(&[&format!("{name}\0.victim.org")]).to_der())])
    }),
    Case("F36", |room| each(room, &[Variant("", |name| Csr::new(&[&format!("ä{name}")]).to_der())])),
    Case("F37", |room| each(room, &[Variant("", |name| Csr::new(&[&format!("*.{name}")]).to_der())])),
    Case("F38", |room| {
        let answer = room.world.client.send(&room.ordering(&[("ip", "127.0.0.1")]).request()).expect(201);
        let order = Object { url: answer.location(), json: answer.json() };
        room.owner.validate(&order, &room.world.responder);
        let order = room.owner.read(&order.url);
        vec![refused(room, "", &order, &Csr::new(&["127.0.0.1"]).to_der())]
    }),
    Case("F39", |room| with_name(room, &[3, 8, 32].map(|length| ("", tlv(0x87, vec![10; length]))))),
    Case("F40", |room| {
        each(
            room,
            &[
                Variant("BMPString", |name| {
                    let wide: Vec<_> = name.encode_utf16().flat_map(u16::to_be_bytes).collect();
                    with_subject(name, &[attribute(COMMON_NAME, 0x1e, &wide)])
                }),
                Variant("TeletexString", |name| {
                    with_subject(name, &[attribute(COMMON_NAME, 0x14, name.as_bytes())])
                }),
                Variant("NUL", |name| {
                    with_subject(
                        name,
                        &[attribute(COMMON_NAME, UTF8, format!("{name}\0.victim.org").as_bytes())],
                    )
                }),
                Variant("RTL", |name| {
                    with_subject(name, &[attribute(COMMON_NAME, UTF8, format!("\u{202e}{name}").as_bytes())])
                }),
            ],
        )
    }),
    Case("F41", |room| {
        let order = room.ready();
        let csr = |count: usize| {
            let names: Vec<_> = (0..count).map(|n| format!("n{n}.example.org")).collect();
            Csr::new(&names.iter().map(String::as_str).collect::<Vec<_>>()).to_der()
        };
        [10_000, 1_000]
            .map(|count| timed(finalize(room, &count.to_string(), &order, &csr(count)), SECOND))
            .into()
    }),
    Case("F42", |room| {
        each(
            room,
            &[
                Variant("arcs", |name| {
                    let arcs = tlv(0x06, [&[0x2a], &[0xff; 20_000][..], &[0x7f]].concat());
                    let attribute = tlv(0x31, sequence(&[arcs, tlv(UTF8, "x")]));
                    with_subject(name, &[attribute])
                }),
                Variant("nesting", |name| {
                    let deep = (0..5_000).fold(Vec::new(), |inner, _| tlv(0x30, inner));
                    Csr::new(&[name]).with_extension("1.2.3.4", false, &deep).to_der()
                }),
                Variant("nested subject", |name| {
                    let deep = (0..5_000).fold(Vec::new(), |inner, _| tlv(0x30, inner));
                    with_subject(name, &[deep])
                }),
            ],
        )
    }),
    Case("F43", |room| {
        each(
            room,
            &[
                Variant("1", |name| Csr { version: 1, ..Csr::new(&[name]) }.to_der()),
                Variant("2", |name| Csr { version: 2, ..Csr::new(&[name]) }.to_der()),
            ],
        )
    }),
    Case("F44", |room| {
        let round = |round: usize| {
            let order = room.ready();
            let csr = Csr::new(&[&order.names()[0]]).to_der();
            Probe::of(format!("round {round}"), move || {
                let count = |table| room.world.acmed.database().count(table);
                let before = (count("certificates"), count("serials"));
                let answers =
                    Room::at_once(50, |_| room.world.client.http.send(&request(room, &order, &csr)));
                let (good, bad): (Vec<_>, Vec<_>) =
                    answers.into_iter().partition(|answer| answer.status == 200);
                assert_eq!(good.len(), 1, "one of them is first");
                for answer in bad {
                    answer.expect_problem(403, "orderNotReady");
                }
                assert_eq!(room.owner.settled(&order.url).status(), "valid");
                assert_eq!((count("certificates"), count("serials")), (before.0 + 1, before.1 + 1));
                Observed::posted(good.into_iter().next().expect("one"))
            })
        };
        (0..5).map(round).collect()
    }),
];

fn request(room: &Room, order: &Object, csr: &[u8]) -> Request {
    room.owner.signed(&order.text("finalize"), &json!({"csr": base64url::encode(csr)})).request()
}

fn finalize<'r>(room: &'r Room, what: &str, order: &Object, csr: &[u8]) -> Probe<'r> {
    Probe::send(room, what, request(room, order, csr))
}

/// A CSR that must not be signed as it is: either it is refused, and the order stays ready, or the certificate has
/// nothing in it that the CSR asked for.
fn refused<'r>(room: &'r Room, what: &str, order: &Object, csr: &[u8]) -> Probe<'r> {
    still_ready(room, order, finalize(room, what, order, csr))
}

fn still_ready<'r>(room: &'r Room, order: &Object, probe: Probe<'r>) -> Probe<'r> {
    let order = order.clone();
    probe.then(move |seen| {
        if seen.status() == 200 {
            return require_plain(room, &order);
        }
        assert_eq!(room.owner.read(&order.url).status(), "ready");
    })
}

/// How a CSR is made of a name, and what is wrong with it.
struct Variant(&'static str, fn(&str) -> Vec<u8>);

/// One ready order, and one CSR for its name, for each variant.
fn each<'r>(room: &'r Room, variants: &[Variant]) -> Vec<Probe<'r>> {
    let probe = |Variant(what, csr): &Variant| {
        let order = room.ready();
        refused(room, what, &order, &csr(&order.names()[0]))
    };
    variants.iter().map(probe).collect()
}

/// The same for a further name.
fn with_name<'r>(room: &'r Room, names: &[(&str, Vec<u8>)]) -> Vec<Probe<'r>> {
    let probe = |(what, name): &(&str, Vec<u8>)| {
        let order = room.ready();
        refused(room, what, &order, &Csr::new(&[&order.names()[0]]).with_name(name.clone()).to_der())
    };
    names.iter().map(probe).collect()
}

/// The same for a further extension.
fn with_extension<'r>(room: &'r Room, extensions: &[(&str, &str, bool, Vec<u8>)]) -> Vec<Probe<'r>> {
    let probe = |(what, id, critical, value): &(&str, &str, bool, Vec<u8>)| {
        let order = room.ready();
        let csr = Csr::new(&[&order.names()[0]]).with_extension(id, *critical, value).to_der();
        refused(room, &format!("{what}, critical: {critical}"), &order, &csr)
    };
    extensions.iter().map(probe).collect()
}

fn with_key<'r>(room: &'r Room, what: &str, key: &Key) -> Vec<Probe<'r>> {
    let order = room.ready();
    let csr = Csr::with_key(&[&order.names()[0]], key.private()).to_der();
    vec![refused(room, what, &order, &csr)]
}

fn with_subject(name: &str, attributes: &[Vec<u8>]) -> Vec<u8> {
    Csr::new(&[name]).with_subject(attributes).to_der()
}

fn with_digest(name: &str, key: &Key, digest: MessageDigest, algorithm: &str) -> Vec<u8> {
    let parameters = if key.alg == "RS256" { tlv(0x05, []) } else { Vec::new() };
    let algorithm = (digest, sequence(&[oid(algorithm), parameters]));
    Csr { algorithm, ..Csr::with_key(&[name], key.private()) }.to_der()
}

/// A CSR signed with a key that OpenSSL would not take.
fn of_numbers(order: &Object, key: &Key) -> Vec<u8> {
    let csr =
        Csr::with_key(&[&order.names()[0]], Key::rsa(2048).private()).with_public_key(key.rsa_public_key());
    csr.to_der_with(&key.sign(&csr.info()))
}

/// A key with the parameters of a curve over no field: whoever takes a square root there looks for ever.
fn endless_square_root() -> Vec<u8> {
    let number = |value: &[u8]| tlv(0x02, value);
    let modulus = [0x02, 0xb9]; // 17 * 41
    let field = sequence(&[oid("1.2.840.10045.1.1"), number(&modulus)]);
    let curve = sequence(&[tlv(0x04, [0, 1]), tlv(0x04, [0, 23])]);
    let parameters =
        sequence(&[integer(1), field, curve, tlv(0x04, [2, 0, 8]), number(&[0x02, 0xb1]), integer(1)]);
    let algorithm = sequence(&[oid("1.2.840.10045.2.1"), parameters]);
    sequence(&[algorithm, tlv(0x03, [0, 2, 0, 8])])
}

/// The certificate of the order is like any other of the server's.
fn require_plain(room: &Room, order: &Object) {
    let order = room.owner.settled(&order.url);
    assert_eq!(order.status(), "valid", "{}", order.json);
    let read = |order: &Object| room.owner.post_as_get(&order.text("certificate")).expect(200).text();
    let (odd, plain) = (leaf(&read(&order)), leaf(&read(&room.done)));
    let name = order.names().remove(0);
    assert_eq!(shape(&odd, &name), shape(&plain, "done.example.org"));
}

/// What a certificate says, less what is another for each: lines of text.
fn shape(certificate: &openssl::x509::X509, name: &str) -> Vec<String> {
    let text = String::from_utf8(certificate.to_text().expect("text")).expect("UTF-8");
    let subject = text.lines().filter(|line| line.trim_start().starts_with("Subject:"));
    let extensions = text.lines().skip_while(|line| !line.contains("X509v3 extensions"));
    let extensions = extensions.take_while(|line| !line.contains("Signature Algorithm"));
    let mut lines: Vec<_> = subject.chain(extensions).map(|line| line.replace(name, "NAME")).collect();
    if let Some(at) = lines.iter().position(|line| line.contains("Subject Key Identifier")) {
        lines.drain(at..at + 2);
    }
    lines
}

#[test]
fn an_extension_of_a_csr_is_der() {
    let bytes = extension("2.5.29.19", true, &sequence(&[]));
    assert_eq!(bytes, [0x30, 0x0c, 0x06, 0x03, 0x55, 0x1d, 0x13, 0x01, 0x01, 0xff, 0x04, 0x02, 0x30, 0x00]);
}
