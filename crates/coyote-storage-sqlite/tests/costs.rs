//! What each ACME operation costs in SQLite, as the documentation says.

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
#[path = "../../coyote-server/tests/costs/mod.rs"]
mod costs;
#[path = "../../coyote-server/tests/acme/parts.rs"]
mod parts;
#[path = "../../coyote-server/tests/acme/world.rs"]
mod world;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use costs::{Costs, Counter, server};
use coyote_storage_sqlite::{SqliteOptions, SqliteStorage};
use diesel::connection::{InstrumentationEvent, set_default_instrumentation};
use tempfile::TempDir;

static STATEMENTS: AtomicU64 = AtomicU64::new(0);
static COMMITS: AtomicU64 = AtomicU64::new(0);

struct Listening;

impl Counter for Listening {
    fn look(&self) -> Vec<u64> {
        [&STATEMENTS, &COMMITS].map(|count| count.swap(0, Ordering::SeqCst)).to_vec()
    }
}

/// Listens to all connections of the process. What only reads has nothing to commit.
fn listen() {
    set_default_instrumentation(|| Some(Box::new(count))).unwrap();
}

fn count(event: InstrumentationEvent<'_>) {
    let InstrumentationEvent::StartQuery { query, .. } = event else { return };
    let query = query.to_string();
    let words = ["SELECT", "INSERT", "REPLACE", "UPDATE", "DELETE"];
    if words.iter().any(|word| query.starts_with(word)) {
        STATEMENTS.fetch_add(1, Ordering::SeqCst);
    } else if query.starts_with("BEGIN IMMEDIATE") {
        COMMITS.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn each_operation_costs_what_the_documentation_says() {
    listen();
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("coyote.sqlite3");
    let storage = Arc::new(SqliteStorage::open(file, SqliteOptions::default()).unwrap());
    let mut costs = Costs::new(Listening);
    costs.count(&server(storage, None)).await;
    costs.compare(1..3);
}
