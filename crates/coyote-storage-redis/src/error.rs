use std::io;
use std::time::Duration;

use coyote_storage::StorageError;
use redis::RedisError;

/// Why there is no connection to Redis.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL is not one of a Redis. It is not repeated, for there may be a password in it.
    #[error("the URL of Redis is not valid: {0}")]
    Url(&'static str),
    /// [`RedisOptions::prefix`](crate::RedisOptions::prefix) is not 1 to 64 letters, digits and `-_.:`.
    #[error("a prefix is 1 to 64 letters, digits and -_.:")]
    Prefix,
    /// The system gives no thread to run on.
    #[error("there is no thread for the connections to Redis")]
    Worker(#[source] io::Error),
    /// It cannot be reached, did not answer in time, or refuses the credentials or the commands.
    #[error("Redis is not available")]
    Unavailable(#[source] StorageError),
    /// It deletes keys when its memory is full, and with them the knowledge of which nonces were used.
    #[error("Redis may evict keys (maxmemory-policy {policy}); nonces need noeviction")]
    Evicts {
        /// Its `maxmemory-policy`.
        policy: String,
    },
}

/// Why Redis gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("Redis did not answer as it should")]
    Redis(#[source] RedisError),
    #[error("Redis did not answer within {} ms", .0.as_millis())]
    Late(Duration),
    #[error("others were always faster")]
    Contended,
    #[error("the connections to Redis are closed")]
    Closed,
    #[error(transparent)]
    Storage(StorageError),
}

impl Fault {
    /// Tells it as the trait's error.
    pub(crate) fn while_(self, doing: &'static str) -> StorageError {
        match self {
            Self::Storage(error) => error,
            Self::Redis(source) => StorageError::Unavailable { doing, source: source.into() },
            other => StorageError::Unavailable { doing, source: other.into() },
        }
    }
}

impl From<RedisError> for Fault {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

impl From<StorageError> for Fault {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}
