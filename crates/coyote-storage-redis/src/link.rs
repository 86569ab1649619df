//! The connection to Redis: one, shared, opened anew when it is lost.

use std::sync::{Mutex as ShortMutex, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::sentinel::SentinelClient;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, RedisFuture,
    RedisResult, ScriptInvocation, ServerErrorKind, Value, cluster::ClusterClient,
};
use tokio::sync::Mutex;

use crate::{RedisOptions, address::Address};

/// How long after an attempt to connect has failed the next is made. Who comes between is told at once.
const PAUSE: Duration = Duration::from_millis(100);

/// A connection that many use at once, and whoever finds it broken replaces. Nothing retries for longer than its caller
/// waits: redis's own `ConnectionManager` does, for seconds.
pub(crate) struct Link {
    dialler: Dialler,
    config: AsyncConnectionConfig,
    current: ShortMutex<Open>,
    dialling: Mutex<Option<Failure>>,
}

/// What is open now, if anything is, and the how manieth it is.
struct Open {
    number: u64,
    connection: Option<Connection>,
}

struct Failure {
    at: Instant,
    error: RedisError,
}

enum Dialler {
    Server(Client),
    // Asked for the master each time, which may be another one by then.
    Sentinels(Mutex<SentinelClient>),
    Cluster(Box<ClusterClient>),
}

/// What Redis can be asked.
pub(crate) enum Question<'a> {
    Command(&'a Cmd),
    Script(&'a ScriptInvocation<'a>),
}

#[derive(Clone)]
enum Connection {
    Node(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Link {
    pub(crate) fn new(address: Address, options: &RedisOptions) -> Self {
        let dialler = match address {
            Address::Server(client) => Dialler::Server(client),
            Address::Sentinels(client) => Dialler::Sentinels(Mutex::new(client)),
            Address::Cluster(client) => Dialler::Cluster(client),
        };
        // Shorter than the caller's patience, so that who gave up on a dead connection is there to drop it.
        let limit = Some(options.patience * 3 / 4);
        let config = AsyncConnectionConfig::new().set_connection_timeout(limit).set_response_timeout(limit);
        let current = ShortMutex::new(Open { number: 0, connection: None });
        Self { dialler, config, current, dialling: Mutex::new(None) }
    }

    /// Asks, and asks once more on another connection if this one turns out to be broken: it may have been for long, or
    /// it leads to a server that is the master no longer.
    ///
    /// So what is asked may be done twice.
    pub(crate) async fn ask<T: FromRedisValue>(&self, question: Question<'_>) -> RedisResult<T> {
        let (number, mut connection) = self.open().await?;
        let error = match question.put(&mut connection).await {
            Ok(answer) => return Ok(answer),
            Err(error) if !connection.is_lost_by(&error) => return Err(error),
            Err(error) => error,
        };
        self.drop(number);
        if error.is_timeout() {
            return Err(error); // there is no time left
        }
        let (number, mut connection) = self.open().await?;
        let answer: RedisResult<T> = question.put(&mut connection).await;
        if answer.as_ref().is_err_and(|error| connection.is_lost_by(error)) {
            self.drop(number);
        }
        answer
    }

    /// The connection, and its number.
    async fn open(&self) -> RedisResult<(u64, Connection)> {
        if let Some(open) = self.current() {
            return Ok(open);
        }
        let mut failed = self.dialling.lock().await;
        if let Some(open) = self.current() {
            return Ok(open); // somebody else has opened it meanwhile
        }
        if let Some(failure) = failed.as_ref().filter(|failure| failure.at.elapsed() < PAUSE) {
            return Err(failure.error.clone());
        }
        // As this may be abandoned half way, what is on record then is that it has failed.
        *failed = Some(Failure::new((ErrorKind::Io, "connecting took too long").into()));
        match self.dial().await {
            Ok(connection) => {
                *failed = None;
                let mut open = self.current.lock().unwrap_or_else(PoisonError::into_inner);
                open.number += 1;
                open.connection = Some(connection.clone());
                Ok((open.number, connection))
            }
            Err(error) => {
                *failed = Some(Failure::new(error.clone()));
                Err(error)
            }
        }
    }

    async fn dial(&self) -> RedisResult<Connection> {
        match &self.dialler {
            Dialler::Server(client) => {
                let connection = client.get_multiplexed_async_connection_with_config(&self.config);
                connection.await.map(Connection::Node)
            }
            Dialler::Sentinels(client) => {
                let mut client = client.lock().await;
                client.get_async_connection_with_config(&self.config).await.map(Connection::Node)
            }
            Dialler::Cluster(client) => client.get_async_connection().await.map(Connection::Cluster),
        }
    }

    fn current(&self) -> Option<(u64, Connection)> {
        let open = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        open.connection.clone().map(|connection| (open.number, connection))
    }

    /// Drops the connection with this number, unless another has replaced it.
    fn drop(&self, number: u64) {
        let mut open = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if open.number == number {
            open.connection = None;
        }
    }
}

impl Question<'_> {
    async fn put<T: FromRedisValue>(&self, connection: &mut Connection) -> RedisResult<T> {
        match self {
            Self::Command(command) => command.query_async(connection).await,
            Self::Script(script) => script.invoke_async(connection).await,
        }
    }
}

impl Failure {
    fn new(error: RedisError) -> Self {
        Self { at: Instant::now(), error }
    }
}

impl Connection {
    /// Whether the error says that this connection is of no use any more.
    fn is_lost_by(&self, error: &RedisError) -> bool {
        let demoted = [ServerErrorKind::ReadOnly, ServerErrorKind::MasterDown].map(ErrorKind::Server);
        match self {
            Self::Node(_) => {
                error.is_io_error() || error.is_unrecoverable_error() || demoted.contains(&error.kind())
            }
            // It looks after its nodes itself, until it knows none any more.
            Self::Cluster(_) => error.kind() == ErrorKind::ClusterConnectionNotFound,
        }
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Node(connection) => connection.req_packed_command(command),
            Self::Cluster(connection) => connection.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Node(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Node(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}
