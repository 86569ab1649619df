//! Validating a challenge. RFC 8555 section 8.

use std::{sync::Arc, time::Duration};

use coyote_protocol::{ChallengeType, Identifier, KeyAuthorization, Problem, ProblemType};
use coyote_storage::{
    Account, AccountId, Authorization, AuthorizationId, Cause, Challenge, Lease, StorageError, TraceSubject,
    ValidationOutcome, Work,
};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit},
    time::timeout,
};
use tracing::{Span, field::display, instrument};

use crate::{
    acme::Acme,
    error::{Error, Result},
    service::chain,
    trace::{Trace, TraceEvent},
    validate::{Attempt, CaaSubject, ChallengeTask, Task, ValidationFailure},
};

/// How much longer than it should a validator may take. One that keeps the time itself can say what it waited for.
pub(super) const GRACE: Duration = Duration::from_secs(1);

impl Acme {
    /// Starts a validation, and answers the authorization as it is when the client has waited long enough.
    pub(crate) async fn validate_now(
        self: &Arc<Self>,
        lease: Lease,
        authorization: Authorization,
        account: Account,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Authorization {
        let begun = authorization.clone();
        let acme = self.clone();
        let (job, began) = (lease.job, self.clock.now());
        let task = tokio::spawn(async move {
            let give_way = Arc::new(Notify::new());
            let work = acme.validate(lease, authorization, account, &give_way);
            let done = acme.in_room(permit, &give_way, work).await;
            acme.tell_of_the_end(job, began);
            done
        });
        self.linger_for(task).await.unwrap_or(begun)
    }

    /// Looks once for the answer to a challenge, and settles the job: valid, invalid, or to be tried again.
    #[instrument(skip_all, fields(authorization = %authorization.id, identifier = %authorization.identifier, trace))]
    pub(super) async fn validate(
        &self,
        lease: Lease,
        authorization: Authorization,
        account: Account,
        give_way: &Notify,
    ) -> Option<Authorization> {
        let job = lease.job;
        self.workshop.schedule.forget(job);
        let attempt = self.attempt(&lease, &authorization, &account, give_way);
        let settled = match self.while_leased(&lease, attempt).await {
            Ok(attempted) => self.settle_validation(lease, attempted).await,
            Err(error) => {
                // The lease runs out, and somebody tries again.
                tracing::error!(error = %chain(&error), "a validation could not be begun");
                return None;
            }
        };
        self.workshop.waiters.wake(job);
        match settled {
            Ok(authorization) => Some(authorization),
            Err(error) => {
                self.not_settled(&error);
                None
            }
        }
    }

    /// What a taken-over validation is about.
    pub(super) async fn validation_subjects(
        &self,
        account: &AccountId,
        authorization: &AuthorizationId,
    ) -> Result<(Account, Authorization), StorageError> {
        let authorization = self.storage.authorization(account, authorization).await?;
        let account = self.storage.account(&self.directory, account).await?;
        Ok((account, authorization))
    }

    async fn attempt(
        &self,
        lease: &Lease,
        authorization: &Authorization,
        account: &Account,
        give_way: &Notify,
    ) -> Result<Attempted> {
        let cause = self.own_cause(self.clock.now())?;
        Span::current().record("trace", display(cause.request));
        let challenge = subject(lease, authorization)
            .ok_or_else(|| Error::internal("finding a challenge", "it is not part of its authorization"))?;
        let name = &authorization.identifier;
        let trace = Trace::new(cause.request, format!("{} {name}", challenge.kind));
        // Whoever began the last one did not live to say how it went.
        let result = if lease.attempts > self.limits.validation_attempts {
            let detail = format!("whether {name} is controlled could not be found out");
            Err(ValidationFailure::definitive(ProblemType::ServerInternal, detail))
        } else {
            tokio::select! {
                result = self.look(challenge, name, account, &trace) => result,
                () = give_way.notified() => {
                    trace.record(TraceEvent::note("gave way to others: there are too many to wait for"));
                    let detail = format!("{name} did not answer in the time that there was for it");
                    // No fault of the client's.
                    Err(ValidationFailure::transient(ProblemType::ServerInternal, detail))
                }
            }
        };
        trace.finish(&result);
        let about = TraceSubject::Authorization(authorization.id);
        let cause = trace.borne_by(cause, about, name.to_string());
        Ok(Attempted { result: result.map_err(|failure| traceable(failure, &cause)), cause })
    }

    async fn look(
        &self,
        challenge: &Challenge,
        identifier: &Identifier,
        account: &Account,
        trace: &Trace,
    ) -> Result<(), ValidationFailure> {
        let validator = self.validator(&challenge.kind).filter(|validator| validator.offers(identifier));
        let validator = validator.ok_or_else(|| switched_off(&challenge.kind))?;
        let network = self.network(challenge.network.as_deref()).ok_or_else(|| {
            let detail = "the profile is not validated as it was any more";
            ValidationFailure::definitive(ProblemType::ServerInternal, detail)
        })?;
        let (account_url, thumbprint) = (self.urls.account(&account.id), account.key.thumbprint());
        let attempt = Attempt {
            account_url: &account_url,
            identifier: &identifier.base(),
            wildcard: identifier.is_wildcard(),
            token: &challenge.token,
            key_authorization: &KeyAuthorization::new(&challenge.token, thumbprint),
            network,
            now: self.clock.now(),
            trace,
        };
        let proving = timeout(self.limits.validation_time + GRACE, validator.validate(attempt));
        proving.await.unwrap_or_else(|_| {
            let detail = format!("{identifier} did not answer in time");
            Err(ValidationFailure::Transient(Problem::new(ProblemType::Connection, detail)))
        })?;
        let subject = [CaaSubject { identifier, account_url: &account_url, method: &challenge.kind }];
        self.ask_caa(&subject, network, trace).await?;
        let Some(perspectives) = self.perspectives_for(challenge.network.as_deref()) else {
            return Ok(());
        };
        let caa = self.caa_task(&subject);
        let asked = ChallengeTask {
            kind: challenge.kind.clone(),
            identifier: identifier.base(),
            wildcard: identifier.is_wildcard(),
            account_url,
            token: challenge.token.clone(),
            thumbprint: thumbprint.to_string(),
        };
        let task = Task { request: trace.id(), challenge: Some(asked), caa };
        perspectives.corroborate(task, self.limits.validation_time + GRACE, trace).await
    }

    async fn finish_validation(
        &self,
        lease: Lease,
        outcome: ValidationOutcome,
        cause: &Cause,
    ) -> Result<Authorization, StorageError> {
        let finish = |lease, cause: Cause| {
            let outcome = outcome.clone();
            async move { self.storage.finish_validation(lease, outcome, &cause).await }
        };
        self.insist(lease, cause, finish).await
    }

    async fn settle_validation(
        &self,
        lease: Lease,
        attempted: Attempted,
    ) -> Result<Authorization, StorageError> {
        let now = self.clock.now();
        let Attempted { result, cause } = attempted;
        match result {
            Ok(()) => {
                let expires = (now + self.limits.authorization_lifetime).truncate_to_seconds();
                self.finish_validation(lease, ValidationOutcome::Valid { expires }, &cause).await
            }
            Err(ValidationFailure::Transient(problem))
                if lease.attempts < self.limits.validation_attempts =>
            {
                let due = now + self.limits.backoff(self.limits.validation_backoff, lease.attempts);
                let job = lease.job;
                let retry = |lease, cause: Cause| {
                    let problem = problem.clone();
                    async move { self.storage.retry_validation(lease, problem, due, &cause).await }
                };
                let settled = self.insist(lease, &cause, retry).await;
                self.note_due(job, due);
                settled
            }
            Err(failure) => {
                let outcome = ValidationOutcome::Invalid(failure.problem().clone());
                let authorization = self.finish_validation(lease, outcome, &cause).await?;
                // What is no fault of the client's does not count against it.
                if failure.problem().kind != ProblemType::ServerInternal {
                    let counted = self.rate_limiter.failed_validation(
                        &authorization.account,
                        &authorization.identifier,
                        now,
                    );
                    if let Err(error) = counted.await {
                        tracing::error!(error = %chain(&error), "a failed validation was not counted");
                    }
                }
                Ok(authorization)
            }
        }
    }
}

/// What an attempt came to.
struct Attempted {
    /// Whether control was proved.
    result: Result<(), ValidationFailure>,
    /// Why that is going to be written; it bears what was seen.
    cause: Cause,
}

/// The failure as the client is told it: with what its operator needs in order to find out more.
fn traceable(failure: ValidationFailure, cause: &Cause) -> ValidationFailure {
    let told = |problem: Problem| {
        let detail = format!("{} (trace {})", problem.detail, cause.request);
        Problem { detail, ..problem }
    };
    match failure {
        ValidationFailure::Definitive(problem) => ValidationFailure::Definitive(told(problem)),
        ValidationFailure::Transient(problem) => ValidationFailure::Transient(told(problem)),
    }
}

/// The challenge that a lease is on.
fn subject<'a>(lease: &Lease, authorization: &'a Authorization) -> Option<&'a Challenge> {
    match &lease.work {
        Work::Validate { challenge, .. } => authorization.challenge(challenge),
        Work::Issue { .. } | Work::Revoke { .. } => None,
    }
}

fn switched_off(kind: &ChallengeType) -> ValidationFailure {
    let detail = format!("{kind} is no longer offered for this identifier");
    ValidationFailure::Definitive(Problem::new(ProblemType::Unauthorized, detail))
}

/// Without random bits nothing can be written; the job stays where it is.
pub(super) fn unavailable(error: Error) -> StorageError {
    StorageError::Unavailable { doing: "settling a job", source: error.into() }
}
