//! Group commit: one thread owns the one connection that writes.
//!
//! It runs the transactions that are waiting, each in a savepoint of its own inside one transaction of SQLite, until
//! none is, and commits them with one fsync. Only then is each caller answered. Nobody waits for company: while a
//! commit is under way the next batch gathers by itself, and a lone caller's transaction is committed at once.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
};

use coyote_storage::{Result, StorageError};
use diesel::{SqliteConnection, connection::SimpleConnection, result::QueryResult};
use tokio::sync::oneshot;

use crate::error::{Failure, unavailable};

/// How many transactions share a commit at most. More would gain nothing (the fsync is a small part of it by then),
/// and let the first of them wait for the last.
const BATCH: usize = 128;

/// The thread that writes, and the way to it.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: Option<SyncSender<Box<dyn Transaction>>>,
    thread: Option<JoinHandle<()>>,
}

/// A transaction without the type of its answer.
trait Transaction: Send {
    /// Runs it. `false` if its changes, if any, are to be undone.
    fn run(&mut self, connection: &mut SqliteConnection) -> bool;

    /// Answers the caller, now that it is known whether the batch was committed.
    fn answer(self: Box<Self>, committed: &Result<(), Arc<BatchLost>>);
}

/// No transaction of a batch can be said to have happened.
#[derive(Debug, thiserror::Error)]
#[error("the transactions were not committed")]
struct BatchLost(#[source] diesel::result::Error);

impl Writer {
    /// Starts the thread. Of those who call [`Writer::write`], `waiting` can wait at a time.
    pub(crate) fn start(connection: SqliteConnection, waiting: usize) -> std::io::Result<Self> {
        let (queue, waiting) = sync_channel(waiting.max(1));
        let thread = std::thread::Builder::new()
            .name("coyote-sqlite-writer".into())
            .spawn(move || write_batches(connection, &waiting))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Runs a transaction, and answers once it is committed. It runs even if the caller stops waiting.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        doing: &'static str,
        body: impl FnOnce(&mut SqliteConnection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let pending = Pending { doing, body: Some(body), outcome: None, reply };
        let Some(queue) = &self.queue else { return Err(unavailable(doing, "the database is closed")) };
        queue.try_send(Box::new(pending)).map_err(|error| match error {
            TrySendError::Full(_) => unavailable(doing, "too many transactions are waiting"),
            TrySendError::Disconnected(_) => unavailable(doing, "the database is closed"),
        })?;
        answer.await.map_err(|_| unavailable(doing, "the transaction was dropped"))?
    }
}

/// What is waiting is written before the connection is closed.
impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the writer of the database panicked");
        }
    }
}

fn write_batches(mut connection: SqliteConnection, queue: &Receiver<Box<dyn Transaction>>) {
    while let Ok(first) = queue.recv() {
        let mut batch = vec![first];
        let committed = write_batch(&mut connection, &mut batch, queue).map_err(|error| {
            // Each caller is answered with this, and says so as often as is of use.
            tracing::debug!(%error, transactions = batch.len(), "a batch of transactions was not committed");
            Arc::new(BatchLost(error))
        });
        for transaction in batch {
            transaction.answer(&committed);
        }
    }
}

/// Runs and commits what is in the batch and what is waiting, all of which is in the batch then.
fn write_batch(
    connection: &mut SqliteConnection,
    batch: &mut Vec<Box<dyn Transaction>>,
    queue: &Receiver<Box<dyn Transaction>>,
) -> QueryResult<()> {
    // IMMEDIATE takes the write lock first: a deferred transaction that reads and then writes fails at the write if
    // another process wrote between the two, whatever the busy timeout.
    if let Err(error) = connection.batch_execute("BEGIN IMMEDIATE") {
        // Those who are waiting have waited for the lock, too; they are not to wait for it one after the other.
        batch.extend(queue.try_iter().take(BATCH - 1));
        return Err(error);
    }
    let written = run_each(connection, batch, queue).and_then(|()| connection.batch_execute("COMMIT"));
    if written.is_err() {
        // It may have been rolled back already: some failures (a full disk) make SQLite do it itself.
        connection.batch_execute("ROLLBACK").ok();
    }
    written
}

/// Runs each in its savepoint. An error means that the whole batch is lost: where a savepoint cannot be opened, kept
/// or undone, SQLite has rolled back the transaction around it.
fn run_each(
    connection: &mut SqliteConnection,
    batch: &mut Vec<Box<dyn Transaction>>,
    queue: &Receiver<Box<dyn Transaction>>,
) -> QueryResult<()> {
    let mut run = 0;
    while let Some(transaction) = batch.get_mut(run) {
        connection.batch_execute("SAVEPOINT one")?;
        let keep = transaction.run(connection);
        connection.batch_execute(if keep { "RELEASE one" } else { "ROLLBACK TO one; RELEASE one" })?;
        run += 1;
        // One by one and not all at once: those whom the last batch has answered come back while this one runs.
        if run < BATCH {
            batch.extend(queue.try_recv());
        }
    }
    Ok(())
}

/// A transaction and who waits for it.
struct Pending<F, T> {
    doing: &'static str,
    body: Option<F>,
    outcome: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
}

impl<F, T> Transaction for Pending<F, T>
where
    F: FnOnce(&mut SqliteConnection) -> Result<T, Failure> + Send,
    T: Send,
{
    fn run(&mut self, connection: &mut SqliteConnection) -> bool {
        let Some(body) = self.body.take() else { return false };
        // A panic is a bug, but the bug of one operation: the others still have a database to write to. Nothing that
        // was half done survives it, as the savepoint is undone.
        let outcome = catch_unwind(AssertUnwindSafe(|| body(connection)))
            .map_err(|_| unavailable(self.doing, "the transaction panicked"))
            .and_then(|outcome| outcome.map_err(|failure| failure.into_storage_error(self.doing)));
        let keep = outcome.is_ok();
        self.outcome = Some(outcome);
        keep
    }

    fn answer(self: Box<Self>, committed: &Result<(), Arc<BatchLost>>) {
        let answer = match (committed, self.outcome) {
            (Ok(()), Some(outcome)) => outcome,
            (Ok(()), None) => Err(unavailable(self.doing, "the transaction was not run")),
            (Err(lost), _) => {
                Err(StorageError::Unavailable { doing: self.doing, source: Box::new(Arc::clone(lost)) })
            }
        };
        // Whoever stopped waiting does not want to know.
        self.reply.send(answer).ok();
    }
}

#[cfg(test)]
mod tests;
