//! Databases to test with, on the server that `scripts/postgres` starts, and what goes into them.

#![allow(unused_imports, dead_code, reason = "each test uses its own part of it")]

use std::{
    io::Write,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

pub(crate) use coyote_storage::conformance::seeded::*;
use coyote_storage::sealing::{KeyRing, Sealing, SealingKey};
use coyote_storage_pg::{PgOptions, PgStorage};
use tokio_postgres::{Client, Config, NoTls};

/// A database of its own with coyote's schema, which is gone when this is dropped.
pub(crate) struct Database {
    name: String,
    server: Config,
    pub(crate) url: String,
}

impl Database {
    pub(crate) fn new() -> Self {
        Self::of_template(Some(template()))
    }

    /// One in which there is nothing yet.
    pub(crate) fn empty() -> Self {
        Self::of_template(None)
    }

    fn of_template(template: Option<&str>) -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let url = server();
        let name = format!("coyote_test_{}_{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let database = Self { url: url_of(&url, &name), name, server: url.parse().unwrap() };
        let template = template.unwrap_or("template0");
        administer(database.server.clone(), format!("CREATE DATABASE {} TEMPLATE {template}", database.name));
        database
    }

    /// Takes everything out of it, as if it had just been made. Nobody may be connected: making another one takes ten
    /// times as long.
    pub(crate) fn clear(&self) {
        let tables = "SELECT string_agg(quote_ident(tablename), ',') FROM pg_tables \
                      WHERE schemaname = 'public' AND tablename <> 'schema_migrations'";
        let truncate =
            format!("DO $$ BEGIN EXECUTE 'TRUNCATE ' || ({tables}) || ' RESTART IDENTITY'; END $$");
        administer(self.url.parse().unwrap(), truncate);
    }

    pub(crate) async fn storage(&self) -> PgStorage {
        self.storage_with(PgOptions::default()).await
    }

    pub(crate) async fn storage_with(&self, options: PgOptions) -> PgStorage {
        PgStorage::connect(&self.url, options).await.expect("the database of the test")
    }

    /// A connection of somebody who knows nothing of us.
    pub(crate) async fn stranger(&self) -> Client {
        connect(&self.url.parse().unwrap()).await
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        administer(self.server.clone(), format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

/// The URL of the server. Without one there is nothing to test, which is told, and in CI is a failure.
pub(crate) fn server() -> String {
    match variable("COYOTE_TEST_POSTGRES_URL") {
        Some(url) => url,
        None if variable("CI").as_deref() == Some("true") => {
            panic!(
                "COYOTE_TEST_POSTGRES_URL is not set; try scripts/postgres run cargo test -p coyote-storage-pg"
            )
        }
        None => {
            let told = "SKIPPED: COYOTE_TEST_POSTGRES_URL is not set; \
                        try scripts/postgres run cargo test -p coyote-storage-pg\n";
            std::io::stderr().write_all(told.as_bytes()).ok(); // eprintln! would be captured
            std::process::exit(0);
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "this is how a test is told where its server is")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The same URL, with another database.
fn url_of(url: &str, database: &str) -> String {
    let (server, _) = url.rsplit_once('/').expect("a URL that ends with a database");
    format!("{server}/{database}")
}

/// The name of a database with the schema in it, which is made once and copied from then on.
fn template() -> &'static str {
    static TEMPLATE: OnceLock<String> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let (name, url) = (format!("coyote_template_{}", std::process::id()), server());
        administer(url.parse().unwrap(), format!("CREATE DATABASE {name} TEMPLATE template0"));
        let migrated = url_of(&url, &name);
        let url_of_template = migrated.clone();
        on_a_thread(async move {
            PgStorage::connect(&url_of_template, PgOptions::default()).await.expect("a schema");
        });
        // Each copy is to make a key of its own, as a new database does.
        let copied: Config = migrated.parse().unwrap();
        administer(copied, "DELETE FROM settings".into());
        // Nobody else has ever known it: whoever is connected is about to go.
        let quit = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname";
        administer(url.parse().unwrap(), format!("{quit} = '{name}'"));
        name
    })
}

/// Runs a statement on the server, one at a time, from wherever the test is.
fn administer(server: Config, statement: String) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    on_a_thread(async move {
        connect(&server).await.batch_execute(&statement).await.expect("a statement of the test itself");
    });
}

async fn connect(config: &Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.expect("the server of the tests");
    tokio::spawn(connection);
    client
}

fn on_a_thread(work: impl Future<Output = ()> + Send + 'static) {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    thread::spawn(move || runtime().block_on(work)).join().unwrap();
}

/// A key, made of this byte.
pub(crate) fn sealing_key(byte: u8) -> SealingKey {
    SealingKey::new([byte; 32]).unwrap()
}

/// Seals with these keys, of which the last is the current one; with none, not at all.
pub(crate) fn sealed(keys: &[u8]) -> PgOptions {
    let mut keys = keys.iter().map(|byte| sealing_key(*byte));
    let ring = keys.next().map(|first| keys.fold(KeyRing::of(first), |ring, key| ring.with(key)));
    let sealing = ring.map_or_else(Sealing::none, Sealing::with);
    PgOptions { sealing, ..PgOptions::default() }
}
