//! What becomes of the file when what was in it is over.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "these are tests, also outside of the functions that are marked so"
)]

mod common;

use std::fs;

use common::{DAY, NOW, account, cause, file, issue, sealed};
use coyote_storage::{AccountStore, JobQueue, Sweep};
use coyote_storage_sqlite::{Durability, SqliteOptions, SqliteStorage};
use tempfile::TempDir;

#[tokio::test]
async fn a_file_whose_contents_are_over_becomes_smaller_and_does_not_grow_for_ever() {
    let directory = TempDir::new().unwrap();
    let options = SqliteOptions { durability: Durability::Process, ..sealed(&[]) };
    let mut sizes = Vec::new();
    for round in 0..3 {
        let storage = SqliteStorage::open(file(&directory), options.clone()).unwrap();
        let owner = account(1);
        storage.create_account(owner.clone(), &cause(NOW)).await.unwrap();
        for number in 0..150 {
            issue(&storage, 1_000 * round + number, &owner).await;
        }
        drop(storage); // which writes the log into the file
        let full = fs::metadata(file(&directory)).unwrap().len();
        let storage = SqliteStorage::open(file(&directory), options.clone()).unwrap();
        let later = NOW + 1_000 * DAY;
        let sweep = Sweep {
            remove_expired_before: later,
            remove_issued_before: later,
            remove_audit_before: later,
            remove_traces_before: later,
            batch: 100,
        };
        while !storage.sweep(&sweep, &cause(later)).await.unwrap().is_empty() {}
        drop(storage);
        sizes.push((full, fs::metadata(file(&directory)).unwrap().len()));
    }
    let (first, last) = (sizes[0], sizes[2]);
    assert!(sizes.iter().all(|(full, swept)| swept * 2 < *full), "{sizes:?}");
    assert!(last.0 < first.0 * 5 / 4, "only the serial numbers stay: {sizes:?}");
}
