#![doc = include_str!("../README.md")]

use std::{path::Path, sync::Arc};

use coyote_storage::{Result, StorageError};
use redb::{Database, ReadableDatabase};
use tokio::task::spawn_blocking;

mod account;
mod audit;
mod authorization;
mod certificate;
mod external_account;
mod job;
mod order;
mod rate_limit;
mod sweep;
mod table;
mod trace;

use table::{Transaction, unavailable};

/// Everything an ACME server remembers, in one file of redb's.
///
/// A write is answered when it is on the disk. It goes on if its caller stops waiting.
#[derive(Clone, Debug)]
pub struct RedbStorage {
    database: Arc<Database>,
}

impl RedbStorage {
    /// Opens the file, or makes it. No other process can have it open.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](StorageError::Unavailable), with what redb says.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let database = Database::create(path).map_err(unavailable)?;
        let transaction = database.begin_write().map_err(unavailable)?;
        table::create_all(&transaction)?;
        transaction.commit().map_err(unavailable)?;
        Ok(Self { database: Arc::new(database) })
    }

    /// The database, for redb's own operations on it.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Runs a transaction, and answers once it is on the disk; if the body fails, nothing has happened. redb runs one at
    /// a time, so what a body reads nobody else changes before it writes.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        body: impl FnOnce(&Transaction) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let database = self.database.clone();
        let transaction = move || {
            let transaction = Transaction::Write(Box::new(database.begin_write().map_err(unavailable)?));
            let answer = body(&transaction)?;
            transaction.commit()?;
            Ok(answer)
        };
        let ended = spawn_blocking(transaction).await;
        ended.map_err(|error| StorageError::Unavailable { doing: "writing", source: error.into() })?
    }

    /// Reads, all of it at the same moment. A look-up is quicker than a hop to another thread.
    pub(crate) fn read<T>(&self, body: impl FnOnce(&Transaction) -> Result<T>) -> Result<T> {
        body(&Transaction::Read(self.database.begin_read().map_err(unavailable)?))
    }
}

/// The examples of that page are compiled here.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/storage.md")]
pub struct StoragePage;
