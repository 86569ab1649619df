//! The way to the outside: who is asked for names, and what may be dialled.

use std::{fs, net::Ipv4Addr, sync::Arc};

use coyote_server::validate::{Authorities, DnsResolver, FixedResolver, Network, Resolver, ZoneResolver};

use crate::{
    config::{DnssecKind, NameServer, Validation},
    failure::Failure,
};

/// How names are resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resolving {
    /// By DNS, as configured.
    Dns,
    /// Every name to 127.0.0.1. Name servers, if there are any, are asked for everything else.
    Loopback,
}

/// The network that the configuration describes.
pub(crate) fn network(validation: &Validation, resolving: Resolving) -> Result<Network, Failure> {
    let resolver: Arc<dyn Resolver> = match resolving {
        Resolving::Dns => dns(validation)?,
        Resolving::Loopback => {
            let loopback = FixedResolver::new([Ipv4Addr::LOCALHOST.into()]);
            let has_servers = !validation.resolvers.is_empty();
            Arc::new(if has_servers { loopback.with_rest(dns(validation)?) } else { loopback })
        }
    };
    let network = Network::new(resolver, validation.address_policy(), validation.network_limits());
    Ok(match validation.proxy {
        Some(proxy) => network.with_proxy(proxy),
        None => network,
    })
}

/// Asks DNS, for each zone those who are to be asked.
fn dns(validation: &Validation) -> Result<Arc<dyn Resolver>, Failure> {
    let rest = Arc::new(servers(validation, &validation.resolvers, validation.dnssec)?);
    let mut zones = ZoneResolver::new(rest.clone());
    for zone in &validation.zone {
        let Some(name) = &zone.name else { continue };
        zones = zones.with_zone(name.clone(), Arc::new(servers(validation, &zone.resolvers, zone.dnssec)?));
    }
    Ok(if validation.zone.is_empty() { rest } else { Arc::new(zones) })
}

fn servers(
    validation: &Validation,
    servers: &[NameServer],
    dnssec: DnssecKind,
) -> Result<DnsResolver, Failure> {
    let resolver = if servers.is_empty() {
        DnsResolver::of_system()
    } else {
        DnsResolver::of_name_servers(servers.iter().map(|server| server.0.clone()))
    };
    let resolver = resolver.map_err(|error| {
        Failure::because("names cannot be resolved")(error).hint("name servers can be set with --resolver")
    })?;
    let resolver = resolver.timeout(validation.resolver_timeout.0).dnssec(dnssec.0);
    let Some(path) = &validation.resolver_roots else { return Ok(resolver) };
    let pem = fs::read(path).map_err(Failure::because(format!("{} cannot be read", path.display())))?;
    let authorities = Authorities::of_pem(&pem)
        .map_err(Failure::because(format!("{} is no PEM of certificates", path.display())))?;
    Ok(resolver.trusting(authorities))
}
