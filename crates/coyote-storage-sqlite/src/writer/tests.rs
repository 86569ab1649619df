use std::{sync::mpsc, time::Duration};

use diesel::{connection::InstrumentationEvent, prelude::*, sql_query, sql_types::BigInt};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::*;

type Outcome = Result<(), Failure>;

/// A writer to a table of numbers.
struct World {
    directory: TempDir,
    writer: Arc<Writer>,
}

impl World {
    fn new(waiting: usize) -> Self {
        let directory = TempDir::new().unwrap();
        let mut connection = connect(&directory);
        connection.batch_execute("CREATE TABLE numbers (number INTEGER PRIMARY KEY)").unwrap();
        Self { directory, writer: Arc::new(Writer::start(connection, waiting).unwrap()) }
    }

    /// Hands a transaction in, and answers when it is in the queue.
    async fn queue(
        &self,
        body: impl FnOnce(&mut SqliteConnection) -> Outcome + Send + 'static,
    ) -> JoinHandle<Result<()>> {
        let writer = Arc::clone(&self.writer);
        let task = tokio::spawn(async move { writer.write("testing", body).await });
        tokio::task::yield_now().await; // on a runtime with one thread: until the task waits for its answer
        task
    }

    /// Keeps the writer busy until the answer is dropped: what is queued meanwhile becomes one batch.
    async fn busy(&self) -> (mpsc::Sender<()>, JoinHandle<Result<()>>) {
        let (release, released) = mpsc::channel::<()>();
        let (started, start) = oneshot::channel();
        let task = self.queue(move |_| {
            started.send(()).unwrap();
            released.recv().ok();
            Ok(())
        });
        let task = task.await;
        start.await.unwrap();
        (release, task)
    }

    fn numbers(&self) -> Vec<i64> {
        numbers(&mut connect(&self.directory))
    }
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

fn connect(directory: &TempDir) -> SqliteConnection {
    let file = directory.path().join("numbers.db");
    let mut connection = SqliteConnection::establish(file.to_str().unwrap()).unwrap();
    connection.batch_execute("PRAGMA journal_mode = WAL; PRAGMA busy_timeout = 100").unwrap();
    connection
}

fn numbers(connection: &mut SqliteConnection) -> Vec<i64> {
    let numbers: Vec<Number> =
        sql_query("SELECT number FROM numbers ORDER BY number").load(connection).unwrap();
    numbers.into_iter().map(|row| row.number).collect()
}

fn insert(number: i64) -> impl FnOnce(&mut SqliteConnection) -> Outcome + Send + 'static {
    move |connection| {
        let insert = sql_query("INSERT INTO numbers VALUES (?)").bind::<BigInt, _>(number);
        insert.execute(connection)?;
        Ok(())
    }
}

fn is_unavailable(result: &Result<()>) -> bool {
    matches!(result, Err(StorageError::Unavailable { .. }))
}

#[tokio::test]
async fn what_was_answered_is_committed() {
    let world = World::new(8);
    for number in 1..=3 {
        world.writer.write("testing", insert(number)).await.unwrap();
        assert_eq!(world.numbers().last(), Some(&number), "another connection sees it");
    }
}

#[tokio::test]
async fn those_who_wait_share_one_commit() {
    let directory = TempDir::new().unwrap();
    let mut connection = connect(&directory);
    connection.batch_execute("CREATE TABLE numbers (number INTEGER PRIMARY KEY)").unwrap();
    let (commit, commits) = mpsc::channel();
    connection.set_instrumentation(move |event: InstrumentationEvent<'_>| {
        if let InstrumentationEvent::StartQuery { query, .. } = event
            && query.to_string() == "COMMIT"
        {
            commit.send(()).unwrap();
        }
    });
    let world = World { directory, writer: Arc::new(Writer::start(connection, 200).unwrap()) };
    let (release, busy) = world.busy().await;
    let mut waiting = Vec::new();
    for number in 0..200 {
        waiting.push(world.queue(insert(number)).await);
    }
    drop(release);

    for task in waiting {
        task.await.unwrap().unwrap();
    }
    busy.await.unwrap().unwrap();
    assert_eq!(commits.try_iter().count(), 2, "of {BATCH} at most");
    assert_eq!(world.numbers().len(), 200);
}

#[tokio::test]
async fn a_transaction_that_is_refused_takes_its_own_changes_back_and_no_others() {
    let world = World::new(8);
    let (release, busy) = world.busy().await;
    let before = world.queue(insert(1)).await;
    let refused = world.queue(|connection| {
        insert(2)(connection)?;
        Err(StorageError::NotFound.into())
    });
    let refused = refused.await;
    let after = world.queue(insert(3)).await;
    drop(release);

    busy.await.unwrap().unwrap();
    before.await.unwrap().unwrap();
    assert!(matches!(refused.await.unwrap(), Err(StorageError::NotFound)));
    after.await.unwrap().unwrap();
    assert_eq!(world.numbers(), [1, 3]);
}

#[tokio::test]
async fn a_transaction_that_panics_ends_itself_only() {
    let world = World::new(8);
    let (release, _busy) = world.busy().await;
    let before = world.queue(insert(1)).await;
    let panicking = world.queue(|connection| {
        insert(2)(connection)?;
        panic!("this one is planted");
    });
    let panicking = panicking.await;
    let after = world.queue(insert(3)).await;
    drop(release);

    before.await.unwrap().unwrap();
    assert!(is_unavailable(&panicking.await.unwrap()));
    after.await.unwrap().unwrap();
    assert_eq!(world.numbers(), [1, 3]);
    world.writer.write("testing", insert(4)).await.expect("the writer is still there");
}

#[tokio::test]
async fn when_a_batch_is_lost_nobody_in_it_is_told_that_it_happened() {
    let world = World::new(8);
    let (release, busy) = world.busy().await;
    let before = world.queue(insert(1)).await;
    // What SQLite does by itself when the disk is full.
    let rolled_back = world.queue(|connection| Ok(connection.batch_execute("ROLLBACK")?)).await;
    let after = world.queue(insert(3)).await;
    drop(release);

    for task in [busy, before, rolled_back] {
        assert!(is_unavailable(&task.await.unwrap()));
    }
    after.await.unwrap().expect("the next batch is another one");
    assert_eq!(world.numbers(), [3]);
}

#[tokio::test]
async fn while_another_process_writes_for_too_long_writing_is_unavailable() {
    let world = World::new(8);
    let mut other = connect(&world.directory);
    other.batch_execute("BEGIN IMMEDIATE; INSERT INTO numbers VALUES (1)").unwrap();
    assert!(is_unavailable(&world.writer.write("testing", insert(2)).await));

    other.batch_execute("COMMIT").unwrap();
    world.writer.write("testing", insert(3)).await.unwrap();
    assert_eq!(world.numbers(), [1, 3]);
}

#[tokio::test]
async fn one_more_than_can_wait_is_refused_at_once() {
    let world = World::new(2);
    let (release, _busy) = world.busy().await;
    let waiting = [world.queue(insert(1)).await, world.queue(insert(2)).await];

    let refused =
        tokio::time::timeout(Duration::from_secs(10), world.writer.write("testing", insert(3))).await;

    assert!(is_unavailable(&refused.expect("an answer while the writer is busy")));
    drop(release);
    for task in waiting {
        task.await.unwrap().expect("those who wait are served");
    }
    assert_eq!(world.numbers(), [1, 2]);
}

#[tokio::test]
async fn what_waits_is_written_before_the_writer_is_gone() {
    let World { directory, writer } = World::new(8);
    let world = World { directory, writer };
    let (release, busy) = world.busy().await;
    let waiting = world.queue(insert(1)).await;
    busy.abort();
    waiting.abort(); // nobody waits for it any more
    assert!(waiting.await.unwrap_err().is_cancelled());
    assert!(busy.await.unwrap_err().is_cancelled());

    let World { directory, writer } = world;
    drop(release);
    drop(Arc::into_inner(writer).expect("the only one"));

    assert_eq!(numbers(&mut connect(&directory)), [1]);
}
