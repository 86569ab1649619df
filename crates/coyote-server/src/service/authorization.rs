//! Authorizations. RFC 8555 sections 7.1.4 and 7.5.

use coyote_protocol::{self as wire, AuthorizationStatus, ChallengeStatus, Problem, ProblemType, Timestamp};
use coyote_storage::{Authorization, AuthorizationId, Challenge, Work};
use tracing::instrument;

use super::request::Request;
use crate::{
    acme::Acme,
    error::{Error, Result},
    policy::Applicant,
    reply::Reply,
};

impl Acme {
    /// `newAuthz`: a chance to earn an authorization ahead of an order. RFC 8555 section 7.4.1.
    ///
    /// # Errors
    ///
    /// `malformed` for a wildcard; what newOrder answers for an identifier; `rateLimited`.
    #[instrument(skip_all, fields(client = ?request.client))]
    pub async fn new_authorization(&self, request: &Request) -> Result<Reply> {
        let request = self.authenticate(request).await?;
        let wanted: wire::NewAuthorization = request.payload()?;
        let (account, now) = (&request.account, request.now());
        self.require_terms(account, now)?;
        // Before anybody has a say: which challenges there are makes no difference.
        if wanted.identifier.parse().is_ok_and(|identifier| identifier.is_wildcard()) {
            return Err(Error::malformed("a wildcard cannot be authorized ahead of an order"));
        }
        let grant = self.grant_of(account).await?;
        let applicant = Applicant { client: request.cause.client, ..Applicant::new(account) };
        let accepted = self.accept_identifier(&applicant, grant.as_ref(), &wanted.identifier).await?;
        let accepted = accepted.map_err(unwilling)?;
        self.require_may_fail(account, &accepted, now).await?;
        let authorization = self.prepare_authorization(account, &accepted, None, now)?;
        let most = self.limits.authorizations_without_order;
        self.storage.create_authorization(authorization.clone(), most, &request.cause).await?;
        let reply = self.authorization_reply(&authorization, now)?;
        Ok(Reply { status: 201, ..reply }.with_location(self.urls.authorization(&authorization.id)))
    }

    /// `POST` to an authorization: reads it, or gives it up. RFC 8555 sections 7.5 and 7.5.2.
    ///
    /// # Errors
    ///
    /// `unauthorized` for an unknown authorization and for another account's alike; `malformed`.
    #[instrument(skip_all, fields(authorization = %id))]
    pub async fn authorization(&self, request: &Request, id: &AuthorizationId) -> Result<Reply> {
        let request = self.authenticate(request).await?;
        if !request.is_post_as_get() {
            let update: wire::AuthorizationUpdate = request.payload()?;
            if update.status != AuthorizationStatus::Deactivated {
                return Err(Error::malformed("an authorization can be deactivated, and nothing else"));
            }
            let account = &request.account.id;
            let authorization = self.storage.deactivate_authorization(account, id, &request.cause).await?;
            return self.authorization_reply(&authorization, request.now());
        }
        let account = request.account.id;
        let now = request.now();
        let job = |authorization: &Authorization| {
            let challenge = under_way(authorization, now)?.id;
            Some(Work::Validate { account, authorization: *id, challenge }.job())
        };
        let authorization = self.linger(|| self.storage.authorization(&account, id), job).await?;
        self.authorization_reply(&authorization, now)
    }

    /// The authorization object. RFC 8555 section 7.1.4.
    fn authorization_reply(&self, authorization: &Authorization, now: Timestamp) -> Result<Reply> {
        let status = authorization.status(now);
        let shown = |challenge: &&Challenge| match status {
            // What is decided shows what was tried.
            AuthorizationStatus::Pending => true,
            _ => challenge.status() != ChallengeStatus::Pending,
        };
        let tried = authorization.challenges.iter().any(|challenge| shown(&challenge));
        let challenges = authorization.challenges.iter().filter(|challenge| !tried || shown(challenge));
        let object = wire::Authorization {
            identifier: authorization.identifier.base(),
            status,
            expires: Some(authorization.expires),
            challenges: challenges.map(|challenge| self.wire_challenge(authorization, challenge)).collect(),
            wildcard: authorization.identifier.is_wildcard().then_some(true),
        };
        let job = under_way(authorization, now)
            .map(|challenge| Work::validation(authorization, challenge.id).job());
        let wait = job.map(|job| self.retry_after(job));
        Ok(Reply::json(200, &object)?.with_retry_after(wait))
    }
}

/// To be unwilling to issue for an identifier is 403. RFC 8555 section 7.4.1.
fn unwilling(problem: Problem) -> Problem {
    match problem.kind {
        ProblemType::RejectedIdentifier | ProblemType::UnsupportedIdentifier => problem.with_status(403),
        _ => problem,
    }
}

/// The challenge that is being validated, if one is.
fn under_way(authorization: &Authorization, now: Timestamp) -> Option<&Challenge> {
    if authorization.status(now) != AuthorizationStatus::Pending {
        return None;
    }
    authorization.challenges.iter().find(|challenge| challenge.status() == ChallengeStatus::Processing)
}
