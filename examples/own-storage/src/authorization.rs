//! Authorizations and their challenges. RFC 8555 sections 7.1.4, 7.1.5 and 7.5.

use async_trait::async_trait;
use coyote_protocol::{AuthorizationStatus, Identifier, Problem, Timestamp};
use coyote_storage::{
    AccountId, Authorization, AuthorizationId, AuthorizationStore, BeginValidation, Cause, ChallengeId,
    Conflict, Job, Lease, Result, StorageError, ValidationBegun, ValidationOutcome, Work,
};

use crate::{
    RedbStorage, account, job,
    order::of_account,
    table::{
        ACCOUNTS, AUTHORIZATIONS, AUTHORIZATIONS_OF_ACCOUNT, JOBS, ORDERS_OF_AUTHORIZATION, Transaction,
    },
    trace,
};

fn load(transaction: &Transaction, account: &AccountId, id: &AuthorizationId) -> Result<Authorization> {
    let authorization = transaction.load(&AUTHORIZATIONS, id.as_bytes())?;
    if authorization.account == *account { Ok(authorization) } else { Err(StorageError::NotFound) }
}

fn save(transaction: &Transaction, authorization: Authorization) -> Result<Authorization> {
    transaction.put(&AUTHORIZATIONS, authorization.id.as_bytes(), &authorization)?;
    Ok(authorization)
}

/// Where the account's authorizations for an identifier are.
fn held_for(account: &AccountId, identifier: &Identifier) -> Vec<u8> {
    of_account(account, format!("{}:{identifier}\0", identifier.kind()).as_bytes())
}

fn listed(authorization: &Authorization) -> Vec<u8> {
    let held_for = held_for(&authorization.account, &authorization.identifier);
    [held_for.as_slice(), authorization.id.as_bytes()].concat()
}

/// Stores a new one.
pub(crate) fn insert(transaction: &Transaction, new: &Authorization) -> Result<()> {
    if transaction.find(&AUTHORIZATIONS, new.id.as_bytes())?.is_some() {
        return Err(Conflict::IdInUse.into());
    }
    transaction.put(&AUTHORIZATIONS_OF_ACCOUNT, &listed(new), &new.id)?;
    transaction.put(&AUTHORIZATIONS, new.id.as_bytes(), new)
}

/// Removes one that no order has any more, and its jobs.
pub(crate) fn remove(transaction: &Transaction, authorization: &Authorization) -> Result<()> {
    for challenge in &authorization.challenges {
        let job = Work::validation(authorization, challenge.id).job();
        transaction.remove(&JOBS, job.as_bytes())?;
    }
    transaction.remove(&AUTHORIZATIONS_OF_ACCOUNT, &listed(authorization))?;
    transaction.remove(&AUTHORIZATIONS, authorization.id.as_bytes())?;
    Ok(())
}

/// Whether no order has it.
pub(crate) fn is_alone(transaction: &Transaction, authorization: &Authorization) -> Result<bool> {
    Ok(transaction.all(&ORDERS_OF_AUTHORIZATION, authorization.id.as_bytes())?.is_empty())
}

/// What a lease on a validation is about.
fn validation(
    transaction: &Transaction,
    lease: &Lease,
    now: Timestamp,
) -> Result<(Job, Authorization, ChallengeId)> {
    let job = job::held(transaction, lease, now)?;
    match job.work {
        Work::Validate { account, authorization, challenge } => {
            let authorization = load(transaction, &account, &authorization)?;
            Ok((job, authorization, challenge))
        }
        Work::Issue { .. } | Work::Revoke { .. } => Err(StorageError::LeaseLost),
    }
}

#[async_trait]
impl AuthorizationStore for RedbStorage {
    async fn authorization(&self, account: &AccountId, id: &AuthorizationId) -> Result<Authorization> {
        self.read(|transaction| load(transaction, account, id))
    }

    async fn create_authorization(&self, new: Authorization, most_alone: u32, cause: &Cause) -> Result<()> {
        let now = cause.now;
        self.write(move |transaction| {
            account::require_valid(transaction, &new.account)?;
            let mut alone = 0;
            for id in transaction.all(&AUTHORIZATIONS_OF_ACCOUNT, new.account.as_bytes())? {
                let held = transaction.load(&AUTHORIZATIONS, id.as_bytes())?;
                alone += u32::from(!held.has_expired(now) && is_alone(transaction, &held)?);
            }
            if alone >= most_alone {
                return Err(Conflict::TooManyOpen.into());
            }
            insert(transaction, &new)
        })
        .await
    }

    async fn reusable_authorizations(
        &self,
        account: &AccountId,
        identifiers: &[Identifier],
        until: Timestamp,
    ) -> Result<Vec<Authorization>> {
        self.read(|transaction| {
            let mut reusable = Vec::new();
            for identifier in identifiers {
                let ids = transaction.all(&AUTHORIZATIONS_OF_ACCOUNT, &held_for(account, identifier))?;
                let held = ids.iter().map(|id| transaction.load(&AUTHORIZATIONS, id.as_bytes()));
                let mut held = held.collect::<Result<Vec<_>>>()?;
                held.retain(|held| held.status(until) == AuthorizationStatus::Valid);
                held.sort_by_key(|held| (std::cmp::Reverse(held.expires), held.id));
                reusable.extend(held.into_iter().take(Authorization::MAX_REUSABLE));
            }
            Ok(reusable)
        })
    }

    async fn begin_validation(&self, begin: BeginValidation, cause: &Cause) -> Result<ValidationBegun> {
        let now = cause.now;
        self.write(move |transaction| {
            let mut authorization = load(transaction, &begin.account, &begin.authorization)?;
            let account = transaction.load(&ACCOUNTS, authorization.account.as_bytes())?;
            account.require_valid()?;
            if !authorization.begin_validation(&begin.challenge, now)? {
                return Ok(ValidationBegun { authorization, lease: None });
            }
            let work = Work::validation(&authorization, begin.challenge);
            let job = Job::new(account.directory, work, begin.lease, now);
            let lease = job.born_lease();
            transaction.put(&JOBS, job.id.as_bytes(), &job)?;
            Ok(ValidationBegun { authorization: save(transaction, authorization)?, lease })
        })
        .await
    }

    async fn retry_validation(
        &self,
        lease: Lease,
        problem: Problem,
        due: Timestamp,
        cause: &Cause,
    ) -> Result<Authorization> {
        let cause = cause.clone();
        self.write(move |transaction| {
            let (mut job, mut authorization, challenge) = validation(transaction, &lease, cause.now)?;
            trace::keep(transaction, &cause)?;
            if authorization.retry_validation(&challenge, problem, cause.now) {
                job.release(due);
                transaction.put(&JOBS, job.id.as_bytes(), &job)?;
            } else {
                transaction.remove(&JOBS, job.id.as_bytes())?;
            }
            save(transaction, authorization)
        })
        .await
    }

    async fn finish_validation(
        &self,
        lease: Lease,
        outcome: ValidationOutcome,
        cause: &Cause,
    ) -> Result<Authorization> {
        let cause = cause.clone();
        self.write(move |transaction| {
            let (job, mut authorization, challenge) = validation(transaction, &lease, cause.now)?;
            trace::keep(transaction, &cause)?;
            authorization.finish_validation(&challenge, outcome, cause.now);
            transaction.remove(&JOBS, job.id.as_bytes())?;
            save(transaction, authorization)
        })
        .await
    }

    async fn deactivate_authorization(
        &self,
        account: &AccountId,
        id: &AuthorizationId,
        cause: &Cause,
    ) -> Result<Authorization> {
        let (account, id, now) = (*account, *id, cause.now);
        self.write(move |transaction| {
            let mut authorization = load(transaction, &account, &id)?;
            authorization.deactivate(now)?;
            save(transaction, authorization)
        })
        .await
    }
}
