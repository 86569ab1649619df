//! What attempts saw.

use async_trait::async_trait;
use coyote_protocol::Timestamp;
use coyote_storage::{Cause, Result, TraceKey, TraceLog, TraceRecord, TraceSubject};

use crate::{
    RedbStorage,
    table::{ORDERS, TRACES, Transaction},
};

/// Keeps what the cause bears, in the transaction that settles the attempt.
pub(crate) fn keep(transaction: &Transaction, cause: &Cause) -> Result<()> {
    match &cause.trace {
        Some(trace) => transaction.append(&TRACES, &**trace),
        None => Ok(()),
    }
}

/// Removes those from before this time, `limit` at most, and answers how many.
pub(crate) fn remove_before(transaction: &Transaction, before: Timestamp, limit: u32) -> Result<u64> {
    transaction.remove_if(&TRACES, limit, |trace| trace.at < before)
}

#[async_trait]
impl TraceLog for RedbStorage {
    async fn traces(&self, key: &TraceKey, limit: u32) -> Result<Vec<TraceRecord>> {
        let mut traces = self.read(|transaction| {
            let mut about = Vec::new();
            if let TraceKey::Order(id) = key {
                let order = transaction.find(&ORDERS, id.as_bytes())?;
                let held = order.into_iter().flat_map(|stored| stored.authorizations);
                about.extend(held.map(TraceSubject::Authorization).chain([TraceSubject::Order(*id)]));
            }
            let mut traces = transaction.all(&TRACES, &[])?;
            traces.retain(|trace| match key {
                TraceKey::Request(request) => trace.request == *request,
                TraceKey::Authorization(id) => trace.subject == TraceSubject::Authorization(*id),
                TraceKey::Order(_) => about.contains(&trace.subject),
                TraceKey::Name(name) => trace.names == *name,
            });
            Ok(traces)
        })?;
        traces.reverse();
        traces.truncate(limit as usize);
        Ok(traces)
    }
}
