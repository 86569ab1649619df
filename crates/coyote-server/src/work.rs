//! Work: what the server does beyond a request.
//!
//! Work is a row in the store, written with the state that made it due; see [`coyote_storage::JobQueue`]. The
//! replica that took the request holds the job's lease from birth and starts at once; whatever it does not finish,
//! another takes over when the lease ends. Nothing is lost with the process, so nothing here is a promise.

use std::{future::Future, sync::Arc, time::Duration};

use coyote_protocol::Timestamp;
use coyote_storage::{Claim, JobId, Lease, LeaseTerms, LeaseToken, StorageError, Sweep, Work};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{acme::Acme, error::Result, limits::Limits, service::chain};

mod issue;
mod validate;
mod waiters;

use waiters::Waiters;

/// When a client should ask again for something that is `processing`. RFC 8555 section 7.5.1.
pub(crate) const POLL: Duration = Duration::from_secs(1);

/// Jobs that one look at the queue takes at most.
const CLAIM: usize = 32;

/// What the work of one server shares.
pub(crate) struct Workshop {
    pub(crate) validations: Arc<Semaphore>,
    pub(crate) issuances: Arc<Semaphore>,
    waiters: Waiters,
    wake: Notify,
    limits: (usize, usize),
}

impl Workshop {
    pub(crate) fn new(limits: &Limits) -> Self {
        let (validations, issuances) =
            (limits.concurrent_validations.max(1) as usize, limits.concurrent_issuances.max(1) as usize);
        Self {
            validations: Arc::new(Semaphore::new(validations)),
            issuances: Arc::new(Semaphore::new(issuances)),
            waiters: Waiters::new(limits.lingering_answers as usize),
            wake: Notify::new(),
            limits: (validations, issuances),
        }
    }
}

impl Acme {
    /// Does the work that no request is there to do: takes over what a dead process left, repeats what failed,
    /// sweeps the store. It runs until `stop` ends, and then until the work of this process is done.
    pub async fn run_jobs(self: Arc<Self>, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let mut sweep_due = self.clock.now();
        loop {
            let wait = self.take_jobs().await.unwrap_or_else(|error| {
                tracing::error!(error = %chain(&error), "the job queue cannot be read");
                self.limits.job_poll_interval
            });
            let now = self.clock.now();
            if now >= sweep_due {
                self.sweep(now).await;
                sweep_due = now + self.limits.sweep_interval;
            }
            tokio::select! {
                () = &mut stop => break,
                () = self.workshop.wake.notified() => {}
                () = sleep(wait) => {}
            }
        }
        self.drain().await;
    }

    /// Waits until none of this process's work is under way.
    pub async fn drain(&self) {
        let (validations, issuances) = self.workshop.limits;
        for (permits, count) in
            [(&self.workshop.validations, validations), (&self.workshop.issuances, issuances)]
        {
            // Closing would fail those who wait for a permit; holding all of them makes new work wait for its
            // next owner.
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            if let Ok(all) = permits.acquire_many(count).await {
                all.forget();
            }
        }
    }

    /// Starts the jobs that are due, and answers how long to wait for the next.
    async fn take_jobs(self: &Arc<Self>) -> Result<Duration> {
        loop {
            let now = self.clock.now();
            let next = self.storage.next_due(&self.directory).await?;
            let interval = self.limits.job_poll_interval;
            match next {
                None => return Ok(interval),
                Some(due) if due > now => return Ok(due.since(now).min(interval)),
                Some(_) => {}
            }
            // A permit first: a job that was claimed and not begun would only keep others from it.
            let free = self
                .workshop
                .validations
                .available_permits()
                .min(self.workshop.issuances.available_permits());
            if free == 0 {
                return Ok(interval);
            }
            let claim = Claim {
                directory: self.directory.clone(),
                limit: u32::try_from(free.min(CLAIM)).unwrap_or(1),
                terms: self.lease_terms(now)?,
            };
            let leases = self.storage.claim_jobs(&claim, &self.own_cause(now)?).await?;
            if leases.is_empty() {
                return Ok(interval); // another replica was quicker
            }
            for lease in leases {
                tracing::info!(job = %lease.job, attempt = lease.attempts, "taking over a job");
                tokio::spawn(self.clone().work(lease));
            }
        }
    }

    async fn work(self: Arc<Self>, lease: Lease) {
        let done = match lease.work.clone() {
            Work::Validate { account, authorization, .. } => {
                let Ok(_permit) = self.workshop.validations.acquire().await else { return };
                match self.validation_subjects(&account, &authorization).await {
                    Ok((account, authorization)) => {
                        self.validate(lease, authorization, account).await;
                        Ok(())
                    }
                    Err(error) => Err(error),
                }
            }
            Work::Issue { account, order } => {
                let Ok(_permit) = self.workshop.issuances.acquire().await else { return };
                match self.storage.order(&account, &order).await {
                    Ok(order) => {
                        self.issue(lease, order).await;
                        Ok(())
                    }
                    Err(error) => Err(error),
                }
            }
        };
        if let Err(error) = done {
            tracing::error!(error = %chain(&error), "a job's subject cannot be read");
        }
    }

    /// The terms of a new lease.
    pub(crate) fn lease_terms(&self, now: Timestamp) -> Result<LeaseTerms> {
        let token = LeaseToken::from_bytes(self.entropy.bytes()?);
        Ok(LeaseTerms { token, expires: now + self.limits.lease })
    }

    /// Does some work, and renews the lease on it while it lasts. If the lease is lost the work goes on: settling it
    /// will fail, and change nothing.
    async fn while_leased<T>(&self, lease: &Lease, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = sleep(self.limits.lease / 3) => {}
            }
            let now = self.clock.now();
            let Ok(cause) = self.own_cause(now) else { continue };
            if let Err(error) = self.storage.renew_lease(lease, now + self.limits.lease, &cause).await {
                tracing::warn!(job = %lease.job, error = %chain(&error), "a lease could not be renewed");
            }
        }
    }

    /// The right to start work at once: a permit, and the terms of the lease that the job is to be born with. If
    /// too much is under way, neither: the job then waits in the queue.
    pub(crate) fn begin_now(
        &self,
        permits: &Arc<Semaphore>,
        now: Timestamp,
    ) -> Result<(Option<OwnedSemaphorePermit>, Option<LeaseTerms>)> {
        match permits.clone().try_acquire_owned() {
            Ok(permit) => Ok((Some(permit), Some(self.lease_terms(now)?))),
            Err(_) => Ok((None, None)),
        }
    }

    /// What a task that was just started answers, if it does so soon enough for the client to wait.
    async fn linger_for<T>(&self, task: JoinHandle<Option<T>>) -> Option<T> {
        timeout(self.limits.linger, task).await.ok()?.ok()?
    }

    /// Reads something, and if a job is to change it, waits a moment for the job to end, and reads again.
    pub(crate) async fn linger<T, R>(
        &self,
        read: impl Fn() -> R,
        job: impl Fn(&T) -> Option<JobId>,
    ) -> Result<T>
    where
        R: Future<Output = Result<T, StorageError>>,
    {
        let first = read().await?;
        let Some(id) = job(&first) else { return Ok(first) };
        let Some(ended) = self.workshop.waiters.wait(id) else { return Ok(first) };
        let second = read().await?; // it may have ended before we waited
        if job(&second).is_none() || timeout(self.limits.linger, ended).await.is_err() {
            self.workshop.waiters.tidy(id);
            return Ok(second);
        }
        Ok(read().await?)
    }

    async fn sweep(&self, now: Timestamp) {
        let sweep = Sweep {
            remove_expired_before: now - self.limits.keep_expired,
            remove_issued_before: now - self.limits.keep_issued,
            remove_audit_before: now - self.limits.keep_audit,
            batch: self.limits.sweep_batch,
        };
        let Ok(cause) = self.own_cause(now) else { return };
        match self.storage.sweep(&sweep, &cause).await {
            Ok(report) if report.is_empty() => tracing::debug!("sweep: nothing to do"),
            Ok(report) => tracing::info!(?report, "sweep"),
            Err(error) => tracing::error!(error = %chain(&error), "the sweep failed"),
        }
    }

    /// Settling a job failed: says so, and leaves the job to whoever has it or takes it next.
    fn not_settled(&self, error: &StorageError) {
        match error {
            StorageError::LeaseLost => tracing::warn!("another worker has taken this job over"),
            error => {
                tracing::error!(error = %chain(error), "a job's result could not be stored; it is done again")
            }
        }
        self.workshop.wake.notify_one();
    }
}
