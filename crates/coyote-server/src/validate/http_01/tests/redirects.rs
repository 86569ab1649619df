//! Where redirects lead.

use std::pin::Pin;
use std::time::Duration;

use coyote_protocol::ProblemType;
use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::ssl::{Ssl, SslContext, SslMethod, SslVersion};
use openssl::x509::X509;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

use super::world::{DENIED, Outcome, Stranger, World, read_head, redirect, response, right};

/// Redirects everything but `/end`, where the right answer is.
async fn redirecting_with(
    status: &'static str,
    location: impl Fn(u16) -> String + Send + Sync + 'static,
) -> Outcome {
    let stranger = Stranger::answering(move |request| {
        if request.starts_with("GET /end ") {
            return right();
        }
        // The Host field says which port this is.
        let port =
            request.split_once("a.test:").and_then(|(_, rest)| rest.split("\r\n").next()?.parse().ok());
        response(status, &[&format!("Location: {}", location(port.unwrap_or_default()))], "")
    })
    .await;
    World::of(&stranger).validate().await
}

async fn redirecting_to(location: &str) -> Outcome {
    let location = location.to_owned();
    redirecting_with("302 Found", move |port| location.replace("PORT", &port.to_string())).await
}

#[tokio::test]
async fn four_kinds_of_redirect_are_followed() {
    for status in ["301", "302", "307", "308"] {
        redirecting_with(status, |_| "/end".to_owned()).await.expect_valid();
    }
}

#[tokio::test]
async fn a_redirect_may_be_written_in_any_way() {
    for location in [
        "/end",
        "//b.test:PORT/end",
        "http://b.test:PORT/end",
        "HTTP://B.TEST:PORT/end",
        "../../end",
        "/end#fragment",
    ] {
        redirecting_to(location).await.expect_valid();
    }
}

#[tokio::test]
async fn v06_a_redirect_to_an_address_that_is_not_allowed_is_not_followed() {
    for (address, url_host) in [
        ("169.254.169.254", "169.254.169.254"),
        ("10.0.0.1", "10.0.0.1"),
        ("::1", "[::1]"),
        ("127.0.0.2", "0x7f000002"),
        ("127.0.0.2", "2130706434"),
        ("::ffff:127.0.0.2", "[::ffff:127.0.0.2]"),
    ] {
        let outcome = redirecting_to(&format!("http://{url_host}:PORT/latest/meta-data/")).await;
        let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
        outcome.expect_definitive(
            ProblemType::Connection,
            &format!("the address of {host} (redirected to by a.test) is not allowed"),
        );
        outcome.expect_not_dialled(address);
    }
}

#[tokio::test]
async fn v06_not_one_packet_reaches_an_address_that_is_not_allowed() {
    let stranger = Stranger::answering(|request| {
        let port =
            request.split_once("a.test:").and_then(|(_, rest)| rest.split("\r\n").next()).unwrap_or_default();
        redirect(&format!("http://denied.test:{port}/"))
    })
    .await;
    let denied = Stranger::answering_at(DENIED, stranger.port, |_| right()).await;
    let mut world = World::of(&stranger);
    world.names.addresses.insert("denied.test", vec![DENIED]);

    let outcome = world.validate().await;

    outcome.expect_definitive(
        ProblemType::Connection,
        "the address of denied.test (redirected to by a.test) is not allowed",
    );
    outcome.expect_not_dialled(DENIED);
    assert_eq!(denied.connections(), 0);
}

#[tokio::test]
async fn v07_a_redirect_to_another_port_is_not_followed() {
    for port in [6379, 22, 8080] {
        redirecting_to(&format!("http://b.test:{port}/")).await.expect_definitive(
            ProblemType::Connection,
            &format!("http://a.test:PORTPATH redirects to port {port}, where validation does not go"),
        );
    }
    redirecting_to("http://b.test/").await.expect_definitive(
        ProblemType::Connection,
        "http://a.test:PORTPATH redirects to port 80, where validation does not go",
    );
}

#[tokio::test]
async fn v08_a_redirect_to_another_scheme_is_not_followed() {
    for location in
        ["file:///etc/passwd", "gopher://b.test:PORT/_x", "ftp://b.test:PORT/", "data:text/plain,x"]
    {
        redirecting_to(location).await.expect_definitive(
            ProblemType::Connection,
            "http://a.test:PORTPATH redirects to a URL that is neither http nor https",
        );
    }
}

#[tokio::test]
async fn v09_a_loop_is_noticed() {
    let stranger =
        Stranger::answering(|request| redirect(if request.starts_with("GET /x ") { "/y" } else { "/x" }))
            .await;
    World::of(&stranger).validate().await.expect_definitive(
        ProblemType::Connection,
        "http://a.test:PORT (redirected to by a.test) redirects to a URL that redirected here",
    );
    assert_eq!(stranger.connections(), 3, "the challenge, /x, /y");
}

/// Redirects so many times, then has the right answer.
async fn chain_of(redirects: usize) -> Outcome {
    let stranger = Stranger::answering(move |request| {
        let path = request.split(' ').nth(1).unwrap_or_default();
        let seen: usize = path.trim_start_matches('/').parse().unwrap_or(0);
        if seen == redirects { right() } else { redirect(&format!("/{}", seen + 1)) }
    })
    .await;
    World::of(&stranger).validate().await
}

#[tokio::test]
async fn v09_ten_redirects_are_followed_and_an_eleventh_is_not() {
    chain_of(10).await.expect_valid();
    chain_of(11).await.expect_definitive(
        ProblemType::Connection,
        "http://a.test:PORT (redirected to by a.test) redirects once more after 10 redirects",
    );
}

#[tokio::test]
async fn redirects_can_be_switched_off() {
    let stranger = Stranger::answering(|_| redirect("/end")).await;
    let mut world = World::of(&stranger);
    world.limits.max_redirects = 0;
    world.validate().await.expect_definitive(
        ProblemType::Connection,
        "http://a.test:PORTPATH redirects once more after 0 redirects",
    );
    assert_eq!(stranger.connections(), 1);
}

#[tokio::test]
async fn v10_other_ways_to_point_elsewhere_are_not_followed() {
    for status in ["300", "303", "304", "305"] {
        redirecting_with(status, |_| "/end".to_owned()).await.expect_definitive(
            ProblemType::IncorrectResponse,
            &format!("http://a.test:PORTPATH answered with status {status} instead of 200"),
        );
    }
    let refresh = Stranger::answering(|_| {
        response("200 OK", &["Refresh: 0; url=/end"], "<meta http-equiv=refresh content='0; url=/end'>")
    })
    .await;
    World::of(&refresh).validate().await.expect_definitive(
        ProblemType::IncorrectResponse,
        "http://a.test:PORTPATH answered with something else than the key authorization",
    );
    assert_eq!(refresh.connections(), 1);
}

#[tokio::test]
async fn v17_user_names_and_fragments_do_not_disguise_a_host() {
    redirecting_to("http://b.test@169.254.169.254:PORT/").await.expect_definitive(
        ProblemType::Connection,
        "http://a.test:PORTPATH redirects to a URL with a user name or a password",
    );
    for location in ["http://169.254.169.254:PORT#@b.test/", "http://169.254.169.254:PORT\\@b.test/"] {
        let outcome = redirecting_to(location).await;
        outcome.expect_definitive(
            ProblemType::Connection,
            "the address of 169.254.169.254 (redirected to by a.test) is not allowed",
        );
        outcome.expect_not_dialled("169.254.169.254");
    }
}

#[tokio::test]
async fn a_redirect_says_where_to_exactly_once() {
    for fields in [&[][..], &["Location: /end", "Location: /x"]] {
        let stranger = Stranger::answering(move |_| response("302 Found", fields, "")).await;
        World::of(&stranger).validate().await.expect_definitive(
            ProblemType::Connection,
            "http://a.test:PORTPATH redirects without saying where to",
        );
    }
    redirecting_to("http://[").await.expect_definitive(
        ProblemType::Connection,
        "http://a.test:PORTPATH redirects to something that is not a URL",
    );
}

/// A server with a self-signed certificate that has expired and is for another name.
async fn https(max_version: SslVersion) -> Stranger {
    let key = PKey::from_ec_key(
        EcKey::generate(&EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap()).unwrap(),
    )
    .unwrap();
    let mut certificate = X509::builder().unwrap();
    certificate.set_not_before(&Asn1Time::from_unix(0).unwrap()).unwrap();
    certificate.set_not_after(&Asn1Time::from_unix(1).unwrap()).unwrap();
    certificate.set_pubkey(&key).unwrap();
    certificate.sign(&key, MessageDigest::sha256()).unwrap();

    let mut context = SslContext::builder(SslMethod::tls_server()).unwrap();
    context.set_cipher_list("ALL:@SECLEVEL=0").unwrap();
    context.set_min_proto_version(Some(SslVersion::TLS1)).unwrap();
    context.set_max_proto_version(Some(max_version)).unwrap();
    context.set_certificate(&certificate.build()).unwrap();
    context.set_private_key(&key).unwrap();
    let context = context.build();
    Stranger::handling(move |stream| {
        let mut stream = SslStream::new(Ssl::new(&context).unwrap(), stream).unwrap();
        async move {
            if Pin::new(&mut stream).accept().await.is_ok() {
                let request = read_head(&mut stream).await;
                let name = stream.ssl().servername(openssl::ssl::NameType::HOST_NAME).unwrap_or_default();
                let expected = request.starts_with("GET /x ") && name == "b.test";
                let answer = if expected { right() } else { response("404", &[], "") };
                // A client that hangs up after the handshake is of no interest here.
                let _sent = stream.write_all(&answer).await;
                let _closed = Pin::new(&mut stream).shutdown().await;
            }
        }
    })
    .await
}

/// Redirects from http to this server.
async fn redirecting_to_https(secure: &Stranger) -> Outcome {
    let location = format!("https://b.test:{}/x", secure.port);
    let stranger = Stranger::answering(move |_| redirect(&location)).await;
    let mut world = World::of(&stranger);
    world.limits.tls_port = secure.port;
    world.validate().await
}

#[tokio::test]
async fn a_redirect_to_https_is_followed_whatever_the_certificate() {
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        let secure = https(version).await;
        let outcome = redirecting_to_https(&secure).await;
        outcome.expect_valid();
        assert!(outcome.trace.to_string().contains("tls        TLSv1."), "\n{}", outcome.trace);
    }
}

/// Whether a client that takes any version gets through to this server: if not, a test of versions means nothing.
async fn speaks_old_tls(secure: &Stranger) -> bool {
    let mut context = SslContext::builder(SslMethod::tls_client()).unwrap();
    context.set_cipher_list("ALL:@SECLEVEL=0").unwrap();
    context.set_min_proto_version(Some(SslVersion::TLS1)).unwrap();
    let stream = TcpStream::connect(("127.0.0.1", secure.port)).await.unwrap();
    let mut stream = SslStream::new(Ssl::new(&context.build()).unwrap(), stream).unwrap();
    Pin::new(&mut stream).connect().await.is_ok()
}

#[tokio::test]
async fn v19_tls_before_1_2_is_not_spoken() {
    for version in [SslVersion::TLS1, SslVersion::TLS1_1] {
        let secure = https(version).await;
        assert!(speaks_old_tls(&secure).await);
        redirecting_to_https(&secure).await.expect_definitive(
            ProblemType::Tls,
            "https://b.test:PORT (redirected to by a.test) could not be asked: the TLS handshake (1.2 or later) failed",
        );
        assert_eq!(secure.connections(), 2, "it was tried");
    }
}

#[tokio::test]
async fn what_does_not_speak_tls_is_no_answer() {
    let plain = Stranger::handling(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    })
    .await;
    redirecting_to_https(&plain).await.expect_definitive(
        ProblemType::Tls,
        "https://b.test:PORT (redirected to by a.test) could not be asked: the TLS handshake (1.2 or later) failed",
    );
}

#[tokio::test]
async fn v15_a_stalled_handshake_is_given_up_at_the_deadline() {
    let stalled = Stranger::handling(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let location = format!("https://b.test:{}/x", stalled.port);
    let stranger = Stranger::answering(move |_| redirect(&location)).await;
    let mut world = World::of(&stranger);
    world.limits.tls_port = stalled.port;
    world.limits.attempt_deadline = Duration::from_millis(300);

    world.validate().await.expect_transient(
        ProblemType::Connection,
        "https://b.test:PORT (redirected to by a.test) did not answer within 300 milliseconds of the first request",
    );
}
