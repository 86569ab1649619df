//! What is valid.

use coyote_protocol::{Identifier, ProblemType};
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::ssl::SslVersion;
use tokio::io::AsyncReadExt;
use tokio_openssl::SslStream;

use super::world::{
    ACME_IDENTIFIER, ACME_TLS, Certificate, DENIED, Greeting, SUBJECT_ALT_NAME, Stranger, World, digest, dns,
    ip, listening, names, new_key, showing, shown, stranger, validate,
};
use crate::trace::TraceEvent;
use crate::validate::{ChallengeValidator, TlsAlpn01};

#[tokio::test]
async fn a_certificate_with_the_digest_for_the_name_alone_is_valid() {
    let (server, heard) = listening(&Certificate::right()).await;

    validate(&server).await.expect_valid();

    let greeting = Greeting { name: Some("a.test".to_owned()), protocols: ACME_TLS.to_vec() };
    assert_eq!(
        *heard.lock().unwrap(),
        [greeting],
        "it asks for the name, and for acme-tls/1 and nothing else"
    );
}

/// RFC 8738 section 6.
#[tokio::test]
async fn an_address_is_asked_for_by_its_reverse_name_and_shown_as_an_address() {
    let v6 = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa";
    for (address, name) in [("127.0.0.1", "1.0.0.127.in-addr.arpa"), ("::1", v6)] {
        let (server, heard) = listening(&Certificate::right_for(ip(address))).await;
        let mut world = World::at(1, server.port);
        if address == "::1" {
            // The server listens on the other family: another one there leads to it.
            world.policy = world.policy.allow("::1".parse().unwrap());
            world.limits.tls_port = forwarding(&server).await;
        }

        world.ask(&TlsAlpn01, "ip", address).await.expect_valid();

        assert_eq!(heard.lock().unwrap()[0].name.as_deref(), Some(name));
    }
}

/// A port of `::1` that leads to this stranger.
async fn forwarding(stranger: &Stranger) -> u16 {
    let listener = tokio::net::TcpListener::bind("[::1]:0").await.unwrap();
    let (port, to) = (listener.local_addr().unwrap().port(), stranger.port);
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut server = tokio::net::TcpStream::connect(("127.0.0.1", to)).await.unwrap();
        // However it ends.
        let _end = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    });
    port
}

#[tokio::test]
async fn any_tls_from_1_2_on_will_do() {
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        let mut context = showing(&Certificate::right());
        context.set_min_proto_version(Some(version)).unwrap();
        context.set_max_proto_version(Some(version)).unwrap();
        validate(&stranger(context).await).await.expect_valid();
    }
}

#[tokio::test]
async fn what_the_certificate_says_besides_does_not_matter() {
    let expired = Certificate { days: [0, 0], ..Certificate::right() };
    shown(&expired).await.expect_valid();

    let rsa = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let rsa = Certificate { issuer_key: rsa.clone(), key: rsa, ..Certificate::right() };
    shown(&rsa).await.expect_valid();

    // In the case that DNS does not see, and critical.
    let upper = (SUBJECT_ALT_NAME, true, names(&[dns("A.TEST")]));
    shown(&Certificate::right().replacing(SUBJECT_ALT_NAME, &[upper])).await.expect_valid();

    let mut more = Certificate::right();
    more.extensions.insert(0, ("1.2.3.4", true, vec![0x05, 0x00]));
    shown(&more).await.expect_valid();
}

#[tokio::test]
async fn certificates_after_the_first_do_not_matter() {
    let mut context = showing(&Certificate::right());
    context
        .add_extra_chain_cert(Certificate { issuer_key: new_key(), ..Certificate::right() }.build())
        .unwrap();
    validate(&stranger(context).await).await.expect_valid();
}

/// RFC 8737 section 4.
#[tokio::test]
async fn the_connection_is_closed_after_the_handshake_and_nothing_is_sent() {
    let context = showing(&Certificate::right()).build();
    let (done, waiting) = tokio::sync::oneshot::channel();
    let done = std::sync::Mutex::new(Some(done));
    let server = Stranger::handling(move |stream| {
        let ssl = openssl::ssl::Ssl::new(&context).unwrap();
        let done = done.lock().unwrap().take().expect("one connection");
        async move {
            let mut stream = SslStream::new(ssl, stream).unwrap();
            std::pin::Pin::new(&mut stream).accept().await.unwrap();
            let mut sent = Vec::new();
            // An end without a farewell is an end.
            let _end = stream.read_to_end(&mut sent).await;
            done.send(sent).unwrap();
        }
    })
    .await;

    validate(&server).await.expect_valid();

    assert_eq!(waiting.await.unwrap(), b"");
}

#[tokio::test]
async fn a_wildcard_is_neither_offered_nor_valid() {
    let wildcard = Identifier::parse("dns", "*.a.test").unwrap();
    assert!(!TlsAlpn01.offers(&wildcard));
    assert!(TlsAlpn01.offers(&wildcard.base()));
    assert!(TlsAlpn01.offers(&Identifier::parse("ip", "192.0.2.1").unwrap()));
    let server = stranger(showing(&Certificate::right())).await;

    let outcome = World::at(1, server.port).ask(&TlsAlpn01, "dns", "*.a.test").await;

    outcome.expect_definitive(ProblemType::Unauthorized, "tls-alpn-01 does not prove control of a wildcard");
    assert_eq!(server.connections(), 0, "nobody need be asked");
}

#[tokio::test]
async fn a_name_is_valid_at_any_of_its_allowed_addresses() {
    let server = stranger(showing(&Certificate::right())).await;
    let mut world = World::at(1, server.port);
    world.names.addresses.insert("a.test", vec![DENIED, "127.0.0.1"]);

    let outcome = world.ask(&TlsAlpn01, "dns", "a.test").await;

    outcome.expect_valid();
    outcome.expect_not_dialled(DENIED);
}

#[tokio::test]
async fn the_trace_tells_each_step_and_what_was_shown() {
    let outcome = shown(&Certificate::right()).await;

    let events = outcome.trace.events();
    let steps: Vec<_> = events.iter().map(|timed| &timed.event).collect();
    let [
        TraceEvent::Connect { .. },
        TraceEvent::Connected { .. },
        TraceEvent::TlsStart { server_name: Some(name) },
        TraceEvent::TlsDone { .. },
        TraceEvent::Certificate {
            protocol: Some(protocol), names, acme_identifier: Some(digest_shown), ..
        },
    ] = steps[..]
    else {
        panic!("other steps:\n{}", outcome.trace)
    };
    assert_eq!([name.as_str(), protocol.as_str(), names.as_str()], ["a.test", "acme-tls/1", "DNS a.test"]);
    let expected: String = digest().iter().map(|octet| format!("{octet:02x}")).collect();
    assert_eq!(digest_shown.as_str(), expected);

    let wrong = Certificate::right().replacing(ACME_IDENTIFIER, &[]);
    let text = shown(&wrong).await.trace.to_string();
    assert!(text.contains(&format!("the acmeIdentifier should be {expected}")), "{text}");
    assert!(text.contains("acmeIdentifier none"), "{text}");
}
