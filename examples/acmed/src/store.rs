//! Opening what `storage` and `nonces` name.

use std::{path::Path, sync::Arc};

use coyote_server::{
    Limits,
    storage::{Archive, MemoryStorage, NonceStore, RateLimitStore, Standing, Storage, sealing::Sealing},
};
use coyote_storage_pg::{ConnectError, PgOptions, PgStorage};
use coyote_storage_redis::{RedisOptions, RedisStore};
use coyote_storage_sqlite::{OpenError, SqliteOptions, SqliteStorage};

use crate::{
    config::{Config, Nonces, StorageUrl},
    failure::Failure,
};

/// Where everything is kept.
pub(crate) struct Store {
    pub(crate) storage: Arc<dyn Storage>,
    /// The same, as something that can move.
    pub(crate) archive: Arc<dyn Archive>,
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
        Self::open_as(config, limits, true).await
    }

    /// `migrate`: whether a database is brought up to date that is not.
    async fn open_as(config: &Config, limits: &Limits, migrate: bool) -> Result<Self, Failure> {
        let nonces = &config.nonces;
        match config.storage() {
            StorageUrl::Memory => Self::of(Arc::new(MemoryStorage::new()), nonces, Shared::No, limits),
            StorageUrl::Sqlite(path) => {
                let options = SqliteOptions {
                    nonce_lifetime: limits.nonce_lifetime,
                    sealing: config.sealing.sealing()?,
                    migrate,
                    ..SqliteOptions::default()
                };
                let storage = SqliteStorage::open(path, options).map_err(no_file)?;
                require_in_service(&storage).await?;
                Self::of(Arc::new(storage), nonces, Shared::No, limits)
            }
            StorageUrl::Postgres(url) => {
                let options = PgOptions {
                    nonce_lifetime: limits.nonce_lifetime,
                    sealing: config.sealing.sealing()?,
                    migrate,
                    ..config.postgres.options()
                };
                let storage = PgStorage::connect(&url, options).await.map_err(no_database)?;
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
            StorageUrl::Sqlite(path) => {
                require_file(&path)?;
                Self::open_as(config, limits, false).await
            }
            StorageUrl::Postgres(_) => Self::open_as(config, limits, false).await,
        }
    }

    fn of<T>(store: Arc<T>, nonces: &Nonces, shared: Shared, limits: &Limits) -> Result<Self, Failure>
    where
        T: Storage + Archive + NonceStore + RateLimitStore,
    {
        let (own, archive): (Arc<dyn NonceStore>, Arc<dyn Archive>) = (store.clone(), store.clone());
        let nonces = match (nonces, shared) {
            (Nonces::Auto, Shared::No) | (Nonces::Memory, _) => None,
            (Nonces::Auto, Shared::Yes) | (Nonces::Storage, _) => Some(own),
            (Nonces::Redis(url), _) => {
                let redis = Arc::new(redis(url, limits)?);
                return Ok(Self { rate_limits: redis.clone(), storage: store, archive, nonces: Some(redis) });
            }
        };
        Ok(Self { rate_limits: store.clone(), storage: store, archive, nonces })
    }
}

/// A storage in which not everything is yet, or from which everything has gone, is not to be used.
pub(crate) async fn require_in_service(storage: &dyn Archive) -> Result<(), Failure> {
    let standing = storage.standing().await;
    match standing.map_err(Failure::because("the storage cannot be read"))? {
        Standing::InService => Ok(()),
        Standing::Arriving { from, .. } => Err(Failure::new(format!(
            "the storage is still being filled from {from}; run acmed migrate again to finish"
        ))),
        Standing::Left { to, .. } => Err(Failure::new(format!(
            "everything has moved to {to}; set storage to that, or go back with acmed migrate --undo"
        ))),
    }
}

fn redis(url: &str, limits: &Limits) -> Result<RedisStore, Failure> {
    let options = RedisOptions { nonce_lifetime: limits.nonce_lifetime, ..RedisOptions::default() };
    RedisStore::connect(url, options).map_err(Failure::because("there is no place for nonces"))
}

/// Why a file is no storage, and what to do.
pub(crate) fn no_file(error: OpenError) -> Failure {
    let keys = matches!(error, OpenError::Sealed { .. });
    let failure = Failure::because("there is no storage")(error);
    if keys { failure.hint(KEYS) } else { failure }
}

/// Why a database is no storage, and what to do.
pub(crate) fn no_database(error: ConnectError) -> Failure {
    let keys = matches!(error, ConnectError::Sealed(_));
    let failure = Failure::because("there is no storage")(error);
    if keys { failure.hint(KEYS) } else { failure }
}

const KEYS: &str = "put that key back into the file or command that [sealing] names";

/// The file of a server's database is there.
pub(crate) fn require_file(path: &Path) -> Result<(), Failure> {
    if path.exists() {
        return Ok(());
    }
    let path = path.display();
    Err(Failure::new(format!(
        "there is no database {path}; say which server it is with --config or --data-dir"
    )))
}

/// A database that is there and up to date, beside its server.
pub(crate) fn existing_file(path: &Path, sealing: Sealing) -> Result<SqliteStorage, Failure> {
    require_file(path)?;
    let options = SqliteOptions { sealing, migrate: false, ..SqliteOptions::default() };
    SqliteStorage::open(path, options).map_err(no_file)
}

/// The same in PostgreSQL.
pub(crate) async fn existing_database(url: &str, sealing: Sealing) -> Result<PgStorage, Failure> {
    let options = PgOptions { sealing, migrate: false, ..PgOptions::default() };
    PgStorage::connect(url, options).await.map_err(no_database)
}

/// Does what a command does beside a server.
pub(crate) fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Failure::because("the runtime could not be started"))?.block_on(work)
}
