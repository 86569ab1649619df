//! The promises of the storage traits, kept by SQLite.

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
use coyote_protocol::{Nonce, Timestamp};
use coyote_storage::{
    JobId, NonceStore, Quota, RateLimitStore, Result, Taken,
    conformance::{Archived, Subject},
};
use coyote_storage_sqlite::{SqliteOptions, SqliteStorage};
use diesel::{
    Connection, RunQueryDsl, SqliteConnection, connection::SimpleConnection, sql_query, sql_types::Binary,
};
use tempfile::TempDir;

/// A store in a directory of its own, which is removed with it.
struct Fresh {
    store: SqliteStorage,
    directory: TempDir,
}

fn fresh(options: SqliteOptions) -> Fresh {
    let directory = TempDir::new().unwrap();
    let store = SqliteStorage::open(common::file(&directory), options).unwrap();
    Fresh { store, directory }
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
    subject(SqliteOptions::default())
}

async fn sealed_storage() -> Subject {
    subject(common::sealed(&[1]))
}

fn subject(options: SqliteOptions) -> Subject {
    let Fresh { store, directory } = fresh(options);
    let file = common::file(&directory);
    let lose_job = move |job: JobId| {
        let mut connection = SqliteConnection::establish(file.to_str().unwrap()).unwrap();
        connection.batch_execute("PRAGMA busy_timeout = 5000").unwrap();
        let deleted = sql_query("DELETE FROM jobs WHERE id = ?").bind::<Binary, _>(job.as_bytes().as_slice());
        assert_eq!(deleted.execute(&mut connection).unwrap(), 1, "there was a job to lose");
        async {}
    };
    Subject::new(Arc::new(store), lose_job).keeping(directory)
}

async fn fresh_archive() -> Archived {
    archived(SqliteOptions::default())
}

async fn sealed_archive() -> Archived {
    archived(common::sealed(&[1]))
}

fn archived(options: SqliteOptions) -> Archived {
    let Fresh { store, directory } = fresh(options);
    Archived::new(Arc::new(store)).keeping(directory)
}

async fn fresh_nonces() -> Arc<dyn NonceStore> {
    Arc::new(fresh(SqliteOptions::default()))
}

async fn sealed_nonces() -> Arc<dyn NonceStore> {
    Arc::new(fresh(common::sealed(&[1])))
}

async fn fresh_limits() -> Arc<dyn RateLimitStore> {
    Arc::new(fresh(SqliteOptions::default()))
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
