//! Housekeeping. What there is to do is found through an index of just that, so that a sweep of a large database
//! with nothing to do reads a few pages.

use coyote_protocol::Timestamp;
use coyote_storage::{
    Authorization, AuthorizationId, Certificate, Job, Order, Result, Sweep, SweepReport, Work,
};
use diesel::{connection::SimpleConnection, dsl, prelude::*, sql_query, sql_types::BigInt};

use crate::{
    SqliteStorage, account, audit,
    authorization::{self, AuthorizationRow},
    certificate::{self, CertificateRow},
    column::{Bits, Millis},
    error::Failure,
    job, nonce,
    order::{self, OrderRow},
    rate_limit, resealing,
    schema::{authorizations, certificates, jobs, orders},
    trace,
};

/// How many rows under way are looked at together.
const PAGE: i64 = 200;

/// How many pages of the file one sweep gives back at most, so that nobody waits long for it.
const PAGES: i64 = 2_000;

/// What part of the file may be free: it is used again before the file grows.
const FREE: i64 = 4;

pub(crate) async fn run(storage: &SqliteStorage, sweep: Sweep, now: Timestamp) -> Result<SweepReport> {
    // Looking through all work under way is left to a reader; the writer looks again at what has no job, usually
    // nothing.
    let lost =
        storage.scan("looking for lost work", move |connection| without_job(connection, &sweep, now)).await?;
    let clean_up = move |connection: &mut SqliteConnection| {
        let mut report = SweepReport::default();
        restore_jobs(connection, &lost, &sweep, now, &mut report)?;
        remove_orders(connection, &sweep, &mut report)?;
        remove_authorizations(connection, &sweep, &mut report)?;
        let limit = i64::from(sweep.batch);
        report.audit_removed = audit::remove(connection, sweep.remove_audit_before, limit)? as u64;
        report.traces_removed = trace::remove(connection, sweep.remove_traces_before, limit)? as u64;
        let transient = nonce::forget(connection, now, limit)? + rate_limit::forget(connection, now, limit)?;
        report.transient_removed = transient as u64;
        give_back(connection)?;
        Ok(report)
    };
    let report = storage.write("sweeping", clean_up).await?;
    Ok(SweepReport { cells_resealed: resealing::run(storage, sweep.batch).await?, ..report })
}

/// Work that is owed and has no job, as much of it as one sweep takes.
fn without_job(
    connection: &mut SqliteConnection,
    sweep: &Sweep,
    now: Timestamp,
) -> Result<Vec<Work>, Failure> {
    let mut lost = Vec::new();
    let mut last = None;
    while lost.len() < sweep.batch as usize {
        let page = awaited(connection, last, now)?;
        let Some(end) = page.last() else { break };
        last = Some((end.expires, end.id));
        for work in page.iter().flat_map(|authorization| authorization.owed(now)) {
            if !job::exists(connection, &work.job())? {
                lost.push(work);
            }
        }
    }
    let job = jobs::table.filter(jobs::id.eq(orders::id));
    let issuances = orders::table
        .filter(orders::began.is_not_null())
        .filter(orders::certificate_id.is_null())
        .filter(orders::error.is_null())
        .filter(dsl::not(dsl::exists(job)))
        .limit(sweep.batch.into())
        .select(OrderRow::as_select())
        .load(connection)?;
    lost.extend(issuances.into_iter().filter_map(|row| row.facts(Vec::new()).owed()));
    let untold = certificate::untold_without_job(connection, sweep.batch.into())?;
    lost.extend(untold.iter().filter_map(Certificate::owed));
    Ok(lost)
}

/// Authorizations with a validation under way, a page of them after the last.
fn awaited(
    connection: &mut SqliteConnection,
    last: Option<(Timestamp, AuthorizationId)>,
    now: Timestamp,
) -> Result<Vec<Authorization>, Failure> {
    let owed = authorizations::table
        .filter(authorizations::owed)
        .order((authorizations::expires, authorizations::id))
        .limit(PAGE)
        .select(AuthorizationRow::as_select());
    let rows = match last {
        None => owed.filter(authorizations::expires.gt(Millis(now))).load(connection)?,
        Some((expires, id)) => {
            // The first condition is for the index, the second for those of the same millisecond.
            let after = authorizations::expires.gt(Millis(expires)).or(authorizations::id.gt(Bits(id)));
            owed.filter(authorizations::expires.ge(Millis(expires))).filter(after).load(connection)?
        }
    };
    Ok(rows.into_iter().map(Authorization::from).collect())
}

/// Gives the work its jobs, if it is still owed and without one.
fn restore_jobs(
    connection: &mut SqliteConnection,
    lost: &[Work],
    sweep: &Sweep,
    now: Timestamp,
    report: &mut SweepReport,
) -> Result<(), Failure> {
    for work in lost {
        if report.jobs_restored >= u64::from(sweep.batch) {
            break;
        }
        if is_owed(connection, work, now)? && !job::exists(connection, &work.job())? {
            let directory = account::standing(connection, work.account())?.directory;
            job::insert(connection, Job::new(directory, work.clone(), None, now))?;
            report.jobs_restored += 1;
        }
    }
    Ok(())
}

fn is_owed(connection: &mut SqliteConnection, work: &Work, now: Timestamp) -> Result<bool, Failure> {
    match work {
        Work::Validate { authorization, .. } => {
            let authorization = authorization::find(connection, authorization)?.map(Authorization::from);
            Ok(authorization.is_some_and(|authorization| authorization.owed(now).contains(work)))
        }
        Work::Issue { order, .. } => {
            let order = order::find(connection, order)?.map(|row| row.facts(Vec::new()));
            Ok(order.is_some_and(|order| order.owed().as_ref() == Some(work)))
        }
        Work::Revoke { certificate, .. } => {
            let certificate = certificate::find(connection, certificate)?.map(CertificateRow::without_chains);
            Ok(certificate.is_some_and(|certificate| certificate.owed().as_ref() == Some(work)))
        }
    }
}

/// Makes the file smaller, if much of it is free.
fn give_back(connection: &mut SqliteConnection) -> Result<(), Failure> {
    #[derive(QueryableByName)]
    struct Free {
        #[diesel(sql_type = BigInt)]
        freelist_count: i64,
    }
    #[derive(QueryableByName)]
    struct All {
        #[diesel(sql_type = BigInt)]
        page_count: i64,
    }
    let Free { freelist_count } = sql_query("PRAGMA freelist_count").get_result(connection)?;
    let All { page_count } = sql_query("PRAGMA page_count").get_result(connection)?;
    let too_many = (freelist_count - page_count / FREE).min(PAGES);
    if too_many > 0 {
        connection.batch_execute(&format!("PRAGMA incremental_vacuum({too_many})"))?;
    }
    Ok(())
}

fn remove_orders(
    connection: &mut SqliteConnection,
    sweep: &Sweep,
    report: &mut SweepReport,
) -> Result<(), Failure> {
    for order in orders_over(connection, sweep)? {
        let certificate = order.certificate.map(|id| certificate::facts(connection, &id)).transpose()?;
        if !sweep.removes_order(&order, certificate.as_ref()) {
            continue;
        }
        if let Some(certificate) = certificate {
            certificate::remove(connection, &certificate.id)?;
            if let Some(work) = certificate.owed() {
                job::remove(connection, work.job())?;
            }
            report.certificates_removed += 1;
        }
        order::remove(connection, &order.id)?;
        report.orders_removed += 1;
    }
    Ok(())
}

/// Orders that the rule will probably remove, without their authorizations, of which the rule knows nothing.
fn orders_over(connection: &mut SqliteConnection, sweep: &Sweep) -> Result<Vec<Order>, Failure> {
    let batch = i64::from(sweep.batch);
    let ended = orders::began.is_null().or(orders::error.is_not_null());
    let unissued = orders::table
        .filter(orders::certificate_id.is_null())
        .filter(orders::expires.lt(Millis(sweep.remove_expired_before)))
        .filter(ended)
        .order(orders::expires)
        .limit(batch)
        .select(OrderRow::as_select())
        .load(connection)?;
    let issued = certificates::table
        .inner_join(orders::table)
        .filter(certificates::not_after.lt(Millis(sweep.remove_issued_before)))
        .order(certificates::not_after)
        .limit(batch.saturating_sub_unsigned(unissued.len() as u64))
        .select(OrderRow::as_select())
        .load(connection)?;
    Ok(unissued.into_iter().chain(issued).map(|row| row.facts(Vec::new())).collect())
}

fn remove_authorizations(
    connection: &mut SqliteConnection,
    sweep: &Sweep,
    report: &mut SweepReport,
) -> Result<(), Failure> {
    let orphans = authorizations::table
        .filter(authorizations::orphaned)
        .filter(authorizations::expires.lt(Millis(sweep.remove_expired_before)))
        .order(authorizations::expires)
        .limit(sweep.batch.into())
        .select(AuthorizationRow::as_select())
        .load(connection)?;
    for orphan in orphans.into_iter().map(Authorization::from) {
        if !sweep.removes_authorization(&orphan) {
            continue;
        }
        for challenge in &orphan.challenges {
            job::remove(connection, Work::validation(&orphan, challenge.id).job())?;
        }
        authorization::remove(connection, &orphan.id)?;
        report.authorizations_removed += 1;
    }
    Ok(())
}
