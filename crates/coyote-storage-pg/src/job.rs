//! Work that survives a crash, and the right to finish it.

use std::{collections::BTreeSet, time::Duration};

use async_trait::async_trait;
use coyote_protocol::Timestamp;
use coyote_storage::{
    Cause, Claim, DirectoryId, Job, JobId, JobQueue, Lease, LeaseTerms, LeaseToken, Result, StorageError,
    Sweep, SweepReport, Wake, Wakes, Work, WorkKind,
};
use diesel::{
    AsChangeset, BoolExpressionMethods, ExpressionMethods, Insertable, OptionalExtension, QueryDsl,
    QueryResult, Queryable, Selectable, SelectableHelper, dsl,
    pg::Pg,
    query_builder::{AstPass, QueryFragment, QueryId},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::{
    PgStorage,
    column::{Bits, Count, Doubtful, Json, Millis},
    error::Failure,
    schema::jobs,
    session::{Write, both, each, writes},
    sweep, trace,
    update::{delete, update},
};

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = jobs, check_for_backend(Pg))]
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
#[diesel(table_name = jobs, check_for_backend(Pg))]
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

/// Stores new work, in the transaction that made it due. There may be a job for it from before, which is over.
pub(crate) async fn insert(mut connection: &AsyncPgConnection, job: Job) -> Result<(), Failure> {
    let job = JobRow::from(job);
    Replace(diesel::insert_into(jobs::table).values(job)).execute(&mut connection).await?;
    Ok(())
}

/// Stores a job that was lost, unless there is one after all.
pub(crate) async fn insert_missing(mut connection: &AsyncPgConnection, job: Job) -> Result<bool, Failure> {
    let job = diesel::insert_into(jobs::table).values(JobRow::from(job)).on_conflict_do_nothing();
    Ok(job.execute(&mut connection).await? == 1)
}

/// The job, while nobody else changes it.
pub(crate) async fn lock(mut connection: &AsyncPgConnection, id: &JobId) -> Result<Option<Job>, Failure> {
    let query = jobs::table.find(Bits(*id)).select(JobRow::as_select()).for_update();
    Ok(query.get_result(&mut connection).await.optional()?.map(Job::from))
}

/// The job that was found, if the lease is still the right to settle it.
pub(crate) fn held(job: Option<Job>, lease: &Lease, now: Timestamp) -> Result<Job, StorageError> {
    job.filter(|job| job.is_held_by(lease, now)).ok_or(StorageError::LeaseLost)
}

/// Ends the job that the lease is on.
pub(crate) async fn end(
    connection: &AsyncPgConnection,
    lease: &Lease,
    now: Timestamp,
) -> Result<(), Failure> {
    let held = jobs::id.eq(Bits(lease.job)).and(still_held(lease, now));
    delete(connection, jobs::table, held).await
}

/// Saves a job that this lease was on.
pub(crate) async fn save_held(
    connection: &AsyncPgConnection,
    job: Job,
    lease: &Lease,
    now: Timestamp,
) -> Result<(), Failure> {
    let held = jobs::id.eq(Bits(lease.job)).and(still_held(lease, now));
    update(connection, jobs::table, JobRow::from(job), held).await
}

#[dsl::auto_type(no_type_alias)]
fn still_held(lease: &Lease, now: Timestamp) -> _ {
    let token: Bits<LeaseToken> = Bits(lease.terms.token);
    let now: Millis = Millis(now);
    jobs::lease_token.eq(token).and(jobs::lease_expires.gt(now))
}

/// Which of these jobs there are.
pub(crate) async fn existing(
    mut connection: &AsyncPgConnection,
    ids: Vec<JobId>,
) -> Result<BTreeSet<JobId>, Failure> {
    let ids: Vec<_> = ids.into_iter().map(Bits).collect();
    let query = jobs::table.filter(jobs::id.eq_any(ids)).select(jobs::id);
    let existing: Vec<Bits<JobId>> = query.load(&mut connection).await?;
    Ok(existing.into_iter().map(|id| id.0).collect())
}

pub(crate) async fn export(
    mut connection: &AsyncPgConnection,
    after: Option<JobId>,
    limit: u32,
) -> Result<Vec<Job>, Failure> {
    let page = jobs::table.order(jobs::id).limit(limit.into()).select(JobRow::as_select());
    let rows: Vec<JobRow> = match after {
        Some(after) => page.filter(jobs::id.gt(Bits(after))).load(&mut connection).await?,
        None => page.load(&mut connection).await?,
    };
    Ok(rows.into_iter().map(Job::from).collect())
}

pub(crate) async fn import(mut connection: &AsyncPgConnection, copies: Vec<Job>) -> Result<(), Failure> {
    remove(connection, copies.iter().map(|copy| copy.id).collect()).await?;
    let rows: Vec<_> = copies.into_iter().map(JobRow::from).collect();
    diesel::insert_into(jobs::table).values(rows).execute(&mut connection).await?;
    Ok(())
}

pub(crate) async fn remove(mut connection: &AsyncPgConnection, ids: Vec<JobId>) -> Result<(), Failure> {
    let ids: Vec<_> = ids.into_iter().map(Bits).collect();
    diesel::delete(jobs::table.filter(jobs::id.eq_any(ids))).execute(&mut connection).await?;
    Ok(())
}

/// The jobs of this kind that can be claimed, those due longest first, while nobody else changes them. Those that somebody else is
/// about to change are left to them.
async fn lock_claimable(
    mut connection: &AsyncPgConnection,
    claim: &Claim,
    kind: WorkKind,
    now: Timestamp,
) -> Result<Vec<DoubtfulRow>, Failure> {
    let claimable = jobs::table
        .filter(jobs::directory.eq(claim.directory.as_str()))
        .filter(jobs::kind.eq(kind.as_str()))
        .filter(jobs::due.le(Millis(now)))
        .filter(jobs::lease_expires.is_null().or(jobs::lease_expires.le(Millis(now))))
        .order((jobs::due, jobs::id))
        .limit(claim.limit.into())
        .select(DoubtfulRow::as_select())
        .for_update()
        .skip_locked();
    Ok(claimable.load(&mut connection).await?)
}

/// Puts off a job that cannot be read, for a later version or somebody who repairs it.
async fn set_aside(connection: &AsyncPgConnection, job: Unreadable, now: Timestamp) -> Result<(), Failure> {
    let id = job.id.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
    tracing::error!(job = id, reason = job.reason, "a job cannot be read, and is put off for a day");
    let free = (
        jobs::due.eq(Millis(now + SET_ASIDE)),
        jobs::lease_token.eq(None::<Vec<u8>>),
        jobs::lease_expires.eq(None::<Millis>),
    );
    update(connection, jobs::table, free, jobs::id.eq(job.id)).await
}

/// Jobs that were found.
#[derive(Default)]
struct Sorted {
    readable: Vec<Job>,
    unreadable: Vec<Unreadable>,
}

fn sort(found: Vec<Vec<DoubtfulRow>>) -> Sorted {
    let mut sorted = Sorted::default();
    for row in found.into_iter().flatten() {
        match row.read() {
            Ok(job) => sorted.readable.push(job),
            Err(damaged) => sorted.unreadable.push(damaged),
        }
    }
    sorted
}

/// Saves a job that could be claimed, and has been.
async fn save_claimed(connection: &AsyncPgConnection, job: Job, now: Timestamp) -> Result<(), Failure> {
    let free = jobs::lease_expires.is_null().or(jobs::lease_expires.le(Millis(now)));
    let free = jobs::id.eq(Bits(job.id)).and(free);
    update(connection, jobs::table, JobRow::from(job), free).await
}

/// The times of the job of the directory and kind that is due first of those that nobody holds.
async fn next_waiting(
    mut connection: &AsyncPgConnection,
    directory: &DirectoryId,
    kind: WorkKind,
) -> Result<Option<(Millis, Option<Millis>)>, Failure> {
    let waiting = jobs::table
        .filter(jobs::directory.eq(directory.as_str()))
        .filter(jobs::kind.eq(kind.as_str()))
        .filter(jobs::lease_expires.is_null())
        .order((jobs::due, jobs::id))
        .limit(1)
        .select((jobs::due, jobs::lease_expires));
    Ok(waiting.get_result(&mut connection).await.optional()?)
}

/// The times of the jobs of the directory that somebody holds, or held.
async fn leased(
    mut connection: &AsyncPgConnection,
    directory: &DirectoryId,
) -> Result<Vec<(Millis, Option<Millis>)>, Failure> {
    let own = jobs::table.filter(jobs::directory.eq(directory.as_str()));
    let leased = own.filter(jobs::lease_expires.is_not_null()).select((jobs::due, jobs::lease_expires));
    Ok(leased.load(&mut connection).await?)
}

#[async_trait]
impl JobQueue for PgStorage {
    async fn claim_jobs(&self, claim: &Claim, cause: &Cause) -> Result<Vec<Lease>> {
        self.transaction("claiming jobs", async |session| {
            let connection = session.connection();
            let wanted = |kind: &WorkKind| claim.kind.is_none_or(|only| only == *kind);
            let claimable = || {
                let wanted = WorkKind::ALL.into_iter().filter(wanted);
                each(wanted.map(|kind| lock_claimable(connection, claim, kind, cause.now)))
            };
            let mut sorted = sort(session.begin_with(claimable()).await?);
            let mut unchanged = true;
            while !sorted.unreadable.is_empty() {
                for job in sorted.unreadable {
                    session.then(set_aside(connection, job, cause.now)).await?;
                }
                unchanged = false;
                sorted = sort(session.then(claimable()).await?); // they were in the place of others
            }
            let mut jobs = sorted.readable;
            jobs.retain(|job| job.is_claimable(cause.now));
            if jobs.is_empty() && unchanged {
                return Ok(Vec::new());
            }
            jobs.sort_by_key(|job| (job.due, job.id));
            jobs.truncate(claim.limit as usize);
            let leases = jobs.iter_mut().map(|job| job.claim(claim.terms)).collect();
            let mut claimed: Vec<Write<'_>> = Vec::new();
            for job in jobs {
                claimed.push(Box::pin(save_claimed(connection, job, cause.now)));
            }
            session.commit_with(claimed).await?;
            Ok(leases)
        })
        .await
    }

    async fn renew_lease(&self, lease: &Lease, expires: Timestamp, cause: &Cause) -> Result<()> {
        self.transaction("renewing a lease", async |session| {
            let connection = session.connection();
            let job = session.begin_with(lock(connection, &lease.job)).await?;
            let mut job = held(job, lease, cause.now)?;
            job.renew(expires);
            session.commit_with(writes![save_held(connection, job, lease, cause.now)]).await
        })
        .await
    }

    async fn release_job(&self, lease: Lease, due: Timestamp, cause: &Cause) -> Result<()> {
        self.transaction("releasing a job", async |session| {
            let connection = session.connection();
            let job = session.begin_with(lock(connection, &lease.job)).await?;
            let mut job = held(job, &lease, cause.now)?;
            job.release(due);
            let mut written = writes![save_held(connection, job, &lease, cause.now)];
            written.extend(trace::of(connection, cause));
            session.commit_with(written).await
        })
        .await
    }

    async fn next_due(&self, directory: &DirectoryId) -> Result<Option<Timestamp>> {
        self.look_up("looking for the next job", async |session| {
            let connection = session.connection();
            let waiting = each(WorkKind::ALL.map(|kind| next_waiting(connection, directory, kind)));
            let (waiting, leased) = session.snapshot(both(waiting, leased(connection, directory))).await?;
            let free = |(due, expires): (Millis, Option<Millis>)| {
                Job::free_from(due.0, expires.map(|expires| expires.0))
            };
            Ok(waiting.into_iter().flatten().chain(leased).map(free).min())
        })
        .await
    }

    async fn sweep(&self, sweep: &Sweep, cause: &Cause) -> Result<SweepReport> {
        sweep::run(self, sweep, cause.now).await
    }

    fn tell(&self, wake: Wake) {
        self.carrier().tell(wake);
    }

    fn wakes(&self) -> Box<dyn Wakes> {
        self.carrier().wakes()
    }
}

/// An INSERT that takes the place of the row with its key. diesel has one, and prepares it again each time.
struct Replace<I>(I);

impl<I: QueryFragment<Pg>> QueryFragment<Pg> for Replace<I> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.0.walk_ast(out.reborrow())?;
        out.push_sql(
            " ON CONFLICT (id) DO UPDATE SET
                 directory = excluded.directory, kind = excluded.kind, work = excluded.work, due = excluded.due,
                 attempts = excluded.attempts, lease_token = excluded.lease_token,
                 lease_expires = excluded.lease_expires",
        );
        Ok(())
    }
}

/// None: the statement is known by its text.
impl<I> QueryId for Replace<I> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}
