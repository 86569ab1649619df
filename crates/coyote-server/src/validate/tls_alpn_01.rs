//! tls-alpn-01: the digest of the key authorization is in a certificate made for the purpose. RFC 8737.

use std::fmt;
use std::io::ErrorKind;
use std::net::IpAddr;

use async_trait::async_trait;
use coyote_protocol::{ChallengeType, Identifier, ProblemType};
use openssl::ssl;
use openssl::x509::X509;

use super::tls::{Hello, handshake};
use super::told::{in_words, no_connection};
use super::{Attempt, ChallengeValidator, Host, ValidationFailure};
use crate::trace::{Excerpt, Trace, TraceEvent};

mod bounded;
mod certificate;

use bounded::Bounded;
use certificate::{Flaw, Shown};

/// What is asked for by ALPN. RFC 8737 section 6.2.
const PROTOCOL: &str = "acme-tls/1";

/// Errors of OpenSSL's TLS (`ERR_LIB_SSL`), by their reason.
const TLS_LIBRARY: i32 = 20;
const EXCESSIVE_MESSAGE: i32 = 152;
const UNEXPECTED_END: i32 = 294;
const NO_APPLICATION_PROTOCOL: i32 = 1120;

/// Validates tls-alpn-01 challenges, for DNS names and for IP addresses (RFC 8738 section 6), never for wildcards.
///
/// It begins a TLS connection (1.2 or later) to the TLS port of validation, asks for the protocol `acme-tls/1`, and
/// closes it after the handshake. The server must agree to that protocol, and show a self-signed certificate for
/// the identifier alone, with the digest of the key authorization in a critical acmeIdentifier extension.
#[derive(Clone, Copy, Debug, Default)]
pub struct TlsAlpn01;

#[async_trait]
impl ChallengeValidator for TlsAlpn01 {
    fn challenge_type(&self) -> ChallengeType {
        ChallengeType::TLS_ALPN_01
    }

    fn offers(&self, identifier: &Identifier) -> bool {
        matches!(identifier, Identifier::Dns(_) | Identifier::Ip(_))
    }

    async fn validate(&self, attempt: Attempt<'_>) -> Result<(), ValidationFailure> {
        let host = match attempt.identifier {
            Identifier::Dns(name) if !attempt.wildcard => Host::Name(name.clone()),
            Identifier::Ip(address) => Host::Address(*address),
            Identifier::Dns(_) | Identifier::Wildcard(_) => {
                let detail = "tls-alpn-01 does not prove control of a wildcard";
                return Err(ValidationFailure::definitive(ProblemType::Unauthorized, detail));
            }
        };
        let limits = attempt.network.limits();
        let server = Server { host, port: limits.tls_port };
        tokio::time::timeout(limits.attempt_deadline, server.check(&attempt)).await.unwrap_or_else(|_| {
            let detail = format!("{server} did not answer within {}", in_words(limits.attempt_deadline));
            Err(ValidationFailure::transient(ProblemType::Connection, detail))
        })
    }
}

/// Whose certificate is looked at.
#[derive(Debug)]
struct Server {
    host: Host,
    port: u16,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        write!(f, "{host}:{port}")
    }
}

impl Server {
    async fn check(&self, attempt: &Attempt<'_>) -> Result<(), ValidationFailure> {
        let (identifier, trace) = (attempt.identifier, attempt.trace);
        let digest = attempt.key_authorization.digest();
        let (protocol, certificate) = self.ask(attempt).await?;
        if protocol.as_deref() != Some(PROTOCOL.as_bytes()) {
            return Err(self.no_agreement());
        }
        let checked = certificate.ok_or(Flaw::None).and_then(|certificate| {
            let shown = Shown::read(&certificate)?;
            shown.check(identifier, &digest)
        });
        checked.map_err(|flaw| {
            let digest = certificate::in_hex(&digest);
            trace.record(TraceEvent::note(format!("the acmeIdentifier should be 0420{digest}")));
            self.definitive(ProblemType::Unauthorized, format!("answered with {flaw}"))
        })
    }

    /// The protocol and the certificate that the server answers with.
    async fn ask(&self, attempt: &Attempt<'_>) -> Result<(Option<Vec<u8>>, Option<X509>), ValidationFailure> {
        let Attempt { network, trace, .. } = attempt;
        let stream = network
            .connect(&self.host, self.port, trace)
            .await
            .map_err(|error| no_connection(&self.host, "", self.port, &error))?;
        let limit = network.limits().max_handshake;
        let server_name = self.name();
        let hello = Hello { server_name: Some(&server_name), protocol: Some(PROTOCOL) };
        let stream = handshake(hello, Bounded::new(stream, limit), trace)
            .await
            .map_err(|error| self.no_handshake(&error, limit))?;
        let protocol = stream.ssl().selected_alpn_protocol().map(<[u8]>::to_vec);
        let certificate = stream.ssl().peer_certificate();
        tell(protocol.as_deref(), certificate.as_ref(), trace);
        Ok((protocol, certificate))
    }

    /// The name that is asked for. An address is asked for by its reverse name: RFC 8738 section 6.
    fn name(&self) -> String {
        match &self.host {
            Host::Name(name) => name.to_string(),
            Host::Address(IpAddr::V4(address)) => {
                let [a, b, c, d] = address.octets();
                format!("{d}.{c}.{b}.{a}.in-addr.arpa")
            }
            Host::Address(IpAddr::V6(address)) => {
                let octets = address.octets();
                let nibbles = octets.iter().rev().map(|octet| format!("{:x}.{:x}.", octet & 15, octet >> 4));
                nibbles.chain(["ip6.arpa".to_owned()]).collect()
            }
        }
    }

    fn no_handshake(&self, error: &ssl::Error, limit: usize) -> ValidationFailure {
        let ended = || {
            let detail = format!("{self} closed the connection before the TLS handshake was complete");
            ValidationFailure::transient(ProblemType::Connection, detail)
        };
        let too_long = || {
            let what = format!("sent more than the {limit} bytes that a TLS handshake may have");
            self.definitive(ProblemType::Connection, what)
        };
        match (error.io_error(), error.ssl_error()) {
            (Some(error), _) if error.kind() == ErrorKind::QuotaExceeded => too_long(),
            (Some(_), _) | (None, None) => ended(),
            (None, Some(errors)) => {
                let mut errors = errors.errors().iter().filter(|error| error.library_code() == TLS_LIBRARY);
                match errors.next().map(openssl::error::Error::reason_code) {
                    Some(EXCESSIVE_MESSAGE) => too_long(),
                    Some(UNEXPECTED_END) => ended(),
                    Some(NO_APPLICATION_PROTOCOL) => self.no_agreement(),
                    _ => {
                        let what = "could not be asked: the TLS handshake (1.2 or later) failed";
                        self.definitive(ProblemType::Tls, what)
                    }
                }
            }
        }
    }

    fn no_agreement(&self) -> ValidationFailure {
        let what = format!("did not agree to speak {PROTOCOL}");
        self.definitive(ProblemType::Unauthorized, what)
    }

    fn definitive(&self, kind: ProblemType, what: impl fmt::Display) -> ValidationFailure {
        ValidationFailure::definitive(kind, format!("{self} {what}"))
    }
}

/// Tells the operator what there was to see, whatever it is worth.
fn tell(protocol: Option<&[u8]>, certificate: Option<&X509>, trace: &Trace) {
    let Some(certificate) = certificate else {
        trace.record(TraceEvent::note("the server has shown no certificate"));
        return;
    };
    let der = certificate.to_der().unwrap_or_default();
    let shown = Shown::read(certificate).ok();
    let names = shown.as_ref().map_or_else(|| "nobody knows whom".to_owned(), Shown::names);
    trace.record(TraceEvent::Certificate {
        protocol: protocol.map(|protocol| Excerpt::new(String::from_utf8_lossy(protocol))),
        sha256: Excerpt::new(certificate::in_hex(&openssl::sha::sha256(&der))),
        bytes: der.len(),
        names: Excerpt::new(names),
        acme_identifier: shown.and_then(|shown| shown.acme_identifier()).map(Excerpt::new),
    });
}

#[cfg(test)]
mod tests;
