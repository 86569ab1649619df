//! What would come of an order, and why.

use std::net::IpAddr;

use coyote_protocol::{ChallengeType, Problem, RawIdentifier, Timestamp};
use coyote_storage::{Account, AccountId, Authorization, AuthorizationId, ExternalAccountKey};
use serde::Serialize;

use super::order::undecided;
use crate::{
    acme::Acme,
    error::{Error, Result},
    policy::{Applicant, Decision, RateLimited},
};

/// An order that might be made.
#[derive(Clone, Debug)]
pub struct Enquiry {
    /// The account that would make it.
    pub account: AccountId,
    /// What it would be for.
    pub identifiers: Vec<RawIdentifier>,
    /// The profile that it would ask for, if any.
    pub profile: Option<String>,
    /// The address that it would come from, if that is to be looked at.
    pub client: Option<IpAddr>,
}

/// What would come of an order. It is for the operator: clients are told less.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Whether it would be accepted. What each identifier's `challenges` ask for remains to be proved.
    pub would_issue: bool,
    /// The account.
    pub account: AccountId,
    /// The `kid` of the external account key that opened it, if one did.
    pub external_account: Option<String>,
    /// The profile that it would follow.
    pub profile: Option<String>,
    /// What stands against any order like this.
    pub objections: Vec<Objection>,
    /// What is to be said of each identifier.
    pub identifiers: Vec<IdentifierExplanation>,
}

/// What is to be said of one identifier of an order.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IdentifierExplanation {
    /// The identifier, in its canonical form if it has one.
    pub identifier: RawIdentifier,
    /// What stands against it.
    pub objections: Vec<Objection>,
    /// The policy's rule that decided, if it said one.
    pub rule: Option<String>,
    /// Whether the policy vouches for it, so that nothing has to be proved.
    pub already_valid: bool,
    /// The authorization that would be used again, so that nothing has to be proved.
    pub reused: Option<Reused>,
    /// The challenges that would be offered, if something has to be proved.
    pub challenges: Vec<ChallengeType>,
}

/// An authorization that would be used again.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reused {
    /// Its id.
    pub authorization: AuthorizationId,
    /// How control was proved.
    pub method: Option<ChallengeType>,
    /// Until when it holds.
    pub expires: Timestamp,
}

/// What stands against an order.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Objection {
    /// Who objects.
    pub by: Objector,
    /// What a client would be told.
    pub problem: Problem,
}

/// Who objects to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Objector {
    /// The account is closed.
    Account,
    /// The account's key is not good enough.
    Key,
    /// The terms of service have to be agreed to.
    Terms,
    /// There is no such profile.
    Profile,
    /// The order is no order.
    Syntax,
    /// The external account key was not granted the name.
    ExternalAccount,
    /// The CA may not certify the name.
    Ca,
    /// The policy.
    Policy,
    /// No challenge can prove control of the identifier.
    Challenges,
    /// A rate limit.
    RateLimit,
}

impl Acme {
    /// Says what would come of an order, and why: the account, its key and the terms, the profile, the rate limits, and for each
    /// identifier the issuer, the external account key, the policy and the challenges. How many orders are open, and what an
    /// order says of `notBefore`, `notAfter` and `replaces`, is not looked at. Nothing is stored or counted; a policy is asked
    /// as it would be.
    ///
    /// # Errors
    ///
    /// `unauthorized` if there is no such account; otherwise if a store or the policy cannot answer.
    pub async fn would_issue(&self, enquiry: &Enquiry) -> Result<Explanation> {
        let now = self.clock.now();
        let account = self.storage.account(&self.directory, &enquiry.account).await?;
        let mut objections = self.objections_to_account(&account, now);
        let most = self.limits.identifiers_per_order as usize;
        if enquiry.identifiers.is_empty() || enquiry.identifiers.len() > most {
            let detail = format!("an order has from 1 to {most} identifiers");
            objections.extend(objection::<()>(Objector::Syntax, Err(Error::malformed(detail))));
        }
        let profile = self.profiles.find(enquiry.profile.as_deref());
        let name = profile.as_ref().ok().map(|profile| profile.name.clone());
        objections.extend(objection(Objector::Profile, profile.map_err(Error::from)));
        let may_order = self.rate_limiter.may_order(&account.id, now).await?;
        objections.extend(objection(Objector::RateLimit, may_order.map_err(Error::from)));

        let applicant =
            Applicant { client: enquiry.client, profile: name.as_deref(), ..Applicant::new(&account) };
        let grant = self.grant_of(&account).await?;
        let mut identifiers = Vec::with_capacity(enquiry.identifiers.len());
        for raw in enquiry.identifiers.iter().take(most) {
            identifiers.push(self.explain_identifier(&applicant, grant.as_ref(), raw, now).await?);
        }
        let external_account = applicant.external_account().map(str::to_owned);
        let fine = objections.is_empty() && identifiers.iter().all(|it| it.objections.is_empty());
        Ok(Explanation {
            would_issue: fine,
            account: account.id,
            external_account,
            profile: name,
            objections,
            identifiers,
        })
    }

    fn objections_to_account(&self, account: &Account, now: Timestamp) -> Vec<Objection> {
        let key = self.keys.verifying_key(&account.key).map_err(Error::from);
        let key = key.and_then(|key| self.check_account_key(&key));
        [
            objection(Objector::Account, account.require_valid().map_err(Error::from)),
            objection(Objector::Key, key),
            objection(Objector::Terms, self.require_terms(account, now)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    async fn explain_identifier(
        &self,
        applicant: &Applicant<'_>,
        grant: Option<&ExternalAccountKey>,
        raw: &RawIdentifier,
        now: Timestamp,
    ) -> Result<IdentifierExplanation> {
        let mut explained = IdentifierExplanation {
            identifier: raw.clone(),
            objections: Vec::new(),
            rule: None,
            already_valid: false,
            reused: None,
            challenges: Vec::new(),
        };
        let identifier = match raw.parse() {
            Ok(identifier) => identifier,
            Err(error) => {
                explained.object(Objector::Syntax, error.into());
                return Ok(explained);
            }
        };
        explained.identifier = (&identifier).into();
        if let Err(problem) = super::external_account::check_grant(grant, &identifier) {
            explained.object(Objector::ExternalAccount, problem);
        }
        if let Err(problem) = self.issuer.check_identifier(&identifier) {
            explained.object(Objector::Ca, problem);
        }
        let verdict = self.policy.identifier(applicant, &identifier).await.map_err(undecided)?;
        explained.rule = verdict.rule;
        match verdict.decision {
            Decision::Allow => {}
            Decision::AlreadyValid => {
                explained.already_valid = true;
                return Ok(explained);
            }
            Decision::Deny(problem) => explained.object(Objector::Policy, problem),
        }
        if let Err(problem) = self.require_challenge(&identifier) {
            explained.object(Objector::Challenges, problem);
        }
        if let Err(limited) = self.rate_limiter.may_fail(&applicant.account.id, &identifier, now).await? {
            explained.object(Objector::RateLimit, told(*limited));
        }
        let reuse = self.limits.authorization_reuse;
        let network = self.network_of(applicant.profile);
        let names = std::slice::from_ref(&identifier);
        let held = self.reusable(applicant.account, names, network, reuse, now).await?;
        match held.first() {
            Some(held) => explained.reused = Some(held.into()),
            None => {
                let offered = self.validators_for(&identifier);
                explained.challenges = offered.map(|validator| validator.challenge_type()).collect();
            }
        }
        Ok(explained)
    }
}

impl IdentifierExplanation {
    fn object(&mut self, by: Objector, problem: Problem) {
        self.objections.push(Objection { by, problem });
    }
}

impl From<&Authorization> for Reused {
    fn from(held: &Authorization) -> Self {
        Self { authorization: held.id, method: held.validated_by().cloned(), expires: held.expires }
    }
}

fn objection<T>(by: Objector, checked: Result<T>) -> Option<Objection> {
    let problem = match checked.err()? {
        Error::Problem(problem) | Error::Elsewhere { problem, .. } => *problem,
        Error::RateLimited(limited) => told(*limited),
        error => Problem::new(coyote_protocol::ProblemType::ServerInternal, error.to_string()),
    };
    Some(Objection { by, problem })
}

/// With the time to wait, which a client is told in a header.
fn told(limited: RateLimited) -> Problem {
    let mut problem = limited.problem;
    problem.detail = format!("{}; come back in {} s", problem.detail, limited.retry_after.as_secs().max(1));
    problem
}
