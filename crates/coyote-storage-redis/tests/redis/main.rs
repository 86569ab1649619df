//! `RedisStore` on real Redis servers, which these tests start and end.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "these are tests, also outside of the functions that are marked so"
)]

mod cluster;
mod conformance;
mod cost;
mod keys;
mod loss;
mod outage;
mod replicas;
mod sentinel;
mod server;
mod tls;

use coyote_protocol::{Nonce, Timestamp};
use coyote_storage::{NonceStore, StorageError};
use coyote_storage_redis::{RedisOptions, RedisStore};

use self::server::Server;

const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_123);

/// A replica of the server whose nonces are in this Redis.
fn replica(server: &Server) -> RedisStore {
    RedisStore::connect(&server.url(), RedisOptions::default()).unwrap()
}

async fn issue(store: &RedisStore) -> Nonce {
    store.issue(NOW).await.unwrap()
}

async fn consume(store: &RedisStore, nonce: &Nonce) -> bool {
    store.consume(nonce, NOW).await.unwrap()
}

/// A nonce that is used, and one that is not.
async fn used_and_unused(store: &RedisStore) -> [Nonce; 2] {
    let nonces = [issue(store).await, issue(store).await];
    assert!(consume(store, &nonces[0]).await);
    nonces
}

/// What a client sees after Redis has lost its memory: one refusal, and the nonce that comes with it is good.
async fn expect_one_refusal(store: &RedisStore, old: &[Nonce]) {
    assert!(!consume(store, &old[0]).await, "the nonce was used before Redis lost its memory");
    let fresh = issue(store).await;
    assert!(consume(store, &fresh).await, "the nonce that came with the refusal is good");
    assert!(!consume(store, &fresh).await, "once");
    for nonce in old {
        assert!(!consume(store, nonce).await, "what is older than the loss stays refused");
    }
}

fn is_unavailable<T: std::fmt::Debug>(result: Result<T, StorageError>) {
    assert!(matches!(result, Err(StorageError::Unavailable { .. })), "not Unavailable: {result:?}");
}
