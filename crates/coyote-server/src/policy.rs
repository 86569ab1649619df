//! Policy: who may have what.

use std::{net::IpAddr, sync::Arc};

use async_trait::async_trait;
use coyote_protocol::{Identifier, Problem, ProblemType};
use coyote_storage::{Account, BoxError, DirectoryId, Order};

use crate::issue::Csr;

mod keys;
mod of_profile;
mod public_suffixes;
mod rate_limits;
mod rules;
mod webhook;

pub use keys::{InvalidWeakKey, KeyPolicy, KnownWeakKeys, WeakKey};
pub use of_profile::OfProfile;
pub use public_suffixes::{InvalidPublicSuffixes, PublicSuffixes};
pub(crate) use rate_limits::RateLimiter;
pub use rate_limits::{RateLimitFields, RateLimited, RateLimits};
pub use rules::{Rules, Trust};
pub use webhook::{InvalidWebhook, Webhook, WebhookSettings};

/// Stands for a challenge where a policy's word is the proof. No client can answer it.
pub(crate) const BY_POLICY: &str = "by-policy";

/// Decides who may have what, beyond what the protocol itself demands. Each method may be left as it is.
///
/// An error is no decision: the client is told to come back later, and gets nothing. The log is told why.
#[async_trait]
pub trait Policy: Send + Sync + 'static {
    /// Whether this account may be opened. It has passed all other checks.
    async fn new_account(&self, _applicant: &Applicant<'_>) -> Result<Verdict, BoxError> {
        Ok(Verdict::allow())
    }

    /// Whether this account may order certificates for this identifier, and whether it still has to prove that it
    /// controls it. Of the identifiers of an order, all that are refused are told at once.
    ///
    /// If the answer is [`AlreadyValid`](Decision::AlreadyValid) the order's authorization is valid from birth, for
    /// this order alone, and this is asked again before the order is finalized.
    async fn identifier(
        &self,
        _applicant: &Applicant<'_>,
        _identifier: &Identifier,
    ) -> Result<Verdict, BoxError> {
        Ok(Verdict::allow())
    }

    /// Whether this order may be finalized with this CSR.
    async fn finalize(
        &self,
        _applicant: &Applicant<'_>,
        _order: &Order,
        _csr: &Csr,
    ) -> Result<Verdict, BoxError> {
        Ok(Verdict::allow())
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Applicant<'a> {
    /// The account; or the one that is about to be opened.
    pub account: &'a Account,
    /// The address that the request came from, if it is known.
    pub client: Option<IpAddr>,
    /// The profile of the order. There is none without an order.
    pub profile: Option<&'a str>,
}

impl<'a> Applicant<'a> {
    /// This account, from an unknown address.
    pub const fn new(account: &'a Account) -> Self {
        Self { account, client: None, profile: None }
    }

    /// The `kid` of the external account key that opened the account, if one did. RFC 8555 section 7.3.4.
    pub fn external_account(&self) -> Option<&'a str> {
        self.account.external_account.as_ref().map(|external| external.kid.as_str())
    }

    /// The directory in which it asks.
    pub const fn directory(&self) -> &'a DirectoryId {
        &self.account.directory
    }
}

/// What a policy says, and why.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Verdict {
    /// What.
    pub decision: Decision,
    /// The rule that decided, in the operator's words; clients are not told.
    pub rule: Option<String>,
}

/// What a policy says.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// It has no objection.
    Allow,
    /// Nor is there anything to prove: the policy vouches for the account's control of the identifier. Of anything
    /// but an identifier, the same as [`Allow`](Self::Allow).
    AlreadyValid,
    /// No. The client is told exactly this.
    Deny(Problem),
}

impl Verdict {
    /// No objection.
    pub const fn allow() -> Self {
        Self { decision: Decision::Allow, rule: None }
    }

    /// Nothing has to be proved.
    pub const fn already_valid() -> Self {
        Self { decision: Decision::AlreadyValid, rule: None }
    }

    /// No: the client is told this sentence, as a problem of this type.
    pub fn deny(kind: ProblemType, detail: impl Into<String>) -> Self {
        Self { decision: Decision::Deny(Problem::new(kind, detail)), rule: None }
    }

    /// No certificate for this identifier: `rejectedIdentifier`.
    pub fn reject(identifier: &Identifier) -> Self {
        Self::deny(ProblemType::RejectedIdentifier, format!("the policy of this server refuses {identifier}"))
    }

    /// Because of this rule.
    pub fn by(self, rule: impl Into<String>) -> Self {
        Self { rule: Some(rule.into()), ..self }
    }

    /// The stricter of two: a denial, before all; and among those that allow, the one that demands no proof, for it is
    /// who vouches that answers for it.
    fn and(self, other: Self) -> Self {
        match (&self.decision, &other.decision) {
            (Decision::Deny(_), _) => self,
            (_, Decision::Deny(_)) => other,
            (Decision::AlreadyValid, _) => self,
            (Decision::Allow, Decision::AlreadyValid) => other,
            (Decision::Allow, Decision::Allow) if self.rule.is_none() => other,
            (Decision::Allow, Decision::Allow) => self,
        }
    }

    /// Whether the identifier is valid already; or what the client is told.
    pub(crate) fn permit(self) -> Result<bool, Problem> {
        match self.decision {
            Decision::Allow => Ok(false),
            Decision::AlreadyValid => Ok(true),
            Decision::Deny(problem) => {
                let rule = self.rule.as_deref().unwrap_or_default();
                tracing::info!(detail = %problem.detail, rule, "denied by policy");
                Err(problem)
            }
        }
    }
}

/// Allows all that the protocol allows and a challenge can prove.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllowAll;

impl Policy for AllowAll {}

/// Several policies as one: what any of them denies is denied, and those after it are not asked. What none denies is
/// already valid if one of them says so.
#[derive(Clone, Default)]
pub struct AllOf(Vec<Arc<dyn Policy>>);

impl AllOf {
    /// One policy more, to be asked after those before it.
    #[must_use]
    pub fn and(mut self, policy: impl Policy) -> Self {
        self.0.push(Arc::new(policy));
        self
    }
}

#[async_trait]
impl Policy for AllOf {
    async fn new_account(&self, applicant: &Applicant<'_>) -> Result<Verdict, BoxError> {
        let mut verdict = Verdict::allow();
        for policy in &self.0 {
            verdict = verdict.and(policy.new_account(applicant).await?);
            if matches!(verdict.decision, Decision::Deny(_)) {
                break;
            }
        }
        Ok(verdict)
    }

    async fn identifier(
        &self,
        applicant: &Applicant<'_>,
        identifier: &Identifier,
    ) -> Result<Verdict, BoxError> {
        let mut verdict = Verdict::allow();
        for policy in &self.0 {
            verdict = verdict.and(policy.identifier(applicant, identifier).await?);
            if matches!(verdict.decision, Decision::Deny(_)) {
                break;
            }
        }
        Ok(verdict)
    }

    async fn finalize(
        &self,
        applicant: &Applicant<'_>,
        order: &Order,
        csr: &Csr,
    ) -> Result<Verdict, BoxError> {
        let mut verdict = Verdict::allow();
        for policy in &self.0 {
            verdict = verdict.and(policy.finalize(applicant, order, csr).await?);
            if matches!(verdict.decision, Decision::Deny(_)) {
                break;
            }
        }
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests;
