//! What is not valid, and what must not hurt.

use std::time::Duration;

use coyote_protocol::ProblemType;
use openssl::ssl::{AlpnError, SslVersion};
use tokio::io::AsyncWriteExt;

use super::world::{
    ACME_IDENTIFIER, Certificate, DENIED, Outcome, SUBJECT_ALT_NAME, Stranger, World, der, digest, dns, ip,
    key_authorization, names, new_key, showing, shown, silent, stranger, validate,
};
use crate::validate::TlsAlpn01;

#[track_caller]
fn expect_unauthorized(outcome: &Outcome, what: &str) {
    outcome.expect_definitive(ProblemType::Unauthorized, &format!("a.test:PORT {what}"));
}

/// The right certificate, but for its subjectAltName.
async fn named(extensions: &[(&'static str, bool, Vec<u8>)]) -> Outcome {
    shown(&Certificate::right().replacing(SUBJECT_ALT_NAME, extensions)).await
}

/// The right certificate, but for its acmeIdentifier.
async fn identified(extensions: &[(&'static str, bool, Vec<u8>)]) -> Outcome {
    shown(&Certificate::right().replacing(ACME_IDENTIFIER, extensions)).await
}

#[tokio::test]
async fn v50_a_server_that_does_not_agree_to_the_protocol_is_wrong() {
    let what = "did not agree to speak acme-tls/1";
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        let mut deaf = silent(&Certificate::right());
        deaf.set_max_proto_version(Some(version)).unwrap();
        expect_unauthorized(&validate(&stranger(deaf).await).await, what);

        for answer in [AlpnError::ALERT_FATAL, AlpnError::NOACK] {
            let mut other = silent(&Certificate::right());
            other.set_max_proto_version(Some(version)).unwrap();
            other.set_alpn_select_callback(move |_, offered| {
                openssl::ssl::select_next_proto(b"\x02h2\x08http/1.1", offered).ok_or(answer)
            });
            expect_unauthorized(&validate(&stranger(other).await).await, what);
        }
    }
}

#[tokio::test]
async fn v50_a_server_that_insists_on_another_protocol_is_wrong() {
    let mut context = silent(&Certificate::right());
    context.set_alpn_select_callback(|_, _| Ok(b"h2"));
    validate(&stranger(context).await).await.expect_definitive(
        ProblemType::Tls,
        "a.test:PORT could not be asked: the TLS handshake (1.2 or later) failed",
    );
}

#[tokio::test]
async fn v51_an_acme_identifier_that_is_not_critical_is_wrong() {
    expect_unauthorized(
        &identified(&[(ACME_IDENTIFIER, false, digest())]).await,
        "answered with a certificate whose acmeIdentifier extension is not critical",
    );
}

#[tokio::test]
async fn v52_the_acme_identifier_of_a_draft_is_none() {
    let what = "answered with a certificate without the acmeIdentifier extension";
    for draft in ["1.3.6.1.5.5.7.1.30.1", "1.3.6.1.5.5.7.1.30"] {
        expect_unauthorized(&identified(&[(draft, true, digest())]).await, what);
    }
    expect_unauthorized(&identified(&[]).await, what);
}

#[tokio::test]
async fn v53_a_certificate_for_other_names_than_the_identifier_alone_is_wrong() {
    let what = "answered with a certificate for other names than the identifier alone";
    let uri = der(0x86, b"https://a.test");
    let directory = der(0xa4, &der(0x30, b""));
    for wrong in [
        vec![dns("a.test"), dns("b.test")],
        vec![dns("a.test"), dns("a.test")],
        vec![dns("a.test"), ip("127.0.0.1")],
        vec![dns("a.test"), uri.clone()],
        vec![dns("a.test"), directory],
        vec![dns("b.test")],
        vec![dns("*.a.test")],
        vec![dns("www.a.test")],
        vec![dns("a.test.")],
        vec![dns("a.test\0.b.test")],
        vec![dns("")],
        vec![der(0x82, b"a.t\xc3\xa9st")],
        vec![ip("127.0.0.1")],
        vec![uri],
        vec![],
    ] {
        let outcome = named(&[(SUBJECT_ALT_NAME, false, names(&wrong))]).await;
        expect_unauthorized(&outcome, what);
        outcome.expect_untold("b.test");
    }
    let trailing = [names(&[dns("a.test")]), vec![0]].concat();
    expect_unauthorized(&named(&[(SUBJECT_ALT_NAME, false, trailing)]).await, what);
    expect_unauthorized(&named(&[]).await, "answered with a certificate without a subjectAltName");
    let right = (SUBJECT_ALT_NAME, false, names(&[dns("a.test")]));
    let other = (SUBJECT_ALT_NAME, false, names(&[dns("b.test")]));
    for twice in [[right.clone(), other.clone()], [other, right]] {
        expect_unauthorized(&named(&twice).await, "answered with a certificate that has an extension twice");
    }
}

#[tokio::test]
async fn v53_an_address_is_shown_as_an_address() {
    for name in [dns("127.0.0.1"), dns("1.0.0.127.in-addr.arpa"), ip("127.0.0.2"), ip("::ffff:127.0.0.1")] {
        let server = stranger(showing(&Certificate::right_for(name))).await;
        let outcome = World::at(1, server.port).ask(&TlsAlpn01, "ip", "127.0.0.1").await;
        outcome.expect_definitive(
            ProblemType::Unauthorized,
            "127.0.0.1:PORT answered with a certificate for other names than the identifier alone",
        );
    }
}

#[tokio::test]
async fn v54_tls_before_1_2_is_not_spoken() {
    for version in [SslVersion::TLS1, SslVersion::TLS1_1] {
        let mut context = showing(&Certificate::right());
        context.set_cipher_list("ALL:@SECLEVEL=0").unwrap();
        context.set_min_proto_version(Some(SslVersion::TLS1)).unwrap();
        context.set_max_proto_version(Some(version)).unwrap();
        let server = stranger(context).await;
        validate(&server).await.expect_definitive(
            ProblemType::Tls,
            "a.test:PORT could not be asked: the TLS handshake (1.2 or later) failed",
        );
        assert_eq!(server.connections(), 1, "it was tried");
    }
}

#[tokio::test]
async fn v55_what_is_not_exactly_the_digest_is_wrong() {
    let right = key_authorization().digest();
    let none = "answered with a certificate whose acmeIdentifier is not a SHA-256 digest";
    for value in [
        der(0x04, &right[..31]),
        der(0x04, &[&right[..], &[0]].concat()),
        [digest(), vec![0]].concat(),
        [digest(), digest()].concat(),
        [&[0x04, 0x81, 32][..], &right].concat(),
        der(0x04, &digest()),
        der(0x30, &digest()),
        der(0x03, &[&[0][..], &right].concat()),
        der(0x24, &digest()),
        der(0x04, &[]),
        right.to_vec(),
        Vec::new(),
    ] {
        expect_unauthorized(&identified(&[(ACME_IDENTIFIER, true, value)]).await, none);
    }

    let other = "answered with a certificate whose acmeIdentifier is not the digest of the key authorization";
    expect_unauthorized(&identified(&[(ACME_IDENTIFIER, true, der(0x04, &[0; 32]))]).await, other);

    let (right, wrong) = ((ACME_IDENTIFIER, true, digest()), (ACME_IDENTIFIER, true, der(0x04, &[0; 32])));
    for twice in [[right.clone(), wrong.clone()], [wrong, right.clone()], [right.clone(), right]] {
        expect_unauthorized(
            &identified(&twice).await,
            "answered with a certificate that has an extension twice",
        );
    }
}

#[tokio::test]
async fn v56_a_certificate_that_is_not_self_signed_is_wrong() {
    let what = "answered with a certificate that is not self-signed";
    let issued = Certificate { issuer: "CA", issuer_key: new_key(), ..Certificate::right() };
    expect_unauthorized(&shown(&issued).await, what);
    // Either of the two is not enough.
    let by_another_key = Certificate { issuer_key: new_key(), ..Certificate::right() };
    expect_unauthorized(&shown(&by_another_key).await, what);
    let by_another_name = Certificate { issuer: "CA", ..Certificate::right() };
    expect_unauthorized(&shown(&by_another_name).await, what);
}

#[tokio::test]
async fn v58_a_handshake_that_stalls_is_given_up_at_the_deadline() {
    let silence = Stranger::handling(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    });
    // The header of a record with a ServerHello, and its first bytes.
    let stuck = Stranger::handling(|mut stream| async move {
        stream.write_all(&[22, 3, 3, 0, 90, 2, 0, 0, 86, 3, 3]).await.unwrap();
        std::future::pending::<()>().await;
    });
    for stalled in [silence.await, stuck.await] {
        let mut world = World::at(1, stalled.port);
        world.limits.attempt_deadline = Duration::from_millis(300);

        let outcome = world.ask(&TlsAlpn01, "dns", "a.test").await;

        outcome
            .expect_transient(ProblemType::Connection, "a.test:PORT did not answer within 300 milliseconds");
        assert!(outcome.took < Duration::from_secs(2), "{:?}", outcome.took);
    }
}

#[tokio::test]
async fn v58_a_chain_that_is_too_long_is_not_read() {
    let mut long = Certificate::right();
    long.extensions.push(("1.2.3.4", false, vec![0; 12 * 1024]));
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        // More than is taken, and more than OpenSSL lets anybody announce.
        for certificates in [2, 100] {
            let mut context = showing(&long);
            context.set_max_proto_version(Some(version)).unwrap();
            for _ in 1..certificates {
                context.add_extra_chain_cert(long.build()).unwrap();
            }
            validate(&stranger(context).await).await.expect_definitive(
                ProblemType::Connection,
                "a.test:PORT sent more than the 16384 bytes that a TLS handshake may have",
            );
        }
    }
    shown(&long).await.expect_valid();
}

#[tokio::test]
async fn v58_a_handshake_without_end_is_not_listened_to() {
    let flood = Stranger::handling(|mut stream| async move {
        // Warnings that TLS tells to ignore.
        let chunk = [21, 3, 3, 0, 2, 1, 90].repeat(1000);
        while stream.write_all(&chunk).await.is_ok() {}
    })
    .await;

    let outcome = validate(&flood).await;

    assert!(outcome.took < Duration::from_secs(2), "{:?}", outcome.took);
    outcome.expect_definitive(
        ProblemType::Tls,
        "a.test:PORT could not be asked: the TLS handshake (1.2 or later) failed",
    );
}

#[tokio::test]
async fn what_does_not_speak_tls_is_wrong() {
    let plain = Stranger::handling(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    })
    .await;
    validate(&plain).await.expect_definitive(
        ProblemType::Tls,
        "a.test:PORT could not be asked: the TLS handshake (1.2 or later) failed",
    );
}

#[tokio::test]
async fn a_server_that_hangs_up_may_be_there_in_a_moment() {
    let hasty = Stranger::handling(|stream| async move { drop(stream) }).await;
    let half = Stranger::handling(|mut stream| async move {
        stream.write_all(&[22, 3, 3, 0, 90, 2, 0, 0]).await.unwrap();
    })
    .await;
    for server in [hasty, half] {
        validate(&server).await.expect_transient(
            ProblemType::Connection,
            "a.test:PORT closed the connection before the TLS handshake was complete",
        );
    }
}

#[tokio::test]
async fn a_closed_port_may_be_open_in_a_moment() {
    let outcome = World::at(1, 1).ask(&TlsAlpn01, "dns", "a.test").await;
    outcome.expect_transient(ProblemType::Connection, "a.test refused the connection to port 1");
}

#[tokio::test]
async fn an_address_that_is_not_allowed_is_not_dialled() {
    let server = stranger(showing(&Certificate::right())).await;
    let mut world = World::at(1, server.port);
    world.names.addresses.insert("a.test", vec![DENIED]);

    let outcome = world.ask(&TlsAlpn01, "dns", "a.test").await;

    outcome.expect_definitive(ProblemType::Connection, "the address of a.test is not allowed");
    outcome.expect_not_dialled(DENIED);
}
