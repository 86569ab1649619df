//! The lists of `[policy]`: who may have what.

use std::{fmt, str::FromStr};

use coyote_server::{
    policy::{Rules, Trust},
    protocol::DnsName,
    storage::AccountId,
    validate::Cidr,
};

use super::super::{
    section::{section, string_setting},
    validation::Range,
};
use super::PolicySection;
use crate::failure::Failure;

section! {
    /// Who need not prove what: [policy.trust.NAME], as many as you like, by names of your own. What is said of the
    /// applicant must hold (accounts or eab_keys, and clients), and the identifier must be in names or networks.
    TrustSection {
        /// Accounts, by id or URL.
        accounts: Vec<Account> = Vec::new();
        /// Accounts that these keys of `acmed eab` opened, by kid.
        eab_keys: Vec<String> = Vec::new();
        /// Networks that requests come from.
        clients: Vec<Range> = Vec::new();
        /// Domains, with all names below. Without names and networks: everything.
        names: Vec<DnsName> = Vec::new();
        /// Networks whose IP addresses certificates are for.
        networks: Vec<Range> = Vec::new();
    }
}

impl TrustSection {
    fn trust(&self, name: &str) -> Result<Trust, Failure> {
        let mut trust = Trust::default();
        trust.name = name.to_owned();
        trust.accounts = ids(&self.accounts);
        trust.keys = self.eab_keys.clone();
        trust.clients = ranges(&self.clients);
        trust.names = self.names.clone();
        trust.networks = ranges(&self.networks);
        if trust.accounts.is_empty() && trust.keys.is_empty() && trust.clients.is_empty() {
            return Err(Failure::new(format!(
                "[policy.trust.{name}] would trust everybody; say whom, with accounts, eab_keys or clients"
            )));
        }
        Ok(trust)
    }
}

impl PolicySection {
    /// The lists.
    pub(super) fn rules(&self) -> Result<Rules, Failure> {
        let mut rules = Rules::default();
        rules.allowed_names = self.allowed_names.clone();
        rules.denied_names = self.denied_names.clone();
        rules.allowed_networks = ranges(&self.allowed_networks);
        rules.denied_networks = ranges(&self.denied_networks);
        rules.allowed_accounts = ids(&self.allowed_accounts);
        rules.denied_accounts = ids(&self.denied_accounts);
        rules.allowed_keys = self.allowed_eab_keys.clone();
        rules.denied_keys = self.denied_eab_keys.clone();
        rules.allowed_clients = ranges(&self.allowed_clients);
        rules.denied_clients = ranges(&self.denied_clients);
        let trusted = self.trust.iter().map(|(name, section)| section.trust(name));
        rules.trusted = trusted.collect::<Result<_, _>>()?;
        Ok(rules)
    }
}

fn ids(accounts: &[Account]) -> Vec<AccountId> {
    accounts.iter().map(|account| account.0).collect()
}

fn ranges(ranges: &[Range]) -> Vec<Cidr> {
    ranges.iter().map(|range| range.0).collect()
}

/// An account, by its id or its URL, which ends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Account(pub(crate) AccountId);

impl FromStr for Account {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let id = text.rsplit('/').next().unwrap_or_default();
        id.parse()
            .map(Self)
            .map_err(|_| format!("{text:?} is no account; write its URL, or the id at its end"))
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

string_setting!(Account);
