//! Putting the server together from its configuration.

use std::{fs, path::Path, sync::Arc, time::Duration};

use coyote_server::{
    Acme, SystemClock, SystemEntropy,
    issue::{CaFiles, LocalCa},
    validate::{
        Caa, ChallengeValidator, Dns01, DnsAccount01, DnsPersist01, Http01, TlsAlpn01,
        danger::AcceptAnyChallenge,
    },
};
use openssl::x509::X509;

use crate::{
    config::{ChallengeKind, Config},
    failure::Failure,
    network::{Resolving, network},
    perspective::perspectives,
    signer::CommandSigner,
    store::Store,
};

/// What keeps the server from starting.
const NO_CA: &str = "there is no CA to issue with";

/// The CA, and whether it was made just now.
pub(crate) fn ca(config: &Config) -> Result<(LocalCa, bool), Failure> {
    let (files, request) = (config.ca_files(), config.ca.request());
    if let Some(command) = config.ca.command() {
        return Ok((ca_of_command(&files, command, config.ca.sign_timeout.0)?, false));
    }
    let is_new = !files.are_complete();
    let ca = LocalCa::load_or_create(&files, &request, &SystemClock, &SystemEntropy)
        .map_err(Failure::because(NO_CA))?;
    Ok((ca, is_new))
}

fn ca_of_command(
    files: &CaFiles,
    command: (&str, &[String]),
    patience: Duration,
) -> Result<LocalCa, Failure> {
    let mut chain = certificates(&files.intermediate)?;
    chain.extend(certificates(&files.root)?);
    let own = chain.first().ok_or_else(|| Failure::new(NO_CA))?;
    let key = own.public_key().map_err(Failure::because(NO_CA))?;
    let signer = CommandSigner::new(command, patience, key).map_err(Failure::because(NO_CA))?;
    LocalCa::new(Arc::new(signer), &chain).map_err(Failure::because(NO_CA))
}

fn certificates(path: &Path) -> Result<Vec<X509>, Failure> {
    let place = path.display();
    let pem = fs::read(path).map_err(Failure::because(format!("{NO_CA}: {place} cannot be read")))?;
    match X509::stack_from_pem(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(Failure::new(format!("{NO_CA}: there is no certificate in {place}"))),
    }
}

/// The ways to prove control that are offered.
pub(crate) fn validators(config: &Config) -> Result<Vec<Arc<dyn ChallengeValidator>>, Failure> {
    let validator = |kind: &ChallengeKind| -> Result<Arc<dyn ChallengeValidator>, Failure> {
        Ok(match kind {
            kind if config.validation.danger_accept_any_challenge => {
                Arc::new(AcceptAnyChallenge::new(kind.challenge_type()))
            }
            ChallengeKind::Http01 => Arc::new(Http01),
            ChallengeKind::Dns01 => Arc::new(Dns01),
            ChallengeKind::TlsAlpn01 => Arc::new(TlsAlpn01),
            ChallengeKind::DnsAccount01 => Arc::new(DnsAccount01),
            ChallengeKind::DnsPersist01 => {
                let validator = DnsPersist01::new(config.persist_identities().iter().cloned());
                Arc::new(validator.ok_or_else(|| Failure::new("dns-persist-01 has no name for this CA"))?)
            }
        })
    };
    config.validation.challenges.iter().map(validator).collect()
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
        .with_network(network(&config.validation, resolving)?)
        .with_perspectives(perspectives(config)?)
        .with_profiles(config.profiles()?)
        .with_limits(config.limits())
        .with_rate_limits(store.rate_limits.clone(), config.rate_limits.limits())
        .with_key_policy(config.policy.key_policy()?)
        .with_policy(config.policy()?)
        .with_meta(config.directory.meta());
    for (name, profile) in &config.profiles {
        if let Some(validation) = profile.validation.over(&config.validation) {
            builder = builder.with_profile_network(name, network(&validation, resolving)?);
            if profile.validation.perspectives == Some(false) {
                builder = builder.with_uncorroborated_profile(name);
            }
        }
    }
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
    for validator in validators(config)? {
        builder = builder.with_validator(validator);
    }
    builder.build().map_err(Failure::because("the server cannot be put together"))
}
