//! Putting the server together from its configuration.

use std::sync::Arc;

use coyote_server::{
    Acme, SystemClock, SystemEntropy,
    issue::{CaFiles, CaRequest, LocalCa},
    validate::{Caa, Dns01, DnsAccount01, DnsPersist01, Http01, TlsAlpn01, danger::AcceptAnyChallenge},
};

use crate::{
    config::{ChallengeKind, Config},
    failure::Failure,
    network::{Resolving, network},
    store::Store,
};

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
            ChallengeKind::DnsAccount01 => builder.with_validator(DnsAccount01),
            ChallengeKind::DnsPersist01 => {
                let validator = DnsPersist01::new(config.persist_identities().iter().cloned());
                builder.with_validator(
                    validator.ok_or_else(|| Failure::new("dns-persist-01 has no name for this CA"))?,
                )
            }
        };
    }
    builder.build().map_err(Failure::because("the server cannot be put together"))
}
