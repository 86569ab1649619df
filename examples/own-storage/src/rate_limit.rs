//! How much of each quota is used.

use async_trait::async_trait;
use coyote_protocol::Timestamp;
use coyote_storage::{Quota, RateLimitStore, Result, Taken};

use crate::{
    RedbStorage,
    table::{RATE_LIMITS, Transaction},
};

/// Forgets quotas that are whole, `limit` at most, and answers how many.
pub(crate) fn forget_idle(transaction: &Transaction, now: Timestamp, limit: u32) -> Result<u64> {
    transaction.remove_if(&RATE_LIMITS, limit, |arrival| *arrival <= now)
}

#[async_trait]
impl RateLimitStore for RedbStorage {
    async fn take(&self, key: &str, quota: &Quota, cost: u32, now: Timestamp) -> Result<Taken> {
        let (key, quota) = (key.to_owned(), *quota);
        self.write(move |transaction| {
            let arrival = transaction.find(&RATE_LIMITS, key.as_bytes())?;
            let (taken, arrival) = quota.take(arrival, cost, now);
            if let Some(arrival) = arrival {
                transaction.put(&RATE_LIMITS, key.as_bytes(), &arrival)?;
            }
            Ok(taken)
        })
        .await
    }
}
