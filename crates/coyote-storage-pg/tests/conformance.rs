//! The promises of the storage traits, kept by PostgreSQL.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "these are tests, also outside of the functions that are marked so"
)]

mod common;

use std::sync::Arc;

use async_trait::async_trait;
use common::Database;
use coyote_protocol::{Nonce, Timestamp};
use coyote_storage::{
    JobId, NonceStore, Quota, RateLimitStore, Result, Taken,
    conformance::{Archived, Subject},
};
use coyote_storage_pg::{PgOptions, PgStorage};

/// A store in a database of its own, which is removed with it.
struct Fresh {
    store: PgStorage,
    database: Database,
}

async fn fresh(options: PgOptions) -> Fresh {
    let database = Database::new();
    Fresh { store: database.storage_with(options).await, database }
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

async fn fresh_storage() -> Subject {
    subject(PgOptions::default()).await
}

async fn sealed_storage() -> Subject {
    subject(common::sealed(&[1])).await
}

async fn subject(options: PgOptions) -> Subject {
    let Fresh { store, database } = fresh(options).await;
    let database = Arc::new(database);
    let damaged = database.clone();
    let lose_job = move |job: JobId| {
        let database = damaged.clone();
        async move {
            let stranger = database.stranger().await;
            let id = job.as_bytes().as_slice();
            let deleted = stranger.execute("DELETE FROM jobs WHERE id = $1", &[&id]).await;
            assert_eq!(deleted.unwrap(), 1, "there was a job to lose");
        }
    };
    Subject::new(Arc::new(store), lose_job).keeping(database)
}

async fn fresh_archive() -> Archived {
    archived(PgOptions::default()).await
}

async fn sealed_archive() -> Archived {
    archived(common::sealed(&[1])).await
}

async fn archived(options: PgOptions) -> Archived {
    let Fresh { store, database } = fresh(options).await;
    Archived::new(Arc::new(store)).keeping(database)
}

async fn fresh_nonces() -> Arc<dyn NonceStore> {
    Arc::new(fresh(PgOptions::default()).await)
}

async fn sealed_nonces() -> Arc<dyn NonceStore> {
    Arc::new(fresh(common::sealed(&[1])).await)
}

async fn fresh_limits() -> Arc<dyn RateLimitStore> {
    Arc::new(fresh(PgOptions::default()).await)
}

coyote_storage::storage_conformance!(fresh_storage);
coyote_storage::archive_conformance!(fresh_archive);
coyote_storage::nonce_conformance!(fresh_nonces);
coyote_storage::rate_limit_conformance!(fresh_limits);

/// The same with sealed cells.
mod sealed {
    use super::{sealed_archive, sealed_nonces, sealed_storage};

    coyote_storage::storage_conformance!(sealed_storage);
    coyote_storage::archive_conformance!(sealed_archive);
    coyote_storage::nonce_conformance!(sealed_nonces);
}
