//! The steps of an attempt.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::{Excerpt, TimedEvent};

/// How many records of one DNS answer are kept.
const MAX_RECORDS: usize = 32;

/// Something that happened. What may take long is told when it begins and when it ends, so that the last event
/// before a time-out says what was waited for.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum TraceEvent {
    /// DNS is asked.
    DnsQuestion {
        /// For the records of this name
        name: Excerpt,
        /// and type.
        record_type: Excerpt,
        /// Who is asked, as far as it is known.
        server: Excerpt,
    },
    /// DNS answered. No records means that there are none of the type.
    DnsAnswer {
        /// The name asked for.
        name: Excerpt,
        /// The type asked for.
        record_type: Excerpt,
        /// The records of that type, and any aliases on the way to them.
        records: Vec<DnsRecord>,
        /// How long it took.
        took_ms: u64,
    },
    /// DNS did not answer, or answered with an error.
    DnsFailed {
        /// The name asked for.
        name: Excerpt,
        /// The type asked for.
        record_type: Excerpt,
        /// What went wrong.
        reason: Excerpt,
        /// How long it took.
        took_ms: u64,
    },
    /// The address policy forbids an address: it is not dialled.
    AddressRefused {
        /// The address.
        address: IpAddr,
        /// The rule that forbids it.
        rule: Excerpt,
    },
    /// A connection is opened.
    Connect {
        /// To this address and port.
        address: SocketAddr,
    },
    /// The connection is there.
    Connected {
        /// To this address and port.
        address: SocketAddr,
        /// How long it took.
        took_ms: u64,
    },
    /// There is no connection.
    ConnectFailed {
        /// To this address and port.
        address: SocketAddr,
        /// What went wrong.
        reason: Excerpt,
        /// How long it took.
        took_ms: u64,
    },
    /// A TLS handshake begins.
    TlsStart {
        /// The name that is told to the server; none for an IP address.
        server_name: Option<Excerpt>,
    },
    /// The TLS handshake is done.
    TlsDone {
        /// The protocol version agreed on.
        version: Excerpt,
        /// How long it took.
        took_ms: u64,
    },
    /// The TLS handshake failed.
    TlsFailed {
        /// What went wrong.
        reason: Excerpt,
        /// How long it took.
        took_ms: u64,
    },
    /// The server has shown a certificate.
    Certificate {
        /// The protocol agreed on by ALPN, if any.
        protocol: Option<Excerpt>,
        /// The SHA-256 digest of the certificate, in hexadecimal.
        sha256: Excerpt,
        /// Its size, as DER.
        bytes: usize,
        /// The names that it is for.
        names: Excerpt,
        /// Its acmeIdentifier extension (RFC 8737 section 3), in hexadecimal, if it has one.
        acme_identifier: Option<Excerpt>,
    },
    /// An HTTP request is sent.
    HttpRequest {
        /// Method and URL.
        line: Excerpt,
    },
    /// The head of an HTTP response arrived.
    HttpResponse {
        /// Its status code.
        status: u16,
        /// The size of its status line and header fields.
        head_bytes: usize,
        /// How long it took since the request.
        took_ms: u64,
    },
    /// As much of the body of the response was read as is of interest. What it says is not recorded.
    HttpBody {
        /// The bytes read.
        bytes: usize,
        /// Whether that is all of it.
        complete: bool,
    },
    /// There is no usable HTTP response.
    HttpFailed {
        /// What went wrong.
        reason: Excerpt,
        /// How long it took since the request.
        took_ms: u64,
    },
    /// The response points elsewhere.
    Redirect {
        /// The URL that was asked.
        from: Excerpt,
        /// The `Location` it gave.
        to: Excerpt,
    },
    /// CAA records were looked at. RFC 8659.
    Caa {
        /// The name that is to be issued for.
        name: Excerpt,
        /// The name whose records decide, or could not be had; none if there are none, up to the top.
        at: Option<Excerpt>,
        /// What that means.
        says: Excerpt,
    },
    /// What was seen elsewhere: a step of another perspective's.
    Elsewhere {
        /// Where.
        place: Excerpt,
        /// The step, and when it happened since that perspective began to look.
        seen: Box<TimedEvent>,
    },
    /// Whether another perspective sees the same.
    Perspective {
        /// Its name and region.
        place: Excerpt,
        /// What it says.
        says: Excerpt,
    },
    /// Whether enough perspectives see the same.
    Quorum {
        /// How many do, and how many have to.
        says: Excerpt,
    },
    /// Anything else that an embedder's own code has to tell.
    Note {
        /// What it says.
        text: Excerpt,
    },
    /// How the attempt ended.
    Verdict {
        /// What the client is told, unless it succeeded.
        problem: Option<Excerpt>,
    },
}

/// A record of a DNS answer.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct DnsRecord {
    /// What it says, in presentation format.
    pub data: Excerpt,
    /// How many seconds it may be kept, if that is known.
    pub ttl: Option<u32>,
}

impl TraceEvent {
    /// The end of an attempt.
    pub fn verdict<E: fmt::Display>(outcome: &Result<(), E>) -> Self {
        Self::Verdict { problem: outcome.as_ref().err().map(|problem| Excerpt::new(problem.to_string())) }
    }

    /// A free-form remark.
    pub fn note(text: impl AsRef<str>) -> Self {
        Self::Note { text: Excerpt::new(text) }
    }

    /// Whether it is a conclusion, for which there is always room.
    pub(super) fn concludes(&self) -> bool {
        matches!(self, Self::Verdict { .. } | Self::Perspective { .. } | Self::Quorum { .. })
    }

    /// Takes away what is too much of it.
    pub(super) fn bound(&mut self) {
        match self {
            Self::DnsAnswer { records, .. } => records.truncate(MAX_RECORDS),
            Self::Elsewhere { seen, .. } => seen.event.bound(),
            _ => {}
        }
    }
}

/// One line: what kind of event, then the particulars.
impl fmt::Display for TraceEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DnsQuestion { name, record_type, server } => {
                write!(f, "dns        {name} {record_type}? to {server}")
            }
            Self::DnsAnswer { name, record_type, records, took_ms } => {
                write!(f, "dns        {name} {record_type}: ")?;
                write_records(f, records)?;
                write!(f, " (in {took_ms} ms)")
            }
            Self::DnsFailed { name, record_type, reason, took_ms } => {
                write!(f, "dns        {name} {record_type}: failed: {reason} (in {took_ms} ms)")
            }
            Self::AddressRefused { address, rule } => write!(f, "refused    {address}: {rule}"),
            Self::Connect { address } => write!(f, "connect    {address}"),
            Self::Connected { address, took_ms } => write!(f, "connected  {address} (in {took_ms} ms)"),
            Self::ConnectFailed { address, reason, took_ms } => {
                write!(f, "connect    {address} failed: {reason} (in {took_ms} ms)")
            }
            Self::TlsStart { server_name: Some(name) } => write!(f, "tls        handshake as {name}"),
            Self::TlsStart { server_name: None } => write!(f, "tls        handshake without a name"),
            Self::TlsDone { version, took_ms } => write!(f, "tls        {version} (in {took_ms} ms)"),
            Self::TlsFailed { reason, took_ms } => write!(f, "tls        failed: {reason} (in {took_ms} ms)"),
            Self::Certificate { protocol, sha256, bytes, names, acme_identifier } => {
                let none = Excerpt::new("none");
                let protocol = protocol.as_ref().unwrap_or(&none);
                let acme_identifier = acme_identifier.as_ref().unwrap_or(&none);
                write!(f, "shown      certificate {sha256} of {bytes} bytes for {names}, ")?;
                write!(f, "acmeIdentifier {acme_identifier}, ALPN {protocol}")
            }
            Self::HttpRequest { line } => write!(f, "request    {line}"),
            Self::HttpResponse { status, head_bytes, took_ms } => {
                write!(f, "response   status {status}, head of {head_bytes} bytes (in {took_ms} ms)")
            }
            Self::HttpBody { bytes, complete: true } => write!(f, "response   body of {bytes} bytes"),
            Self::HttpBody { bytes, complete: false } => {
                write!(f, "response   body of more than {bytes} bytes")
            }
            Self::HttpFailed { reason, took_ms } => {
                write!(f, "response   failed: {reason} (in {took_ms} ms)")
            }
            Self::Redirect { from, to } => write!(f, "redirect   {from} to {to}"),
            Self::Caa { name, at: Some(at), says } => write!(f, "caa        of {name}, at {at}: {says}"),
            Self::Caa { name, at: None, says } => write!(f, "caa        of {name}: {says}"),
            Self::Elsewhere { place, seen } => {
                write!(f, "elsewhere  {place}, after {} ms: {}", seen.at_ms, seen.event)
            }
            Self::Perspective { place, says } => write!(f, "place      {place}: {says}"),
            Self::Quorum { says } => write!(f, "quorum     {says}"),
            Self::Note { text } => write!(f, "note       {text}"),
            Self::Verdict { problem: None } => write!(f, "verdict    valid"),
            Self::Verdict { problem: Some(problem) } => write!(f, "verdict    failed: {problem}"),
        }
    }
}

fn write_records(f: &mut fmt::Formatter<'_>, records: &[DnsRecord]) -> fmt::Result {
    if records.is_empty() {
        return write!(f, "no records");
    }
    for (index, DnsRecord { data, ttl }) in records.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        write!(f, "{comma}{data}")?;
        if let Some(ttl) = ttl {
            write!(f, " (ttl {ttl})")?;
        }
    }
    Ok(())
}
