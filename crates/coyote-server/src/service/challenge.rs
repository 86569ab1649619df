//! Challenges. RFC 8555 sections 7.1.5, 7.5.1 and 8.

use std::sync::Arc;

use coyote_protocol::{self as wire, ChallengeStatus};
use coyote_storage::{
    Authorization, AuthorizationId, BeginValidation, Challenge, ChallengeId, StorageError, Work, WorkKind,
};
use tracing::instrument;

use super::request::Request;
use crate::{
    acme::Acme,
    error::{Error, Result},
    reply::Reply,
};

impl Acme {
    /// `POST` to a challenge: reads it, or says that the answer is in place. RFC 8555 section 7.5.1.
    ///
    /// Said again of a challenge that is `processing` or `valid`, it changes nothing and is answered all the same.
    ///
    /// # Errors
    ///
    /// `unauthorized` for an unknown challenge and for another account's alike; `malformed` if the authorization
    /// is decided.
    #[instrument(skip_all, fields(authorization = %authorization, challenge = %id))]
    pub async fn challenge(
        self: &Arc<Self>,
        request: &Request,
        authorization: &AuthorizationId,
        id: &ChallengeId,
    ) -> Result<Reply> {
        let request = self.authenticate(request).await?;
        if request.is_post_as_get() {
            let authorization = self.storage.authorization(&request.account.id, authorization).await?;
            return self.challenge_reply(&authorization, id);
        }
        let wire::ChallengeResponse(_) = request.payload()?;
        if self.rate_limiter.limits_failures() {
            let authorization = self.storage.authorization(&request.account.id, authorization).await?;
            let (account, name) = (&request.account.id, &authorization.identifier);
            // What has begun is answered with its state.
            let pending = |challenge: &Challenge| challenge.status() == ChallengeStatus::Pending;
            if authorization.challenge(id).is_some_and(pending) {
                self.rate_limiter.may_fail(account, name, request.now()).await??;
            }
        }
        let (permit, lease) = self.begin_now(WorkKind::Validate)?;
        let begin = BeginValidation {
            account: request.account.id,
            authorization: *authorization,
            challenge: *id,
            lease,
        };
        let begun = self.storage.begin_validation(begin, &request.cause).await?;
        let authorization = match begun.lease {
            Some(lease) => self.validate_now(lease, begun.authorization, request.account, permit).await,
            None => {
                if permit.is_none() {
                    self.job_is_waiting();
                }
                begun.authorization
            }
        };
        self.challenge_reply(&authorization, id)
    }

    fn challenge_reply(&self, authorization: &Authorization, id: &ChallengeId) -> Result<Reply> {
        let challenge = authorization.challenge(id).ok_or_else(|| Error::from(StorageError::NotFound))?;
        let processing = challenge.status() == ChallengeStatus::Processing;
        let wait = processing.then(|| self.retry_after(Work::validation(authorization, challenge.id).job()));
        Ok(Reply::json(200, &self.wire_challenge(authorization, challenge))?
            .with_link(self.urls.authorization(&authorization.id), "up")
            .with_retry_after(wait))
    }

    /// The challenge object. RFC 8555 section 7.1.5. The error of a failed attempt is shown also while others are
    /// to follow (section 8.2, erratum 5732).
    pub(super) fn wire_challenge(
        &self,
        authorization: &Authorization,
        challenge: &Challenge,
    ) -> wire::Challenge {
        let validator = self.validator(&challenge.kind);
        let account = self.urls.account(&authorization.account);
        wire::Challenge {
            kind: challenge.kind.clone(),
            url: self.urls.challenge(&authorization.id, &challenge.id),
            status: challenge.status(),
            validated: challenge.validated().map(|at| at.truncate_to_seconds()),
            error: challenge.errors.last().filter(|_| challenge.validated().is_none()).cloned(),
            token: validator.is_none_or(|kind| kind.has_token()).then(|| challenge.token.clone()),
            extra: validator.map(|kind| kind.members(&account)).unwrap_or_default(),
        }
    }
}
