//! Connections that read. In WAL mode they neither wait for the writer nor make it wait, and they see what was
//! committed before they began.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use coyote_storage::Result;
use diesel::{Connection, QueryResult, SqliteConnection};
use tokio::sync::Semaphore;

use crate::{
    error::{Failure, unavailable},
    open::Opener,
};

/// Connections that read.
pub(crate) struct Readers {
    opener: Opener,
    idle: Mutex<Vec<SqliteConnection>>,
    keep: usize,
    scans: Arc<Semaphore>,
}

impl Readers {
    /// None yet; of those that will be opened, `keep` are kept, and half of them at most can be busy with scans.
    pub(crate) fn new(opener: Opener, keep: usize) -> Self {
        let scans = Arc::new(Semaphore::new((keep / 2).max(1)));
        Self { opener, idle: Mutex::new(Vec::new()), keep, scans }
    }

    /// Reads a few rows by their keys, on the calling thread.
    ///
    /// That is the calling thread of an async function, and it is meant: a look-up takes 7 us, and a hop to a thread
    /// for blocking work 20. It waits for nobody: a thread that finds no idle connection opens one.
    pub(crate) fn look_up<T>(
        &self,
        doing: &'static str,
        body: impl FnOnce(&mut SqliteConnection) -> Result<T, Failure>,
    ) -> Result<T> {
        let mut connection = self.take().map_err(|error| unavailable(doing, error))?;
        let outcome = body(&mut connection);
        // A connection that failed may be at fault itself: the next caller gets a new one.
        if !matches!(outcome, Err(Failure::Database(_))) {
            self.put_back(connection);
        }
        outcome.map_err(|failure| failure.into_storage_error(doing))
    }

    /// Like [`Readers::look_up`], for several statements, which all see the same moment.
    pub(crate) fn look_up_together<T>(
        &self,
        doing: &'static str,
        body: impl FnOnce(&mut SqliteConnection) -> Result<T, Failure>,
    ) -> Result<T> {
        self.look_up(doing, |connection| connection.transaction(body))
    }

    /// Reads many rows, on a thread for blocking work.
    pub(crate) async fn scan<T: Send + 'static>(
        self: &Arc<Self>,
        doing: &'static str,
        body: impl FnOnce(&mut SqliteConnection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        let permit = Arc::clone(&self.scans).acquire_owned().await;
        let permit = permit.map_err(|error| unavailable(doing, error))?;
        let readers = Arc::clone(self);
        let scan = move || {
            let _permit = permit; // held by the scan, not by who waits for it
            readers.look_up(doing, body)
        };
        tokio::task::spawn_blocking(scan).await.map_err(|error| unavailable(doing, error))?
    }

    /// Does with a connection of its own, which may write, what cannot be part of a transaction.
    pub(crate) async fn beside(
        self: &Arc<Self>,
        doing: &'static str,
        body: impl FnOnce(&mut SqliteConnection) -> QueryResult<()> + Send + 'static,
    ) -> Result<()> {
        let opener = self.opener.clone();
        let work = move || {
            let mut connection = opener.beside().map_err(|error| unavailable(doing, error))?;
            body(&mut connection).map_err(|error| unavailable(doing, error))
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| unavailable(doing, error))?
    }

    fn take(&self) -> Result<SqliteConnection, crate::OpenError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| self.opener.reader(), Ok)
    }

    fn put_back(&self, connection: SqliteConnection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.keep {
            idle.push(connection);
        }
    }
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers")
            .field("opener", &self.opener)
            .field("keep", &self.keep)
            .finish_non_exhaustive()
    }
}
