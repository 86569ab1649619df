//! What the operator can choose, and why there may be no connection.

use std::time::Duration;

use coyote_storage::{
    BoxError,
    sealing::{SealFault, Sealing},
};

/// How the database is used.
#[derive(Clone, Debug)]
pub struct PgOptions {
    /// How many connections there are at most.
    pub connections: usize,
    /// How long an operation waits for a connection that is free, before it is answered
    /// [`Unavailable`](coyote_storage::StorageError::Unavailable).
    pub patience: Duration,
    /// How long it may take to open a connection. A server that says nothing for as long is asked whether it lives, and
    /// given up after two to three times that, unless the URL says otherwise.
    pub connect_timeout: Duration,
    /// How long an operation may take once it has a connection, each time that it is tried: others can get in its way. Then that is closed, and the answer is
    /// [`Unavailable`](coyote_storage::StorageError::Unavailable): whatever the server does, or does not.
    pub operation_timeout: Duration,
    /// What the server is asked to enforce. `None` asks for nothing, for a proxy that takes no parameters: there the
    /// limits are the role's (`ALTER ROLE … SET`).
    pub limits: Option<SessionLimits>,
    /// As what the connections appear in `pg_stat_activity`, unless the URL says otherwise.
    pub application_name: String,
    /// How long a nonce is good.
    pub nonce_lifetime: Duration,
    /// Under which keys what is secret is sealed. By default it is not.
    pub sealing: Sealing,
    /// Whether a schema of an older version is brought up to date, as a server does; otherwise it is refused.
    pub migrate: bool,
}

/// What the server enforces for each connection, so that nothing waits for ever. The URL's `options` override it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// How long one statement may take.
    pub statement: Duration,
    /// How long a statement waits for a lock.
    pub lock: Duration,
    /// How long a transaction waits for its next statement, before it is taken back.
    pub idle_in_transaction: Duration,
}

impl Default for PgOptions {
    fn default() -> Self {
        Self {
            connections: 16,
            patience: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            operation_timeout: Duration::from_secs(20),
            limits: Some(SessionLimits::default()),
            application_name: "coyote".into(),
            nonce_lifetime: Duration::from_secs(60 * 60),
            sealing: Sealing::none(),
            migrate: true,
        }
    }
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            statement: Duration::from_secs(15),
            lock: Duration::from_secs(5),
            idle_in_transaction: Duration::from_secs(15),
        }
    }
}

/// Why a database could not be opened.
///
/// No message contains the URL, which may have a password in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL is none, or says something that is not understood.
    #[error("the URL of the database is not understood")]
    Url(#[source] BoxError),
    /// TLS cannot be prepared as the URL says.
    #[error("TLS to the database cannot be prepared")]
    Tls(#[source] BoxError),
    /// The server cannot be reached, refuses, or the schema cannot be brought up to date.
    #[error("the database cannot be opened")]
    Database(#[source] BoxError),
    /// Its schema is older than this version's, and was to be left as it is.
    #[error("the database has the schema of an older version of coyote, which a server brings up to date")]
    Older,
    /// What is in it is sealed, and the key ring is another, or there is none.
    #[error("the database cannot be read with this key ring")]
    Sealed(#[source] SealFault),
    /// A later version of coyote has used it, and this one would not know what it means.
    #[error("the database has schema version {found}, which this version of coyote does not know")]
    Newer {
        /// The version of its schema.
        found: String,
    },
}
