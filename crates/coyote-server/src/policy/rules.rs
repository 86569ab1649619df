//! Lists of who may have what.

use async_trait::async_trait;
use coyote_protocol::{DnsName, Identifier, ProblemType};
use coyote_storage::{AccountId, BoxError, Order};

use super::{Applicant, Decision, Policy, Verdict};
use crate::{issue::Csr, validate::Cidr};

/// A policy of lists. What is denied is denied whatever else is listed; a list of what is allowed that is empty allows
/// all.
///
/// A domain stands for its name, all names below it, and their wildcards.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Rules {
    /// The domains that there are certificates for. Unless both this and `allowed_networks` are empty, there are
    /// certificates for nothing else.
    pub allowed_names: Vec<DnsName>,
    /// The networks whose addresses there are certificates for.
    pub allowed_networks: Vec<Cidr>,
    /// Domains that there are no certificates for, nor for a wildcard that stands for one of them.
    pub denied_names: Vec<DnsName>,
    /// Networks whose addresses there are no certificates for.
    pub denied_networks: Vec<Cidr>,
    /// The accounts that may order. Unless both this and `allowed_keys` are empty, no others may.
    pub allowed_accounts: Vec<AccountId>,
    /// The `kid`s of the external account keys whose accounts may order.
    pub allowed_keys: Vec<String>,
    /// Accounts that may not order.
    pub denied_accounts: Vec<AccountId>,
    /// The `kid`s of external account keys whose accounts may not order, and that open none.
    pub denied_keys: Vec<String>,
    /// The networks from which accounts are opened and certificates ordered.
    pub allowed_clients: Vec<Cidr>,
    /// Networks from which neither is done. Where a list of networks is kept, a client whose address is not known is
    /// in none.
    pub denied_clients: Vec<Cidr>,
    /// Who need not prove what.
    pub trusted: Vec<Trust>,
}

/// An applicant that need not prove that it controls a name.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Trust {
    /// What the operator calls this.
    pub name: String,
    /// The accounts.
    pub accounts: Vec<AccountId>,
    /// The `kid`s of the external account keys whose accounts are meant, too.
    pub keys: Vec<String>,
    /// Where requests have to come from. If neither accounts nor keys are named, all accounts are meant; if this is
    /// empty as well, none is.
    pub clients: Vec<Cidr>,
    /// The domains. If both this and `networks` are empty, all names and addresses.
    pub names: Vec<DnsName>,
    /// The networks whose addresses are meant, too.
    pub networks: Vec<Cidr>,
}

impl Rules {
    /// Whether nothing is denied and nobody is trusted.
    pub fn are_empty(&self) -> bool {
        self.allowed_names.is_empty()
            && self.allowed_networks.is_empty()
            && self.denied_names.is_empty()
            && self.denied_networks.is_empty()
            && self.allowed_accounts.is_empty()
            && self.allowed_keys.is_empty()
            && self.denied_accounts.is_empty()
            && self.denied_keys.is_empty()
            && self.allowed_clients.is_empty()
            && self.denied_clients.is_empty()
            && self.trusted.is_empty()
    }

    fn judge(&self, applicant: &Applicant<'_>, identifier: &Identifier) -> Verdict {
        let who = self.judge_client(applicant).and(self.judge_account(applicant));
        if matches!(who.decision, Decision::Deny(_)) {
            return who;
        }
        let what = self.judge_identifier(identifier);
        if matches!(what.decision, Decision::Deny(_)) {
            return what;
        }
        match self.trusted.iter().find(|trust| trust.covers(applicant, identifier)) {
            Some(trust) => Verdict::already_valid().by(format!("trust.{}", trust.name)),
            None => what,
        }
    }

    fn judge_client(&self, applicant: &Applicant<'_>) -> Verdict {
        let denied = || Verdict::deny(ProblemType::Unauthorized, "requests from this address are refused");
        if let Some(range) = containing(&self.denied_clients, applicant) {
            return denied().by(format!("denied_clients: {range}"));
        }
        if !self.allowed_clients.is_empty() && containing(&self.allowed_clients, applicant).is_none() {
            return denied().by("allowed_clients: the client is in none of them");
        }
        Verdict::allow()
    }

    fn judge_key(&self, applicant: &Applicant<'_>) -> Verdict {
        match applicant.external_account().filter(|kid| self.denied_keys.iter().any(|key| key == kid)) {
            Some(kid) => unauthorized().by(format!("denied_keys: {kid}")),
            None => Verdict::allow(),
        }
    }

    fn judge_account(&self, applicant: &Applicant<'_>) -> Verdict {
        let id = &applicant.account.id;
        if self.denied_accounts.contains(id) {
            return unauthorized().by(format!("denied_accounts: {id}"));
        }
        let by_key = self.judge_key(applicant);
        if matches!(by_key.decision, Decision::Deny(_)) {
            return by_key;
        }
        if self.allowed_accounts.is_empty() && self.allowed_keys.is_empty()
            || names(&self.allowed_accounts, &self.allowed_keys, applicant)
        {
            return Verdict::allow();
        }
        unauthorized().by("allowed_accounts, allowed_keys: the account is in neither")
    }

    fn judge_identifier(&self, identifier: &Identifier) -> Verdict {
        if let Some(rule) = self.denial_of(identifier) {
            return Verdict::reject(identifier).by(rule);
        }
        if self.allowed_names.is_empty() && self.allowed_networks.is_empty() {
            return Verdict::allow();
        }
        match allowance(&self.allowed_names, &self.allowed_networks, identifier) {
            Some(of) => Verdict::allow().by(format!("allowed: {of}")),
            None => Verdict::reject(identifier).by("allowed_names, allowed_networks: in neither"),
        }
    }

    fn denial_of(&self, identifier: &Identifier) -> Option<String> {
        let stands_for = |denied: &DnsName| match identifier {
            Identifier::Wildcard(base) => denied.parent().as_ref() == Some(base),
            _ => false,
        };
        if let Some(of) = allowance(&self.denied_names, &self.denied_networks, identifier) {
            return Some(format!("denied: {of}"));
        }
        let denied = self.denied_names.iter().find(|denied| stands_for(denied))?;
        Some(format!("denied_names: the wildcard stands for {denied}, too"))
    }
}

#[async_trait]
impl Policy for Rules {
    async fn new_account(&self, applicant: &Applicant<'_>) -> Result<Verdict, BoxError> {
        Ok(self.judge_client(applicant).and(self.judge_key(applicant)))
    }

    async fn identifier(
        &self,
        applicant: &Applicant<'_>,
        identifier: &Identifier,
    ) -> Result<Verdict, BoxError> {
        Ok(self.judge(applicant, identifier))
    }

    /// The lists may be others than when the order was made.
    async fn finalize(
        &self,
        applicant: &Applicant<'_>,
        order: &Order,
        _csr: &Csr,
    ) -> Result<Verdict, BoxError> {
        let each = order.identifiers.iter().map(|identifier| self.judge(applicant, identifier));
        Ok(each.fold(Verdict::allow(), Verdict::and))
    }
}

impl Trust {
    fn covers(&self, applicant: &Applicant<'_>, identifier: &Identifier) -> bool {
        let anybody = self.accounts.is_empty() && self.keys.is_empty();
        let anywhere = self.clients.is_empty();
        let anything = self.names.is_empty() && self.networks.is_empty();
        !(anybody && anywhere)
            && (anybody || names(&self.accounts, &self.keys, applicant))
            && (anywhere || containing(&self.clients, applicant).is_some())
            && (anything || allowance(&self.names, &self.networks, identifier).is_some())
    }
}

fn unauthorized() -> Verdict {
    Verdict::deny(ProblemType::Unauthorized, "the policy of this server refuses this account")
}

fn names(accounts: &[AccountId], keys: &[String], applicant: &Applicant<'_>) -> bool {
    accounts.contains(&applicant.account.id)
        || applicant.external_account().is_some_and(|kid| keys.iter().any(|key| key == kid))
}

fn containing<'a>(ranges: &'a [Cidr], applicant: &Applicant<'_>) -> Option<&'a Cidr> {
    let client = applicant.client?.to_canonical();
    ranges.iter().find(|range| range.contains(client))
}

/// Which of the domains or networks the identifier is in.
fn allowance(domains: &[DnsName], networks: &[Cidr], identifier: &Identifier) -> Option<String> {
    match identifier {
        Identifier::Dns(name) | Identifier::Wildcard(name) => {
            let domain = domains.iter().find(|domain| name == *domain || name.is_within(domain));
            domain.map(ToString::to_string)
        }
        Identifier::Ip(address) => {
            networks.iter().find(|network| network.contains(*address)).map(ToString::to_string)
        }
    }
}

#[cfg(test)]
mod tests;
