use async_trait::async_trait;
use coyote_protocol::Timestamp;

use super::MemoryStorage;
use crate::{Cause, Claim, DirectoryId, Job, JobQueue, Lease, Result, Sweep, SweepReport, Wake, Wakes};

#[async_trait]
impl JobQueue for MemoryStorage {
    async fn claim_jobs(&self, claim: &Claim, cause: &Cause) -> Result<Vec<Lease>> {
        self.write(|state| {
            let wanted = |job: &&mut Job| {
                job.directory == claim.directory && claim.kind.is_none_or(|kind| job.work.kind() == kind)
            };
            let jobs = state.jobs.values_mut().filter(wanted);
            let mut claimable: Vec<_> = jobs.filter(|job| job.is_claimable(cause.now)).collect();
            claimable.sort_by_key(|job| job.due);
            Ok(claimable.into_iter().take(claim.limit as usize).map(|job| job.claim(claim.terms)).collect())
        })
    }

    async fn renew_lease(&self, lease: &Lease, expires: Timestamp, cause: &Cause) -> Result<()> {
        self.write(|state| {
            let mut job = state.leased_job(lease, cause)?;
            job.renew(expires);
            state.jobs.insert(job.id, job);
            Ok(())
        })
    }

    async fn release_job(&self, lease: Lease, due: Timestamp, cause: &Cause) -> Result<()> {
        self.write(|state| {
            let mut job = state.leased_job(&lease, cause)?;
            job.release(due);
            state.jobs.insert(job.id, job);
            state.keep_trace(cause);
            Ok(())
        })
    }

    async fn next_due(&self, directory: &DirectoryId) -> Result<Option<Timestamp>> {
        self.read(|state| {
            let jobs = state.jobs.values().filter(|job| job.directory == *directory);
            Ok(jobs.map(|job| job.claimable_from()).min())
        })
    }

    async fn sweep(&self, sweep: &Sweep, cause: &Cause) -> Result<SweepReport> {
        let swept = self.write(|state| Ok(state.sweep(sweep, cause.now)))?;
        Ok(SweepReport { transient_removed: self.forget_idle_rate_limits(cause.now), ..swept })
    }

    fn tell(&self, wake: Wake) {
        self.bell.ring(&wake);
    }

    fn wakes(&self) -> Box<dyn Wakes> {
        self.bell.listen()
    }
}
