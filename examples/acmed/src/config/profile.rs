//! `[profiles.NAME]`: what certificates look like.

use std::{net::SocketAddr, str::FromStr};

use coyote_server::{
    issue::{ExtendedKeyUsage, Profile, Profiles},
    policy::{AllOf, OfProfile, Rules},
    protocol::DnsName,
};

use super::{
    Account, Allow, Config, DEFAULT_PROFILE, DnssecKind, NameServer, Validation, ZoneSection,
    section::{section, string_setting},
    time::Time,
    validation::{Agent, Range},
};
use crate::failure::Failure;

section! {
    /// A kind of certificate. Orders that ask for none get "default"; more can be added by other names.
    ProfileSection {
        /// What clients are told about it: a sentence, or a URL.
        description: String = "certificates for TLS servers".into();
        /// For how long a certificate is valid if the order does not say.
        validity: Time = Time::days(90);
        /// For how long, if the order does, at most.
        max_validity: Time = Time::days(90);
        /// How far before its signing its validity begins, for clients whose clocks are slow.
        backdate: Time = Time::seconds(300);
        /// What the key may be used for: server-auth, client-auth.
        extended_key_usages: Vec<Usage> = vec![Usage(ExtendedKeyUsage::ServerAuth)];
        /// Whether the first name is repeated as the subject's common name, for old software.
        common_name: bool = false;
        /// As in `[policy]`, for this profile: domains that there are certificates for. What is denied there is denied here.
        allowed_names: Vec<DnsName> = Vec::new();
        /// As in `[policy]`: networks of IP addresses. If either is set, there are certificates for nothing else.
        allowed_networks: Vec<Range> = Vec::new();
        /// As in `[policy]`: the accounts that may order.
        allowed_accounts: Vec<Account> = Vec::new();
        /// As in `[policy]`: the keys of `acmed eab` whose accounts may. If either is set, no others may.
        allowed_eab_keys: Vec<String> = Vec::new();
    }
    validation: ProfileValidation,
}

section! {
    /// How control of names is proved for this profile where that is not as `[validation]` says. What was proved so serves no
    /// other profile, nor the other way round. Not for the profile "default".
    ProfileValidation {
        /// Whether other perspectives have to see a proof as well, each through its own network. Where there are any, this has
        /// to be said; and if it is not so, who may have the profile: any order may ask for it.
        perspectives: Option<bool> = None, as in "false";
        /// As in `[validation]`: these instead of its own, for what is in no zone.
        resolvers: Option<Vec<NameServer>> = None, as in "[\"192.0.2.1\"]";
        /// As in `[validation]`.
        dnssec: Option<DnssecKind> = None, as in "\"require\"";
        /// As in `[validation]`: these instead of its own.
        allow: Option<Vec<Allow>> = None, as in "[\"private-network\"]";
        /// As in `[validation]`: these instead of its own.
        deny: Option<Vec<Range>> = None, as in "[\"10.0.0.0/8\"]";
        /// As in `[validation]`.
        http_port: Option<u16> = None, as in "8080";
        /// As in `[validation]`.
        tls_port: Option<u16> = None, as in "8443";
        /// As in `[validation]`.
        user_agent: Option<Agent> = None, as in "\"corp-ca\"";
        /// As in `[validation]`.
        proxy: Option<SocketAddr> = None, as in "\"10.0.0.1:3128\"";
    }
    zone: Option<Vec<ZoneSection>>,
}

impl ProfileValidation {
    /// What is said here, and what is not, from there; nothing if nothing is said here.
    pub(crate) fn over(&self, base: &Validation) -> Option<Validation> {
        if *self == Self::default() {
            return None;
        }
        let own = self.clone();
        Some(Validation {
            resolvers: own.resolvers.unwrap_or_else(|| base.resolvers.clone()),
            dnssec: own.dnssec.unwrap_or(base.dnssec),
            zone: own.zone.unwrap_or_else(|| base.zone.clone()),
            allow: own.allow.unwrap_or_else(|| base.allow.clone()),
            deny: own.deny.unwrap_or_else(|| base.deny.clone()),
            http_port: own.http_port.unwrap_or(base.http_port),
            tls_port: own.tls_port.unwrap_or(base.tls_port),
            user_agent: own.user_agent.unwrap_or_else(|| base.user_agent.clone()),
            proxy: own.proxy.or(base.proxy),
            ..base.clone()
        })
    }
}

impl ProfileSection {
    fn profile(&self, name: &str) -> Profile {
        let mut profile = Profile::new(name);
        profile.description = self.description.clone();
        profile.validity = self.validity.0;
        profile.max_validity = self.max_validity.0;
        profile.backdate = self.backdate.0;
        profile.extended_key_usages = self.extended_key_usages.iter().map(|usage| usage.0).collect();
        profile.common_name = self.common_name;
        profile
    }

    /// Who may have it for what.
    pub(super) fn rules(&self) -> Rules {
        let mut rules = Rules::default();
        rules.allowed_names = self.allowed_names.clone();
        rules.allowed_networks = self.allowed_networks.iter().map(|range| range.0).collect();
        rules.allowed_accounts = self.allowed_accounts.iter().map(|account| account.0).collect();
        rules.allowed_keys = self.allowed_eab_keys.clone();
        rules
    }
}

impl Config {
    /// Who may have what, of all profiles and of each. It reads the files that `[policy]` names.
    pub(crate) fn policy(&self) -> Result<AllOf, Failure> {
        let mut policy = self.policy.policy()?;
        for (name, section) in &self.profiles {
            let rules = section.rules();
            if !rules.are_empty() {
                let of_profile = OfProfile::new(name, rules);
                policy =
                    policy.and(if name == DEFAULT_PROFILE { of_profile.and_of_none() } else { of_profile });
            }
        }
        Ok(policy)
    }

    /// Refuses profiles by which whoever likes could go around the perspectives.
    pub(super) fn check_perspectives_of_profiles(&self) -> Result<(), Failure> {
        if self.validation.perspective.is_empty() {
            return Ok(());
        }
        for (name, section) in &self.profiles {
            match section.validation.perspectives {
                _ if section.validation.over(&self.validation).is_none() => {}
                Some(true) => {}
                Some(false) if !section.rules().are_empty() => {}
                Some(false) => {
                    return Err(Failure::new(format!(
                        "any order could ask for the profile {name}, which other perspectives do not look at; say who may have \
                         it, with allowed_names, allowed_accounts or others in [profiles.{name}]"
                    )));
                }
                None => {
                    return Err(Failure::new(format!(
                        "[profiles.{name}.validation] has to say whether other perspectives look as well: perspectives = true, or \
                         false for what they cannot see"
                    )));
                }
            }
        }
        Ok(())
    }

    /// The kinds of certificates.
    pub(crate) fn profiles(&self) -> Result<Profiles, Failure> {
        let failed = Failure::because("the profiles contradict themselves");
        let default = self.profiles.get(DEFAULT_PROFILE).cloned().unwrap_or_default();
        let mut profiles = Profiles::new(default.profile(DEFAULT_PROFILE)).map_err(failed)?;
        for (name, section) in &self.profiles {
            let failed = Failure::because("the profiles contradict themselves");
            profiles = profiles.with(section.profile(name)).map_err(failed)?;
        }
        Ok(profiles)
    }
}

/// What a key may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage(ExtendedKeyUsage);

impl FromStr for Usage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "server-auth" => Ok(Self(ExtendedKeyUsage::ServerAuth)),
            "client-auth" => Ok(Self(ExtendedKeyUsage::ClientAuth)),
            _ => Err(format!("{text:?} is no use of a key; write server-auth or client-auth")),
        }
    }
}

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            ExtendedKeyUsage::ClientAuth => "client-auth",
            _ => "server-auth",
        })
    }
}

string_setting!(Usage);
