//! What becomes of an order whose names cannot be proved, what the client is told, and what the operator can read.

use std::{
    io::Write,
    net::{Ipv4Addr, TcpListener},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use integration_tests::{Account, Answer, DnsAnswer, Object, World, eventually};
use serde_json::json;

/// A validation that went wrong, as the client sees it.
struct Failure {
    problem: String,
    detail: String,
}

/// RFC 8555 section 8.3: the client learns which of the many things it was, in one sentence that is safe to tell.
#[test]
fn a_wrong_answer_makes_the_order_invalid_and_the_problem_says_how_it_was_wrong() {
    let world = World::new();
    let account = world.client.account();
    let long = "x".repeat(100_000);
    let elsewhere = format!("http://10.0.0.1:{}/secret", world.responder.port());
    let cases = [
        (
            "wrong",
            Answer::text(200, "wrong"),
            "incorrectResponse",
            "something else than the key authorization",
        ),
        ("empty", Answer::text(200, ""), "incorrectResponse", "an empty body"),
        ("absent", Answer::text(404, "no"), "incorrectResponse", "status 404 instead of 200"),
        ("oversized", Answer::text(200, long), "incorrectResponse", "more than a key authorization"),
        ("forbidden", Answer::redirect(302, &elsewhere), "connection", "10.0.0.1"),
        ("not-http", Answer::bytes("SSH-2.0-OpenSSH_9.2p1\r\n"), "connection", "not HTTP"),
    ];
    for (name, answer, problem, said) in cases {
        let name = format!("{name}.example.org");
        let failure = fail(&world, &account, &name, answer);
        assert_eq!(failure.problem, problem, "{name}: {}", failure.detail);
        assert!(
            failure.detail.contains(said) && failure.detail.contains(&name),
            "{name}: {}",
            failure.detail
        );
        assert!(!failure.detail.contains("secret") && !failure.detail.contains('\n'), "{}", failure.detail);
    }
}

/// DNS is part of it.
#[test]
fn a_name_without_a_permitted_address_makes_the_order_invalid() {
    let world = World::with(quick);
    let account = world.client.account();
    let cases = [
        ("gone", DnsAnswer::NoSuchName, "dns", "does not exist"),
        ("nowhere", DnsAnswer::Addresses(Vec::new()), "dns", "neither an A nor an AAAA record"),
        ("broken", DnsAnswer::ServerFailure, "dns", "DNS answered"),
        ("inside", DnsAnswer::Addresses(vec![Ipv4Addr::new(10, 0, 0, 1)]), "connection", "not allowed"),
        (
            "metadata",
            DnsAnswer::Addresses(vec![Ipv4Addr::new(169, 254, 169, 254)]),
            "connection",
            "not allowed",
        ),
    ];
    for (name, answer, problem, said) in cases {
        let name = format!("{name}.example.org");
        world.dns.answer(&name, answer);
        let failure = fail(&world, &account, &name, Answer::text(200, ""));
        assert_eq!(failure.problem, problem, "{name}: {}", failure.detail);
        assert!(failure.detail.contains(said), "{name}: {}", failure.detail);
    }
}

/// Whoever owns a name can have it lead elsewhere between two questions.
#[test]
fn a_name_that_is_bound_anew_is_not_followed_to_where_nothing_may_be_dialled() {
    let world = World::with(quick);
    let account = world.client.account();
    let forbidden =
        [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(169, 254, 169, 254), Ipv4Addr::new(127, 0, 0, 2)];
    for (number, inside) in forbidden.into_iter().enumerate() {
        let name = format!("rebound{number}.example.org");
        world.dns.answer(&name, DnsAnswer::InTurn([Ipv4Addr::LOCALHOST, inside].into()));
        let again = format!("http://{name}:{}/latest/meta-data", world.responder.port());
        let failure = fail(&world, &account, &name, Answer::redirect(302, &again));
        assert_eq!(failure.problem, "connection", "{}", failure.detail);
        let why = world.acmed.beside(&["why", &name]);
        assert!(why.contains("connected  127.0.0.1:"), "the first time it may be dialled:\n{why}");
        assert!(why.contains(&format!("refused    {inside}")), "{why}");
    }
}

/// The one that may be dialled is, whatever is beside it.
#[test]
fn of_several_addresses_only_those_are_dialled_that_may_be() {
    let world = World::with(quick);
    let account = world.client.account();
    let inside = Ipv4Addr::new(10, 0, 0, 1);
    world.dns.answer("mixed.example.org", DnsAnswer::Addresses(vec![inside, Ipv4Addr::LOCALHOST]));

    assert!(account.issue(&["mixed.example.org"], &world.responder).contains("BEGIN CERTIFICATE"));

    let why = world.acmed.beside(&["why", "mixed.example.org"]);
    assert!(why.contains("refused    10.0.0.1") && !why.contains("connect    10.0.0.1"), "{why}");
}

/// What the client must not be told, the operator must: each hop, in the log.
#[test]
fn the_log_shows_the_operator_each_hop_of_a_failed_validation() {
    let world = World::new();
    let account = world.client.account();
    let port = world.responder.port();
    world.responder.answer("/second", Answer::redirect(307, "/third"));
    world.responder.answer("/third", Answer::text(403, "a body that is nobody's business"));

    let target = format!("http://hop.example.org:{port}/second");
    let failure = fail(&world, &account, "start.example.org", Answer::redirect(302, &target));

    assert!(failure.detail.contains("status 403"), "{}", failure.detail);
    let log = world.acmed.log();
    for line in [
        format!("start.example.org A: {}", Ipv4Addr::LOCALHOST),
        format!("connected  127.0.0.1:{port}"),
        format!("GET http://start.example.org:{port}/.well-known/acme-challenge/"),
        "response   status 302".into(),
        format!("to {target}"),
        format!("hop.example.org A: {}", Ipv4Addr::LOCALHOST),
        format!("GET {target}"),
        "response   status 307".into(),
        format!("GET http://hop.example.org:{port}/third"),
        "response   status 403".into(),
        "verdict    failed".into(),
    ] {
        assert!(log.contains(&line), "the log has no {line:?}:\n{log}");
    }
    let trace = failure.detail.rsplit_once("(trace ").expect("a trace").1.trim_end_matches(')');
    assert!(log.contains(&format!("trace={trace}")), "the span of the attempt has its trace:\n{log}");
    assert!(!log.contains("nobody's business"), "what others' servers say is not ours to keep");
}

/// RFC 8555 section 8.2: the server asks again before it gives up, and the client can see why it has to.
#[test]
fn a_refused_connection_is_tried_again_and_then_the_order_is_invalid() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port();
    let world = World::with(|setup| {
        quick(setup)
            .with("validation", "linger = \"200ms\"")
            .with("limits", "validation_attempts = 3")
            .replacing("validation", "http_port", &closed.to_string())
    });
    let account = world.client.account();
    let (order, authorization, challenge) = challenge(&account, "refused.example.org");

    let first = account.post(&challenge.url, &json!({})).expect(200).json();
    if first["status"] == "processing" {
        assert_eq!(first["error"]["type"], "urn:ietf:params:acme:error:connection", "{first}");
    }

    let end = account.settled(&authorization.url);
    assert_eq!((end.status(), account.read(&order.url).status()), ("invalid", "invalid"));
    let detail = end.challenge("http-01").json["error"]["detail"].as_str().unwrap_or_default().to_owned();
    assert!(detail.contains(&format!("refused the connection to port {closed}")), "{detail}");
    let attempts = world.acmed.log().matches(&format!("connect    127.0.0.1:{closed} failed")).count();
    assert_eq!(attempts, 3, "{}", world.acmed.log());
}

/// A server that is restarted while it is asked is no reason to fail.
#[test]
fn an_answer_that_is_there_at_the_second_attempt_is_good() {
    let world = World::with(|setup| quick(setup).with("limits", "validation_attempts = 3"));
    let account = world.client.account();
    let (order, authorization, challenge) = challenge(&account, "late.example.org");
    let right = account.key_authorization(&challenge.text("token"));
    let asked = AtomicUsize::new(0);
    let answer = Answer::of(move |stream| {
        let head = match asked.fetch_add(1, Ordering::Relaxed) {
            0 => "HTTP/1.1 503 Not yet\r\nContent-Length: 0\r\n\r\n".to_owned(),
            _ => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{right}", right.len()),
        };
        let _ = stream.write_all(head.as_bytes());
    });
    world.responder.answer_token(&challenge.text("token"), answer);

    let _ = account.post(&challenge.url, &json!({})).expect(200);

    assert_eq!(account.settled(&authorization.url).status(), "valid");
    assert_eq!(account.read(&order.url).status(), "ready");
    assert!(account.read(&challenge.url).json["error"].is_null(), "what is valid shows no error");
}

/// An operation runs to its end, whether anybody waits for it or not.
#[test]
fn a_client_that_hangs_up_is_validated_all_the_same() {
    let world = World::new();
    let account = world.client.account();
    let (_, authorization, challenge) = challenge(&account, "hasty.example.org");
    let _ = account.provision(&authorization, &world.responder);
    let request = account.signed(&challenge.url, &json!({})).request();

    let mut socket = world.client.http.socket();
    socket.write_all(&request.to_bytes("127.0.0.1")).expect("it can be sent");
    drop(socket);

    eventually("the authorization is valid", Duration::from_secs(10), || {
        (account.read(&authorization.url).status() == "valid").then_some(())
    });
}

/// One that does not answer does not keep others waiting.
#[test]
fn names_that_hang_do_not_hold_up_others() {
    let world = World::new();
    let account = world.client.account();
    let hanging: Vec<_> = (0..20).map(|n| challenge(&account, &format!("hang{n}.example.org"))).collect();
    for (_, _, challenge) in &hanging {
        world
            .responder
            .answer_token(&challenge.text("token"), Answer::of(|_| thread::sleep(Duration::from_secs(5))));
        let _ = account.post(&challenge.url, &json!({})).expect(200);
    }
    let begun = std::time::Instant::now();
    let _ = account.ready_order(&["quick.example.org"], &world.responder);
    assert!(begun.elapsed() < Duration::from_secs(3), "it took {:?}", begun.elapsed());
}

fn quick(setup: integration_tests::Setup) -> integration_tests::Setup {
    setup.with("limits", "validation_backoff = \"100ms\"")
}

fn challenge(account: &Account, name: &str) -> (Object, Object, Object) {
    let order = account.order(&[name]);
    let authorization = account.authorizations(&order).remove(0);
    let challenge = authorization.challenge("http-01");
    (order, authorization, challenge)
}

/// Has a name validated against this answer, which is wrong.
fn fail(world: &World, account: &Account, name: &str, answer: Answer) -> Failure {
    let (order, authorization, challenge) = challenge(account, name);
    world.responder.answer_token(&challenge.text("token"), answer);
    let _ = account.post(&challenge.url, &json!({})).expect(200);
    let authorization = account.settled(&authorization.url);
    let challenge = authorization.challenge("http-01");
    assert_eq!([authorization.status(), challenge.status()], ["invalid"; 2], "{name}");
    assert_eq!(account.read(&order.url).status(), "invalid", "{name}");
    let text = |member: &str| challenge.json["error"][member].as_str().unwrap_or_default().to_owned();
    let problem = text("type").trim_start_matches("urn:ietf:params:acme:error:").to_owned();
    Failure { problem, detail: text("detail") }
}
