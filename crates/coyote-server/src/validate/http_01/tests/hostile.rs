//! What is not valid, and what must not hurt.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use coyote_jose::Thumbprint;
use coyote_protocol::{KeyAuthorization, ProblemType};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::world::{
    ALLOWED, DENIED, Outcome, Stranger, World, key_authorization, read_head, response, right, token,
};
use crate::validate::ResolveError;

async fn answered_with(answer: Vec<u8>) -> Outcome {
    let stranger = Stranger::answering(move |_| answer.clone()).await;
    World::of(&stranger).validate().await
}

#[tokio::test]
async fn v01_the_right_body_with_another_status_than_200_is_wrong() {
    for status in ["201", "204", "206", "400", "401", "403", "404", "410", "429"] {
        let outcome = answered_with(response(status, &[], key_authorization().as_str())).await;
        outcome.expect_definitive(
            ProblemType::IncorrectResponse,
            &format!("http://a.test:PORTPATH answered with status {status} instead of 200"),
        );
    }
}

#[tokio::test]
async fn a_server_error_may_pass() {
    for status in ["500", "502", "503", "504"] {
        let outcome = answered_with(response(status, &[], key_authorization().as_str())).await;
        outcome.expect_transient(
            ProblemType::IncorrectResponse,
            &format!("http://a.test:PORTPATH answered with status {status} instead of 200"),
        );
    }
}

#[tokio::test]
async fn v02_an_echo_is_wrong() {
    let echo = Stranger::answering(|request| {
        let path = request.split(' ').nth(1).unwrap_or_default();
        response("200 OK", &[], path)
    })
    .await;
    World::of(&echo).validate().await.expect_definitive(
        ProblemType::IncorrectResponse,
        "http://a.test:PORTPATH answered with something else than the key authorization",
    );

    answered_with(response("200 OK", &[], token().as_str())).await.expect_definitive(
        ProblemType::IncorrectResponse,
        "http://a.test:PORTPATH answered with the token alone, without the thumbprint of the account key",
    );
    answered_with(response("200 OK", &[], "")).await.expect_definitive(
        ProblemType::IncorrectResponse,
        "http://a.test:PORTPATH answered with an empty body",
    );
}

#[tokio::test]
async fn v03_the_key_authorization_of_another_account_is_wrong() {
    let other = KeyAuthorization::new(&token(), Thumbprint::from_bytes([2; 32]));
    answered_with(response("200 OK", &[], other.as_str())).await.expect_definitive(
        ProblemType::IncorrectResponse,
        "http://a.test:PORTPATH answered with the key authorization of another account key",
    );
}

#[tokio::test]
async fn v04_anything_before_or_around_the_key_authorization_is_wrong() {
    let right = key_authorization();
    for body in [
        format!(" {right}"),
        format!("\n{right}"),
        format!("\u{feff}{right}"),
        format!("<pre>{right}</pre>"),
        format!("{right}x"),
        format!("{right}\0"),
        format!("{right}\u{a0}"),
        format!("{right}\n{right}"),
        format!("\"{right}\""),
    ] {
        answered_with(response("200 OK", &[], &body)).await.expect_definitive(
            ProblemType::IncorrectResponse,
            "http://a.test:PORTPATH answered with more than the key authorization",
        );
    }
    for body in
        [right.as_str().to_uppercase(), right.as_str()[1..].to_owned(), right.as_str()[..60].to_owned()]
    {
        answered_with(response("200 OK", &[], &body)).await.expect_definitive(
            ProblemType::IncorrectResponse,
            "http://a.test:PORTPATH answered with something else than the key authorization",
        );
    }
}

/// Sends without end, and counts what was taken.
async fn pour(mut stream: TcpStream, head: &'static str, taken: Arc<AtomicUsize>) {
    read_head(&mut stream).await;
    let start = format!("{head}\r\n\r\n{}", key_authorization());
    let mut chunk = start.into_bytes();
    while let Ok(sent) = stream.write(&chunk).await {
        taken.fetch_add(sent, Ordering::SeqCst);
        chunk = vec![b' '; 64 * 1024];
    }
}

#[tokio::test]
async fn v05_a_body_without_end_is_not_read() {
    for head in ["HTTP/1.1 200 OK", "HTTP/1.1 200 OK\r\nContent-Length: 1073741824"] {
        let taken = Arc::new(AtomicUsize::new(0));
        let count = taken.clone();
        let stranger = Stranger::handling(move |stream| pour(stream, head, count.clone())).await;

        let outcome = World::of(&stranger).validate().await;

        outcome.expect_definitive(
            ProblemType::IncorrectResponse,
            "http://a.test:PORTPATH answered with more than a key authorization",
        );
        assert!(outcome.took < Duration::from_secs(2), "it is not waited for: {:?}", outcome.took);
        assert!(outcome.trace.to_string().contains("body of more than"), "\n{}", outcome.trace);
        // The connection is closed: the flood ends by itself, after what the kernel had room for.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let then = taken.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(taken.load(Ordering::SeqCst), then, "the connection is closed");
        assert!(then < 64 * 1024 * 1024, "{then} bytes were taken");
    }
}

#[tokio::test]
async fn v05_a_body_that_claims_to_be_too_long_is_not_waited_for() {
    let stranger = Stranger::handling(|stream| {
        trickle(stream, "HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n", b"x")
    })
    .await;

    let outcome = World::of(&stranger).validate().await;

    outcome.expect_definitive(
        ProblemType::IncorrectResponse,
        "http://a.test:PORTPATH answered with more than a key authorization",
    );
}

#[tokio::test]
async fn a_body_of_the_limit_is_read_and_a_longer_one_is_not() {
    let padded = |length| format!("{:<length$}", key_authorization().as_str());
    answered_with(response("200 OK", &[], &padded(1024))).await.expect_valid();
    answered_with(response("200 OK", &[], &padded(1025))).await.expect_definitive(
        ProblemType::IncorrectResponse,
        "http://a.test:PORTPATH answered with more than a key authorization",
    );
}

#[tokio::test]
async fn v11_a_name_with_an_address_that_is_not_allowed_is_not_dialled() {
    let stranger = Stranger::answering_at(DENIED, 0, |_| right()).await;
    for address in
        [DENIED, "169.254.169.254", "10.0.0.1", "::1", "::ffff:127.0.0.2", "64:ff9b::7f00:2", "0.0.0.0"]
    {
        let mut world = World::of(&stranger);
        world.names.addresses.insert("a.test", vec![address]);

        let outcome = world.validate().await;

        outcome.expect_definitive(ProblemType::Connection, "the address of a.test is not allowed");
        outcome.expect_not_dialled(address);
    }
    assert_eq!(stranger.connections(), 0);
}

#[tokio::test]
async fn an_address_that_is_not_allowed_is_not_dialled_as_an_identifier_either() {
    let stranger = Stranger::answering_at(DENIED, 0, |_| right()).await;

    let outcome = World::of(&stranger).validate_identifier("ip", DENIED).await;

    outcome.expect_definitive(ProblemType::Connection, "the address of 127.0.0.2 is not allowed");
    assert_eq!(stranger.connections(), 0);
}

#[tokio::test]
async fn v14_a_compressed_body_is_not_inflated() {
    // What `gzip` makes of the right answer would do as well as any other bytes.
    let mut answer = response("200 OK", &["Content-Encoding: gzip"], "");
    answer.extend([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]);
    answer.extend(vec![0; 10 * 1024 * 1024]);
    answered_with(answer).await.expect_definitive(
        ProblemType::IncorrectResponse,
        "http://a.test:PORTPATH answered with more than a key authorization",
    );
}

/// Sends a byte now and then.
async fn trickle(mut stream: TcpStream, head: &'static str, byte: &'static [u8]) {
    read_head(&mut stream).await;
    let mut sent = stream.write_all(head.as_bytes()).await;
    while sent.is_ok() {
        tokio::time::sleep(Duration::from_millis(20)).await;
        sent = stream.write_all(byte).await;
    }
}

#[tokio::test]
async fn v15_a_server_that_hangs_is_given_up_at_the_deadline() {
    let silent = Stranger::handling(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let strangers = [
        silent,
        Stranger::handling(|stream| trickle(stream, "HTTP/1.1 200 OK\r\nX: ", b"x")).await,
        Stranger::handling(|stream| trickle(stream, "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", b"x"))
            .await,
        Stranger::handling(|stream| {
            trickle(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n")
        })
        .await,
        Stranger::handling(|stream| trickle(stream, "", b"HTTP/1.1 100 Continue\r\n\r\n")).await,
    ];
    for (index, stranger) in strangers.iter().enumerate() {
        let mut world = World::of(stranger);
        world.limits.attempt_deadline = Duration::from_millis(300);

        let outcome = world.validate().await;

        outcome.expect_transient(
            ProblemType::Connection,
            "http://a.test:PORTPATH did not answer within 300 milliseconds of the first request",
        );
        assert!(outcome.took < Duration::from_millis(1500), "stranger {index}: {:?}", outcome.took);
    }
}

#[tokio::test]
async fn dns_that_hangs_is_given_up_at_the_deadline() {
    let stranger = Stranger::answering(|_| right()).await;
    let mut world = World::of(&stranger);
    world.names.silent = vec!["a.test"];
    world.limits.attempt_deadline = Duration::from_millis(100);

    let outcome = world.validate().await;

    outcome.expect_transient(
        ProblemType::Connection,
        "http://a.test:PORTPATH did not answer within 100 milliseconds of the first request",
    );
}

#[tokio::test]
async fn v16_a_head_over_the_limit_is_not_read() {
    let many = "X: y\r\n".repeat(1000);
    let long = format!("X: {}\r\n", "y".repeat(20_000));
    let huge = format!("X: {}\r\n", "y".repeat(10 * 1024 * 1024));
    for fields in [many, long, huge] {
        let answer = format!("HTTP/1.1 200 OK\r\n{fields}\r\n{}", key_authorization());
        answered_with(answer.into_bytes()).await.expect_definitive(
            ProblemType::Connection,
            "http://a.test:PORTPATH answered with something that is not HTTP/1.1, or with too many or too long header fields",
        );
    }
}

#[tokio::test]
async fn the_limits_of_the_head_are_the_configured_ones() {
    let stranger =
        Stranger::answering(|_| response("200 OK", &[&format!("X: {}", "y".repeat(3000))], "")).await;
    let mut world = World::of(&stranger);
    world.limits.max_response_head = 2000;

    let outcome = world.validate().await;

    outcome.expect_definitive(
        ProblemType::Connection,
        "http://a.test:PORTPATH answered with something that is not HTTP/1.1, or with too many or too long header fields",
    );
}

#[tokio::test]
async fn what_does_not_speak_http_is_no_answer() {
    for banner in
        ["SSH-2.0-OpenSSH_9.2\r\n", "+OK ready\r\n\r\n", "HTTP/0.9 200 OK\r\n\r\n", "\0\u{1}\u{2}\u{3}"]
    {
        answered_with(banner.as_bytes().to_vec()).await.expect_definitive(
            ProblemType::Connection,
            "http://a.test:PORTPATH answered with something that is not HTTP/1.1, or with too many or too long header fields",
        );
    }
}

#[tokio::test]
async fn a_connection_that_ends_early_may_be_better_next_time() {
    for answer in ["", "HTTP/1.1 200 OK\r\nX", "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n"] {
        let answer = format!("{answer}{}", if answer.ends_with("\r\n\r\n") { "x" } else { "" });
        answered_with(answer.into_bytes()).await.expect_transient(
            ProblemType::Connection,
            "http://a.test:PORTPATH closed the connection before the answer was complete",
        );
    }
}

#[tokio::test]
async fn v18_nothing_of_an_answer_is_told_to_the_client() {
    const CANARY: &str = "c4n4ry";
    for answer in [
        response("200 OK", &["X-Canary: c4n4ry"], CANARY),
        response("200 c4n4ry", &[], CANARY),
        response("404 c4n4ry", &["Location: http://c4n4ry.test/"], CANARY),
        response("200 OK", &[], &CANARY.repeat(1000)),
        response("302 Found", &["Location: http://b.test:22/c4n4ry"], ""),
        response("302 Found", &["Location: http://c4n4ry@b.test/"], ""),
        response("302 Found", &["Location: c4n4ry://b.test/"], ""),
        response("302 Found", &["Location: http://c4n4ry_/"], ""),
        b"c4n4ry\r\n\r\n".to_vec(),
        b"HTTP/1.1 c4n4ry\r\n\r\n".to_vec(),
    ] {
        answered_with(answer).await.expect_untold(CANARY);
    }
}

#[tokio::test]
async fn a_failure_of_dns_is_told_as_one() {
    let stranger = Stranger::answering(|_| right()).await;
    let fail = async |failure: ResolveError| {
        let mut world = World::of(&stranger);
        world.names.failures.insert("a.test", failure);
        world.validate().await
    };
    fail(ResolveError::NoSuchName)
        .await
        .expect_definitive(ProblemType::Dns, "DNS says that a.test does not exist (NXDOMAIN)");
    fail(ResolveError::NoRecords)
        .await
        .expect_definitive(ProblemType::Dns, "DNS has neither an A nor an AAAA record for a.test");
    fail(ResolveError::Server("SERVFAIL".to_owned()))
        .await
        .expect_transient(ProblemType::Dns, "DNS answered SERVFAIL when asked for the address of a.test");
    fail(ResolveError::TimedOut).await.expect_transient(
        ProblemType::Dns,
        "DNS did not answer in time when asked for the address of a.test",
    );
}

#[tokio::test]
async fn a_closed_port_may_be_open_in_a_moment() {
    let stranger = Stranger::answering(|_| right()).await;
    let mut world = World::of(&stranger);
    world.limits.http_port = 1;

    let outcome = world.validate().await;

    outcome.expect_transient(ProblemType::Connection, "a.test refused the connection to port 1");
    assert!(outcome.trace.to_string().contains(&format!("{ALLOWED}:1 failed")), "\n{}", outcome.trace);
}
