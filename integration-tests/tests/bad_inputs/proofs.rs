//! What dns-01 and tls-alpn-01 may find, and must not be taken in by. RFC 8555 section 8.4, RFC 8737.

use std::{io::Write, net::TcpStream, thread, time::Duration};

use integration_tests::{
    ChallengeCertificate, Key, TlsAnswer, World,
    der::tlv,
    dns_name,
    tls_responder::{acme_identifier, digest},
};
use openssl::{
    sha::sha256,
    ssl::{AlpnError, SslVersion, select_next_proto},
};
use serde_json::json;

use crate::{
    Case,
    name_server::{Lie, Query, Record},
    probe::{Observed, Probe},
    room::{Room, fail, impatient},
    transport::timed,
};

/// Two attempts of two seconds, and what is between them.
const SOON: Duration = Duration::from_secs(10);

pub(crate) const CASES: &[Case] = &[
    Case("V20", |room| vec![Probe::of("", move || wildcard(room))]),
    Case("V30", |room| {
        vec![
            Probe::of("at the name", move || {
                let name = room.name();
                room.prove("dns-01", &name, |right| {
                    room.names.answer(&name, Lie::text(&name, &dns_digest(right)));
                })
            }),
            looks_up(room, "at the name, in the answer for another", |owner, right| {
                let name = owner.trim_start_matches("_acme-challenge.");
                Lie::text(name, &dns_digest(right))
            }),
        ]
    }),
    Case("V31", |room| {
        vec![
            looks_up(room, "raw", Lie::text),
            looks_up(room, "hexadecimal", |owner, right| {
                let hex = sha256(right.as_bytes()).map(|octet| format!("{octet:02x}"));
                Lie::text(owner, &hex.concat())
            }),
            looks_up(room, "padded", |owner, right| Lie::text(owner, &format!("{}=", dns_digest(right)))),
            looks_up(room, "quoted", |owner, right| Lie::text(owner, &format!("\"{}\"", dns_digest(right)))),
        ]
    }),
    Case("V32", |room| {
        vec![looks_up(room, "", |owner, right| {
            let (token, _) = right.split_once('.').expect("a key authorization");
            Lie::text(owner, &dns_digest(&room.attacker.key_authorization(token)))
        })]
    }),
    Case("V33", |room| {
        let code = |what: &'static str, code: u8| looks_up(room, what, move |_, _| Lie::code(code));
        vec![
            code("SERVFAIL", 2),
            code("REFUSED", 5),
            code("NXDOMAIN", 3),
            timed(looks_up(room, "silence", |_, _| Lie::of(|_| Vec::new())), SOON),
        ]
    }),
    Case("V34", |room| {
        let looped = looks_up(room, "a circle", |owner, right| {
            let (other, right) = ("circle.example.org", dns_digest(right));
            Lie::records(vec![
                Record::alias(owner, other),
                Record::alias(other, owner),
                Record::text(other, &right),
                Record::text(owner, &right),
            ])
        });
        let chain = looks_up(room, "fifty in one answer", |owner, right| {
            let names: Vec<_> = (0..50).map(|at| format!("alias{at}.example.org")).collect();
            let aliases = names.windows(2).map(|pair| Record::alias(&pair[0], &pair[1]));
            let last = Record::text("alias49.example.org", &dns_digest(right));
            Lie::records([Record::alias(owner, &names[0])].into_iter().chain(aliases).chain([last]).collect())
        });
        let one_by_one = looks_up(room, "fifty answers", |owner, right| {
            for at in 0..50 {
                let (this, next) = (format!("step{at}.example.org"), format!("step{}.example.org", at + 1));
                room.names.answer(&this, Lie::records(vec![Record::alias(&this, &next)]));
            }
            let last = "step50.example.org";
            room.names.answer(last, Lie::text(last, &dns_digest(right)));
            Lie::records(vec![Record::alias(owner, "step0.example.org")])
        });
        vec![timed(looped, SOON), timed(chain, SOON), timed(one_by_one, SOON)]
    }),
    Case("V35", |room| {
        vec![
            forged(room, "id", |query, records| vec![query.answer_to_another_query(records)]),
            forged(room, "question", |query, records| vec![query.answer_about("other.example.org", records)]),
            forged(room, "port", |query, records| vec![query.answer(records).sent_from_elsewhere()]),
            forged(room, "case", |query, records| {
                if query.is_udp { vec![query.answer_in_lower_case(records)] } else { Vec::new() }
            }),
        ]
    }),
    // With real zones, that are signed wrongly, in `real_dns`.
    Case("V37", |room| {
        vec![
            looks_up(room, "what a resolver that validates says of it", |_, _| Lie::code(2)),
            Probe::of("nobody says that it is right", move || {
                let (name, resolvers) = (room.name(), format!("[\"{}\"]", room.names.address()));
                let world = World::with(|setup| {
                    impatient(setup)
                        .replacing("validation", "resolvers", &resolvers)
                        .replacing("validation", "challenges", "[\"dns-01\"]")
                        .with("validation", "dnssec = \"require\"")
                });
                fail(&world.client.account(), "dns-01", &name, |right| {
                    let owner = format!("_acme-challenge.{name}");
                    room.names.answer(&owner, Lie::text(&owner, &dns_digest(right)));
                })
            }),
        ]
    }),
    Case("V36", |room| {
        vec![
            timed(
                looks_up(room, "", |owner, _| Lie::records(vec![Record::text(owner, &"x".repeat(43)); 1000])),
                SOON,
            )
            .then(|_| assert!(room.proving.acmed.memory() < 512 << 20, "{}", room.proving.acmed.memory())),
        ]
    }),
    Case("V50", |room| {
        vec![
            shows(room, "none", |right| TlsAnswer::with(&right, |_| ())),
            shows(room, "another", |right| {
                TlsAnswer::with(&right, |context| {
                    context.set_alpn_select_callback(|_, offered| {
                        select_next_proto(b"\x02h2\x08http/1.1", offered).ok_or(AlpnError::NOACK)
                    });
                })
            }),
            shows(room, "an alert", |right| {
                TlsAnswer::with(&right, |context| {
                    context.set_alpn_select_callback(|_, _| Err(AlpnError::ALERT_FATAL));
                })
            }),
        ]
    }),
    Case("V51", |room| vec![identifies(room, "", |right| Some(acme_identifier(false, &digest(right))))]),
    Case("V52", |room| {
        let draft =
            |right: &str| integration_tests::der::extension("1.3.6.1.5.5.7.1.30.1", true, &digest(right));
        vec![identifies(room, "draft", move |right| Some(draft(right))), identifies(room, "none", |_| None)]
    }),
    Case("V53", |room| {
        let other = || dns_name(b"other.example.org");
        vec![
            names(room, "two", move |name| Some(vec![name, other()])),
            names(room, "other", move |_| Some(vec![other()])),
            names(room, "wildcard", |_| Some(vec![dns_name(b"*.example.org")])),
            names(room, "address", |_| Some(vec![tlv(0x87, [127, 0, 0, 1])])),
            names(room, "empty", |_| Some(Vec::new())),
            names(room, "none", |_| None),
        ]
    }),
    Case("V54", |room| {
        vec![shows(room, "", |right| {
            TlsAnswer::with(&right, |context| {
                context.set_security_level(0);
                context.set_cipher_list("ALL:@SECLEVEL=0").expect("ciphers");
                context.set_min_proto_version(Some(SslVersion::TLS1)).expect("a version");
                context.set_max_proto_version(Some(SslVersion::TLS1_1)).expect("a version");
            })
        })]
    }),
    Case("V55", |room| {
        let octets = |right: &str| sha256(right.as_bytes()).to_vec();
        let wrong = |value: Vec<u8>| Some(acme_identifier(true, &value));
        vec![
            identifies(room, "31 octets", move |right| wrong(tlv(0x04, &octets(right)[..31]))),
            identifies(room, "33 octets", move |right| wrong(tlv(0x04, [octets(right), vec![0]].concat()))),
            identifies(room, "trailing", move |right| wrong([digest(right), vec![0]].concat())),
            identifies(room, "bare", move |right| wrong(octets(right))),
            identifies(room, "of another", move |_| wrong(digest("something else"))),
        ]
    }),
    Case("V56", |room| {
        vec![shows(room, "issued", |right| {
            let issuer = Some(Key::new().private().clone());
            TlsAnswer::showing(&ChallengeCertificate { issuer, ..right })
        })]
    }),
    Case("V58", |room| {
        let stalls = |first: &'static [u8]| {
            move |_| {
                TlsAnswer::of(move |mut stream: TcpStream| {
                    let _ = stream.write_all(first);
                    thread::sleep(Duration::from_secs(20));
                })
            }
        };
        let long = shows(room, "10 MiB", |mut right| {
            right.extensions.push(integration_tests::der::extension("1.2.3.4", false, &vec![0; 60_000]));
            let chain = right.to_x509();
            TlsAnswer::with(&right, |context| {
                for _ in 0..170 {
                    context.add_extra_chain_cert(chain.clone()).expect("a certificate");
                }
            })
        });
        vec![
            timed(shows(room, "silence", stalls(&[])), SOON),
            // The header of a record with a ServerHello, and its first bytes.
            timed(shows(room, "stall", stalls(&[22, 3, 3, 0, 90, 2, 0, 0, 86, 3, 3])), SOON),
            timed(long, SOON).then(|_| {
                assert!(room.proving.acmed.memory() < 512 << 20, "{}", room.proving.acmed.memory())
            }),
        ]
    }),
];

/// A wildcard is offered dns-01 and nothing else, and there is no http-01 to be answered.
fn wildcard(room: &Room) -> Observed {
    let order = room.prover.order(&[&format!("*.{}", room.name())]);
    let authorization = room.prover.authorizations(&order).remove(0);
    let challenges = authorization.json["challenges"].as_array().expect("challenges");
    let kinds: Vec<_> = challenges.iter().map(|challenge| &challenge["type"]).collect();
    assert_eq!(kinds, ["dns-01"], "{}", authorization.json);
    let url = authorization.challenge("dns-01").url;
    let (before, _) = url.rsplit_once('/').expect("a path");
    let other = room.prover.post(&format!("{before}/http-01"), &json!({}));
    assert!((400..500).contains(&other.status), "{other}");
    Observed::Verdict(authorization)
}

/// What dns-01 looks for.
pub(crate) fn dns_digest(key_authorization: &str) -> String {
    coyote_jose::base64url::encode(sha256(key_authorization.as_bytes()))
}

/// A validation by dns-01 of a new name, whose owner name and right answer this is made from.
fn looks_up<'r>(room: &'r Room, what: &str, lie: impl FnOnce(&str, &str) -> Lie + 'r) -> Probe<'r> {
    Probe::of(what, move || {
        let name = room.name();
        let owner = format!("_acme-challenge.{name}");
        room.prove("dns-01", &name, |right| room.names.answer(&owner, lie(&owner, right)))
    })
}

/// A validation by dns-01 that finds a forgery with the right value before the genuine answer, which has a wrong one.
fn forged<'r>(
    room: &'r Room,
    what: &str,
    forge: impl Fn(&Query, &[Record]) -> Vec<crate::name_server::Message> + Send + Sync + 'static,
) -> Probe<'r> {
    looks_up(room, what, move |owner, right| {
        let right = vec![Record::text(owner, &dns_digest(right))];
        let genuine = vec![Record::text(owner, "not this")];
        Lie::of(move |query| {
            let mut messages = forge(query, &right);
            messages.push(query.answer(&genuine));
            messages
        })
    })
}

/// A validation by tls-alpn-01 of a new name, where this is made of the right certificate.
fn shows<'r>(
    room: &'r Room,
    what: &str,
    answer: impl FnOnce(ChallengeCertificate) -> TlsAnswer + 'r,
) -> Probe<'r> {
    Probe::of(what, move || {
        let name = room.name();
        room.prove("tls-alpn-01", &name, |right| {
            let certificate = ChallengeCertificate::new(&dns_name(name.as_bytes()), right);
            room.tls.answer(&name, answer(certificate));
        })
    })
}

/// A certificate with this acmeIdentifier, which is made from the right key authorization.
fn identifies<'r>(
    room: &'r Room,
    what: &str,
    extension: impl FnOnce(&str) -> Option<Vec<u8>> + 'r,
) -> Probe<'r> {
    Probe::of(what, move || {
        let name = room.name();
        room.prove("tls-alpn-01", &name, |right| {
            let certificate = ChallengeCertificate::new(&dns_name(name.as_bytes()), right);
            let acme_identifier = extension(right);
            let certificate = ChallengeCertificate { acme_identifier, ..certificate };
            room.tls.answer(&name, TlsAnswer::showing(&certificate));
        })
    })
}

/// A certificate with these names, which are made from the right one.
fn names<'r>(
    room: &'r Room,
    what: &str,
    names: impl FnOnce(Vec<u8>) -> Option<Vec<Vec<u8>>> + 'r,
) -> Probe<'r> {
    Probe::of(what, move || {
        let name = room.name();
        room.prove("tls-alpn-01", &name, |right| {
            let right_name = dns_name(name.as_bytes());
            let certificate = ChallengeCertificate::new(&right_name, right);
            let certificate = match names(right_name) {
                Some(names) => certificate.with_names(&names),
                None => ChallengeCertificate { names: None, ..certificate },
            };
            room.tls.answer(&name, TlsAnswer::showing(&certificate));
        })
    })
}
