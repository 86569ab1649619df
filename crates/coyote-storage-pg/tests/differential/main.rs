//! PostgreSQL compared with the memory store, which is the specification.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "these are tests, also outside of the functions that are marked so"
)]

#[path = "../common/mod.rs"]
mod common;

use std::sync::OnceLock;

use common::{Database, variable};
use coyote_storage::conformance::differential::{histories, same_as_memory};
use coyote_storage_pg::PgOptions;
use proptest::prelude::*;

/// All cases have this one, one after the other.
static DATABASE: OnceLock<Database> = OnceLock::new();

proptest! {
    // PROPTEST_CASES says how many, if this is not enough.
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn postgresql_answers_what_memory_answers(history in histories(), sealed: bool) {
        // Without a timer, and not the one that the connections live on.
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let database = DATABASE.get_or_init(Database::new);
        database.clear();
        runtime.block_on(async {
            // Some of them sealed.
            let keys: &[u8] = if sealed { &[1] } else { &[] };
            let options = PgOptions { connections: 2, ..common::sealed(keys) };
            same_as_memory(database.storage_with(options).await, history).await
        })?;
    }
}

fn cases() -> u32 {
    variable("PROPTEST_CASES").and_then(|cases| cases.parse().ok()).unwrap_or(64)
}
