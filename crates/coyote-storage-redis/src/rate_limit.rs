//! Rate limits. `Quota::take` decides; Redis remembers when each quota is whole again.

use async_trait::async_trait;
use coyote_jose::base64url;
use coyote_protocol::Timestamp;
use coyote_storage::{Quota, RateLimitStore, Result, StorageError, Taken};
use openssl::sha::sha256;
use redis::Cmd;

use crate::error::Fault;
use crate::link::Question;
use crate::nonce::SKEW;
use crate::script;
use crate::store::{RedisStore, Shared};

/// How often another replica may be faster. One of them always gets ahead, so so many would have to compete.
const ATTEMPTS: usize = 64;

/// The longest time to live. Redis refuses those that end after the end of time.
const LONGEST: u128 = 100 * 366 * 24 * 60 * 60 * 1000;

#[async_trait]
impl RateLimitStore for RedisStore {
    async fn take(&self, key: &str, quota: &Quota, cost: u32, now: Timestamp) -> Result<Taken> {
        // Of any length and with any characters; as a digest it is short, and none of them mean anything.
        let digest = sha256(key.as_bytes());
        let quota = *quota;
        self.run("taking from a quota", async move |shared| take(&shared, digest, quota, cost, now).await)
            .await
    }
}

/// Reads, decides, and writes if what was read is still so.
async fn take(
    shared: &Shared,
    digest: [u8; 32],
    quota: Quota,
    cost: u32,
    now: Timestamp,
) -> Result<Taken, Fault> {
    let [first, ..] = digest;
    // One at a time in each replica, so that a quota that many want is fought for by as many as there are replicas.
    let turn = shared.turns.get(usize::from(first) % shared.turns.len().max(1));
    let _turn = match turn {
        Some(turn) => Some(turn.lock().await),
        None => None,
    };
    let key = shared.options.quota_key(&base64url::encode(digest));
    let read = Cmd::get(&key);
    let stored: Option<String> = shared.link.ask(Question::Command(&read)).await?;
    let mut stored = stored.unwrap_or_default();
    for _ in 0..ATTEMPTS {
        let (taken, arrival) = quota.take(arrival(&stored)?, cost, now);
        let Some(arrival) = arrival else { return Ok(taken) };
        // Longer than until it is whole, as another replica's clock may be behind.
        let life = (arrival.since(now) + SKEW).as_millis().min(LONGEST).to_string();
        let arguments = [stored, arrival.as_millis().to_string(), life];
        match script::run(&script::REPLACE, &[&key], &arguments, &shared.link).await? {
            None => return Ok(taken),
            Some(current) => stored = current,
        }
    }
    Err(Fault::Contended)
}

fn arrival(stored: &str) -> Result<Option<Timestamp>> {
    if stored.is_empty() {
        return Ok(None);
    }
    let damaged = |_| StorageError::Corrupt { what: "the arrival time of a quota".to_owned() };
    stored.parse().map(|millis| Some(Timestamp::from_millis(millis))).map_err(damaged)
}
