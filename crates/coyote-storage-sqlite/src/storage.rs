use std::{path::Path, sync::Arc};

use coyote_storage::{
    Result,
    sealing::{Resealed, Sealing},
};
use diesel::{
    QueryResult, QueryableByName, RunQueryDsl, SqliteConnection,
    connection::SimpleConnection,
    result::{DatabaseErrorKind, Error as DieselError},
    sql_query,
    sql_types::Integer,
};

use crate::{
    OpenError, SqliteOptions,
    error::Failure,
    nonce,
    open::Opener,
    readers::Readers,
    resealing::{self, Resealing},
    writer::Writer,
};

/// How often compacting tries to empty the write-ahead log while others read from it.
const CHECKPOINTS: u32 = 3;

/// Everything an ACME server remembers, in one SQLite file.
///
/// It is an [`AccountStore`](coyote_storage::AccountStore) and the other parts of
/// [`Storage`](coyote_storage::Storage), a [`NonceStore`](coyote_storage::NonceStore) and a
/// [`RateLimitStore`](coyote_storage::RateLimitStore). Its methods need a Tokio runtime.
///
/// A write is answered when it is on the disk, and every read that begins after the answer sees it. A write goes on
/// if its caller stops waiting for it. Dropping the storage writes what is still waiting, and blocks for that long.
#[derive(Debug)]
pub struct SqliteStorage {
    // Before the writer, so that they are closed first: the last connection that is closed tidies up the file, which
    // one that only reads cannot do.
    readers: Arc<Readers>,
    writer: Writer,
    pub(crate) nonces: nonce::Nonces,
    pub(crate) sealing: Sealing,
    pub(crate) resealing: Resealing,
}

impl SqliteStorage {
    /// Opens the database in this file, and makes the file (readable to its owner only) if there is none. It blocks,
    /// and takes long if the schema has to be brought up to date.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]. A file that a later version has changed is refused, and left as it is.
    pub fn open(path: impl AsRef<Path>, options: SqliteOptions) -> Result<Self, OpenError> {
        let opener = Opener::new(path.as_ref(), &options)?;
        let mut connection = opener.writer()?;
        let resealing = opener.check_keys(&mut connection, &options.sealing)?;
        let nonces = opener
            .prepare(|| nonce::Nonces::open(&mut connection, &options.sealing, options.nonce_lifetime))?;
        let readers = Arc::new(Readers::new(opener.clone(), options.readers));
        let writer = opener.prepare(|| Ok(Writer::start(connection, options.waiting_writes)?))?;
        Ok(Self { readers, writer, nonces, sealing: options.sealing, resealing })
    }

    /// Seals some cells anew that are plain, or under an older key than the current one: `limit` at most, or somewhat more.
    /// [`sweep`](coyote_storage::JobQueue::sweep) does the same.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](coyote_storage::StorageError::Unavailable).
    pub async fn reseal(&self, limit: u32) -> Result<Resealed> {
        let cells = resealing::run(self, limit).await?;
        Ok(Resealed { cells, settled: self.resealing.is_settled() })
    }

    /// Writes the whole file anew (`VACUUM`), without what was deleted or overwritten: smaller, and with nothing left of what
    /// was plain before it was sealed. It takes as much room on the disk again; writes wait meanwhile, and are answered
    /// `Unavailable` if that takes longer than the busy timeout.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](coyote_storage::StorageError::Unavailable), also if others do not let go of the file in time.
    pub async fn compact(&self) -> Result<()> {
        self.readers
            .beside("compacting the database", |connection| {
                // The new file is built beside the old one, and not in memory.
                connection.batch_execute("PRAGMA temp_store = FILE; VACUUM")?;
                empty_log(connection)
            })
            .await
    }

    /// For a transaction, which may outlive its caller.
    pub(crate) fn sealing(&self) -> Sealing {
        self.sealing.clone()
    }

    /// See [`Writer::write`].
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        doing: &'static str,
        body: impl FnOnce(&mut SqliteConnection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        self.writer.write(doing, body).await
    }

    /// See [`Readers::look_up`].
    pub(crate) fn look_up<T>(
        &self,
        doing: &'static str,
        body: impl FnOnce(&mut SqliteConnection) -> Result<T, Failure>,
    ) -> Result<T> {
        self.readers.look_up(doing, body)
    }

    /// See [`Readers::look_up_together`].
    pub(crate) fn look_up_together<T>(
        &self,
        doing: &'static str,
        body: impl FnOnce(&mut SqliteConnection) -> Result<T, Failure>,
    ) -> Result<T> {
        self.readers.look_up_together(doing, body)
    }

    /// See [`Readers::scan`].
    pub(crate) async fn scan<T: Send + 'static>(
        &self,
        doing: &'static str,
        body: impl FnOnce(&mut SqliteConnection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        self.readers.scan(doing, body).await
    }
}

/// What a checkpoint answers. That it could not be done is no error to SQLite.
#[derive(QueryableByName)]
struct Checkpoint {
    #[diesel(sql_type = Integer)]
    busy: i32,
}

/// Empties the write-ahead log, in which the pages of before still are. Each attempt waits for the busy timeout.
fn empty_log(connection: &mut SqliteConnection) -> QueryResult<()> {
    for _ in 0..CHECKPOINTS {
        let checkpoint: Checkpoint = sql_query("PRAGMA wal_checkpoint(TRUNCATE)").get_result(connection)?;
        if checkpoint.busy == 0 {
            return Ok(());
        }
    }
    let told = "others read from the write-ahead log all the time, and it could not be emptied".to_owned();
    Err(DieselError::DatabaseError(DatabaseErrorKind::Unknown, Box::new(told)))
}
