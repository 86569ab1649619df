//! What each ACME operation costs in PostgreSQL, as the documentation says.

#![allow(
    dead_code,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "these are tests, also outside of the functions that are marked so; and they share what they play with"
)]

#[path = "../../coyote-server/tests/acme/account.rs"]
mod account;
mod common;
#[path = "../../coyote-server/tests/costs/mod.rs"]
mod costs;
#[path = "../../coyote-server/tests/acme/parts.rs"]
mod parts;
#[path = "../../coyote-server/tests/acme/world.rs"]
mod world;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use common::Database;
use costs::{Costs, Counter, server};
use coyote_storage_pg::{PgOptions, PgStorage};
use diesel::connection::{InstrumentationEvent, set_default_instrumentation};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    time::sleep,
};
use tokio_postgres::config::Host;

/// How long what is sent to the server is on its way: much longer than anything takes that is sent together.
const LATENCY: Duration = Duration::from_millis(150);

static TRIPS: AtomicU64 = AtomicU64::new(0);
static STATEMENTS: AtomicU64 = AtomicU64::new(0);
static COMMITS: AtomicU64 = AtomicU64::new(0);
static IN_TRANSACTION: AtomicBool = AtomicBool::new(false);

struct Listening;

impl Counter for Listening {
    fn look(&self) -> Vec<u64> {
        [&TRIPS, &STATEMENTS, &COMMITS].map(|count| count.swap(0, Ordering::SeqCst)).to_vec()
    }
}

/// Listens to all connections of the process.
fn listen() {
    set_default_instrumentation(|| Some(Box::new(count))).unwrap();
}

/// What only reads has nothing to commit; what writes outside of a transaction is one.
fn count(event: InstrumentationEvent<'_>) {
    let InstrumentationEvent::StartQuery { query, .. } = event else { return };
    let query = query.to_string();
    let is_one_of = |words: &[&str]| words.iter().any(|word| query.starts_with(word));
    let writes = is_one_of(&["INSERT", "WITH", "UPDATE", "DELETE"]);
    if query.starts_with("BEGIN") {
        IN_TRANSACTION.store(true, Ordering::SeqCst);
        COMMITS.fetch_add(u64::from(query.contains("READ WRITE")), Ordering::SeqCst);
    } else if is_one_of(&["COMMIT", "ROLLBACK"]) {
        IN_TRANSACTION.store(false, Ordering::SeqCst);
    } else if writes || query.starts_with("SELECT") {
        STATEMENTS.fetch_add(1, Ordering::SeqCst);
        let alone = writes && !IN_TRANSACTION.load(Ordering::SeqCst);
        COMMITS.fetch_add(u64::from(alone), Ordering::SeqCst);
    }
}

/// The URL of the database behind a proxy that counts the round trips of its one connection: what comes while what came
/// before is still on its way to the server was sent without waiting for an answer.
async fn behind_a_proxy(database: &Database) -> String {
    let config: tokio_postgres::Config = database.url.parse().unwrap();
    let Host::Tcp(host) = config.get_hosts()[0].clone() else { panic!("the server of the tests is on TCP") };
    let (user, name) = (config.get_user().unwrap().to_owned(), config.get_dbname().unwrap().to_owned());
    let server = (host, config.get_ports()[0]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(server.clone()).await.unwrap();
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            tokio::spawn(async move { copy(&mut from_server, &mut to_client).await.ok() });
            tokio::spawn(async move {
                let mut buffer = vec![0; 64 * 1024];
                while let Ok(length @ 1..) = from_client.read(&mut buffer).await {
                    TRIPS.fetch_add(1, Ordering::SeqCst);
                    let mut burst = buffer[..length].to_vec();
                    let sent = Instant::now() + LATENCY;
                    while let Some(left) = sent.checked_duration_since(Instant::now()) {
                        tokio::select! {
                            () = sleep(left) => break,
                            more = from_client.read(&mut buffer) => match more {
                                Ok(length @ 1..) => burst.extend_from_slice(&buffer[..length]),
                                _ => break,
                            },
                        }
                    }
                    if to_server.write_all(&burst).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    format!("postgres://{user}@127.0.0.1:{port}/{name}")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_operation_costs_what_the_documentation_says() {
    let database = Database::new();
    let url = behind_a_proxy(&database).await;
    listen();
    let one = PgOptions { connections: 1, ..PgOptions::default() };
    let storage = Arc::new(PgStorage::connect(&url, one).await.unwrap());
    let mut costs = Costs::new(Listening);
    costs.count(&server(storage.clone(), Some(storage))).await;
    costs.compare(3..6);
}
