//! Connections, and the runtime that they live on.

use std::{
    fmt,
    future::{Future, poll_fn},
    io,
    pin::pin,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use coyote_storage::BoxError;
use deadpool::managed::{self, Metrics, Object, PoolError, RecycleError, RecycleResult};
use diesel_async::AsyncPgConnection;
use futures_util::future::{BoxFuture, Either, select};
use tokio::runtime::{Handle, Runtime};
use tokio_postgres::{NoTls, Socket, tls::TlsStream};

use crate::{PgOptions, url::Place};

/// Connections to one database.
///
/// They live on a runtime of their own, which knows when a socket has something to read, whatever runtime the callers
/// have, and outlives it. But it reads and writes none: whoever has a connection does ([`Borrowed::drive`]). With a task
/// for each connection, each statement would wake another thread, and each answer this one.
pub(crate) struct Pool {
    connections: managed::Pool<Connector>,
    connector: Connector,
    patience: Duration,
    /// How long an operation may take.
    limit: Duration,
    runtime: OwnRuntime,
}

/// Opens connections.
#[derive(Clone)]
pub(crate) struct Connector {
    pub(crate) place: Place,
    pub(crate) timeout: Duration,
    pub(crate) runtime: Handle,
}

/// An open connection.
pub(crate) struct Link {
    connection: AsyncPgConnection,
    driver: Mutex<Driver>,
    /// Whether the last who had it had the answer to all that they asked.
    quiet: AtomicBool,
}

/// What reads and writes a connection's socket, as often as it is polled. `None` once the connection is closed.
struct Driver(Option<BoxFuture<'static, Result<(), tokio_postgres::Error>>>);

/// A connection for one operation. Whoever lets go of it in the middle of something closes it, and the server takes
/// back what was open.
pub(crate) struct Borrowed(Object<Connector>);

impl Pool {
    /// No connection yet.
    pub(crate) fn new(place: Place, options: &PgOptions) -> Result<Self, BoxError> {
        let runtime = OwnRuntime::start()?;
        let connector =
            Connector { place, timeout: options.connect_timeout, runtime: runtime.handle.clone() };
        let connections =
            managed::Pool::builder(connector.clone()).max_size(options.connections.max(1)).build()?;
        let (patience, limit) = (options.patience, options.operation_timeout);
        Ok(Self { connections, connector, patience, limit, runtime })
    }

    /// A connection that is free, or becomes so soon.
    pub(crate) async fn borrow(&self) -> Result<Borrowed, BoxError> {
        let mut free = pin!(self.connections.get());
        let at_once = poll_fn(|context| Poll::Ready(free.as_mut().poll(context))).await;
        let borrowed = match at_once {
            Poll::Ready(borrowed) => borrowed,
            Poll::Pending => {
                // The caller's runtime may have no timer; ours has.
                let patience = self.runtime.handle.spawn(sleep(self.patience));
                match select(free, patience).await {
                    Either::Left((borrowed, patience)) => {
                        patience.abort();
                        borrowed
                    }
                    Either::Right(_) => return Err("no connection became free in time".into()),
                }
            }
        };
        let borrowed = borrowed.map_err(|error| match error {
            PoolError::Backend(error) => error,
            error => error.to_string().into(),
        })?;
        borrowed.quiet.store(false, Ordering::Relaxed);
        Ok(Borrowed(borrowed))
    }

    /// Does an operation, or gives it up when its time is over.
    pub(crate) async fn in_time<T>(&self, work: impl Future<Output = T>) -> Result<T, BoxError> {
        let limit = {
            let _timers = self.runtime.handle.enter();
            tokio::time::sleep(self.limit)
        };
        match select(pin!(work), pin!(limit)).await {
            Either::Left((done, _)) => Ok(done),
            Either::Right(_) => Err("the database did not answer in time".into()),
        }
    }

    /// What opens connections.
    pub(crate) fn connector(&self) -> &Connector {
        &self.connector
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.connections.status();
        f.debug_struct("Pool").field("connections", &status).finish_non_exhaustive()
    }
}

impl Connector {
    /// A connection that is nobody else's, driven by a task, and closed when it is dropped.
    pub(crate) async fn open(&self) -> Result<AsyncPgConnection, BoxError> {
        let Link { connection, driver, quiet: _ } = self.link().await?;
        let mut driver = driver.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.runtime.spawn(poll_fn(move |context| {
            driver.attend(context);
            if driver.is_over() { Poll::Ready(()) } else { Poll::Pending }
        }));
        Ok(connection)
    }

    async fn link(&self) -> Result<Link, BoxError> {
        let (place, timeout) = (self.place.clone(), self.timeout);
        // Also the time-out: tokio-postgres has one for the handshake with TCP only.
        let link = self.runtime.spawn(async move { tokio::time::timeout(timeout, open(&place)).await });
        link.await?.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}

async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}

async fn open(place: &Place) -> Result<Link, BoxError> {
    match &place.tls {
        None => {
            let (client, connection) = place.config.connect(NoTls).await?;
            Link::new(client, connection).await
        }
        Some(tls) => {
            let (client, connection) = place.config.connect(tls.clone()).await?;
            Link::new(client, connection).await
        }
    }
}

impl Link {
    async fn new<S>(
        client: tokio_postgres::Client,
        connection: tokio_postgres::Connection<Socket, S>,
    ) -> Result<Self, BoxError>
    where
        S: TlsStream + Unpin + Send + 'static,
    {
        let driver = Mutex::new(Driver(Some(Box::pin(connection))));
        let connection = driving(&driver, AsyncPgConnection::try_from(client)).await?;
        Ok(Self { connection, driver, quiet: AtomicBool::new(true) })
    }

    /// Whether the server, or the last who had it, has closed it.
    fn is_closed(&self) -> bool {
        let mut driver = self.driver.lock().unwrap_or_else(PoisonError::into_inner);
        driver.attend(&mut Context::from_waker(Waker::noop()));
        driver.is_over()
    }
}

impl Driver {
    /// Reads and writes what can be, and has the task woken when there is more.
    fn attend(&mut self, context: &mut Context<'_>) {
        let Some(connection) = &mut self.0 else { return };
        let Poll::Ready(end) = connection.as_mut().poll(context) else { return };
        self.0 = None; // by which whoever waits for an answer is told, and tells the operator
        if let Err(error) = end {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "a connection to the database was lost"
            );
        }
    }

    fn is_over(&self) -> bool {
        self.0.is_none()
    }
}

/// Does the work, and what its connection has to do for it. All that the work wants to send when it first waits is sent
/// together.
async fn driving<T>(driver: &Mutex<Driver>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    poll_fn(|context| {
        let done = work.as_mut().poll(context);
        if done.is_pending() {
            driver.lock().unwrap_or_else(PoisonError::into_inner).attend(context);
        }
        done
    })
    .await
}

impl managed::Manager for Connector {
    type Type = Link;
    type Error = BoxError;

    async fn create(&self) -> Result<Link, BoxError> {
        self.link().await
    }

    /// Without a question to the server, which would double the round trips of most operations: the socket tells when it
    /// was closed.
    async fn recycle(&self, link: &mut Link, _: &Metrics) -> RecycleResult<BoxError> {
        if !link.quiet.load(Ordering::Relaxed) || link.is_closed() {
            return Err(RecycleError::message("the connection is closed"));
        }
        Ok(())
    }
}

impl Borrowed {
    pub(crate) fn connection(&self) -> &AsyncPgConnection {
        &self.0.connection
    }

    /// Does the work that uses the connection. Without this, nothing goes to the server, and nothing comes.
    pub(crate) async fn drive<T>(&self, work: impl Future<Output = T>) -> T {
        driving(&self.0.driver, work).await
    }

    /// Nothing is open or under way: somebody else may have it.
    pub(crate) fn settle(&self) {
        self.0.quiet.store(true, Ordering::Relaxed);
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if !self.0.quiet.load(Ordering::Relaxed) {
            *self.0.driver.lock().unwrap_or_else(PoisonError::into_inner) = Driver(None);
        }
    }
}

/// A runtime that may be dropped anywhere: an ordinary one panics where it would have to wait for its tasks.
struct OwnRuntime {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl OwnRuntime {
    fn start() -> io::Result<Self> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).thread_name("coyote-postgres").enable_all().build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
