//! Other name servers for some names.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use coyote_protocol::DnsName;

use super::{ResolveError, Resolver};
use crate::trace::Trace;
use crate::validate::CaaRecord;

/// Asks one resolver for the names of a zone, and another for those of another: of the zones that a name is in, the
/// deepest decides. Aliases that lead out of a zone are for that zone's resolver to follow.
#[derive(Clone)]
pub struct ZoneResolver {
    rest: Arc<dyn Resolver>,
    zones: Vec<(DnsName, Arc<dyn Resolver>)>,
}

impl ZoneResolver {
    /// Asks this resolver, as long as there is no zone for a name.
    pub fn new(rest: Arc<dyn Resolver>) -> Self {
        Self { rest, zones: Vec::new() }
    }

    /// Asks this one for the name of a zone, and all names below it.
    #[must_use]
    pub fn with_zone(mut self, zone: DnsName, resolver: Arc<dyn Resolver>) -> Self {
        self.zones.push((zone, resolver));
        self
    }

    fn of(&self, name: &str) -> &dyn Resolver {
        let inside = |zone: &DnsName| {
            name.strip_suffix(zone.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        let zones = self.zones.iter().filter(|(zone, _)| inside(zone));
        let deepest = zones.max_by_key(|(zone, _)| zone.as_str().len());
        deepest.map_or(&*self.rest, |(_, resolver)| &**resolver)
    }
}

impl fmt::Debug for ZoneResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let zones: Vec<_> = self.zones.iter().map(|(zone, _)| zone).collect();
        f.debug_struct("ZoneResolver").field("zones", &zones).finish_non_exhaustive()
    }
}

#[async_trait]
impl Resolver for ZoneResolver {
    async fn addresses(&self, name: &DnsName, trace: &Trace) -> Result<Vec<IpAddr>, ResolveError> {
        self.of(name.as_str()).addresses(name, trace).await
    }

    async fn texts(&self, name: &str, trace: &Trace) -> Result<Vec<Vec<u8>>, ResolveError> {
        self.of(name).texts(name, trace).await
    }

    async fn caa(&self, name: &DnsName, trace: &Trace) -> Result<Vec<CaaRecord>, ResolveError> {
        self.of(name.as_str()).caa(name, trace).await
    }
}

#[cfg(test)]
mod tests {
    use coyote_storage::RequestId;

    use super::super::FixedResolver;
    use super::*;

    #[tokio::test]
    async fn the_deepest_zone_that_a_name_is_in_decides() {
        let at = |last: u8| Arc::new(FixedResolver::new([IpAddr::from([192, 0, 2, last])]));
        let zone = |name| DnsName::parse(name).unwrap();
        let resolver = ZoneResolver::new(at(1))
            .with_zone(zone("corp.test"), at(2))
            .with_zone(zone("lab.corp.test"), at(3));
        let trace = Trace::new(RequestId::from_bytes([0; 16]), "a test");
        for (name, last) in [
            ("test", 1),
            ("corp.test", 2),
            ("a.corp.test", 2),
            ("acorp.test", 1),
            ("lab.corp.test", 3),
            ("a.b.lab.corp.test", 3),
        ] {
            let addresses = resolver.addresses(&zone(name), &trace).await.unwrap();
            assert_eq!(addresses, [IpAddr::from([192, 0, 2, last])], "{name}");
        }
    }
}
