use std::{future::Future, sync::OnceLock};

use coyote_storage::{
    Result,
    sealing::{Resealed, Sealing},
};

use crate::{
    ConnectError, PgOptions,
    error::{Failure, unavailable},
    migrate, nonce,
    pool::Pool,
    resealing::{self, Resealing},
    session::Session,
    url::Place,
    wake::Carrier,
};

/// How often a transaction is run, if others get in its way each time.
const ATTEMPTS: u32 = 10;

/// Everything an ACME server remembers, in a PostgreSQL database that any number of replicas share.
///
/// It is an [`AccountStore`](coyote_storage::AccountStore) and the other parts of
/// [`Storage`](coyote_storage::Storage), a [`NonceStore`](coyote_storage::NonceStore) and a
/// [`RateLimitStore`](coyote_storage::RateLimitStore). Its methods need no particular runtime: the connections live on
/// one of its own.
///
/// A write is answered when the server has committed it, and every read that begins after the answer sees it. If the
/// caller stops waiting, it happens entirely or not at all.
#[derive(Debug)]
pub struct PgStorage {
    pool: Pool,
    pub(crate) nonces: nonce::Nonces,
    /// From its first use on: it has a connection of its own, which not everybody needs.
    carrier: OnceLock<Carrier>,
    pub(crate) sealing: Sealing,
    pub(crate) resealing: Resealing,
}

impl PgStorage {
    /// Opens the database at this URL, and brings its schema up to date, which may take long. Replicas may do so at the
    /// same time.
    ///
    /// The URL is `postgres://user:password@host:port/database?parameter=value&…`, with the parameters of libpq. TLS is
    /// used if, and only if, `sslmode` is `require` (encrypted, whoever the server is), `verify-ca` or `verify-full`.
    /// `sslrootcert` names a file of the CAs to trust; otherwise they are the system's.
    ///
    /// # Errors
    ///
    /// See [`ConnectError`]. A database that a later version has changed is refused, and left as it is.
    pub async fn connect(url: &str, options: PgOptions) -> Result<Self, ConnectError> {
        let pool = Pool::new(Place::new(url, &options)?, &options).map_err(ConnectError::Database)?;
        let connection = migrate::run(&pool, options.migrate).await?;
        let resealing = pool.in_time(Resealing::open(&connection, &options.sealing)).await;
        let resealing = resealing.map_err(ConnectError::Database)??;
        let nonces = nonce::Nonces::open(&connection, &options.sealing, options.nonce_lifetime);
        let nonces = pool.in_time(nonces).await.and_then(|nonces| nonces).map_err(ConnectError::Database)?;
        let carrier = OnceLock::new();
        Ok(Self { pool, nonces, carrier, sealing: options.sealing, resealing })
    }

    /// What carries wake-ups.
    pub(crate) fn carrier(&self) -> &Carrier {
        self.carrier.get_or_init(|| Carrier::start(self.pool.connector()))
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

    /// Runs a transaction, and answers once it is committed: the body commits it with [`Session::commit_with`], or changes
    /// nothing.
    ///
    /// The body is run again if somebody else got in its way: a deadlock, a row that was changed between reading and
    /// writing.
    pub(crate) async fn transaction<T, F, A>(&self, doing: &'static str, body: F) -> Result<T>
    where
        F: Fn(Session) -> A,
        A: Future<Output = Result<T, Failure>>,
    {
        let mut attempts = 1;
        loop {
            match self.once(doing, &body).await? {
                Err(failure) if failure.is_worth_another_try() && attempts < ATTEMPTS => attempts += 1,
                outcome => return outcome.map_err(|failure| failure.into_storage_error(doing)),
            }
        }
    }

    /// Reads.
    pub(crate) async fn look_up<T, F, A>(&self, doing: &'static str, body: F) -> Result<T>
    where
        F: Fn(Session) -> A,
        A: Future<Output = Result<T, Failure>>,
    {
        self.once(doing, &body).await?.map_err(|failure| failure.into_storage_error(doing))
    }

    async fn once<T, F, A>(&self, doing: &'static str, body: &F) -> Result<Result<T, Failure>>
    where
        F: Fn(Session) -> A,
        A: Future<Output = Result<T, Failure>>,
    {
        let borrowed = self.pool.borrow().await.map_err(|error| unavailable(doing, error))?;
        let session = Session::new(borrowed);
        let work = async {
            let outcome = body(session.clone()).await;
            session.clone().end().await;
            outcome
        };
        self.pool.in_time(session.drive(work)).await.map_err(|error| unavailable(doing, error))
    }
}
