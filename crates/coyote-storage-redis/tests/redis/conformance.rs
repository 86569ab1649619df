//! The promises of the storage traits, kept by one Redis.

use std::sync::Arc;

use async_trait::async_trait;
use coyote_protocol::{Nonce, Timestamp};
use coyote_storage::{NonceStore, Quota, RateLimitStore, Result, Taken};
use coyote_storage_redis::RedisStore;

use super::{replica, server::Server};

/// A store on a server of its own, which ends with it.
struct Fresh {
    store: RedisStore,
    _server: Server,
}

fn fresh() -> Arc<Fresh> {
    let server = Server::start();
    Arc::new(Fresh { store: replica(&server), _server: server })
}

#[async_trait]
impl NonceStore for Fresh {
    async fn issue(&self, now: Timestamp) -> Result<Nonce> {
        self.store.issue(now).await
    }

    async fn consume(&self, nonce: &Nonce, now: Timestamp) -> Result<bool> {
        self.store.consume(nonce, now).await
    }
}

#[async_trait]
impl RateLimitStore for Fresh {
    async fn take(&self, key: &str, quota: &Quota, cost: u32, now: Timestamp) -> Result<Taken> {
        self.store.take(key, quota, cost, now).await
    }
}

async fn fresh_nonces() -> Arc<dyn NonceStore> {
    fresh()
}

async fn fresh_limits() -> Arc<dyn RateLimitStore> {
    fresh()
}

coyote_storage::nonce_conformance!(fresh_nonces);
coyote_storage::rate_limit_conformance!(fresh_limits);
