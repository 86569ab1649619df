//! Transactions, and how few round trips they take.
//!
//! What is sent without waiting in between takes one round trip together. A transaction reads and locks what its rule
//! has to see ([`Session::begin_with`]: the BEGIN goes along), and writes what the rule says ([`Session::commit_with`]:
//! the COMMIT goes along): two round trips. A COMMIT is on its way before it is known whether the writes did what they
//! should, so each of them fails the transaction if it does not: by a constraint, or by `require_one`
//! ([`crate::update`]).
//!
//! **The order of what is sent** is that in which the futures are polled first: diesel-async hands a statement to the
//! connection when its future is polled, or, if it has to be prepared yet, queues for that, and the queue is fair. So
//! everything here is polled from the first to the last, and COMMIT, too, is a prepared statement that has to queue.
//! The server does one after the other, and after one that failed refuses the rest: the first failure tells the reason.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
};

use coyote_storage::Result;
use diesel::{
    QueryResult,
    pg::Pg,
    query_builder::{AstPass, QueryFragment, QueryId},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use futures_util::future::{join, join3};
use tokio::task::unconstrained;

use crate::{error::Failure, pool::Borrowed};

/// Whatever the server's default is: the rules rely on locks, and on each statement seeing what was committed before
/// it.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// A connection, for one operation. Its clones are the same one.
#[derive(Clone)]
pub(crate) struct Session(Arc<Inner>);

struct Inner {
    borrowed: Borrowed,
    /// Whether there is a transaction to be ended.
    open: Mutex<bool>,
}

/// One statement that writes. (A future of more than one would send the second behind the COMMIT.)
pub(crate) type Write<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + 'a>>;

/// Statements that write, in the order in which they are to be sent.
macro_rules! writes {
    ($($write:expr),* $(,)?) => {
        vec![$(Box::pin($write) as $crate::session::Write<'_>),*]
    };
}
pub(crate) use writes;

impl Session {
    pub(crate) fn new(borrowed: Borrowed) -> Self {
        Self(Arc::new(Inner { borrowed, open: Mutex::new(false) }))
    }

    pub(crate) fn connection(&self) -> &AsyncPgConnection {
        self.0.borrowed.connection()
    }

    /// Does the whole operation. See [`Borrowed::drive`].
    pub(crate) async fn drive<T>(&self, operation: impl Future<Output = T>) -> T {
        self.0.borrowed.drive(operation).await
    }

    /// Begins the transaction, and reads. One round trip.
    pub(crate) async fn begin_with<T>(
        &self,
        reads: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let (begun, read) = unconstrained(join(self.begin(BEGIN), reads)).await;
        begun.and(read)
    }

    /// Reads on in a transaction that has begun. One round trip.
    pub(crate) async fn then<T>(
        &self,
        reads: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        unconstrained(reads).await
    }

    /// Writes, and commits. One round trip.
    pub(crate) async fn commit_with(&self, mut writes: Vec<Write<'_>>) -> Result<(), Failure> {
        writes.push(Box::pin(self.commit()));
        unconstrained(in_order(writes)).await?;
        self.set_open(false);
        Ok(())
    }

    /// Writes what needs nothing to be read: begins, writes and commits. One round trip.
    pub(crate) async fn write_at_once(&self, mut writes: Vec<Write<'_>>) -> Result<(), Failure> {
        writes.insert(0, Box::pin(self.begin(BEGIN)));
        self.commit_with(writes).await
    }

    /// Reads, all at the same moment. One round trip.
    pub(crate) async fn snapshot<T>(
        &self,
        reads: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let (begun, read, ended) = unconstrained(join3(self.begin(SNAPSHOT), reads, self.commit())).await;
        self.set_open(ended.is_err());
        let read = begun.and(read)?;
        ended?;
        Ok(read)
    }

    /// Takes back what was not committed, and lets go of the connection.
    pub(crate) async fn end(self) {
        if self.is_open() && self.run("ROLLBACK").await.is_err() {
            return; // lost, and closed: nobody needs to be told twice
        }
        self.0.borrowed.settle();
    }

    async fn begin(&self, begin: &str) -> Result<(), Failure> {
        self.set_open(true);
        Ok(self.run(begin).await?)
    }

    async fn commit(&self) -> Result<(), Failure> {
        let mut connection = self.connection();
        Commit.execute(&mut connection).await?;
        Ok(())
    }

    async fn run(&self, statement: &str) -> QueryResult<()> {
        let mut connection = self.connection();
        connection.batch_execute(statement).await
    }

    fn is_open(&self) -> bool {
        *self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_open(&self, open: bool) {
        *self.0.open.lock().unwrap_or_else(PoisonError::into_inner) = open;
    }
}

/// Sends the statements in this order, and answers for the first that failed. Behind one that has failed by then
/// nothing is sent any more: one that fails before it reaches the server does not keep it from a COMMIT.
async fn in_order(mut statements: Vec<Write<'_>>) -> Result<(), Failure> {
    let mut outcomes: Vec<Option<Result<(), Failure>>> = statements.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (statement, outcome) in statements.iter_mut().zip(&mut outcomes) {
            if outcome.is_none()
                && let Poll::Ready(now) = statement.as_mut().poll(context)
            {
                *outcome = Some(now);
            }
            if matches!(outcome, Some(Err(_))) {
                break;
            }
        }
        // An error counts once all before it are known to have gone well.
        for outcome in &mut outcomes {
            match outcome {
                Some(Ok(())) => {}
                Some(Err(_)) => return Poll::Ready(outcome.take().unwrap_or(Ok(()))),
                None => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    })
    .await
}

/// Several reads of one kind, sent in this order and together.
pub(crate) async fn each<T>(
    reads: impl IntoIterator<Item = impl Future<Output = Result<T, Failure>>>,
) -> Result<Vec<T>, Failure> {
    let mut pending: Vec<Pin<Box<_>>> = reads.into_iter().map(Box::pin).collect();
    let mut answers: Vec<Option<Result<T, Failure>>> = pending.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (read, answer) in pending.iter_mut().zip(&mut answers) {
            if answer.is_none()
                && let Poll::Ready(now) = read.as_mut().poll(context)
            {
                *answer = Some(now);
            }
        }
        if answers.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    answers.into_iter().flatten().collect()
}

/// Two reads, sent in this order and together.
pub(crate) async fn both<A, B>(
    one: impl Future<Output = Result<A, Failure>>,
    other: impl Future<Output = Result<B, Failure>>,
) -> Result<(A, B), Failure> {
    let (one, other) = join(one, other).await;
    Ok((one?, other?))
}

/// COMMIT as a statement that is prepared like those before it, and therefore cannot overtake them.
struct Commit;

impl QueryFragment<Pg> for Commit {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("COMMIT");
        Ok(())
    }
}

impl QueryId for Commit {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}
