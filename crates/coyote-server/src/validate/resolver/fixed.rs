//! One answer for every name.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use coyote_protocol::DnsName;

use super::{ResolveError, Resolver};
use crate::trace::{DnsRecord, Excerpt, Trace, TraceEvent};
use crate::validate::CaaRecord;

/// Says of every name that it has the same addresses: for trying things out on one machine.
#[derive(Clone)]
pub struct FixedResolver {
    addresses: Vec<IpAddr>,
    rest: Option<Arc<dyn Resolver>>,
}

impl FixedResolver {
    /// Gives these addresses to every name, and no name anything else.
    pub fn new(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        Self { addresses: addresses.into_iter().collect(), rest: None }
    }

    /// Asks this resolver for everything but addresses.
    #[must_use]
    pub fn with_rest(self, resolver: Arc<dyn Resolver>) -> Self {
        Self { rest: Some(resolver), ..self }
    }
}

impl fmt::Debug for FixedResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { addresses, rest: _ } = self;
        f.debug_struct("FixedResolver").field("addresses", addresses).finish_non_exhaustive()
    }
}

#[async_trait]
impl Resolver for FixedResolver {
    async fn addresses(&self, name: &DnsName, trace: &Trace) -> Result<Vec<IpAddr>, ResolveError> {
        let records = self.addresses.iter();
        let records = records.map(|a| DnsRecord { data: Excerpt::new(a.to_string()), ttl: None }).collect();
        trace.record(fixed(name.as_str(), "address", records));
        if self.addresses.is_empty() { Err(ResolveError::NoRecords) } else { Ok(self.addresses.clone()) }
    }

    async fn texts(&self, name: &str, trace: &Trace) -> Result<Vec<Vec<u8>>, ResolveError> {
        if let Some(rest) = &self.rest {
            return rest.texts(name, trace).await;
        }
        trace.record(fixed(name, "TXT", Vec::new()));
        Err(ResolveError::NoRecords)
    }

    async fn caa(&self, name: &DnsName, trace: &Trace) -> Result<Vec<CaaRecord>, ResolveError> {
        if let Some(rest) = &self.rest {
            return rest.caa(name, trace).await;
        }
        trace.record(fixed(name.as_str(), "CAA", Vec::new()));
        Err(ResolveError::NoRecords)
    }
}

/// An answer that nobody was asked for.
fn fixed(name: &str, record_type: &str, records: Vec<DnsRecord>) -> TraceEvent {
    let record_type = Excerpt::new(format!("{record_type} (fixed)"));
    TraceEvent::DnsAnswer { name: Excerpt::new(name), record_type, records, took_ms: 0 }
}
