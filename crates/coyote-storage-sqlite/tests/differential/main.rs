//! SQLite compared with the memory store, which is the specification.

#![allow(clippy::unwrap_used, reason = "these are tests, also outside of the functions that are marked so")]

#[path = "../common/mod.rs"]
mod common;

use coyote_storage::conformance::differential::{histories, same_as_memory};
use coyote_storage_sqlite::{Durability, SqliteOptions, SqliteStorage};
use proptest::prelude::*;
use tempfile::TempDir;

proptest! {
    // PROPTEST_CASES says how many, if this is not enough.
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn sqlite_answers_what_memory_answers(history in histories(), sealed: bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let directory = TempDir::new().unwrap();
        // Some of them sealed.
        let keys: &[u8] = if sealed { &[1] } else { &[] };
        let options = SqliteOptions { durability: Durability::Process, ..common::sealed(keys) };
        let storage = SqliteStorage::open(common::file(&directory), options).unwrap();
        runtime.block_on(same_as_memory(storage, history))?;
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "proptest's own variable, which a configuration of ours would hide"
)]
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(64)
}
