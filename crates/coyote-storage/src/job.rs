//! Work that survives a crash.
//!
//! Work that the server owes is a row, written in the transaction that made it due. The right to finish it is a
//! [`Lease`]: whoever holds it settles the job, and a holder that is too late finds its lease gone.

use async_trait::async_trait;
use coyote_protocol::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    AccountId, Authorization, AuthorizationId, Cause, Certificate, CertificateId, ChallengeId, DirectoryId,
    JobId, LeaseToken, Order, OrderId, Result, Sweep, SweepReport, Wake, Wakes, wake::NoWakes,
};

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Work {
    /// Look whether a challenge is answered.
    Validate {
        /// Whose.
        account: AccountId,
        /// Of which authorization.
        authorization: AuthorizationId,
        /// Which.
        challenge: ChallengeId,
    },
    /// Issue an order's certificate.
    Issue {
        /// Whose.
        account: AccountId,
        /// Which.
        order: OrderId,
    },
    /// Tell the issuer that a certificate is revoked.
    Revoke {
        /// Whose it is.
        account: AccountId,
        /// Which.
        certificate: CertificateId,
    },
}

/// Kinds of work. A worker has room for each, so that much of one does not hold up the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WorkKind {
    /// [`Work::Validate`]
    Validate,
    /// [`Work::Issue`]
    Issue,
    /// [`Work::Revoke`]
    Revoke,
}

impl WorkKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Validate, Self::Issue, Self::Revoke];

    /// Its name, as a store may keep it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Validate => "validate",
            Self::Issue => "issue",
            Self::Revoke => "revoke",
        }
    }
}

impl Work {
    /// Of which kind it is.
    pub const fn kind(&self) -> WorkKind {
        match self {
            Self::Validate { .. } => WorkKind::Validate,
            Self::Issue { .. } => WorkKind::Issue,
            Self::Revoke { .. } => WorkKind::Revoke,
        }
    }

    /// The work of validating one of an authorization's challenges.
    pub fn validation(authorization: &Authorization, challenge: ChallengeId) -> Self {
        Self::Validate { account: authorization.account, authorization: authorization.id, challenge }
    }

    /// The work of issuing an order's certificate.
    pub fn issuance(order: &Order) -> Self {
        Self::Issue { account: order.account, order: order.id }
    }

    /// The work of telling the issuer that a certificate is revoked.
    pub fn revocation(certificate: &Certificate) -> Self {
        Self::Revoke { account: certificate.account, certificate: certificate.id }
    }

    /// Whose it is.
    pub fn account(&self) -> &AccountId {
        match self {
            Self::Validate { account, .. } | Self::Issue { account, .. } | Self::Revoke { account, .. } => {
                account
            }
        }
    }

    /// The id of the job for this work: it has the bits of what it works on, so that there is one at most.
    pub fn job(&self) -> JobId {
        match self {
            Self::Validate { challenge, .. } => JobId::from_bytes(*challenge.as_bytes()),
            Self::Issue { order, .. } => JobId::from_bytes(*order.as_bytes()),
            Self::Revoke { certificate, .. } => JobId::from_bytes(*certificate.as_bytes()),
        }
    }
}

/// Work that the server owes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its id, [`Work::job`].
    pub id: JobId,
    /// The directory whose server does it.
    pub directory: DirectoryId,
    /// What is to be done.
    pub work: Work,
    /// Not before then. Backoff moves this, so it survives a restart.
    #[serde(with = "crate::millis")]
    pub due: Timestamp,
    /// How often it was begun, counted as it is claimed: a job that kills the process still uses them up.
    pub attempts: u32,
    /// Who works on it, and until when.
    pub lease: Option<LeaseTerms>,
}

/// The terms of a lease that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseTerms {
    /// The secret of the holder: 128 random bits.
    pub token: LeaseToken,
    /// When it ends, and the job is anybody's.
    #[serde(with = "crate::millis")]
    pub expires: Timestamp,
}

/// The right to settle one job, until it expires or is spent. Settling takes it by value.
///
/// Only a backend makes one, for a caller whose claim it has written.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Lease {
    /// The job.
    pub job: JobId,
    /// What is to be done.
    pub work: Work,
    /// How often it was begun, this time included.
    pub attempts: u32,
    /// The terms.
    pub terms: LeaseTerms,
}

/// Which jobs a worker would take.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Of which directory.
    pub directory: DirectoryId,
    /// Of which kind; `None` for any.
    pub kind: Option<WorkKind>,
    /// How many at most.
    pub limit: u32,
    /// The terms of the leases.
    pub terms: LeaseTerms,
}

impl Job {
    /// New work, due now, and begun if `lease` says by whom.
    pub fn new(directory: DirectoryId, work: Work, lease: Option<LeaseTerms>, now: Timestamp) -> Self {
        Self { id: work.job(), directory, work, due: now, attempts: u32::from(lease.is_some()), lease }
    }

    /// Whether it can be claimed: it is due, and nobody holds it.
    pub fn is_claimable(&self, now: Timestamp) -> bool {
        self.claimable_from() <= now
    }

    /// From when on it can be claimed: when it is due, or when its lease ends, if that is later.
    pub fn claimable_from(&self) -> Timestamp {
        Self::free_from(self.due, self.lease.map(|lease| lease.expires))
    }

    /// From when on a job can be claimed that is due then, and has a lease until then.
    pub fn free_from(due: Timestamp, lease_expires: Option<Timestamp>) -> Timestamp {
        lease_expires.map_or(due, |expires| expires.max(due))
    }

    /// Whether this lease is still the right to settle it.
    pub fn is_held_by(&self, lease: &Lease, now: Timestamp) -> bool {
        self.lease.is_some_and(|held| held.token == lease.terms.token && held.expires > now)
    }

    /// Gives the job to a worker, and counts the attempt.
    pub fn claim(&mut self, terms: LeaseTerms) -> Lease {
        self.attempts = self.attempts.saturating_add(1);
        self.lease = Some(terms);
        Lease { job: self.id, work: self.work.clone(), attempts: self.attempts, terms }
    }

    /// The lease that a job was born with.
    pub fn born_lease(&self) -> Option<Lease> {
        let terms = self.lease?;
        Some(Lease { job: self.id, work: self.work.clone(), attempts: self.attempts, terms })
    }

    /// Puts off the end of the lease.
    pub fn renew(&mut self, expires: Timestamp) {
        if let Some(lease) = &mut self.lease {
            lease.expires = expires;
        }
    }

    /// Gives the job back, due at `due`.
    pub fn release(&mut self, due: Timestamp) {
        self.lease = None;
        self.due = due;
    }
}

/// The jobs. Each method is one transaction: it happens entirely, or, on any error but
/// [`Unavailable`](crate::StorageError::Unavailable), not at all.
#[async_trait]
pub trait JobQueue: Send + Sync + 'static {
    /// Gives the caller jobs of the directory and kind that are due and that nobody holds, those due longest first. No job is given to two
    /// callers at a time.
    ///
    /// A job that is on record and cannot be read keeps nobody from the others: it is put off for a day, and that is
    /// logged.
    async fn claim_jobs(&self, claim: &Claim, cause: &Cause) -> Result<Vec<Lease>>;

    /// Puts off the end of a lease, while the work goes on. Leases can thus be short, and the jobs of a process that died
    /// are soon anybody's.
    ///
    /// # Errors
    ///
    /// [`LeaseLost`](crate::StorageError::LeaseLost).
    async fn renew_lease(&self, lease: &Lease, expires: Timestamp, cause: &Cause) -> Result<()>;

    /// Gives a job back unfinished, due at `due`.
    ///
    /// # Errors
    ///
    /// [`LeaseLost`](crate::StorageError::LeaseLost).
    async fn release_job(&self, lease: Lease, due: Timestamp, cause: &Cause) -> Result<()>;

    /// When the next job of the directory can be claimed, if there is one: due or lease end, whichever is later.
    async fn next_due(&self, directory: &DirectoryId) -> Result<Option<Timestamp>>;

    /// Puts right what should never be wrong, and removes what is over, in all directories. Its usual result is "nothing to
    /// do".
    async fn sweep(&self, sweep: &Sweep, cause: &Cause) -> Result<SweepReport>;

    /// Tells all who listen, in this process and in the others that share the store, that something has happened. It is called
    /// after the commit of what it tells of, does not wait, and may be lost: nobody relies on it. A store that does not
    /// carry it drops it.
    fn tell(&self, _wake: Wake) {}

    /// Somebody who hears what is told from now on. Where nothing is carried they wait for ever, and find out by looking.
    fn wakes(&self) -> Box<dyn Wakes> {
        Box::new(NoWakes)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::samples::{NOW, order};

    const MINUTE: Duration = Duration::from_secs(60);

    fn job(lease: Option<LeaseTerms>) -> Job {
        Job::new(DirectoryId::default(), Work::issuance(&order(&["a.test"])), lease, NOW)
    }

    fn terms(expires: Timestamp) -> LeaseTerms {
        LeaseTerms { token: LeaseToken::from_bytes([7; 16]), expires }
    }

    #[test]
    fn a_job_can_be_claimed_once_it_is_due_and_nobody_holds_it() {
        for (lease, due, claimable_from) in [
            (None, NOW, NOW),
            (None, NOW + MINUTE, NOW + MINUTE),
            (Some(terms(NOW + MINUTE)), NOW, NOW + MINUTE),
            (Some(terms(NOW)), NOW + MINUTE, NOW + MINUTE),
        ] {
            let job = Job { due, ..job(lease) };
            assert_eq!(job.claimable_from(), claimable_from);
            assert!(job.is_claimable(claimable_from));
            assert!(!job.is_claimable(claimable_from - Duration::from_millis(1)));
        }
    }

    #[test]
    fn a_lease_is_good_until_it_ends_or_the_job_is_given_back_or_taken_over() {
        let mut job = job(Some(terms(NOW + MINUTE)));
        let lease = job.born_lease().unwrap();
        assert_eq!(lease.attempts, 1);
        assert!(job.is_held_by(&lease, NOW));
        assert!(!job.is_held_by(&lease, NOW + MINUTE));

        let token = LeaseToken::from_bytes([8; 16]);
        let other = job.claim(LeaseTerms { token, expires: NOW + MINUTE * 2 });
        assert_eq!(other.attempts, 2);
        assert!(!job.is_held_by(&lease, NOW), "it was taken over");
        assert!(job.is_held_by(&other, NOW));
        job.release(NOW);
        assert!(!job.is_held_by(&other, NOW), "it was given back");
        assert_eq!(job.attempts, 2, "the attempts are not forgotten");
    }

    #[test]
    fn a_renewal_moves_the_end_of_a_lease_and_nothing_else() {
        let born = job(Some(terms(NOW + MINUTE)));
        let lease = born.born_lease().unwrap();
        let mut renewed = born.clone();
        renewed.renew(NOW + MINUTE * 3);
        assert_eq!(renewed, Job { lease: Some(terms(NOW + MINUTE * 3)), ..born });
        assert!(renewed.is_held_by(&lease, NOW + MINUTE * 2), "what the holder has is as good as ever");
        assert_eq!(renewed.claimable_from(), NOW + MINUTE * 3);

        let mut free = job(None);
        free.renew(NOW + MINUTE);
        assert_eq!(free, job(None), "there is no lease to renew");
    }

    #[test]
    fn a_job_that_nobody_has_begun_has_no_lease_and_no_attempts() {
        let job = job(None);
        assert_eq!((job.born_lease(), job.attempts), (None, 0));
    }
}
