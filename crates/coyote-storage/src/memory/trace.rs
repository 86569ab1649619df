use async_trait::async_trait;

use super::MemoryStorage;
use crate::{Result, TraceKey, TraceLog, TraceRecord, TraceSubject};

#[async_trait]
impl TraceLog for MemoryStorage {
    async fn traces(&self, key: &TraceKey, limit: u32) -> Result<Vec<TraceRecord>> {
        self.read(|state| {
            let wanted = |record: &&TraceRecord| match key {
                TraceKey::Request(request) => record.request == *request,
                TraceKey::Authorization(id) => record.subject == TraceSubject::Authorization(*id),
                TraceKey::Order(id) => match &record.subject {
                    TraceSubject::Order(order) => order == id,
                    TraceSubject::Authorization(authorization) => state
                        .orders
                        .get(id)
                        .is_some_and(|stored| stored.authorizations.contains(authorization)),
                },
                TraceKey::Name(name) => record.names == *name,
            };
            let wanted = state.traces.iter().rev().filter(wanted);
            Ok(wanted.take(limit as usize).cloned().collect())
        })
    }
}
