//! A policy for some orders only.

use async_trait::async_trait;
use coyote_protocol::Identifier;
use coyote_storage::{BoxError, Order};

use super::{Applicant, Policy, Verdict};
use crate::issue::Csr;

/// A policy that is asked about orders of one profile alone, and lets the others pass. About accounts that are opened it is
/// not asked: they have no profile.
#[derive(Clone, Debug)]
pub struct OfProfile<P> {
    profile: String,
    is_default: bool,
    policy: P,
}

impl<P: Policy> OfProfile<P> {
    /// Asks `policy` about orders of this profile.
    pub fn new(profile: impl Into<String>, policy: P) -> Self {
        Self { profile: profile.into(), is_default: false, policy }
    }

    /// Asks about what names no profile as well: orders that leave it to the server, and authorizations ahead of orders.
    #[must_use]
    pub fn and_of_none(self) -> Self {
        Self { is_default: true, ..self }
    }

    /// The rule, with the profile that it is of.
    fn of_profile(&self, verdict: Verdict) -> Verdict {
        let Self { profile, .. } = self;
        Verdict { rule: verdict.rule.map(|rule| format!("profile {profile}: {rule}")), ..verdict }
    }

    fn is_asked(&self, applicant: &Applicant<'_>) -> bool {
        applicant.profile.map_or(self.is_default, |profile| profile == self.profile)
    }
}

#[async_trait]
impl<P: Policy> Policy for OfProfile<P> {
    async fn identifier(
        &self,
        applicant: &Applicant<'_>,
        identifier: &Identifier,
    ) -> Result<Verdict, BoxError> {
        if !self.is_asked(applicant) {
            return Ok(Verdict::allow());
        }
        Ok(self.of_profile(self.policy.identifier(applicant, identifier).await?))
    }

    async fn finalize(
        &self,
        applicant: &Applicant<'_>,
        order: &Order,
        csr: &Csr,
    ) -> Result<Verdict, BoxError> {
        if !self.is_asked(applicant) {
            return Ok(Verdict::allow());
        }
        Ok(self.of_profile(self.policy.finalize(applicant, order, csr).await?))
    }
}
