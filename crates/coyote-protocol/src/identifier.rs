//! Identifiers: what a certificate is about. RFC 8555 sections 7.1.3 and 9.7.7, RFC 8738.
//!
//! There is one way from text to an [`Identifier`], and it is strict: what it lets through has one
//! spelling only, so that equal identifiers are equal strings everywhere behind it, in policies,
//! indexes and certificates. Whether a name may be issued for is not decided here.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::{DnsName, Problem, ProblemType};

/// An identifier in canonical form.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "RawIdentifier", into = "RawIdentifier")]
pub enum Identifier {
    /// A DNS name.
    Dns(DnsName),
    /// Every name one label below this one: `*.example.org` holds `example.org`. RFC 8555 section 7.1.3.
    Wildcard(DnsName),
    /// An IP address. RFC 8738.
    Ip(IpAddr),
}

impl Identifier {
    /// Reads an identifier as a request gives it.
    ///
    /// DNS names are lower-cased, as [`DnsName::parse`] does; a wildcard has exactly one `*`, alone in
    /// the leftmost label. IP addresses must be in their canonical text form already (dotted decimal,
    /// RFC 5952), as RFC 8738 section 3 demands; IPv4-mapped IPv6 addresses are refused, because they
    /// would be a second spelling of an IPv4 address.
    ///
    /// # Errors
    ///
    /// [`IdentifierError::Unsupported`] if `kind` is neither `dns` nor `ip`, and otherwise what is wrong
    /// with `value`.
    pub fn parse(kind: &str, value: &str) -> Result<Self, IdentifierError> {
        match kind {
            "dns" => parse_dns(value),
            "ip" => parse_ip(value),
            _ => Err(IdentifierError::Unsupported(kind.to_owned())),
        }
    }

    /// The `type` on the wire: `dns` or `ip`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Dns(_) | Self::Wildcard(_) => "dns",
            Self::Ip(_) => "ip",
        }
    }

    /// The `value` on the wire.
    pub fn value(&self) -> String {
        self.to_string()
    }

    /// Whether this is a wildcard name.
    pub const fn is_wildcard(&self) -> bool {
        matches!(self, Self::Wildcard(_))
    }

    /// What the authorization for this identifier names: the identifier itself, without a leading `*.`.
    /// RFC 8555 section 7.1.4.
    pub fn base(&self) -> Self {
        match self {
            Self::Dns(name) | Self::Wildcard(name) => Self::Dns(name.clone()),
            Self::Ip(address) => Self::Ip(*address),
        }
    }
}

fn parse_dns(value: &str) -> Result<Identifier, IdentifierError> {
    let Some(base) = value.strip_prefix("*.") else {
        return DnsName::parse(value).map(Identifier::Dns);
    };
    if value.len() > DnsName::MAX_LENGTH {
        return Err(IdentifierError::Malformed("the name is longer than 253 characters"));
    }
    DnsName::parse(base).map(Identifier::Wildcard)
}

fn parse_ip(value: &str) -> Result<Identifier, IdentifierError> {
    let address: IpAddr =
        value.parse().map_err(|_| IdentifierError::Malformed("the value is not an IP address"))?;
    if address.to_string() != value {
        return Err(IdentifierError::Malformed("the IP address is not in its canonical form (RFC 5952)"));
    }
    if let IpAddr::V6(address) = address
        && is_mapped(address)
    {
        return Err(IdentifierError::Malformed("an IPv4-mapped IPv6 address is not an identifier"));
    }
    Ok(Identifier::Ip(address))
}

fn is_mapped(address: Ipv6Addr) -> bool {
    address.to_ipv4_mapped().is_some()
}

/// The `value` on the wire.
impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => name.fmt(f),
            Self::Wildcard(name) => write!(f, "*.{name}"),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

impl From<DnsName> for Identifier {
    fn from(name: DnsName) -> Self {
        Self::Dns(name)
    }
}

impl From<IpAddr> for Identifier {
    fn from(address: IpAddr) -> Self {
        Self::Ip(address)
    }
}

/// An identifier as a request gives it, not yet judged.
///
/// Requests are read into this rather than into [`Identifier`], so that the answer can tell which of
/// several identifiers is wrong, and how.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct RawIdentifier {
    /// `dns`, `ip`, or whatever else was sent.
    #[serde(rename = "type")]
    pub kind: String,
    /// The name or address, in whatever form it was sent.
    pub value: String,
}

impl RawIdentifier {
    /// An identifier of any type and value.
    pub fn new(kind: impl Into<String>, value: impl Into<String>) -> Self {
        Self { kind: kind.into(), value: value.into() }
    }

    /// The identifier this stands for.
    ///
    /// # Errors
    ///
    /// Those of [`Identifier::parse`].
    pub fn parse(&self) -> Result<Identifier, IdentifierError> {
        Identifier::parse(&self.kind, &self.value)
    }
}

impl From<Identifier> for RawIdentifier {
    fn from(identifier: Identifier) -> Self {
        Self::new(identifier.kind(), identifier.value())
    }
}

impl From<&Identifier> for RawIdentifier {
    fn from(identifier: &Identifier) -> Self {
        Self::new(identifier.kind(), identifier.value())
    }
}

impl TryFrom<RawIdentifier> for Identifier {
    type Error = IdentifierError;

    fn try_from(raw: RawIdentifier) -> Result<Self, Self::Error> {
        raw.parse()
    }
}

/// Why a text is not an identifier. `Display` is fit for a client's eyes: it repeats nothing of the text.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum IdentifierError {
    /// The type, held here, is not one that coyote knows.
    #[error("the only identifier types are \"dns\" and \"ip\"")]
    Unsupported(String),
    /// The value does not follow the syntax of its type.
    #[error("{0}")]
    Malformed(&'static str),
    /// The value follows the syntax, but no certificate may ever be issued for it.
    #[error("{0}")]
    Rejected(&'static str),
}

impl IdentifierError {
    /// The problem a client is told of.
    pub const fn problem_type(&self) -> ProblemType {
        match self {
            Self::Unsupported(_) => ProblemType::UnsupportedIdentifier,
            Self::Malformed(_) => ProblemType::Malformed,
            Self::Rejected(_) => ProblemType::RejectedIdentifier,
        }
    }
}

impl From<IdentifierError> for Problem {
    fn from(error: IdentifierError) -> Self {
        Self::new(error.problem_type(), error.to_string())
    }
}

#[cfg(test)]
mod tests;
