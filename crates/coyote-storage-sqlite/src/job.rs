//! Work that survives a crash, and the right to finish it.

use std::time::Duration;

use async_trait::async_trait;
use coyote_protocol::Timestamp;
use coyote_storage::{
    Cause, Claim, DirectoryId, Job, JobId, JobQueue, Lease, LeaseTerms, LeaseToken, Result, StorageError,
    Sweep, SweepReport, Work, WorkKind,
};
use diesel::{dsl, prelude::*, sqlite::Sqlite};

use crate::{
    SqliteStorage,
    column::{Bits, Count, Doubtful, Json, Millis},
    error::{Failure, guarded},
    schema::jobs,
    sweep, trace,
    update::update,
};

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = jobs, check_for_backend(Sqlite))]
#[diesel(treat_none_as_default_value = false, treat_none_as_null = true)]
struct JobRow {
    id: Bits<JobId>,
    directory: String,
    kind: String,
    work: Json<Work>,
    due: Millis,
    attempts: Count,
    lease_token: Option<Bits<LeaseToken>>,
    lease_expires: Option<Millis>,
}

impl From<JobRow> for Job {
    fn from(row: JobRow) -> Self {
        let lease = row.lease_token.zip(row.lease_expires);
        Self {
            id: row.id.0,
            directory: DirectoryId::new(row.directory),
            work: row.work.0,
            due: row.due.0,
            attempts: row.attempts.0,
            lease: lease.map(|(token, expires)| LeaseTerms { token: token.0, expires: expires.0 }),
        }
    }
}

impl From<Job> for JobRow {
    fn from(job: Job) -> Self {
        Self {
            id: Bits(job.id),
            directory: job.directory.as_str().to_owned(),
            kind: job.work.kind().as_str().to_owned(),
            work: Json(job.work),
            due: Millis(job.due),
            attempts: Count(job.attempts),
            lease_token: job.lease.map(|lease| Bits(lease.token)),
            lease_expires: job.lease.map(|lease| Millis(lease.expires)),
        }
    }
}

/// How long a job that cannot be read is put off.
const SET_ASIDE: Duration = Duration::from_secs(24 * 60 * 60);

/// A job as it is on record, whether it can be read or not.
#[derive(Queryable, Selectable)]
#[diesel(table_name = jobs, check_for_backend(Sqlite))]
struct DoubtfulRow {
    id: Vec<u8>,
    directory: String,
    work: Doubtful<Json<Work>>,
    due: Millis,
    attempts: Doubtful<Count>,
    lease_token: Option<Doubtful<Bits<LeaseToken>>>,
    lease_expires: Option<Millis>,
}

/// A job that is on record and cannot be read.
struct Unreadable {
    id: Vec<u8>,
    reason: String,
}

impl DoubtfulRow {
    fn read(self) -> Result<Job, Unreadable> {
        let read = || {
            let token = self.lease_token.map(|token| token.0).transpose()?;
            let lease = token.zip(self.lease_expires);
            Ok(Job {
                id: JobId::from_bytes(
                    self.id.clone().try_into().map_err(|_| "an id that is not 16 bytes long")?,
                ),
                directory: DirectoryId::new(self.directory),
                work: self.work.0?.0,
                due: self.due.0,
                attempts: self.attempts.0?.0,
                lease: lease.map(|(token, expires)| LeaseTerms { token: token.0, expires: expires.0 }),
            })
        };
        read().map_err(|reason: String| Unreadable { id: self.id.clone(), reason })
    }
}

/// Stores new work, in the transaction that made it due.
pub(crate) fn insert(connection: &mut SqliteConnection, job: Job) -> Result<(), Failure> {
    diesel::replace_into(jobs::table).values(JobRow::from(job)).execute(connection)?;
    Ok(())
}

pub(crate) fn find(connection: &mut SqliteConnection, id: &JobId) -> Result<Option<Job>, Failure> {
    let row = jobs::table.find(Bits(*id)).select(JobRow::as_select()).get_result(connection).optional()?;
    Ok(row.map(Job::from))
}

/// The job, if the lease is still the right to settle it.
pub(crate) fn held(connection: &mut SqliteConnection, lease: &Lease, now: Timestamp) -> Result<Job, Failure> {
    let job = find(connection, &lease.job)?.filter(|job| job.is_held_by(lease, now));
    job.ok_or(StorageError::LeaseLost.into())
}

/// Ends the job that the lease is on, and answers what it was.
pub(crate) fn end(connection: &mut SqliteConnection, lease: &Lease, now: Timestamp) -> Result<Job, Failure> {
    let ended = diesel::delete(jobs::table.find(Bits(lease.job)).filter(still_held(lease, now)));
    let ended = ended.returning(JobRow::as_returning()).get_result(connection).optional()?;
    let ended = ended.map(Job::from).filter(|job| job.is_held_by(lease, now));
    ended.ok_or(StorageError::LeaseLost.into())
}

/// Saves a job that this lease was on.
pub(crate) fn save_held(
    connection: &mut SqliteConnection,
    job: Job,
    lease: &Lease,
    now: Timestamp,
) -> Result<(), Failure> {
    let held = jobs::id.eq(Bits(lease.job)).and(still_held(lease, now));
    let saved = update(connection, jobs::table, JobRow::from(job), held)?;
    guarded(saved, StorageError::LeaseLost)
}

pub(crate) fn export(
    connection: &mut SqliteConnection,
    after: Option<JobId>,
    limit: u32,
) -> Result<Vec<Job>, Failure> {
    let page = jobs::table.order(jobs::id).limit(limit.into()).select(JobRow::as_select());
    let rows: Vec<JobRow> = match after {
        Some(after) => page.filter(jobs::id.gt(Bits(after))).load(connection)?,
        None => page.load(connection)?,
    };
    Ok(rows.into_iter().map(Job::from).collect())
}

#[dsl::auto_type(no_type_alias)]
fn still_held(lease: &Lease, now: Timestamp) -> _ {
    let token: Bits<LeaseToken> = Bits(lease.terms.token);
    let now: Millis = Millis(now);
    jobs::lease_token.eq(token).and(jobs::lease_expires.gt(now))
}

pub(crate) fn remove(connection: &mut SqliteConnection, id: JobId) -> Result<(), Failure> {
    diesel::delete(jobs::table.find(Bits(id))).execute(connection)?;
    Ok(())
}

/// Whether there is such a job, be it readable or not.
pub(crate) fn exists(connection: &mut SqliteConnection, id: &JobId) -> Result<bool, Failure> {
    let due: Option<Millis> =
        jobs::table.find(Bits(*id)).select(jobs::due).get_result(connection).optional()?;
    Ok(due.is_some())
}

/// The jobs that can be claimed, those due longest first.
fn claimable(connection: &mut SqliteConnection, claim: &Claim, now: Timestamp) -> Result<Vec<Job>, Failure> {
    loop {
        let (mut claimable, mut unreadable) = (Vec::new(), Vec::new());
        for row in on_record(connection, claim, now)? {
            match row.read() {
                Ok(job) => claimable.push(job),
                Err(damaged) => unreadable.push(damaged),
            }
        }
        if unreadable.is_empty() {
            claimable.retain(|job| job.is_claimable(now));
            claimable.sort_by_key(|job| (job.due, job.id));
            claimable.truncate(claim.limit as usize);
            return Ok(claimable);
        }
        // They were in the place of others.
        for job in unreadable {
            set_aside(connection, job, now)?;
        }
    }
}

/// Puts off a job that cannot be read, for a later version or somebody who repairs it.
fn set_aside(connection: &mut SqliteConnection, job: Unreadable, now: Timestamp) -> Result<(), Failure> {
    let id = job.id.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
    tracing::error!(job = id, reason = job.reason, "a job cannot be read, and is put off for a day");
    let free = (
        jobs::due.eq(Millis(now + SET_ASIDE)),
        jobs::lease_token.eq(None::<Vec<u8>>),
        jobs::lease_expires.eq(None::<Millis>),
    );
    update(connection, jobs::table, free, jobs::id.eq(job.id))?;
    Ok(())
}

fn on_record(
    connection: &mut SqliteConnection,
    claim: &Claim,
    now: Timestamp,
) -> Result<Vec<DoubtfulRow>, Failure> {
    let mut rows = Vec::new();
    for kind in WorkKind::ALL.into_iter().filter(|kind| claim.kind.is_none_or(|wanted| wanted == *kind)) {
        // Two queries, so that each reads the front of its own index.
        let due = jobs::table
            .filter(jobs::directory.eq(claim.directory.as_str()))
            .filter(jobs::kind.eq(kind.as_str()))
            .filter(jobs::due.le(Millis(now)))
            .order((jobs::due, jobs::id))
            .limit(claim.limit.into())
            .select(DoubtfulRow::as_select());
        rows.extend(due.filter(jobs::lease_expires.is_null()).load(connection)?);
        rows.extend(due.filter(jobs::lease_expires.le(Millis(now))).load(connection)?);
    }
    Ok(rows)
}

/// Saves a job that could be claimed, and has been.
fn save_claimed(connection: &mut SqliteConnection, job: Job, now: Timestamp) -> Result<bool, Failure> {
    let free = jobs::lease_expires.is_null().or(jobs::lease_expires.le(Millis(now)));
    let free = jobs::id.eq(Bits(job.id)).and(free);
    Ok(update(connection, jobs::table, JobRow::from(job), free)? == 1)
}

#[async_trait]
impl JobQueue for SqliteStorage {
    async fn claim_jobs(&self, claim: &Claim, cause: &Cause) -> Result<Vec<Lease>> {
        let (claim, now) = (claim.clone(), cause.now);
        self.write("claiming jobs", move |connection| {
            let mut leases = Vec::new();
            for mut job in claimable(connection, &claim, now)? {
                let lease = job.claim(claim.terms);
                if save_claimed(connection, job, now)? {
                    leases.push(lease);
                }
            }
            Ok(leases)
        })
        .await
    }

    async fn renew_lease(&self, lease: &Lease, expires: Timestamp, cause: &Cause) -> Result<()> {
        let now = cause.now;
        let lease = Lease { job: lease.job, work: lease.work.clone(), ..*lease };
        self.write("renewing a lease", move |connection| {
            let mut job = held(connection, &lease, now)?;
            job.renew(expires);
            save_held(connection, job, &lease, now)
        })
        .await
    }

    async fn release_job(&self, lease: Lease, due: Timestamp, cause: &Cause) -> Result<()> {
        let cause = cause.clone();
        self.write("releasing a job", move |connection| {
            let mut job = held(connection, &lease, cause.now)?;
            job.release(due);
            trace::record(connection, &cause)?;
            save_held(connection, job, &lease, cause.now)
        })
        .await
    }

    async fn next_due(&self, directory: &DirectoryId) -> Result<Option<Timestamp>> {
        self.look_up_together("looking for the next job", |connection| {
            let own = jobs::table.filter(jobs::directory.eq(directory.as_str()));
            let own = own.select((jobs::due, jobs::lease_expires));
            let mut all: Vec<(Millis, Option<Millis>)> =
                own.filter(jobs::lease_expires.is_not_null()).load(connection)?;
            for kind in WorkKind::ALL {
                let waiting = own.filter(jobs::lease_expires.is_null()).filter(jobs::kind.eq(kind.as_str()));
                let first: Option<(Millis, Option<Millis>)> =
                    waiting.order(jobs::due).get_result(connection).optional()?;
                all.extend(first);
            }
            let free = |(due, expires): (Millis, Option<Millis>)| {
                Job::free_from(due.0, expires.map(|expires| expires.0))
            };
            Ok(all.into_iter().map(free).min())
        })
    }

    async fn sweep(&self, sweep: &Sweep, cause: &Cause) -> Result<SweepReport> {
        sweep::run(self, *sweep, cause.now).await
    }
}
