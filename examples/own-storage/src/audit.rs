//! The audit log.

use async_trait::async_trait;
use coyote_protocol::Timestamp;
use coyote_storage::{AuditEvent, AuditFilter, AuditLog, AuditRecord, Cause, Result};

use crate::{
    RedbStorage,
    table::{AUDIT, Transaction},
};

/// Appends to the log, in the transaction of the change.
pub(crate) fn record(transaction: &Transaction, event: AuditEvent, cause: &Cause) -> Result<()> {
    transaction.append(&AUDIT, &AuditRecord::new(event, cause))
}

/// Removes records from before this time, `limit` at most, and answers how many.
pub(crate) fn remove_before(transaction: &Transaction, before: Timestamp, limit: u32) -> Result<u64> {
    transaction.remove_if(&AUDIT, limit, |record| record.at < before)
}

#[async_trait]
impl AuditLog for RedbStorage {
    async fn audit(&self, filter: &AuditFilter) -> Result<Vec<AuditRecord>> {
        let mut records = self.read(|transaction| transaction.all(&AUDIT, &[]))?;
        records.retain(|record| {
            filter.subject.as_ref().is_none_or(|subject| *subject == record.event.subject())
        });
        Ok(records.into_iter().rev().take(filter.limit as usize).collect())
    }
}
