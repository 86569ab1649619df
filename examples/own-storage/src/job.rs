//! Work that survives a crash, and the right to finish it.

use async_trait::async_trait;
use coyote_protocol::Timestamp;
use coyote_storage::{
    Cause, Claim, DirectoryId, Job, JobQueue, Lease, Result, StorageError, Sweep, SweepReport,
};

use crate::{
    RedbStorage, sweep,
    table::{JOBS, Transaction},
    trace,
};

/// The job, if the lease is still the right to settle it.
pub(crate) fn held(transaction: &Transaction, lease: &Lease, now: Timestamp) -> Result<Job> {
    let job = transaction.find(&JOBS, lease.job.as_bytes())?;
    job.filter(|job| job.is_held_by(lease, now)).ok_or(StorageError::LeaseLost)
}

#[async_trait]
impl JobQueue for RedbStorage {
    async fn claim_jobs(&self, claim: &Claim, cause: &Cause) -> Result<Vec<Lease>> {
        let (claim, now) = (claim.clone(), cause.now);
        self.write(move |transaction| {
            let mut jobs = transaction.all(&JOBS, &[])?;
            jobs.retain(|job| {
                let wanted = claim.kind.is_none_or(|kind| job.work.kind() == kind);
                wanted && job.directory == claim.directory && job.is_claimable(now)
            });
            jobs.sort_by_key(|job| job.due);
            jobs.truncate(claim.limit as usize);
            let claimed = jobs.into_iter().map(|mut job| {
                let lease = job.claim(claim.terms);
                transaction.put(&JOBS, job.id.as_bytes(), &job)?;
                Ok(lease)
            });
            claimed.collect()
        })
        .await
    }

    async fn renew_lease(&self, lease: &Lease, expires: Timestamp, cause: &Cause) -> Result<()> {
        let (lease, now) = (Lease { work: lease.work.clone(), ..*lease }, cause.now);
        self.write(move |transaction| {
            let mut job = held(transaction, &lease, now)?;
            job.renew(expires);
            transaction.put(&JOBS, job.id.as_bytes(), &job)
        })
        .await
    }

    async fn release_job(&self, lease: Lease, due: Timestamp, cause: &Cause) -> Result<()> {
        let cause = cause.clone();
        self.write(move |transaction| {
            let mut job = held(transaction, &lease, cause.now)?;
            trace::keep(transaction, &cause)?;
            job.release(due);
            transaction.put(&JOBS, job.id.as_bytes(), &job)
        })
        .await
    }

    async fn next_due(&self, directory: &DirectoryId) -> Result<Option<Timestamp>> {
        let jobs = self.read(|transaction| transaction.all(&JOBS, &[]))?;
        let own = jobs.iter().filter(|job| job.directory == *directory);
        Ok(own.map(Job::claimable_from).min())
    }

    async fn sweep(&self, sweep: &Sweep, cause: &Cause) -> Result<SweepReport> {
        let (sweep, now) = (*sweep, cause.now);
        self.write(move |transaction| sweep::run(transaction, &sweep, now)).await
    }
}
