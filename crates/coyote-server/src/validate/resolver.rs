//! Asking DNS.

use std::error::Error;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use coyote_protocol::DnsName;

use super::CaaRecord;
use crate::trace::Trace;

mod exchange;
mod fixed;
mod name_server;
mod stub;
mod zones;

pub use fixed::FixedResolver;
pub use name_server::{Authorities, InvalidNameServer, NameServer};
pub use stub::{DnsResolver, Dnssec, InvalidServers};
pub use zones::ZoneResolver;

/// Why DNS did not say what was asked of it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The name does not exist: NXDOMAIN.
    #[error("the name does not exist")]
    NoSuchName,
    /// The name exists, and has no records of the type.
    #[error("the name has no such records")]
    NoRecords,
    /// A server answered, with an error: SERVFAIL, REFUSED and the like.
    #[error("the name server answered {0}")]
    Server(String),
    /// The name is an alias of an alias, and so on: in a circle, or too often.
    #[error("the name is an alias of too many others")]
    TooManyAliases,
    /// DNSSEC is required, and the name server does not say that it has verified the answer.
    #[error("the answer is not authenticated by DNSSEC")]
    NotAuthenticated,
    /// No answer came in time.
    #[error("no name server answered in time")]
    TimedOut,
    /// There was no way to ask, or the answer was not DNS.
    #[error("the name servers could not be asked")]
    Failed(#[source] Arc<dyn Error + Send + Sync>),
}

impl ResolveError {
    /// There was no way to ask.
    pub fn failed(cause: impl Error + Send + Sync + 'static) -> Self {
        Self::Failed(Arc::new(cause))
    }
}

/// Asks DNS for what validation needs. Every question and every answer is to be told to the trace.
#[async_trait]
pub trait Resolver: Send + Sync + 'static {
    /// The IPv6 and IPv4 addresses of a name; at least one.
    ///
    /// # Errors
    ///
    /// [`ResolveError::NoRecords`] if the name exists and has no addresses; else what went wrong. Addresses of one
    /// family are enough: then it does not matter what went wrong with the other.
    async fn addresses(&self, name: &DnsName, trace: &Trace) -> Result<Vec<IpAddr>, ResolveError>;

    /// The TXT records of a name, which need not be a host's: `_acme-challenge.example.org`, without a dot at the
    /// end. At least one; the strings of each are joined, and may be any bytes. Aliases are followed.
    ///
    /// # Errors
    ///
    /// [`ResolveError::NoRecords`] if the name exists and has none; else what went wrong.
    async fn texts(&self, name: &str, trace: &Trace) -> Result<Vec<Vec<u8>>, ResolveError>;

    /// The CAA records of this very name, or of what it is an alias of; at least one. Its parents are not asked.
    ///
    /// # Errors
    ///
    /// [`ResolveError::NoSuchName`] or [`ResolveError::NoRecords`] if DNS says that there are none, and only then; else
    /// what went wrong.
    async fn caa(&self, name: &DnsName, trace: &Trace) -> Result<Vec<CaaRecord>, ResolveError>;
}

#[cfg(test)]
mod tests;
