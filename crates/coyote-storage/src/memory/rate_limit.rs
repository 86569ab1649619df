use std::sync::PoisonError;

use async_trait::async_trait;
use coyote_protocol::Timestamp;

use super::MemoryStorage;
use crate::{Quota, RateLimitStore, Result, Taken};

#[async_trait]
impl RateLimitStore for MemoryStorage {
    async fn take(&self, key: &str, quota: &Quota, cost: u32, now: Timestamp) -> Result<Taken> {
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let (taken, arrival) = quota.take(arrivals.get(key).copied(), cost, now);
        if let Some(arrival) = arrival {
            arrivals.insert(key.to_owned(), arrival);
        }
        Ok(taken)
    }
}

impl MemoryStorage {
    /// Forgets the quotas that are whole, and answers how many.
    pub(super) fn forget_idle_rate_limits(&self, now: Timestamp) -> u64 {
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let before = arrivals.len();
        arrivals.retain(|_, arrival| *arrival > now);
        (before - arrivals.len()) as u64
    }
}
