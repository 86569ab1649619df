//! What is valid.

use coyote_protocol::{Identifier, ProblemType};

use super::world::{ALLOWED, DENIED, Stranger, World, key_authorization, path, response, right};
use crate::trace::TraceEvent;
use crate::validate::{ChallengeValidator, Http01};

#[tokio::test]
async fn the_key_authorization_at_the_well_known_url_is_valid() {
    let stranger = Stranger::answering(|_| right()).await;

    let outcome = World::of(&stranger).validate().await;

    outcome.expect_valid();
    let port = stranger.port;
    assert_eq!(
        stranger.requests(),
        [format!(
            "GET {} HTTP/1.1\r\nhost: a.test:{port}\r\nuser-agent: coyote/{}\r\naccept: */*\r\n\
             accept-encoding: identity\r\nconnection: close\r\n\r\n",
            path(),
            env!("CARGO_PKG_VERSION"),
        )]
    );
}

#[tokio::test]
async fn white_space_after_the_key_authorization_is_ignored() {
    for end in ["\n", "\r\n", " \t\r\n\r\n"] {
        let body = format!("{}{end}", key_authorization());
        let stranger = Stranger::answering(move |_| response("200 OK", &[], &body)).await;
        World::of(&stranger).validate().await.expect_valid();
    }
}

#[tokio::test]
async fn the_body_may_be_framed_in_any_way_of_http() {
    let key_authorization = key_authorization();
    let length = key_authorization.as_str().len();
    let (first, second) = key_authorization.as_str().split_at(10);
    let answers = [
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{key_authorization}"),
        format!("HTTP/1.0 200 OK\r\n\r\n{key_authorization}"),
        format!("HTTP/1.1 200\r\nContent-Type: text/html\r\n\r\n{key_authorization}"),
        format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n",
            second.len()
        ),
        format!(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{key_authorization}"
        ),
    ];
    for answer in answers {
        let stranger = Stranger::answering(move |_| answer.clone().into_bytes()).await;
        World::of(&stranger).validate().await.expect_valid();
    }
}

/// RFC 8738 section 4.
#[tokio::test]
async fn an_address_is_asked_itself() {
    let stranger = Stranger::answering(|_| right()).await;

    let outcome = World::of(&stranger).validate_identifier("ip", ALLOWED).await;

    outcome.expect_valid();
    let request = stranger.requests().concat();
    assert!(request.contains(&format!("host: {ALLOWED}:{}\r\n", stranger.port)), "{request}");
}

#[tokio::test]
async fn an_ipv6_address_is_in_brackets_in_the_host_field() {
    let stranger = Stranger::answering_at("::1", 0, |_| right()).await;
    let mut world = World::of(&stranger);
    world.policy = world.policy.allow("::1".parse().unwrap());

    let outcome = world.validate_identifier("ip", "::1").await;

    outcome.expect_valid();
    let request = stranger.requests().concat();
    assert!(request.contains(&format!("host: [::1]:{}\r\n", stranger.port)), "{request}");
}

#[tokio::test]
async fn a_name_is_valid_at_any_of_its_allowed_addresses() {
    let stranger = Stranger::answering(|_| right()).await;
    let mut world = World::of(&stranger);
    world.policy = world.policy.allow("127.0.0.3".parse().unwrap());
    // Not allowed; allowed, but nobody is there; allowed.
    world.names.addresses.insert("a.test", vec![DENIED, "127.0.0.3", ALLOWED]);

    let outcome = world.validate().await;

    outcome.expect_valid();
    outcome.expect_not_dialled(DENIED);
}

#[tokio::test]
async fn v20_a_wildcard_is_neither_offered_nor_valid() {
    let stranger = Stranger::answering(|_| right()).await;
    let wildcard = Identifier::parse("dns", "*.a.test").unwrap();
    assert!(!Http01.offers(&wildcard));
    assert!(Http01.offers(&wildcard.base()));

    let outcome = World::of(&stranger).validate_identifier("dns", "*.a.test").await;

    outcome.expect_definitive(ProblemType::Unauthorized, "http-01 does not prove control of a wildcard");
    assert_eq!(stranger.connections(), 0, "nobody need be asked");
}

#[tokio::test]
async fn the_trace_tells_each_step() {
    let stranger = Stranger::answering(|_| right()).await;

    let outcome = World::of(&stranger).validate().await;

    let events = outcome.trace.events();
    let steps: Vec<_> = events.iter().map(|timed| &timed.event).collect();
    let length = key_authorization().as_str().len();
    assert!(
        matches!(
            steps[..],
            [
                TraceEvent::Connect { .. },
                TraceEvent::Connected { .. },
                TraceEvent::HttpRequest { .. },
                TraceEvent::HttpResponse { status: 200, .. },
                TraceEvent::HttpBody { bytes, complete: true },
            ] if *bytes == length
        ),
        "\n{}",
        outcome.trace
    );
}
