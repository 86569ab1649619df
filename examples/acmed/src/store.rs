//! Opening what `storage` and `nonces` name.

use std::sync::Arc;

use coyote_server::{
    Limits,
    storage::{Archive, MemoryStorage, NonceStore, RateLimitStore, Standing, Storage},
};
use coyote_storage_pg::{PgOptions, PgStorage};
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

/// Whether a storage is made for several replicas, each of which has to accept the others' nonces.
enum Shared {
    Yes,
    No,
}

impl Store {
    /// Opens it. It may block, and may bring a database up to date.
    pub(crate) async fn open(config: &Config, limits: &Limits) -> Result<Self, Failure> {
        let nonces = &config.nonces;
        match config.storage() {
            StorageUrl::Memory => Self::of(Arc::new(MemoryStorage::new()), nonces, Shared::No, limits),
            StorageUrl::Sqlite(path) => {
                let options =
                    SqliteOptions { nonce_lifetime: limits.nonce_lifetime, ..SqliteOptions::default() };
                let storage =
                    SqliteStorage::open(path, options).map_err(Failure::because("there is no storage"))?;
                require_in_service(&storage).await?;
                Self::of(Arc::new(storage), nonces, Shared::No, limits)
            }
            StorageUrl::Postgres(url) => {
                let options = PgOptions { nonce_lifetime: limits.nonce_lifetime, ..PgOptions::default() };
                let storage = PgStorage::connect(&url, options).await;
                let storage = storage.map_err(Failure::because("there is no storage"))?;
                require_in_service(&storage).await?;
                Self::of(Arc::new(storage), nonces, Shared::Yes, limits)
            }
        }
    }

    /// Opens that of a server, which may be running. Nothing is made.
    pub(crate) async fn open_existing(config: &Config, limits: &Limits) -> Result<Self, Failure> {
        match config.storage() {
            StorageUrl::Memory => {
                Err(Failure::new("what is in memory: is the server's alone; no other process can look at it"))
            }
            StorageUrl::Sqlite(path) if !path.exists() => Err(Failure::new(format!(
                "there is no database {}; say which server it is with --config or --data-dir",
                path.display()
            ))),
            _ => Self::open(config, limits).await,
        }
    }

    fn of<T>(store: Arc<T>, nonces: &Nonces, shared: Shared, limits: &Limits) -> Result<Self, Failure>
    where
        T: Storage + NonceStore + RateLimitStore,
    {
        let own: Arc<dyn NonceStore> = store.clone();
        let nonces = match (nonces, shared) {
            (Nonces::Auto, Shared::No) | (Nonces::Memory, _) => None,
            (Nonces::Auto, Shared::Yes) | (Nonces::Storage, _) => Some(own),
            (Nonces::Redis(url), _) => {
                let redis = Arc::new(redis(url, limits)?);
                return Ok(Self { rate_limits: redis.clone(), storage: store, nonces: Some(redis) });
            }
        };
        Ok(Self { rate_limits: store.clone(), storage: store, nonces })
    }
}

/// A storage in which not everything is yet, or from which everything has gone, is not to be used.
pub(crate) async fn require_in_service(storage: &dyn Archive) -> Result<(), Failure> {
    let standing = storage.standing().await;
    match standing.map_err(Failure::because("the storage cannot be read"))? {
        Standing::InService => Ok(()),
        Standing::Arriving { from } => Err(Failure::new(format!(
            "the storage is still being filled from {from}; run acmed migrate again to finish"
        ))),
        Standing::Left { to } => Err(Failure::new(format!(
            "everything has moved to {to}; set storage to that, or go back with acmed migrate --undo"
        ))),
    }
}

fn redis(url: &str, limits: &Limits) -> Result<RedisStore, Failure> {
    let options = RedisOptions { nonce_lifetime: limits.nonce_lifetime, ..RedisOptions::default() };
    RedisStore::connect(url, options).map_err(Failure::because("there is no place for nonces"))
}
