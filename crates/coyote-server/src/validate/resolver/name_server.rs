//! Who is asked, and how.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use coyote_protocol::DnsName;
use openssl::error::ErrorStack;
use openssl::ssl::{Ssl, SslConnector, SslMethod, SslVersion};
use openssl::x509::X509;

/// A name server, as text: `IP` or `IP:PORT` for UDP and TCP; `tls://IP:PORT#NAME` for DNS over TLS (RFC 7858), and
/// `https://IP:PORT/PATH#NAME` for DNS over HTTPS (RFC 8484, in HTTP/1.1). Its certificate must be for NAME; without one,
/// for the address. The ports can be left out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NameServer {
    pub(super) address: SocketAddr,
    pub(super) transport: Transport,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Transport {
    /// UDP, and TCP for what does not fit.
    Plain,
    Tls {
        name: Option<DnsName>,
    },
    Https {
        name: Option<DnsName>,
        path: String,
    },
}

impl Transport {
    const fn port(&self) -> u16 {
        match self {
            Self::Plain => 53,
            Self::Tls { .. } => 853,
            Self::Https { .. } => 443,
        }
    }
}

impl NameServer {
    pub(super) fn is_asked_over_tls(&self) -> bool {
        self.transport != Transport::Plain
    }

    /// What a request to it is for: the host and port of its URL, as a Host field has them. RFC 9110 section 7.2.
    pub(super) fn authority(&self) -> String {
        let host = match (&self.transport, self.address.ip()) {
            (Transport::Https { name: Some(name), .. }, _) => name.to_string(),
            (_, IpAddr::V4(address)) => address.to_string(),
            (_, IpAddr::V6(address)) => format!("[{address}]"),
        };
        match self.address.port() {
            port if port == self.transport.port() => host,
            port => format!("{host}:{port}"),
        }
    }

    /// What its certificate must be for.
    pub(super) fn name(&self) -> String {
        match &self.transport {
            Transport::Tls { name: Some(name) } | Transport::Https { name: Some(name), .. } => {
                name.to_string()
            }
            _ => self.address.ip().to_string(),
        }
    }
}

impl From<SocketAddr> for NameServer {
    fn from(address: SocketAddr) -> Self {
        Self { address, transport: Transport::Plain }
    }
}

/// The text names no name server.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is no name server; write IP, IP:PORT, tls://IP#NAME or https://IP/PATH#NAME")]
pub struct InvalidNameServer(String);

impl FromStr for NameServer {
    type Err = InvalidNameServer;

    fn from_str(text: &str) -> Result<Self, InvalidNameServer> {
        parse(text).ok_or_else(|| InvalidNameServer(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<NameServer> {
    let Some((scheme, rest)) = text.split_once("://") else { return with_port(text, Transport::Plain) };
    let (rest, name) = match rest.split_once('#') {
        Some((rest, name)) => (rest, Some(DnsName::parse(name).ok()?)),
        None => (rest, None),
    };
    match scheme {
        "tls" => with_port(rest, Transport::Tls { name }),
        "https" => {
            let (host, path) = rest.split_once('/').unwrap_or((rest, "dns-query"));
            let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'?');
            is_plain.then_some(())?;
            with_port(host, Transport::Https { name, path: format!("/{path}") })
        }
        _ => None,
    }
}

fn with_port(text: &str, transport: Transport) -> Option<NameServer> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let with_default = || bare.parse().ok().map(|address: IpAddr| SocketAddr::new(address, transport.port()));
    let address = text.parse().ok().or_else(with_default)?;
    Some(NameServer { address, transport })
}

impl fmt::Display for NameServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, transport } = self;
        let name = match transport {
            Transport::Plain => return address.fmt(f),
            Transport::Tls { name } => {
                write!(f, "tls://{address}")?;
                name
            }
            Transport::Https { name, path } => {
                write!(f, "https://{address}{path}")?;
                name
            }
        };
        name.as_ref().map_or(Ok(()), |name| write!(f, "#{name}"))
    }
}

/// Who vouches for name servers that are asked over TLS.
#[derive(Clone)]
pub struct Authorities(SslConnector);

impl Authorities {
    /// Those that the system trusts.
    ///
    /// # Errors
    ///
    /// Where OpenSSL fails.
    pub fn of_system() -> Result<Self, ErrorStack> {
        Self::new(SslConnector::builder(SslMethod::tls_client())?)
    }

    /// These certificates, as PEM, and no others.
    ///
    /// # Errors
    ///
    /// If that is no PEM.
    pub fn of_pem(pem: &[u8]) -> Result<Self, ErrorStack> {
        let mut builder = SslConnector::builder(SslMethod::tls_client())?;
        let mut store = openssl::x509::store::X509StoreBuilder::new()?;
        for certificate in X509::stack_from_pem(pem)? {
            store.add_cert(certificate)?;
        }
        builder.set_cert_store(store.build());
        Self::new(builder)
    }

    fn new(mut builder: openssl::ssl::SslConnectorBuilder) -> Result<Self, ErrorStack> {
        builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
        Ok(Self(builder.build()))
    }

    /// The client's end of a connection to this server, in this protocol (RFC 7301).
    pub(super) fn client(&self, server: &NameServer, protocol: &[u8]) -> Result<Ssl, ErrorStack> {
        let mut ssl = self.0.configure()?.into_ssl(&server.name())?;
        let length = u8::try_from(protocol.len()).unwrap_or(u8::MAX);
        ssl.set_alpn_protos(&[&[length], protocol].concat())?;
        Ok(ssl)
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorities")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_is_that_of_the_url_with_brackets_and_with_a_port_that_is_not_the_schemes() {
        for (text, expected) in [
            ("https://192.0.2.1", "192.0.2.1"),
            ("https://192.0.2.1:8443", "192.0.2.1:8443"),
            ("https://[2001:db8::1]", "[2001:db8::1]"),
            ("https://[2001:db8::1]:443/q", "[2001:db8::1]"),
            ("https://[2001:db8::1]:8443", "[2001:db8::1]:8443"),
            ("https://[2001:db8::1]#dns.test", "dns.test"),
            ("https://192.0.2.1:8443/q#dns.test", "dns.test:8443"),
        ] {
            assert_eq!(text.parse::<NameServer>().unwrap().authority(), expected, "{text}");
        }
    }

    #[test]
    fn a_name_server_reads_back_from_its_text() {
        for (text, expected) in [
            ("192.0.2.1", "192.0.2.1:53"),
            ("[2001:db8::1]:5353", "[2001:db8::1]:5353"),
            ("2001:db8::1", "[2001:db8::1]:53"),
            ("tls://192.0.2.1#dns.test", "tls://192.0.2.1:853#dns.test"),
            ("tls://[2001:db8::1]", "tls://[2001:db8::1]:853"),
            ("https://192.0.2.1", "https://192.0.2.1:443/dns-query"),
            ("https://192.0.2.1:8443/q#dns.test", "https://192.0.2.1:8443/q#dns.test"),
        ] {
            let server: NameServer = text.parse().unwrap();
            assert_eq!(server.to_string(), expected);
            assert_eq!(expected.parse(), Ok(server));
        }
        for wrong in [
            "",
            "dns.test",
            "tls://dns.test",
            "quic://192.0.2.1",
            "https://192.0.2.1/a b",
            "tls://192.0.2.1#-",
        ] {
            assert!(wrong.parse::<NameServer>().is_err(), "{wrong}");
        }
    }
}
