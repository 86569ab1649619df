//! The URLs of a validation, one after the other.

use std::fmt;

use coyote_protocol::{DnsName, Token};
use url::Url;

use crate::validate::{Host, NetworkLimits};

/// The longest `Location` that is looked at.
const MAX_LOCATION: usize = 2000;

/// A URL to ask, built from types rather than parsed where that is possible.
///
/// As text it is what the client is told: the first URL whole; of later ones, which the client did not choose,
/// scheme, host and port.
#[derive(Clone, Debug)]
pub(super) struct Hop {
    scheme: Scheme,
    host: Host,
    port: u16,
    path_and_query: String,
    /// The host that redirected here.
    from: Option<Host>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Why a redirect is not followed. It continues the sentence "such-and-such redirects …", and repeats nothing that
/// came with the redirect.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum InvalidRedirect {
    #[error("without saying where to")]
    NoLocation,
    #[error("to something that is not a URL")]
    NoUrl,
    #[error("to a URL that is too long")]
    TooLong,
    #[error("to a URL that is neither http nor https")]
    Scheme,
    #[error("to a URL with a user name or a password")]
    UserInfo,
    #[error("to a URL without a valid host name")]
    Host,
    #[error("to port {0}, where validation does not go")]
    Port(u16),
    #[error("to a URL that redirected here")]
    Loop,
    #[error("once more after {0} redirects")]
    TooMany(usize),
}

impl Hop {
    /// Where the answer to a challenge is expected. RFC 8555 section 8.3.
    pub(super) fn first(host: Host, port: u16, token: &Token) -> Self {
        let path_and_query = format!("/.well-known/acme-challenge/{token}");
        Self { scheme: Scheme::Http, host, port, path_and_query, from: None }
    }

    /// Where a `Location` leads to. What counts is what the URL parser makes of it, and that is what is dialled.
    pub(super) fn follow(&self, location: &str, limits: &NetworkLimits) -> Result<Self, InvalidRedirect> {
        if location.len() > MAX_LOCATION {
            return Err(InvalidRedirect::TooLong);
        }
        let base = Url::parse(&self.url()).map_err(|_| InvalidRedirect::NoUrl)?;
        let url = base.join(location).map_err(|_| InvalidRedirect::NoUrl)?;
        let scheme = match url.scheme() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(InvalidRedirect::Scheme),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidRedirect::UserInfo);
        }
        let host = host(&url).ok_or(InvalidRedirect::Host)?;
        let port = url.port().unwrap_or(scheme.default_port());
        if !limits.allows_redirect_to(port) {
            return Err(InvalidRedirect::Port(port));
        }
        let path_and_query = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        Ok(Self { scheme, host, port, path_and_query, from: Some(self.host.clone()) })
    }

    pub(super) fn host(&self) -> &Host {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn path_and_query(&self) -> &str {
        &self.path_and_query
    }

    pub(super) fn is_https(&self) -> bool {
        self.scheme == Scheme::Https
    }

    /// The `Host` header field, and the part of the URL with the same name. RFC 9112 section 3.2.
    pub(super) fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if *port == self.scheme.default_port() { host.to_string() } else { format!("{host}:{port}") }
    }

    /// The whole URL: for asking and for the operator.
    pub(super) fn url(&self) -> String {
        format!("{}://{}{}", self.scheme.name(), self.authority(), self.path_and_query)
    }

    /// Where the redirect to here came from, to be put after the host's name; nothing for the first URL.
    pub(super) fn provenance(&self) -> String {
        match &self.from {
            Some(from) => format!(" (redirected to by {from})"),
            None => String::new(),
        }
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.from {
            None => f.write_str(&self.url()),
            Some(_) => {
                write!(f, "{}://{}{}", self.scheme.name(), self.authority(), self.provenance())
            }
        }
    }
}

fn host(url: &Url) -> Option<Host> {
    match url.host()? {
        url::Host::Domain(name) => DnsName::parse(name).ok().map(Host::Name),
        url::Host::Ipv4(address) => Some(Host::Address(address.into())),
        url::Host::Ipv6(address) => Some(Host::Address(address.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(host: &str) -> Hop {
        let host = match host.parse() {
            Ok(address) => Host::Address(address),
            Err(_) => Host::Name(DnsName::parse(host).unwrap()),
        };
        Hop::first(host, 80, &Token::parse("DGyRejmCefe7v4NfDGDKfA").unwrap())
    }

    #[test]
    fn the_first_url_is_the_well_known_one_of_the_identifier() {
        for (host, expected) in [
            ("a.test", "http://a.test/.well-known/acme-challenge/DGyRejmCefe7v4NfDGDKfA"),
            ("192.0.2.1", "http://192.0.2.1/.well-known/acme-challenge/DGyRejmCefe7v4NfDGDKfA"),
            ("2001:db8::1", "http://[2001:db8::1]/.well-known/acme-challenge/DGyRejmCefe7v4NfDGDKfA"),
        ] {
            assert_eq!(first(host).url(), expected);
            assert_eq!(first(host).to_string(), expected, "and it is told whole");
        }
        let laboratory = Hop { port: 5002, ..first("a.test") };
        assert_eq!(laboratory.authority(), "a.test:5002");
    }

    #[test]
    fn a_location_is_taken_as_a_url_parser_takes_it() {
        for (location, expected) in [
            ("http://b.test/x?y=z", "http://b.test/x?y=z"),
            ("https://b.test", "https://b.test/"),
            ("HTTPS://B.Test:443/x", "https://b.test/x"),
            ("https://b.test:80/x", "https://b.test:80/x"),
            ("//b.test/x", "http://b.test/x"),
            ("/x", "http://a.test/x"),
            ("?y", "http://a.test/.well-known/acme-challenge/DGyRejmCefe7v4NfDGDKfA?y"),
            ("http://b.test/x#fragment", "http://b.test/x"),
            ("http://b.test#@c.test/", "http://b.test/"),
            ("http://b.test\\@c.test/", "http://b.test/@c.test/"),
            ("http:b.test", "http://a.test/.well-known/acme-challenge/b.test"),
            ("http://0x7f.1/", "http://127.0.0.1/"),
            ("http://2130706433/", "http://127.0.0.1/"),
            ("http://[::ffff:127.0.0.1]/", "http://[::ffff:127.0.0.1]/"),
        ] {
            let next = first("a.test").follow(location, &NetworkLimits::default()).map(|hop| hop.url());
            assert_eq!(next, Ok(expected.to_owned()), "{location}");
        }
    }

    #[test]
    fn a_location_that_leads_astray_is_not_followed() {
        let long = format!("http://b.test/{}", "x".repeat(MAX_LOCATION));
        for (location, expected) in [
            ("http://", InvalidRedirect::NoUrl),
            ("http://[::1", InvalidRedirect::NoUrl),
            ("http://1.2.3.4.5/", InvalidRedirect::NoUrl),
            ("http://b.test:65536/", InvalidRedirect::NoUrl),
            (long.as_str(), InvalidRedirect::TooLong),
            ("file:///etc/passwd", InvalidRedirect::Scheme),
            ("gopher://b.test/_x", InvalidRedirect::Scheme),
            ("ftp://b.test/", InvalidRedirect::Scheme),
            ("data:text/plain,x", InvalidRedirect::Scheme),
            ("ws://b.test/", InvalidRedirect::Scheme),
            ("javascript:1", InvalidRedirect::Scheme),
            ("http://user@b.test/", InvalidRedirect::UserInfo),
            ("http://user:password@b.test/", InvalidRedirect::UserInfo),
            ("http://:password@b.test/", InvalidRedirect::UserInfo),
            ("http://a.test%2f@127.0.0.1/", InvalidRedirect::UserInfo),
            ("http://b_b.test/", InvalidRedirect::Host),
            ("http://b.test./", InvalidRedirect::Host),
            ("http://b.test:22/", InvalidRedirect::Port(22)),
            ("http://b.test:6379/", InvalidRedirect::Port(6379)),
            ("http://b.test:0/", InvalidRedirect::Port(0)),
        ] {
            let next = first("a.test").follow(location, &NetworkLimits::default()).map(|hop| hop.url());
            assert_eq!(next, Err(expected), "{location}");
        }
    }

    #[test]
    fn of_a_redirect_the_client_is_told_host_and_port_only() {
        let limits = NetworkLimits { tls_port: 5001, ..NetworkLimits::default() };
        let hop = first("a.test").follow("https://b.test:5001/secret?secret", &limits).unwrap();
        assert_eq!(hop.to_string(), "https://b.test:5001 (redirected to by a.test)");
    }
}
