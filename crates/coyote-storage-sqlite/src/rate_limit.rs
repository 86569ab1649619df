//! Rate limits.

use async_trait::async_trait;
use coyote_protocol::Timestamp;
use coyote_storage::{Quota, RateLimitStore, Result, Taken};
use diesel::prelude::*;

use crate::{SqliteStorage, column::Millis, error::Failure, schema::rate_limits};

#[async_trait]
impl RateLimitStore for SqliteStorage {
    async fn take(&self, key: &str, quota: &Quota, cost: u32, now: Timestamp) -> Result<Taken> {
        let (key, quota) = (key.to_owned(), *quota);
        self.write("taking from a quota", move |connection| {
            let arrival = rate_limits::table.find(&key).select(rate_limits::arrival);
            let arrival = arrival.get_result::<Millis>(connection).optional()?;
            let (taken, arrival) = quota.take(arrival.map(|at| at.0), cost, now);
            if let Some(arrival) = arrival {
                let row = (rate_limits::key.eq(&key), rate_limits::arrival.eq(Millis(arrival)));
                diesel::replace_into(rate_limits::table).values(row).execute(connection)?;
            }
            Ok(taken)
        })
        .await
    }
}

/// Forgets quotas that are whole, `limit` at most.
pub(crate) fn forget(
    connection: &mut SqliteConnection,
    now: Timestamp,
    limit: i64,
) -> Result<usize, Failure> {
    let idle = rate_limits::table.filter(rate_limits::arrival.le(Millis(now))).order(rate_limits::arrival);
    let idle: Vec<String> = idle.select(rate_limits::key).limit(limit).load(connection)?;
    for key in &idle {
        diesel::delete(rate_limits::table.find(key)).execute(connection)?;
    }
    Ok(idle.len())
}
