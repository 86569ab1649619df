//! Housekeeping. It looks at everything: a database of many orders wants an index of what is over.

use coyote_protocol::Timestamp;
use coyote_storage::{Authorization, Job, Result, Sweep, SweepReport, Work};

use crate::{
    audit, authorization, certificate, order,
    order::StoredOrder,
    rate_limit,
    table::{ACCOUNTS, AUTHORIZATIONS, CERTIFICATES, JOBS, ORDERS, Range, Transaction},
    trace,
};

pub(crate) fn run(transaction: &Transaction, sweep: &Sweep, now: Timestamp) -> Result<SweepReport> {
    let mut report =
        SweepReport { jobs_restored: restore_jobs(transaction, sweep, now)?, ..Default::default() };
    let batch = Range { prefix: &[], after: None, limit: sweep.batch as usize };
    let over = transaction.select(&ORDERS, batch, |stored| {
        Ok(sweep.removes_order(&stored.order, of(transaction, stored)?.as_ref()))
    })?;
    for stored in over {
        if let Some(certificate) = of(transaction, &stored)? {
            if let Some(work) = certificate.owed() {
                transaction.remove(&JOBS, work.job().as_bytes())?;
            }
            certificate::remove(transaction, &certificate)?;
            report.certificates_removed += 1;
        }
        order::remove(transaction, stored)?;
        report.orders_removed += 1;
    }
    let batch = Range { prefix: &[], after: None, limit: sweep.batch as usize };
    let over = transaction.select(&AUTHORIZATIONS, batch, |held| {
        Ok(sweep.removes_authorization(held) && authorization::is_alone(transaction, held)?)
    })?;
    for held in over {
        authorization::remove(transaction, &held)?;
        report.authorizations_removed += 1;
    }
    report.audit_removed = audit::remove_before(transaction, sweep.remove_audit_before, sweep.batch)?;
    report.traces_removed = trace::remove_before(transaction, sweep.remove_traces_before, sweep.batch)?;
    report.transient_removed = rate_limit::forget_idle(transaction, now, sweep.batch)?;
    Ok(report)
}

/// The certificate of an order.
fn of(transaction: &Transaction, stored: &StoredOrder) -> Result<Option<coyote_storage::Certificate>> {
    let found = stored.order.certificate.map(|id| transaction.find(&CERTIFICATES, id.as_bytes()));
    Ok(found.transpose()?.flatten())
}

/// Gives what is owed its job, where that was lost.
fn restore_jobs(transaction: &Transaction, sweep: &Sweep, now: Timestamp) -> Result<u64> {
    let mut owed = Vec::new();
    transaction.select(&AUTHORIZATIONS, Range::whole(), |held: &Authorization| {
        owed.extend(held.owed(now));
        Ok(false)
    })?;
    transaction.select(&ORDERS, Range::whole(), |stored| {
        owed.extend(stored.order.owed());
        Ok(false)
    })?;
    transaction.select(&CERTIFICATES, Range::whole(), |certificate| {
        owed.extend(certificate.owed());
        Ok(false)
    })?;
    let mut restored = 0;
    for work in owed {
        if restored < u64::from(sweep.batch) && transaction.find(&JOBS, work.job().as_bytes())?.is_none() {
            restore(transaction, work, now)?;
            restored += 1;
        }
    }
    Ok(restored)
}

fn restore(transaction: &Transaction, work: Work, now: Timestamp) -> Result<()> {
    let directory = transaction.load(&ACCOUNTS, work.account().as_bytes())?.directory;
    let job = Job::new(directory, work, None, now);
    transaction.put(&JOBS, job.id.as_bytes(), &job)
}
