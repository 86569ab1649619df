use std::cmp::Reverse;

use async_trait::async_trait;
use coyote_protocol::{AuthorizationStatus, Identifier, Problem, Timestamp};

use super::{MemoryStorage, State};
use crate::{
    AccountId, Authorization, AuthorizationId, AuthorizationStore, BeginValidation, Cause, ChallengeId,
    Conflict, Job, Lease, Result, StorageError, ValidationBegun, ValidationOutcome, Work,
};

#[async_trait]
impl AuthorizationStore for MemoryStorage {
    async fn authorization(&self, account: &AccountId, id: &AuthorizationId) -> Result<Authorization> {
        self.read(|state| state.authorization(account, id))
    }

    async fn create_authorization(
        &self,
        authorization: Authorization,
        most_alone: u32,
        cause: &Cause,
    ) -> Result<()> {
        self.write(|state| {
            state.require_valid_account(&authorization.account)?;
            let ordered = state.ordered();
            let alone = state.authorizations.values().filter(|held| {
                held.account == authorization.account
                    && !held.has_expired(cause.now)
                    && !ordered.contains(&held.id)
            });
            if alone.count() >= most_alone as usize {
                return Err(Conflict::TooManyOpen.into());
            }
            if state.authorizations.contains_key(&authorization.id) {
                return Err(Conflict::IdInUse.into());
            }
            state.save_authorization(authorization);
            Ok(())
        })
    }

    async fn reusable_authorizations(
        &self,
        account: &AccountId,
        identifiers: &[Identifier],
        until: Timestamp,
    ) -> Result<Vec<Authorization>> {
        self.read(|state| {
            let longest = |identifier: &Identifier| {
                let held = state.authorizations.values().filter(|held| {
                    held.account == *account
                        && held.identifier == *identifier
                        && held.status(until) == AuthorizationStatus::Valid
                });
                let mut held: Vec<_> = held.cloned().collect();
                held.sort_by_key(|held| (Reverse(held.expires), held.id));
                held.truncate(Authorization::MAX_REUSABLE);
                held
            };
            Ok(identifiers.iter().flat_map(longest).collect())
        })
    }

    async fn begin_validation(&self, begin: BeginValidation, cause: &Cause) -> Result<ValidationBegun> {
        self.write(|state| {
            let mut authorization = state.authorization(&begin.account, &begin.authorization)?;
            let account = state.account(&authorization.account)?;
            account.require_valid()?;
            let directory = account.directory.clone();
            if !authorization.begin_validation(&begin.challenge, cause.now)? {
                return Ok(ValidationBegun { authorization, lease: None });
            }
            let work = Work::validation(&authorization, begin.challenge);
            let job = Job::new(directory, work, begin.lease, cause.now);
            let lease = job.born_lease();
            state.jobs.insert(job.id, job);
            Ok(ValidationBegun { authorization: state.save_authorization(authorization), lease })
        })
    }

    async fn retry_validation(
        &self,
        lease: Lease,
        problem: Problem,
        due: Timestamp,
        cause: &Cause,
    ) -> Result<Authorization> {
        self.write(|state| {
            let (mut job, mut authorization, challenge) = validation(state, &lease, cause)?;
            if authorization.retry_validation(&challenge, problem, cause.now) {
                job.release(due);
                state.jobs.insert(job.id, job);
            } else {
                state.jobs.remove(&job.id);
            }
            state.keep_trace(cause);
            Ok(state.save_authorization(authorization))
        })
    }

    async fn finish_validation(
        &self,
        lease: Lease,
        outcome: ValidationOutcome,
        cause: &Cause,
    ) -> Result<Authorization> {
        self.write(|state| {
            let (job, mut authorization, challenge) = validation(state, &lease, cause)?;
            authorization.finish_validation(&challenge, outcome, cause.now);
            state.jobs.remove(&job.id);
            state.keep_trace(cause);
            Ok(state.save_authorization(authorization))
        })
    }

    async fn deactivate_authorization(
        &self,
        account: &AccountId,
        id: &AuthorizationId,
        cause: &Cause,
    ) -> Result<Authorization> {
        self.write(|state| {
            let mut authorization = state.authorization(account, id)?;
            authorization.deactivate(cause.now)?;
            Ok(state.save_authorization(authorization))
        })
    }
}

/// What a lease on a validation is about.
fn validation(state: &State, lease: &Lease, cause: &Cause) -> Result<(Job, Authorization, ChallengeId)> {
    let job = state.leased_job(lease, cause)?;
    match job.work {
        Work::Validate { account, authorization, challenge } => {
            let authorization = state.authorization(&account, &authorization)?;
            Ok((job, authorization, challenge))
        }
        Work::Issue { .. } | Work::Revoke { .. } => Err(StorageError::LeaseLost),
    }
}
