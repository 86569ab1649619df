//! What an issuance costs and how large the file is at 0, 10,000 and 100,000 certificates, plain and sealed, and after
//! retention. `cargo bench -p coyote-storage-sqlite --bench growth -- 0 1000` takes other numbers.

#![allow(clippy::unwrap_used, reason = "a measurement that fails is over")]

use std::fs;

use coyote_storage::{
    MemoryStorage,
    conformance::growth,
    sealing::{KeyRing, Sealing, SealingKey},
};
use coyote_storage_sqlite::{Durability, SqliteOptions, SqliteStorage};

fn main() {
    let numbers: Vec<u64> = std::env::args().filter_map(|number| number.parse().ok()).collect();
    let numbers = if numbers.is_empty() { vec![0, 10_000, 100_000] } else { numbers };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let ring = KeyRing::of(SealingKey::new([7; 32]).unwrap());
        for (name, sealing) in [("SQLite", Sealing::none()), ("SQLite, sealed", Sealing::with(ring))] {
            let directory = tempfile::tempdir().unwrap();
            let file = directory.path().join("coyote.db");
            // Without an fsync a commit: it is the processor that is measured.
            let options =
                SqliteOptions { durability: Durability::Process, sealing, ..SqliteOptions::default() };
            let storage = SqliteStorage::open(&file, options).unwrap();
            growth::measure(name, &storage, &numbers, async || fs::metadata(&file).unwrap().len()).await;
        }
        growth::measure("memory", &MemoryStorage::new(), &numbers, async || 0).await;
    });
}
