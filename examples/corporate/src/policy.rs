//! Who may have what.

use async_trait::async_trait;
use coyote_server::{
    policy::{Applicant, Policy, Verdict},
    protocol::{DnsName, Identifier, ProblemType},
    storage::BoxError,
};

/// Accounts are for colleagues, and certificates for hosts of the company.
pub(crate) struct HousePolicy {
    pub(crate) domain: DnsName,
}

#[async_trait]
impl Policy for HousePolicy {
    async fn new_account(&self, applicant: &Applicant<'_>) -> Result<Verdict, BoxError> {
        let ours = format!("@{}", self.domain.as_str());
        Ok(match applicant.account.contact.iter().any(|contact| contact.ends_with(&ours)) {
            true => Verdict::allow(),
            false => {
                Verdict::deny(ProblemType::InvalidContact, format!("give a contact that ends in {ours}"))
            }
        })
    }

    async fn identifier(&self, _: &Applicant<'_>, identifier: &Identifier) -> Result<Verdict, BoxError> {
        Ok(match identifier {
            Identifier::Dns(name) if name.is_within(&self.domain) => Verdict::allow(),
            _ => Verdict::reject(identifier).by("hosts of the company only"),
        })
    }
}
