//! The way to the outside.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coyote_protocol::DnsName;
use tokio::net::TcpStream;

use super::{AddressPolicy, DnsResolver, InvalidServers, Refusal, ResolveError, Resolver};
use crate::trace::{Excerpt, Trace, TraceEvent, millis};

mod proxy;

/// How much of strangers validation takes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NetworkLimits {
    /// How long one attempt to validate may take in all. Default: 10 s.
    pub attempt_deadline: Duration,
    /// How long opening one connection may take. Default: 3 s.
    pub connect_timeout: Duration,
    /// How many addresses of a name are tried. Default: 4.
    pub max_addresses: usize,
    /// How many redirects are followed; none if 0. Default: 10.
    pub max_redirects: usize,
    /// The most bytes that the status line and the header fields of a response may have. Default: 16 KiB.
    pub max_response_head: usize,
    /// The most bytes of a response's body that are read. Default: 1 KiB. A key authorization has at most 300.
    pub max_response_body: usize,
    /// The most bytes that a server's part of a tls-alpn-01 handshake, its certificates included, may have. Default:
    /// 16 KiB. A certificate with the largest keys in use has less than 3.
    pub max_handshake: usize,
    /// The port of http-01. Default: 80, as RFC 8555 section 8.3 has it; others are for laboratories.
    pub http_port: u16,
    /// The port of https URLs and of tls-alpn-01. Default: 443.
    pub tls_port: u16,
    /// What is sent as `User-Agent`. Default: `coyote/` and the version.
    pub user_agent: UserAgent,
}

impl Default for NetworkLimits {
    fn default() -> Self {
        Self {
            attempt_deadline: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(3),
            max_addresses: 4,
            max_redirects: 10,
            max_response_head: 16 * 1024,
            max_response_body: 1024,
            max_handshake: 16 * 1024,
            http_port: 80,
            tls_port: 443,
            user_agent: UserAgent::default(),
        }
    }
}

impl NetworkLimits {
    /// Whether a redirect may lead to this port: to one of the two that validation uses, and to no other.
    pub fn allows_redirect_to(&self, port: u16) -> bool {
        port == self.http_port || port == self.tls_port
    }
}

/// The value of a `User-Agent` header field: visible ASCII characters and spaces, at most 256.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UserAgent(String);

/// The text cannot stand in a `User-Agent` header field.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a user agent is 1 to 256 visible ASCII characters and spaces")]
pub struct InvalidUserAgent;

impl UserAgent {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for UserAgent {
    fn default() -> Self {
        Self(concat!("coyote/", env!("CARGO_PKG_VERSION")).to_owned())
    }
}

impl FromStr for UserAgent {
    type Err = InvalidUserAgent;

    fn from_str(text: &str) -> Result<Self, InvalidUserAgent> {
        let is_visible = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        if (1..=256).contains(&text.len()) && is_visible {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidUserAgent)
        }
    }
}

/// What is dialled. As text it is ready for a URL: an IPv6 address is in brackets.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Host {
    /// A name, to be resolved first.
    Name(DnsName),
    /// An address.
    Address(IpAddr),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// DNS has no address to dial.
    #[error("the name could not be resolved")]
    Resolve(#[source] ResolveError),
    /// The policy forbids every address of the host. None was dialled.
    #[error("the address is not allowed")]
    NotAllowed(#[source] Refusal),
    /// No address could be connected to; this is what went wrong with the last that was tried.
    #[error("no connection")]
    Failed(#[source] io::Error),
    /// The last address that was tried did not answer.
    #[error("no connection in time")]
    TimedOut,
}

/// Resolves names and connects to strangers. Nothing else in this crate opens sockets to them.
#[derive(Clone)]
pub struct Network {
    resolver: Arc<dyn Resolver>,
    policy: AddressPolicy,
    limits: NetworkLimits,
    proxy: Option<SocketAddr>,
}

impl Network {
    /// A network seen through this resolver, as far as this policy lets it be reached.
    pub fn new(resolver: Arc<dyn Resolver>, policy: AddressPolicy, limits: NetworkLimits) -> Self {
        Self { resolver, policy, limits, proxy: None }
    }

    /// Connects through an HTTP proxy at this address, by CONNECT (RFC 9110 section 9.3.6), also to plain HTTP.
    ///
    /// The proxy resolves the names then, and which of their addresses may be dialled is for it to know: the policy
    /// is asked about addresses that are dialled by themselves only. What DNS is asked for proofs is not affected.
    #[must_use]
    pub fn with_proxy(self, proxy: SocketAddr) -> Self {
        Self { proxy: Some(proxy), ..self }
    }

    /// The public Internet, through the name servers that the operating system is configured to ask, within the
    /// default limits.
    ///
    /// # Errors
    ///
    /// [`InvalidServers`] if that configuration cannot be read or names no server.
    pub fn system() -> Result<Self, InvalidServers> {
        let resolver = Arc::new(DnsResolver::of_system()?);
        Ok(Self::new(resolver, AddressPolicy::public(), NetworkLimits::default()))
    }

    /// The resolver, for validators that ask DNS for more than addresses.
    pub fn resolver(&self) -> &dyn Resolver {
        &*self.resolver
    }

    /// What may be dialled.
    pub fn policy(&self) -> &AddressPolicy {
        &self.policy
    }

    /// The bounds to keep.
    pub fn limits(&self) -> &NetworkLimits {
        &self.limits
    }

    /// Opens a connection to a host.
    ///
    /// A name is resolved once, and the addresses that were checked are those that are dialled: one after the
    /// other, IPv6 and IPv4 in turn, until one answers.
    ///
    /// # Errors
    ///
    /// [`ConnectError`].
    pub async fn connect(&self, host: &Host, port: u16, trace: &Trace) -> Result<TcpStream, ConnectError> {
        if let Some(proxy) = self.proxy {
            return self.through(proxy, host, port, trace).await;
        }
        let addresses = match host {
            Host::Name(name) => self.resolver.addresses(name, trace).await.map_err(ConnectError::Resolve)?,
            Host::Address(address) => vec![*address],
        };
        let mut failure = ConnectError::Resolve(ResolveError::NoRecords);
        for address in self.allowed(in_turn(addresses), trace).map_err(ConnectError::NotAllowed)? {
            match self.dial(SocketAddr::new(address, port), trace).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn through(
        &self,
        proxy: SocketAddr,
        host: &Host,
        port: u16,
        trace: &Trace,
    ) -> Result<TcpStream, ConnectError> {
        if let Host::Address(address) = host {
            self.allowed(vec![*address], trace).map_err(ConnectError::NotAllowed)?;
        }
        let mut stream = self.dial(proxy, trace).await?;
        trace.record(TraceEvent::HttpRequest {
            line: Excerpt::new(format!("CONNECT {host}:{port} by the proxy {proxy}")),
        });
        let started = Instant::now();
        let agent = self.limits.user_agent.as_str();
        let asking = proxy::tunnel(&mut stream, host, port, agent, self.limits.max_response_head);
        let tunnel = match tokio::time::timeout(self.limits.connect_timeout, asking).await {
            Ok(Ok(())) => return Ok(stream),
            Ok(Err(error)) => ConnectError::Failed(error),
            Err(_) => ConnectError::TimedOut,
        };
        let took_ms = millis(started.elapsed());
        trace.record(TraceEvent::HttpFailed { reason: reason(&tunnel), took_ms });
        Err(tunnel)
    }

    /// The addresses that may be dialled, as many as are to be tried. If the policy forbids them all, why.
    fn allowed(&self, addresses: Vec<IpAddr>, trace: &Trace) -> Result<Vec<IpAddr>, Refusal> {
        let mut allowed = Vec::new();
        let mut refused = None;
        for address in addresses {
            match self.policy.check(address) {
                Ok(()) => allowed.push(address),
                Err(refusal) => {
                    let rule = Excerpt::new(refusal.rule.to_string());
                    trace.record(TraceEvent::AddressRefused { address, rule });
                    refused = Some(refusal);
                }
            }
        }
        allowed.truncate(self.limits.max_addresses);
        match refused {
            Some(refusal) if allowed.is_empty() => Err(refusal),
            _ => Ok(allowed),
        }
    }

    /// Takes an address that the policy allows.
    async fn dial(&self, address: SocketAddr, trace: &Trace) -> Result<TcpStream, ConnectError> {
        trace.record(TraceEvent::Connect { address });
        let started = Instant::now();
        let connecting = TcpStream::connect(address);
        let outcome = match tokio::time::timeout(self.limits.connect_timeout, connecting).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(ConnectError::Failed(error)),
            Err(_) => Err(ConnectError::TimedOut),
        };
        let took_ms = millis(started.elapsed());
        trace.record(match &outcome {
            Ok(_) => TraceEvent::Connected { address, took_ms },
            Err(error) => TraceEvent::ConnectFailed { address, reason: reason(error), took_ms },
        });
        outcome
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resolver: _, policy, limits, proxy } = self;
        let mut network = f.debug_struct("Network");
        network.field("policy", policy).field("limits", limits).field("proxy", proxy).finish_non_exhaustive()
    }
}

/// IPv6 and IPv4 addresses by turns, so that one family being broken does not use up the attempt.
fn in_turn(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let (v6, v4): (Vec<_>, Vec<_>) = addresses.into_iter().partition(IpAddr::is_ipv6);
    let (mut v6, mut v4) = (v6.into_iter(), v4.into_iter());
    let mut ordered = Vec::new();
    loop {
        let pair = [v6.next(), v4.next()];
        if pair == [None, None] {
            return ordered;
        }
        ordered.extend(pair.into_iter().flatten());
    }
}

/// For the operator.
fn reason(error: &ConnectError) -> Excerpt {
    match error {
        ConnectError::Failed(cause) => Excerpt::new(cause.to_string()),
        _ => Excerpt::new(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
