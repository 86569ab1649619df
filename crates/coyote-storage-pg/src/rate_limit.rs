//! Rate limits.

use async_trait::async_trait;
use coyote_protocol::Timestamp;
use coyote_storage::{Quota, RateLimitStore, Result, Taken};
use diesel::{BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::{
    PgStorage,
    column::Millis,
    error::{Failure, taken_since},
    schema::rate_limits,
    session::writes,
    update::update,
};

/// When the quota is whole again, if anything was taken from it, while nobody else takes from it.
async fn lock(mut connection: &AsyncPgConnection, key: &str) -> Result<Option<Timestamp>, Failure> {
    let query = rate_limits::table.find(key).select(rate_limits::arrival).for_update();
    let arrival = query.get_result::<Millis>(&mut connection).await.optional()?;
    Ok(arrival.map(|at| at.0))
}

async fn save(
    mut connection: &AsyncPgConnection,
    key: &str,
    before: Option<Timestamp>,
    arrival: Timestamp,
) -> Result<(), Failure> {
    let arrival = rate_limits::arrival.eq(Millis(arrival));
    match before {
        None => {
            let new = diesel::insert_into(rate_limits::table).values((rate_limits::key.eq(key), arrival));
            new.execute(&mut connection).await.map_err(taken_since)?;
            Ok(())
        }
        Some(before) => {
            let as_loaded = rate_limits::key.eq(key).and(rate_limits::arrival.eq(Millis(before)));
            update(connection, rate_limits::table, arrival, as_loaded).await
        }
    }
}

#[async_trait]
impl RateLimitStore for PgStorage {
    async fn take(&self, key: &str, quota: &Quota, cost: u32, now: Timestamp) -> Result<Taken> {
        self.transaction("taking from a quota", async |session| {
            let connection = session.connection();
            let before = session.begin_with(lock(connection, key)).await?;
            let (taken, arrival) = quota.take(before, cost, now);
            if let Some(arrival) = arrival {
                session.commit_with(writes![save(connection, key, before, arrival)]).await?;
            }
            Ok(taken)
        })
        .await
    }
}

/// Forgets quotas that are whole, `limit` at most.
pub(crate) async fn forget(
    mut connection: &AsyncPgConnection,
    now: Timestamp,
    limit: i64,
) -> Result<usize, Failure> {
    let idle = rate_limits::table.filter(rate_limits::arrival.le(Millis(now))).order(rate_limits::arrival);
    let idle = idle.select(rate_limits::key).limit(limit).for_update().skip_locked();
    let idle: Vec<String> = idle.load(&mut connection).await?;
    let forgotten = rate_limits::table.filter(rate_limits::key.eq_any(idle));
    Ok(diesel::delete(forgotten).execute(&mut connection).await?)
}
