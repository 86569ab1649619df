//! Housekeeping. What there is to do is found through an index of just that, so that a sweep of a large database with
//! nothing to do reads a few pages.
//!
//! What somebody else has in hand is left to the next sweep (`SKIP LOCKED`): nobody waits for a sweep, and of two
//! replicas that sweep each finds other work.

use coyote_protocol::Timestamp;
use coyote_storage::{
    Authorization, AuthorizationId, Certificate, Job, Order, OrderId, Result, Sweep, SweepReport, Work,
};
use diesel::{BoolExpressionMethods, ExpressionMethods, QueryDsl, SelectableHelper, dsl};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures_util::future::ready;

use crate::{
    PgStorage, account, audit,
    authorization::{self, AuthorizationRow},
    certificate::{self, CertificateRow},
    column::{Bits, Millis},
    error::Failure,
    job, nonce,
    order::{self, OrderRow},
    rate_limit, resealing,
    schema::{authorizations, certificates, jobs, orders},
    session::{Session, both},
    trace,
};

/// How many rows under way are looked at together.
const PAGE: i64 = 200;

pub(crate) async fn run(storage: &PgStorage, sweep: &Sweep, now: Timestamp) -> Result<SweepReport> {
    // Looking through all work under way needs no locks; what has no job, usually nothing, is looked at again.
    let lost = storage
        .look_up("looking for lost work", async |session| without_job(session.connection(), sweep, now).await)
        .await?;
    let clean_up = async |session: Session| {
        let connection = session.connection();
        let limit = i64::from(sweep.batch);
        let mut report = SweepReport::default();
        session.begin_with(ready(Ok(()))).await?;
        restore_jobs(connection, &lost, sweep, now, &mut report).await?;
        remove_orders(connection, sweep, &mut report).await?;
        remove_authorizations(connection, sweep, &mut report).await?;
        let audit = audit::remove(connection, sweep.remove_audit_before, limit);
        let traces = trace::remove(connection, sweep.remove_traces_before, limit);
        let (audit, traces) = both(audit, traces).await?;
        (report.audit_removed, report.traces_removed) = (audit as u64, traces as u64);
        let transient =
            both(nonce::forget(connection, now, limit), rate_limit::forget(connection, now, limit)).await?;
        report.transient_removed = (transient.0 + transient.1) as u64;
        session.commit_with(Vec::new()).await?;
        Ok(report)
    };
    let report = storage.transaction("sweeping", clean_up).await?;
    Ok(SweepReport { cells_resealed: resealing::run(storage, sweep.batch).await?, ..report })
}

/// Work that is owed and has no job, as much of it as one sweep takes.
async fn without_job(
    mut connection: &AsyncPgConnection,
    sweep: &Sweep,
    now: Timestamp,
) -> Result<Vec<Work>, Failure> {
    let mut lost = Vec::new();
    let mut last = None;
    while lost.len() < sweep.batch as usize {
        let page = awaited(connection, last, now).await?;
        let Some(end) = page.last() else { break };
        last = Some((end.expires, end.id));
        let owed: Vec<Work> = page.iter().flat_map(|authorization| authorization.owed(now)).collect();
        let jobs = job::existing(connection, owed.iter().map(Work::job).collect()).await?;
        lost.extend(owed.into_iter().filter(|work| !jobs.contains(&work.job())));
    }
    let job = jobs::table.filter(jobs::id.eq(orders::id));
    let issuances: Vec<OrderRow> = orders::table
        .filter(orders::began.is_not_null())
        .filter(orders::certificate_id.is_null())
        .filter(orders::error.is_null())
        .filter(dsl::not(dsl::exists(job)))
        .order(orders::began)
        .limit(sweep.batch.into())
        .select(OrderRow::as_select())
        .load(&mut connection)
        .await?;
    lost.extend(issuances.into_iter().filter_map(|row| row.facts(Vec::new()).owed()));
    let untold = certificate::untold_without_job(connection, sweep.batch.into()).await?;
    lost.extend(untold.iter().filter_map(Certificate::owed));
    Ok(lost)
}

/// Authorizations with a validation under way, a page of them after the last.
async fn awaited(
    mut connection: &AsyncPgConnection,
    last: Option<(Timestamp, AuthorizationId)>,
    now: Timestamp,
) -> Result<Vec<Authorization>, Failure> {
    let owed = authorizations::table
        .filter(authorizations::owed)
        .order((authorizations::expires, authorizations::id))
        .limit(PAGE)
        .select(AuthorizationRow::as_select());
    let rows: Vec<AuthorizationRow> = match last {
        None => owed.filter(authorizations::expires.gt(Millis(now))).load(&mut connection).await?,
        Some((expires, id)) => {
            // The first condition is for the index, the second for those of the same millisecond.
            let after = authorizations::expires.gt(Millis(expires)).or(authorizations::id.gt(Bits(id)));
            let owed = owed.filter(authorizations::expires.ge(Millis(expires))).filter(after);
            owed.load(&mut connection).await?
        }
    };
    Ok(rows.into_iter().map(Authorization::from).collect())
}

/// Gives the work its jobs, if it is still owed and without one.
async fn restore_jobs(
    connection: &AsyncPgConnection,
    lost: &[Work],
    sweep: &Sweep,
    now: Timestamp,
    report: &mut SweepReport,
) -> Result<(), Failure> {
    for work in lost {
        if report.jobs_restored >= u64::from(sweep.batch) {
            break;
        }
        let account = account::standing(connection, work.account());
        if let (true, Some(account)) = both(is_owed(connection, work, now), account).await? {
            let job = Job::new(account.directory, work.clone(), None, now);
            report.jobs_restored += u64::from(job::insert_missing(connection, job).await?);
        }
    }
    Ok(())
}

/// Whether it is owed, while nobody else settles it.
async fn is_owed(connection: &AsyncPgConnection, work: &Work, now: Timestamp) -> Result<bool, Failure> {
    match work {
        Work::Validate { account, authorization, .. } => {
            let loaded = authorization::lock(connection, account, authorization).await?;
            Ok(loaded.is_some_and(|loaded| loaded.authorization.owed(now).contains(work)))
        }
        Work::Issue { .. } => {
            let order = order::lock_of(connection, work).await?;
            Ok(order.is_some_and(|kept| kept.order.owed().as_ref() == Some(work)))
        }
        Work::Revoke { .. } => {
            let certificate =
                certificate::lock_of(connection, work).await?.map(CertificateRow::without_chains);
            Ok(certificate.is_some_and(|certificate| certificate.owed().as_ref() == Some(work)))
        }
    }
}

async fn remove_orders(
    connection: &AsyncPgConnection,
    sweep: &Sweep,
    report: &mut SweepReport,
) -> Result<(), Failure> {
    let mut over = lock_orders(connection, sweep).await?;
    over.retain(|(order, certificate)| sweep.removes_order(order, certificate.as_ref()));
    over.truncate(sweep.batch as usize);
    if over.is_empty() {
        return Ok(());
    }
    let certificates: Vec<_> =
        over.iter().filter_map(|(_, certificate)| Some(certificate.as_ref()?.id)).collect();
    let ids: Vec<Bits<OrderId>> = over.iter().map(|(order, _)| Bits(order.id)).collect();
    report.certificates_removed += certificates.len() as u64;
    report.orders_removed += ids.len() as u64;
    certificate::remove(connection, certificates).await?;
    let untold = over.iter().filter_map(|(_, certificate)| certificate.as_ref()?.owed());
    job::remove(connection, untold.map(|work| work.job()).collect()).await?;
    order::remove(connection, &ids).await
}

/// Orders that the rule will probably remove, and their certificates, while nobody else changes them. They are without
/// their authorizations, of which the rule knows nothing.
async fn lock_orders(
    mut connection: &AsyncPgConnection,
    sweep: &Sweep,
) -> Result<Vec<(Order, Option<Certificate>)>, Failure> {
    let ended = orders::began.is_null().or(orders::error.is_not_null());
    let unissued = orders::table
        .filter(orders::certificate_id.is_null())
        .filter(orders::expires.lt(Millis(sweep.remove_expired_before)))
        .filter(ended)
        .order(orders::expires)
        .limit(sweep.batch.into())
        .select(OrderRow::as_select())
        .for_update()
        .skip_locked();
    let issued = certificates::table
        .inner_join(orders::table)
        .filter(certificates::not_after.lt(Millis(sweep.remove_issued_before)))
        .order(certificates::not_after)
        .limit(sweep.batch.into())
        .select((OrderRow::as_select(), CertificateRow::as_select()))
        .for_update()
        .skip_locked();
    let unissued: Vec<OrderRow> = unissued.load(&mut connection).await?;
    let issued: Vec<(OrderRow, CertificateRow)> = issued.load(&mut connection).await?;
    let unissued = unissued.into_iter().map(|order| (order.facts(Vec::new()), None));
    let issued = issued
        .into_iter()
        .map(|(order, certificate)| (order.facts(Vec::new()), Some(certificate.without_chains())));
    Ok(unissued.chain(issued).collect())
}

async fn remove_authorizations(
    mut connection: &AsyncPgConnection,
    sweep: &Sweep,
    report: &mut SweepReport,
) -> Result<(), Failure> {
    let orphans = authorizations::table
        .filter(authorizations::orphaned)
        .filter(authorizations::expires.lt(Millis(sweep.remove_expired_before)))
        .order(authorizations::expires)
        .limit(sweep.batch.into())
        .select(AuthorizationRow::as_select())
        .for_update()
        .skip_locked();
    let orphans: Vec<AuthorizationRow> = orphans.load(&mut connection).await?;
    let mut orphans: Vec<_> = orphans.into_iter().map(Authorization::from).collect();
    orphans.retain(|orphan| sweep.removes_authorization(orphan));
    let mut validations = Vec::new();
    for orphan in &orphans {
        validations
            .extend(orphan.challenges.iter().map(|challenge| Work::validation(orphan, challenge.id).job()));
    }
    job::remove(connection, validations).await?;
    let ids: Vec<_> = orphans.iter().map(|orphan| Bits(orphan.id)).collect();
    diesel::delete(authorizations::table.filter(authorizations::id.eq_any(ids)))
        .execute(&mut connection)
        .await?;
    report.authorizations_removed += orphans.len() as u64;
    Ok(())
}
