//! Opening what `storage` and `nonces` name.

use std::sync::Arc;

use coyote_server::{
    Limits,
    storage::{MemoryStorage, NonceStore, RateLimitStore, Storage},
};
use coyote_storage_redis::{RedisOptions, RedisStore};
use coyote_storage_sqlite::{SqliteOptions, SqliteStorage};

use crate::{
    config::{Config, Nonces, StorageUrl},
    failure::Failure,
};

/// Where everything is kept.
pub(crate) struct Store {
    pub(crate) storage: Arc<dyn Storage>,
    /// Where nonces are kept; without it, in the server.
    pub(crate) nonces: Option<Arc<dyn NonceStore>>,
    /// Where rate limits are counted.
    pub(crate) rate_limits: Arc<dyn RateLimitStore>,
}

impl Store {
    /// Opens it. It blocks, and may bring a database up to date.
    pub(crate) fn open(config: &Config, limits: &Limits) -> Result<Self, Failure> {
        match config.storage() {
            StorageUrl::Memory => Self::of(Arc::new(MemoryStorage::new()), &config.nonces, limits),
            StorageUrl::Sqlite(path) => {
                let options =
                    SqliteOptions { nonce_lifetime: limits.nonce_lifetime, ..SqliteOptions::default() };
                let storage =
                    SqliteStorage::open(path, options).map_err(Failure::because("there is no storage"))?;
                Self::of(Arc::new(storage), &config.nonces, limits)
            }
        }
    }

    fn of<T>(store: Arc<T>, nonces: &Nonces, limits: &Limits) -> Result<Self, Failure>
    where
        T: Storage + NonceStore + RateLimitStore,
    {
        let own: Arc<dyn NonceStore> = store.clone();
        // These storages are one process's, and so can its nonces be.
        let nonces = match nonces {
            Nonces::Auto | Nonces::Memory => None,
            Nonces::Storage => Some(own),
            Nonces::Redis(url) => {
                let redis = Arc::new(redis(url, limits)?);
                return Ok(Self { rate_limits: redis.clone(), storage: store, nonces: Some(redis) });
            }
        };
        Ok(Self { rate_limits: store.clone(), storage: store, nonces })
    }
}

fn redis(url: &str, limits: &Limits) -> Result<RedisStore, Failure> {
    let options = RedisOptions { nonce_lifetime: limits.nonce_lifetime, ..RedisOptions::default() };
    RedisStore::connect(url, options).map_err(Failure::because("there is no place for nonces"))
}
