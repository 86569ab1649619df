//! HTTP: methods, media types, sizes, slowness, smuggling. RFC 8555 sections 6.1 to 6.3, RFC 9112.

use std::{
    io::{Read, Write},
    net::TcpListener,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use integration_tests::{Http, Request, Response};
use openssl::{
    asn1::Asn1Time,
    hash::MessageDigest,
    ssl::{SslAcceptor, SslMethod, SslVersion},
    x509::X509,
};
use serde_json::Value;

use crate::{
    Case,
    probe::{Observed, Probe},
    room::Room,
};

pub(crate) const CASES: &[Case] = &[
    Case("T01", |room| vec![get(room, &room.new_account())]),
    Case("T02", |room| {
        let probe = get(room, &room.done.url);
        vec![probe.then(|seen| assert!(!seen.response().text().contains("identifiers")))]
    }),
    Case("T03", |room| vec![get(room, &room.done.text("certificate"))]),
    Case("T04", |room| {
        let request = |method: &str| Request { method: method.into(), ..room.good().request() };
        let probe = |method| Probe::send(room, method, request(method).with("X-Canary", "canary"));
        let quiet = |seen: &Observed| assert!(!seen.response().text().contains("canary"));
        ["PUT", "PATCH", "DELETE", "TRACE"].map(|method| probe(method).then(quiet)).into()
    }),
    Case("T05", |room| vec![Probe::send(room, "", room.good().request().without("Content-Type"))]),
    Case("T06", |room| {
        let request = room.good().request().without("Content-Type");
        vec![Probe::send(room, "", request.with("Content-Type", "application/json"))]
    }),
    Case("T07", |room| {
        let request = room.good().request().without("Content-Type").with("Content-Type", "application/json");
        vec![Probe::send(room, "", request.with("Content-Type", "application/jose+json"))]
    }),
    Case("T08", |room| vec![body(room, "empty", b"")]),
    Case("T09", |room| vec![body(room, "hello", b"hello")]),
    Case("T10", |room| [r"[]", "null", "1", r#""x""#].map(|text| body(room, text, text.as_bytes())).into()),
    Case("T11", |room| {
        vec![
            timed(body(room, "100,000", &[b'['; 100_000]), Duration::from_secs(1)),
            timed(body(room, "as many as are taken", &[b'['; 65_000]), Duration::from_secs(1)),
        ]
    }),
    Case("T12", |room| {
        let padded = room.good().flattened().to_string() + &" ".repeat(1 << 20);
        vec![body(room, "", padded.as_bytes())]
    }),
    Case("T13", |room| vec![Probe::of("", || Observed::posted(stream_for_ever(room)))]),
    Case("T17", |room| {
        let text = room.good().flattened().to_string();
        let (start, end) = text.split_at(text.len() - 10);
        vec![body(room, "", &[start.as_bytes(), &[0xc3, 0x28], end.as_bytes()].concat())]
    }),
    Case("T18", |room| {
        let targets =
            ["/acme/order/..%2f..%2fadmin", "/acme/../admin", "/acme//new-order", "/acme/./new-order"];
        let url = |target: &str| format!("{}{target}", room.world.acmed.base_url());
        targets
            .map(|target| {
                Probe::send(room, target, room.good().with("url", url(target)).to(target).request())
            })
            .into()
    }),
    Case("T19", |room| {
        let request = Request::new("GET", "/directory").with("Host", "evil.example");
        vec![Probe::send(room, "", request).then(|seen| {
            let response = seen.response();
            assert!(
                !response.text().contains("evil.example")
                    && !format!("{:?}", response.headers).contains("evil")
            );
        })]
    }),
    Case("T21", |room| {
        let plain = room.world.client.http.get("/directory").json();
        let same = move |seen: &Observed, plain: &Value| assert_eq!(&seen.response().json(), plain);
        let probe = |name: &str, value: &str| {
            let plain = plain.clone();
            let request = Request::new("GET", "/directory").with(name, value);
            Probe::send(room, name, request).then(move |seen| same(seen, &plain))
        };
        vec![
            probe("X-Forwarded-Proto", "https"),
            probe("X-Forwarded-Host", "evil.example"),
            probe("Forwarded", "proto=https;host=evil.example"),
        ]
    }),
    Case("T23", |room| {
        let body = room.good().flattened().to_string();
        let head = "POST /acme/new-order HTTP/1.1\r\nHost: x\r\nContent-Type: application/jose+json\r\n";
        let both = |first: &str, second: &str| format!("{head}{first}\r\n{second}\r\n\r\n").into_bytes();
        let (length, chunked) = (format!("Content-Length: {}", body.len()), "Transfer-Encoding: chunked");
        let chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
        vec![
            Probe::raw(room, "length first", [both(&length, chunked), chunks.clone().into()].concat()),
            Probe::raw(room, "chunked first", [both(chunked, &length), chunks.into()].concat()),
        ]
    }),
    Case("T24", |room| {
        let values = ["a\r\n b", "foo\nbar", "foo\0bar", "foo\rbar"];
        let bytes = |value: &str| {
            let request = room.good().request().with("X-Odd", value);
            request.to_bytes("127.0.0.1")
        };
        values.map(|value| Probe::raw(room, format!("{value:?}"), bytes(value))).into()
    }),
    Case("T25", |room| {
        let target = format!("/acme/{}", "a".repeat(1 << 16));
        vec![Probe::send(room, "", Request { target, ..room.good().request() })]
    }),
    Case("T26", |room| {
        let request =
            (0..10_000).fold(room.good().request(), |request, n| request.with(&format!("X-{n}"), "x"));
        vec![Probe::send(room, "", request)]
    }),
    Case("T28", |room| {
        let request = room.good().without("nonce").request();
        vec![Probe::send(room, "", request.with("Replay-Nonce", &room.world.client.nonce()))]
    }),
    Case("T29", |room| vec![Probe::of("", || Observed::answer(never_read(room)))]),
];

/// What was started at the beginning, and has ended by now.
pub(crate) const SLOW: &[Case] = &[
    Case("T15", |room| vec![Probe::of("", || room.slow("T15"))]),
    Case("T16", |room| vec![Probe::of("", || room.slow("T16"))]),
];

fn get<'r>(room: &'r Room, url: &str) -> Probe<'r> {
    Probe::send(room, "", Request::new("GET", &room.world.client.http.target(url)))
}

/// A POST of this to newOrder.
fn body<'r>(room: &'r Room, what: &str, body: &[u8]) -> Probe<'r> {
    Probe::send(room, what, Request::post("/acme/new-order", body))
}

/// The same, within a time.
pub(crate) fn timed(probe: Probe<'_>, limit: Duration) -> Probe<'_> {
    let Probe { act, .. } = probe;
    let act = Box::new(move || {
        let start = Instant::now();
        let observed = act();
        assert!(start.elapsed() < limit, "it took {:?}", start.elapsed());
        observed
    });
    Probe { act, ..probe }
}

/// Chunk after chunk, until the server has had enough. It must have had before 1 MiB is through.
fn stream_for_ever(room: &Room) -> Response {
    let before = room.world.acmed.memory();
    let mut socket = room.world.client.http.socket();
    let head = "POST /acme/new-order HTTP/1.1\r\nHost: x\r\nContent-Type: application/jose+json\r\n\
                Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    socket.write_all(head.as_bytes()).expect("the head can be sent");
    socket.set_write_timeout(Some(Duration::from_secs(5))).expect("a time-out");
    let chunk = [b"10000\r\n", &[b' '; 1 << 16][..], b"\r\n"].concat();
    let mut reader = socket.try_clone().expect("a socket");
    let answer = thread::spawn(move || Response::read(&mut reader, false));
    let mut sent = 0;
    while sent < 100 << 20 && !answer.is_finished() && socket.write_all(&chunk).is_ok() {
        sent += chunk.len();
    }
    let answer = answer.join().expect("no panic");
    // What is sent may wait in the sockets' buffers; what is in the server's memory may not be more.
    let grown = room.world.acmed.memory().saturating_sub(before);
    assert!(grown < 8 << 20, "the server has grown by {grown} bytes");
    assert!(sent < 50 << 20, "the server has read on for {sent} bytes");
    answer
}

/// A thousand requests on one connection, and no answer read.
fn never_read(room: &Room) -> Response {
    let before = room.world.acmed.memory();
    let mut socket = room.world.client.http.socket();
    socket.set_write_timeout(Some(Duration::from_secs(2))).expect("a time-out");
    let request = Request::new("GET", "/directory").with("Connection", "keep-alive").to_bytes("x");
    for _ in 0..1_000 {
        if socket.write_all(&request).is_err() {
            break;
        }
    }
    thread::sleep(Duration::from_millis(500));
    let grown = room.world.acmed.memory().saturating_sub(before);
    assert!(grown < 10 << 20, "the server has grown by {grown} bytes");
    Response { status: 0, headers: Vec::new(), body: Vec::new() }
}

/// Clients that take their time. They run beside everything else, as what they test takes half a minute.
pub(crate) fn start_slow_clients(http: &Http) -> Vec<(&'static str, JoinHandle<Observed>)> {
    let (headers, body) = (http.clone(), http.clone());
    let start = "POST /acme/new-order HTTP/1.1\r\nHost: x\r\nX-Slow: ";
    let whole = "POST /acme/new-order HTTP/1.1\r\nHost: x\r\nContent-Type: application/jose+json\r\n\
                 Content-Length: 2000\r\n\r\n";
    vec![
        ("T15", thread::spawn(move || drip_many(&headers, start, 100))),
        ("T16", thread::spawn(move || Observed::answer(drip(&body, whole)))),
    ]
}

fn drip_many(http: &Http, start: &'static str, count: usize) -> Observed {
    let threads: Vec<_> = (0..count)
        .map(|_| {
            let http = http.clone();
            thread::spawn(move || drip(&http, start))
        })
        .collect();
    let answers = threads.into_iter().map(|thread| thread.join().expect("no panic"));
    Observed::answer(answers.last().expect("at least one"))
}

/// Sends this, and then a byte a second, until the connection is closed: within half a minute.
fn drip(http: &Http, start: &str) -> Response {
    let begin = Instant::now();
    let mut socket = http.socket();
    socket.write_all(start.as_bytes()).expect("it can be sent");
    let mut reader = socket.try_clone().expect("a socket");
    let answer = thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = reader.read_to_end(&mut bytes);
        Response::read(&mut &*bytes, false)
    });
    while !answer.is_finished() {
        assert!(begin.elapsed() < Duration::from_secs(31), "the connection is still open");
        let _ = socket.write_all(b"x");
        thread::sleep(Duration::from_secs(1));
    }
    answer.join().expect("no panic")
}

/// A port where TLS 1.1 is spoken, and nothing newer.
pub(crate) fn old_tls() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let mut acceptor = SslAcceptor::mozilla_intermediate(SslMethod::tls_server()).expect("an acceptor");
    let key = integration_tests::Key::rsa(2048);
    acceptor.set_security_level(0);
    acceptor.set_cipher_list("ALL:@SECLEVEL=0").expect("ciphers");
    acceptor.clear_options(openssl::ssl::SslOptions::NO_TLSV1_1);
    acceptor.set_min_proto_version(Some(SslVersion::TLS1)).expect("a version");
    acceptor.set_max_proto_version(Some(SslVersion::TLS1_1)).expect("a version");
    acceptor.set_private_key(key.private()).expect("a key");
    acceptor.set_certificate(&self_signed(key.private())).expect("a certificate");
    let acceptor = acceptor.build();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Whoever gets in finds the right answer, if it asks for it by its whole URL: none must.
            let _ = acceptor.accept(stream);
        }
    });
    port
}

fn self_signed(key: &openssl::pkey::PKey<openssl::pkey::Private>) -> X509 {
    let mut builder = X509::builder().expect("a builder");
    builder.set_pubkey(key).expect("a key");
    builder.set_not_before(&Asn1Time::days_from_now(0).expect("a time")).expect("a time");
    builder.set_not_after(&Asn1Time::days_from_now(1).expect("a time")).expect("a time");
    builder.sign(key, MessageDigest::sha256()).expect("a signature");
    builder.build()
}
