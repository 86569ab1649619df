//! Work: what the server does beyond a request.
//!
//! Work is a row in the store, written with the state that made it due; see [`coyote_storage::JobQueue`]. The
//! replica that took the request holds the job's lease from birth and starts at once; whatever it does not finish,
//! another takes over when the lease ends. Nothing is lost with the process, so nothing here is a promise.

use std::{convert::Infallible, future::Future, sync::Arc, time::Duration};

use coyote_protocol::Timestamp;
use coyote_storage::{
    Cause, Claim, JobId, Lease, LeaseTerms, LeaseToken, StorageError, Wake, Work, WorkKind,
};
use tokio::{
    sync::{Notify, OnceCell, OwnedSemaphorePermit, Semaphore, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{acme::Acme, error::Result, limits::Limits, outage::Outage, service::chain};

mod caa;
mod issue;
mod revoke;
mod schedule;
mod sweep;
mod validate;
mod waiters;
mod waiting;

use schedule::Schedule;
use waiters::Waiters;
use waiting::Waiting;

/// When a client should ask again for something that is being worked on.
const POLL: Duration = Duration::from_secs(1);

/// Jobs that one look at the queue takes at most.
const CLAIM: usize = 32;

/// What the work of one server shares.
pub(crate) struct Workshop {
    /// The permits for each kind of work, and how many there are.
    validations: (Arc<Semaphore>, u32),
    /// For validations that take long, so that those that do not need not wait for them.
    waiting: Waiting,
    issuances: (Arc<Semaphore>, u32),
    /// For issuances that wait for CAA records.
    waiting_issuances: Waiting,
    revocations: (Arc<Semaphore>, u32),
    waiters: Waiters,
    schedule: Schedule,
    wake: Notify,
    drained: OnceCell<()>,
    no_queue: Outage,
}

impl Workshop {
    pub(crate) fn new(limits: &Limits) -> Self {
        let permits = |count: u32| (Arc::new(Semaphore::new(count.max(1) as usize)), count.max(1));
        Self {
            validations: permits(limits.concurrent_validations),
            waiting: Waiting::new(limits.waiting_validations),
            issuances: permits(limits.concurrent_issuances),
            // Their leases are renewed four times as often as those of validations.
            waiting_issuances: Waiting::new(limits.waiting_validations / 4),
            revocations: permits(limits.concurrent_revocations),
            schedule: Schedule::default(),
            waiters: Waiters::new(limits.lingering_answers as usize),
            wake: Notify::new(),
            drained: OnceCell::new(),
            no_queue: Outage::default(),
        }
    }

    fn permits(&self, kind: WorkKind) -> &(Arc<Semaphore>, u32) {
        match kind {
            WorkKind::Validate => &self.validations,
            WorkKind::Issue => &self.issuances,
            WorkKind::Revoke => &self.revocations,
        }
    }
}

impl Acme {
    /// Does the work that no request is there to do: takes over what a dead process left, repeats what failed,
    /// sweeps the store. It runs until `stop` ends, and then until the work of this process is done.
    ///
    /// Meanwhile it does what [`Acme::hear_replicas`] does.
    pub async fn run_jobs(self: Arc<Self>, stop: impl Future<Output = ()>) {
        let (running, stopped) = watch::channel(());
        let looking = async {
            tokio::select! {
                () = self.look_for_jobs(stop) => {}
                never = self.hear_replicas() => match never {},
            }
            drop(running);
        };
        tokio::join!(looking, self.keep_swept(stopped));
        self.drain().await;
    }

    /// Hears what other servers over the same store do, so that whoever waits here for something that is done there waits no
    /// longer than necessary. Without it, or with a store that does not carry such news, they find out by asking again.
    ///
    /// It runs until it is dropped.
    pub async fn hear_replicas(&self) -> Infallible {
        let mut wakes = self.storage.wakes();
        loop {
            match wakes.next().await {
                Wake::Due(directory) if directory != self.directory => {}
                Wake::Due(_) => self.workshop.wake.notify_one(),
                Wake::Settled(job) => self.workshop.waiters.wake(job),
                Wake::Missed => {
                    self.workshop.waiters.wake_all();
                    self.workshop.wake.notify_one();
                }
            }
        }
    }

    async fn look_for_jobs(self: &Arc<Self>, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        loop {
            let looked = self.take_jobs().await;
            let now = self.clock.now();
            let wait = looked.unwrap_or_else(|error| {
                if let Some(unsaid) = self.workshop.no_queue.complain(now) {
                    tracing::error!(error = %chain(&error), unsaid, "the job queue cannot be read");
                }
                self.limits.job_poll_interval
            });
            tokio::select! {
                () = &mut stop => break,
                () = self.workshop.wake.notified() => {}
                () = sleep(self.jittered(wait)) => {}
            }
        }
    }

    /// A little more or less than this, so that replicas that were started together do not ask together for ever.
    fn jittered(&self, wait: Duration) -> Duration {
        let [chance] = self.entropy.bytes().unwrap_or([0; 1]);
        let interval = self.limits.job_poll_interval;
        match wait < interval {
            true => wait + interval.min(POLL) * u32::from(chance) / 2_048,
            false => wait - interval * u32::from(chance) / 1_024,
        }
    }

    /// Waits until none of this process's work is under way. From then on, work is left to whoever comes next.
    pub async fn drain(&self) {
        self.workshop.drained.get_or_init(|| self.take_all_permits()).await;
    }

    async fn take_all_permits(&self) {
        let workshop = &self.workshop;
        let kinds = WorkKind::ALL.iter().map(|kind| workshop.permits(*kind));
        // Issuances leave their lane with a permit, so that one comes first.
        let lanes = [workshop.waiting_issuances.close()].into_iter().chain(kinds);
        for (permits, count) in lanes.chain([workshop.waiting.close()]) {
            // Closing would fail those who wait for a permit; holding all of them makes new work wait for its
            // next owner.
            if let Ok(all) = permits.acquire_many(*count).await {
                all.forget();
            }
        }
    }

    /// Starts the jobs that are due, and answers how long to wait for the next.
    async fn take_jobs(self: &Arc<Self>) -> Result<Duration> {
        let interval = self.limits.job_poll_interval;
        loop {
            let now = self.clock.now();
            match self.storage.next_due(&self.directory).await? {
                None => return Ok(interval),
                Some(due) if due > now => return Ok(due.since(now).min(interval)),
                Some(_) => {}
            }
            let mut taken = 0;
            for kind in WorkKind::ALL {
                taken += self.take_jobs_of(kind).await?;
            }
            if taken == 0 {
                return Ok(interval); // there is no room for them, or another replica was quicker
            }
        }
    }

    /// Starts jobs of one kind, as many as there is room for, and answers how many. A permit comes first: a job that was
    /// claimed and not begun would only be kept from others until its lease ends.
    async fn take_jobs_of(self: &Arc<Self>, kind: WorkKind) -> Result<usize> {
        let (permits, _) = self.workshop.permits(kind);
        let free = || permits.clone().try_acquire_owned().ok();
        let mut room: Vec<OwnedSemaphorePermit> = std::iter::from_fn(free).take(CLAIM).collect();
        if room.is_empty() {
            return Ok(0);
        }
        let now = self.clock.now();
        let claim = Claim {
            directory: self.directory.clone(),
            kind: Some(kind),
            limit: u32::try_from(room.len()).unwrap_or(1),
            terms: self.lease_terms()?,
        };
        let leases = self.storage.claim_jobs(&claim, &self.own_cause(now)?).await?;
        let taken = leases.len();
        for (lease, permit) in leases.into_iter().zip(room.drain(..)) {
            tracing::info!(job = %lease.job, attempt = lease.attempts, "taking over a job");
            self.workshop.schedule.forget(lease.job);
            tokio::spawn(self.clone().work(lease, permit));
        }
        Ok(taken)
    }

    async fn work(self: Arc<Self>, lease: Lease, permit: OwnedSemaphorePermit) {
        let kind = lease.work.kind();
        let (mut permit, give_way) = (Some(permit), Arc::new(Notify::new()));
        if kind == WorkKind::Validate {
            self.in_room(permit, &give_way, self.work_on(lease, &give_way, &mut None)).await;
        } else {
            self.work_on(lease, &give_way, &mut permit).await;
            self.make_room(kind, permit);
        }
    }

    async fn work_on(&self, lease: Lease, give_way: &Notify, permit: &mut Option<OwnedSemaphorePermit>) {
        let job = lease.job;
        let done = match lease.work.clone() {
            Work::Validate { account, authorization, .. } => {
                match self.validation_subjects(&account, &authorization).await {
                    Ok((account, authorization)) => {
                        self.validate(lease, authorization, account, give_way).await;
                        Ok(())
                    }
                    Err(error) => Err((lease, error.into())),
                }
            }
            Work::Issue { account, order } => match self.issuance_subjects(&lease, &account, &order).await {
                Ok((account, order)) => {
                    self.issue_for(lease, order, &account, permit).await;
                    Ok(())
                }
                Err(error) => Err((lease, error)),
            },
            Work::Revoke { account, certificate } => {
                match self.storage.certificate(&account, &certificate).await {
                    Ok(certificate) => {
                        self.tell(lease, certificate).await;
                        Ok(())
                    }
                    Err(error) => Err((lease, error.into())),
                }
            }
        };
        if let Err((lease, error)) = done {
            tracing::error!(job = %lease.job, error = %chain(&error), "a job's subject cannot be read");
            self.put_off(lease).await;
        }
        self.storage.tell(Wake::Settled(job));
    }

    /// Gives back a job that cannot be begun, for long enough that it does not keep the workers busy.
    async fn put_off(&self, lease: Lease) {
        let now = self.clock.now();
        let Ok(cause) = self.own_cause(now) else { return };
        if let Err(error) = self.storage.release_job(lease, now + self.limits.longest_backoff, &cause).await {
            self.not_settled(&error);
        }
    }

    /// Does a validation with a permit. One that waits for a stranger gives it back before it is done, if there is
    /// room among those that wait: else a few hundred names that do not answer would keep all others from being looked at.
    /// If there is none, the one that has waited longest is told to give way.
    async fn in_room<T>(
        &self,
        mut permit: Option<OwnedSemaphorePermit>,
        give_way: &Arc<Notify>,
        work: impl Future<Output = T>,
    ) -> T {
        let kind = WorkKind::Validate;
        let mut work = std::pin::pin!(work);
        while permit.is_some() {
            if let Ok(done) = timeout(self.limits.validation_patience, &mut work).await {
                self.make_room(kind, permit);
                return done;
            }
            if let Some(_place) = self.workshop.waiting.enter(give_way) {
                self.make_room(kind, permit.take());
                return work.await;
            }
        }
        let done = work.await;
        self.make_room(kind, permit);
        done
    }

    /// Does the part of an issuance that waits for strangers. If that takes long, the permit is given back meanwhile if there is
    /// room among those that wait, and there is one again at the end. `None` for one that was told to give way.
    async fn stepping_aside<T>(
        &self,
        permit: &mut Option<OwnedSemaphorePermit>,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let give_way = Arc::new(Notify::new());
        let mut work = std::pin::pin!(work);
        while permit.is_some() {
            if let Ok(done) = timeout(self.limits.validation_patience, &mut work).await {
                return Some(done);
            }
            let Some(_place) = self.workshop.waiting_issuances.enter(&give_way) else { continue };
            self.make_room(WorkKind::Issue, permit.take());
            let done = tokio::select! {
                done = work => done,
                () = give_way.notified() => return None,
            };
            let (permits, _) = self.workshop.permits(WorkKind::Issue);
            *permit = permits.clone().acquire_owned().await.ok();
            return Some(done);
        }
        Some(work.await)
    }

    /// There is a job that nobody has begun, now or a while later.
    pub(crate) fn job_is_waiting(&self) {
        self.workshop.wake.notify_one();
        self.storage.tell(Wake::Due(self.directory.clone()));
    }

    /// A job that was begun at that moment, by whoever asked for it, has ended. While they may still wait for the answer
    /// to that, nobody asks elsewhere: most jobs end without a word.
    fn tell_of_the_end(&self, job: JobId, began: Timestamp) {
        if self.clock.now().since(began) >= self.limits.linger {
            self.storage.tell(Wake::Settled(job));
        }
    }

    /// Ends the use of a permit. If it was the last, there may be jobs that wait for it.
    fn make_room(&self, kind: WorkKind, permit: Option<OwnedSemaphorePermit>) {
        let (permits, _) = self.workshop.permits(kind);
        let was_full = permits.available_permits() == 0;
        drop(permit);
        if was_full {
            self.workshop.wake.notify_one();
        }
    }

    /// The terms of a new lease.
    pub(crate) fn lease_terms(&self) -> Result<LeaseTerms> {
        let token = LeaseToken::from_bytes(self.entropy.bytes()?);
        Ok(LeaseTerms { token, expires: self.clock.now() + self.limits.lease })
    }

    /// Does some work, and renews the lease on it while it lasts. If the lease is lost the work goes on: settling it
    /// will fail, and change nothing.
    async fn while_leased<T>(&self, lease: &Lease, work: impl Future<Output = T>) -> T {
        tokio::select! {
            done = work => done,
            never = self.keep_renewing(lease) => match never {},
        }
    }

    async fn keep_renewing(&self, lease: &Lease) -> Infallible {
        // Many validations may wait for strangers at once, and each renewal is a write: so they are for longer.
        let term = match lease.work.kind() {
            WorkKind::Validate => self.limits.lease * 4,
            _ => self.limits.lease,
        };
        let mut wait = self.limits.lease / 3;
        loop {
            sleep(wait).await;
            let now = self.clock.now();
            let Ok(cause) = self.own_cause(now) else { continue };
            match self.storage.renew_lease(lease, now + term, &cause).await {
                Ok(()) => wait = term / 3,
                Err(StorageError::LeaseLost) => {
                    tracing::warn!(job = %lease.job, "the lease on a job was lost while it was worked on");
                    return std::future::pending().await;
                }
                Err(error) => {
                    tracing::warn!(job = %lease.job, error = %chain(&error), "a lease could not be renewed");
                }
            }
        }
    }

    /// Settles a job, and if the store does not answer, again, until the lease is over: what was found out or signed is
    /// not to be lost with one answer. If the job was settled before and only the answer was lost, that is
    /// [`LeaseLost`](StorageError::LeaseLost).
    async fn insist<T, F>(
        &self,
        lease: Lease,
        cause: &Cause,
        settle: impl Fn(Lease, Cause) -> F,
    ) -> Result<T, StorageError>
    where
        F: Future<Output = Result<T, StorageError>>,
    {
        let mut wait = self.limits.lease / 64;
        let last = self.clock.now() + self.limits.lease;
        loop {
            let cause = Cause { now: self.clock.now(), ..cause.clone() };
            let again = Lease { job: lease.job, work: lease.work.clone(), ..lease };
            match settle(again, cause).await {
                Err(error @ StorageError::Unavailable { .. }) if self.clock.now() + wait < last => {
                    tracing::warn!(job = %lease.job, error = %chain(&error), "a job's result is stored again");
                    sleep(wait).await;
                    wait *= 2;
                }
                settled => return settled,
            }
        }
    }

    /// Notes that a job was put off, so that clients can be told.
    fn note_due(&self, job: JobId, due: Timestamp) {
        self.workshop.schedule.put_off(job, due, self.clock.now());
        self.job_is_waiting();
    }

    /// When a client should ask again for what this job is to change: when it is due, at least a second from now and at
    /// most the longest time between two attempts. Nothing is looked up for it; of a job that another replica has put
    /// off it is the second. RFC 8555 sections 7.4 and 7.5.1.
    pub(crate) fn retry_after(&self, job: JobId) -> Duration {
        let due = self.workshop.schedule.due(job).map(|due| due.since(self.clock.now()));
        due.unwrap_or(POLL).max(POLL).min(self.limits.longest_backoff.max(POLL))
    }

    /// The right to start work at once: a permit, and the terms of the lease that the job is to be born with. If
    /// too much is under way, neither: the job then waits in the queue.
    pub(crate) fn begin_now(
        &self,
        kind: WorkKind,
    ) -> Result<(Option<OwnedSemaphorePermit>, Option<LeaseTerms>)> {
        let (permits, _) = self.workshop.permits(kind);
        match permits.clone().try_acquire_owned() {
            Ok(permit) => Ok((Some(permit), Some(self.lease_terms()?))),
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
        let second = read().await; // it may have ended before we waited
        let waits = second.as_ref().is_ok_and(|second| job(second).is_some());
        if !waits || timeout(self.limits.linger, ended).await.is_err() {
            self.workshop.waiters.tidy(id);
            return Ok(second?);
        }
        Ok(read().await?)
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
