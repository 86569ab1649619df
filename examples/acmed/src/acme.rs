//! Putting the server together from its configuration.

use std::{net::Ipv4Addr, sync::Arc};

use coyote_server::{
    Acme, SystemClock, SystemEntropy,
    issue::{CaFiles, CaRequest, LocalCa},
    validate::{
        Caa, Dns01, DnsResolver, FixedResolver, Http01, Network, Resolver, TlsAlpn01,
        danger::AcceptAnyChallenge,
    },
};

use crate::{
    config::{ChallengeKind, Config},
    failure::Failure,
    store::Store,
};

/// How names are resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resolving {
    /// By DNS, as configured.
    Dns,
    /// Every name to 127.0.0.1. Name servers, if there are any, are asked for everything else.
    Loopback,
}

/// The CA, and whether it was made just now.
pub(crate) fn ca(files: &CaFiles, request: &CaRequest) -> Result<(LocalCa, bool), Failure> {
    let is_new = !files.are_complete();
    let ca = LocalCa::load_or_create(files, request, &SystemClock, &SystemEntropy)
        .map_err(Failure::because("there is no CA to issue with"))?;
    Ok((ca, is_new))
}

/// The server.
pub(crate) fn build(
    config: &Config,
    base_url: String,
    store: &Store,
    ca: LocalCa,
    resolving: Resolving,
) -> Result<Arc<Acme>, Failure> {
    let mut builder = Acme::builder(base_url, store.storage.clone(), Arc::new(ca))
        .with_network(network(config, resolving)?)
        .with_profiles(config.profiles()?)
        .with_limits(config.limits())
        .with_rate_limits(store.rate_limits.clone(), config.rate_limits.limits())
        .with_key_policy(config.policy.key_policy()?)
        .with_meta(config.directory.meta());
    if let Some(moment) = config.directory.terms_since {
        builder = builder.with_terms_changed(moment.0);
    }
    if let Some(url) = &config.directory.renewal_explanation {
        builder = builder.with_renewal_explanation(url.to_string());
    }
    if config.validation.caa {
        let caa = Caa::new(config.directory.caa_identities.iter().cloned());
        builder =
            builder.with_caa(caa.ok_or_else(|| Failure::new("there is no name for this CA in CAA records"))?);
    }
    if let Some(nonces) = &store.nonces {
        builder = builder.with_nonces(nonces.clone());
    }
    for challenge in &config.validation.challenges {
        builder = match challenge {
            kind if config.validation.danger_accept_any_challenge => {
                builder.with_validator(AcceptAnyChallenge::new(kind.challenge_type()))
            }
            ChallengeKind::Http01 => builder.with_validator(Http01),
            ChallengeKind::Dns01 => builder.with_validator(Dns01),
            ChallengeKind::TlsAlpn01 => builder.with_validator(TlsAlpn01),
        };
    }
    builder.build().map_err(Failure::because("the server cannot be put together"))
}

fn network(config: &Config, resolving: Resolving) -> Result<Network, Failure> {
    let validation = &config.validation;
    let resolver: Arc<dyn Resolver> = match resolving {
        Resolving::Dns => Arc::new(dns(config)?),
        Resolving::Loopback => {
            let loopback = FixedResolver::new([Ipv4Addr::LOCALHOST.into()]);
            let has_servers = !validation.resolvers.is_empty();
            Arc::new(if has_servers { loopback.with_rest(Arc::new(dns(config)?)) } else { loopback })
        }
    };
    Ok(Network::new(resolver, validation.address_policy(), validation.network_limits()))
}

fn dns(config: &Config) -> Result<DnsResolver, Failure> {
    let validation = &config.validation;
    let resolver = if validation.resolvers.is_empty() {
        DnsResolver::of_system()
    } else {
        let addresses: Vec<_> = validation.resolvers.iter().map(|server| server.0).collect();
        DnsResolver::of_servers(&addresses)
    };
    let resolver = resolver.map_err(|error| {
        Failure::because("names cannot be resolved")(error).hint("name servers can be set with --resolver")
    })?;
    Ok(resolver.timeout(validation.resolver_timeout.0))
}
