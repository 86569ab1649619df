use async_trait::async_trait;

use super::MemoryStorage;
use crate::{AuditFilter, AuditLog, AuditRecord, Result};

#[async_trait]
impl AuditLog for MemoryStorage {
    async fn audit(&self, filter: &AuditFilter) -> Result<Vec<AuditRecord>> {
        self.read(|state| {
            let wanted = |record: &&AuditRecord| {
                filter.subject.as_ref().is_none_or(|subject| *subject == record.event.subject())
            };
            Ok(state.audit.values().rev().filter(wanted).take(filter.limit as usize).cloned().collect())
        })
    }
}
