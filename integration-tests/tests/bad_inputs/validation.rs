//! What http-01 may find, and must not be taken in by. RFC 8555 sections 8.3, 10.3 and 10.4.

use std::{net::Ipv4Addr, time::Duration};

use integration_tests::{Answer, DnsAnswer, Gate};

use crate::{Case, probe::Probe, room::Room, transport::timed};

const QUICK: Duration = Duration::from_secs(10);

pub(crate) const CASES: &[Case] = &[
    Case("V01", |room| vec![finds(room, "", |_, right| Answer::text(404, right))]),
    Case("V02", |room| {
        vec![
            finds(room, "the token", |token, _| Answer::text(200, token)),
            finds(room, "the path", |token, _| {
                Answer::text(200, format!("/.well-known/acme-challenge/{token}"))
            }),
            finds(room, "the thumbprint alone", |token, right| Answer::text(200, right.replace(token, ""))),
        ]
    }),
    Case("V03", |room| {
        vec![finds(room, "", |token, _| Answer::text(200, room.attacker.key_authorization(token)))]
    }),
    Case("V04", |room| {
        vec![
            finds(room, "BOM", |_, right| Answer::text(200, format!("\u{feff}{right}"))),
            finds(room, "space", |_, right| Answer::text(200, format!(" {right}"))),
            finds(room, "pre", |_, right| Answer::text(200, format!("<pre>{right}</pre>"))),
            finds(room, "twice", |_, right| Answer::text(200, format!("{right}\n{right}"))),
        ]
    }),
    Case("V05", |room| {
        let probe = finds(room, "", |_, right| {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n{right}");
            Answer::endless(head, [b' '; 1 << 16], Duration::ZERO)
        });
        vec![
            probe,
            finds(room, "2 KiB", |_, right| Answer::text(200, format!("{right}{}", " ".repeat(2048)))),
        ]
    }),
    Case("V06", |room| {
        let port = room.world.responder.port();
        let hosts = [
            "169.254.169.254",
            "127.0.0.2",
            "[::1]",
            "10.0.0.1",
            "0.0.0.0",
            "[::ffff:10.0.0.1]",
            "0x0a000001",
        ];
        let probe = |host: &'static str| {
            finds(room, host, move |_, _| Answer::redirect(302, &format!("http://{host}:{port}/")))
        };
        hosts.map(probe).into()
    }),
    Case("V07", |room| {
        let name = |port: u16| format!("http://other.example.org:{port}/");
        [6379, 22, 8080]
            .map(|port| finds(room, port.to_string(), move |_, _| Answer::redirect(302, &name(port))))
            .into()
    }),
    Case("V08", |room| {
        let targets =
            ["file:///etc/passwd", "gopher://other.example.org/", "ftp://other.example.org/", "data:,x"];
        targets.map(|target| finds(room, target, move |_, _| Answer::redirect(302, target))).into()
    }),
    Case("V09", |room| {
        let url =
            move |target: &str| format!("http://hop.example.org:{}{target}", room.world.responder.port());
        let itself = finds(room, "itself", |token, _| {
            Answer::redirect(301, &format!("/.well-known/acme-challenge/{token}"))
        });
        let circle = finds(room, "a circle", move |_, _| {
            room.world.responder.answer("/circle/a", Answer::redirect(307, &url("/circle/b")));
            room.world.responder.answer("/circle/b", Answer::redirect(308, &url("/circle/a")));
            Answer::redirect(302, &url("/circle/a"))
        });
        let eleven = finds(room, "eleven", move |_, right| {
            for hop in 1..11 {
                room.world
                    .responder
                    .answer(&format!("/hop/{hop}"), Answer::redirect(302, &format!("/hop/{}", hop + 1)));
            }
            room.world.responder.answer("/hop/11", Answer::text(200, right));
            Answer::redirect(302, &url("/hop/1"))
        });
        vec![itself, circle, eleven]
    }),
    Case("V10", |room| {
        let probe = |status: u16| {
            finds(room, status.to_string(), move |token, right| {
                let there = format!("/there/{token}");
                room.world.responder.answer(&there, Answer::text(200, right));
                Answer::redirect(status, &there)
            })
        };
        let refresh = finds(room, "Refresh", |token, right| {
            let there = format!("/there/{token}");
            room.world.responder.answer(&there, Answer::text(200, right));
            Answer::bytes(format!("HTTP/1.1 200 OK\r\nRefresh: 0; url={there}\r\nContent-Length: 0\r\n\r\n"))
        });
        [303, 300, 304].map(probe).into_iter().chain([refresh]).collect()
    }),
    Case("V11", |room| {
        let addresses =
            [[169, 254, 169, 254], [10, 0, 0, 1], [127, 0, 0, 2], [0, 0, 0, 0]].map(Ipv4Addr::from);
        let probe = |address: Ipv4Addr| {
            let name = room.name();
            room.world.dns.answer(&name, DnsAnswer::Addresses(vec![address]));
            Probe::of(address.to_string(), move || room.validate(&name, |_, right| Answer::text(200, right)))
        };
        addresses.map(probe).into()
    }),
    Case("V14", |room| {
        vec![finds(room, "", |_, _| {
            let head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n";
            let chunk = [b"10000\r\n", &[0x1f; 1 << 16][..], b"\r\n"].concat();
            Answer::endless(head, chunk, Duration::ZERO)
        })]
    }),
    Case("V15", |room| {
        let pause = Duration::from_millis(500);
        vec![
            timed(
                finds(room, "silence", |_, right| Answer::after(&Gate::default(), Answer::text(200, right))),
                QUICK,
            ),
            timed(
                finds(room, "slow head", move |_, _| Answer::endless("HTTP/1.1 200 OK\r\nX: ", "x", pause)),
                QUICK,
            ),
            timed(
                finds(room, "slow body", move |_, _| {
                    Answer::endless("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", "x", pause)
                }),
                QUICK,
            ),
        ]
    }),
    Case("V16", |room| {
        vec![finds(room, "", |_, _| {
            Answer::endless("HTTP/1.1 200 OK\r\n", "X-More: and more\r\n".repeat(1_000), Duration::ZERO)
        })]
    }),
    Case("V17", |room| {
        let port = room.world.responder.port();
        let targets = [
            format!("http://ok.example.org@169.254.169.254:{port}/"),
            format!("http://169.254.169.254:{port}#@ok.example.org/"),
            format!("http://169.254.169.254:{port}\\@ok.example.org/"),
            format!("//169.254.169.254:{port}/"),
        ];
        targets.map(|target| finds(room, target.clone(), move |_, _| Answer::redirect(302, &target))).into()
    }),
    Case("V18", |room| {
        let canary = |status: u16| {
            let probe =
                finds(room, status.to_string(), move |_, _| Answer::text(status, "canary-in-the-body"));
            probe.then(|seen| assert!(!seen.to_string().contains("canary"), "{seen}"))
        };
        let header = finds(room, "in the head", |_, _| {
            Answer::bytes("HTTP/1.1 403 canary\r\nX-Canary: canary\r\nContent-Length: 0\r\n\r\n")
        });
        let location = finds(room, "in the Location", |_, _| {
            Answer::redirect(302, "gopher://canary.example.org/canary")
        });
        vec![
            canary(200),
            canary(500),
            header.then(|seen| assert!(!seen.to_string().contains("canary"), "{seen}")),
            location.then(|seen| assert!(!seen.to_string().contains("canary"), "{seen}")),
        ]
    }),
    Case("V19", |room| {
        let target = format!("https://old.example.org:{}/", room.old_tls);
        vec![finds(room, "", move |_, _| Answer::redirect(302, &target))]
    }),
];

/// A validation of a new name of the owner's, that finds this: made from the token and the right answer.
fn finds<'r>(
    room: &'r Room,
    what: impl Into<String>,
    answer: impl FnOnce(&str, &str) -> Answer + 'r,
) -> Probe<'r> {
    Probe::of(what, move || room.validate(&room.name(), answer))
}
