//! What a stolen file shows, and what becomes of cells that somebody meddled with.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "these are tests, also outside of the functions that are marked so"
)]

mod common;

use std::{collections::BTreeSet, error::Error, fs, path::Path};

use common::{NOW, account, cause, file, sealed, sealing_key};
use coyote_storage::{
    AccountStore, ExternalAccountStore, JobQueue, NonceStore, StorageError, Sweep,
    conformance::canaries::Canaries,
};
use coyote_storage_sqlite::{Durability, OpenError, SqliteOptions, SqliteStorage};
use diesel::{Connection, QueryableByName, RunQueryDsl, SqliteConnection, sql_query, sql_types::Binary};
use tempfile::TempDir;

fn open(directory: &TempDir, options: SqliteOptions) -> SqliteStorage {
    let options = SqliteOptions { durability: Durability::Process, ..options };
    SqliteStorage::open(file(directory), options).unwrap()
}

/// All that a thief finds: the file, and its companions.
fn stolen(directory: &Path) -> Vec<u8> {
    let files = fs::read_dir(directory).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
    files.collect::<Vec<_>>().concat()
}

fn connect(directory: &TempDir) -> SqliteConnection {
    SqliteConnection::establish(file(directory).to_str().unwrap()).unwrap()
}

fn run(directory: &TempDir, statement: &str) -> usize {
    sql_query(statement).execute(&mut connect(directory)).unwrap()
}

#[derive(QueryableByName)]
struct Cell {
    #[diesel(sql_type = Binary)]
    cell: Vec<u8>,
}

fn cells(directory: &TempDir, query: &str) -> Vec<Vec<u8>> {
    let rows: Vec<Cell> = sql_query(query).load(&mut connect(directory)).unwrap();
    rows.into_iter().map(|row| row.cell).collect()
}

fn told(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        told = format!("{told}: {error}");
        next = error.source();
    }
    told
}

fn refusal(directory: &TempDir, keys: &[u8]) -> String {
    match SqliteStorage::open(file(directory), sealed(keys)) {
        Err(error @ OpenError::Sealed { .. }) => told(&error),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_stolen_file_shows_nothing_of_what_is_sealed() {
    for (keys, sealed_at_all) in [(&[][..], false), (&[1], true)] {
        let directory = TempDir::new().unwrap();
        let storage = open(&directory, sealed(keys));
        let canaries = Canaries::plant(&storage, 20).await;
        storage.issue(NOW).await.unwrap();
        let running = stolen(directory.path()); // with the write-ahead log
        drop(storage);
        for bytes in [running, stolen(directory.path())] {
            let found = canaries.found_in(&bytes);
            if sealed_at_all {
                assert_eq!(found, BTreeSet::new());
            } else {
                let mut missing = &canaries.names() - &found;
                missing.remove("old contact"); // which may be overwritten by now
                assert_eq!(missing, BTreeSet::new(), "a thief finds what is not sealed");
            }
        }
    }
}

#[tokio::test]
async fn a_plain_file_is_sealed_by_sweeps_and_compacted_keeps_nothing_of_what_was_plain() {
    let directory = TempDir::new().unwrap();
    let storage = open(&directory, sealed(&[]));
    let canaries = Canaries::plant(&storage, 60).await;
    let nonce = storage.issue(NOW).await.unwrap();
    drop(storage);

    let storage = open(&directory, sealed(&[1]));
    Canaries::read_back(&storage, 60).await;
    assert!(storage.consume(&nonce, NOW).await.unwrap(), "the key of the nonces is the same");
    let mut resealed = 0;
    while !storage.reseal(0).await.unwrap().settled {
        let sweep = Sweep {
            remove_expired_before: NOW,
            remove_issued_before: NOW,
            remove_audit_before: NOW,
            remove_traces_before: NOW,
            batch: 25,
        };
        resealed += storage.sweep(&sweep, &cause(NOW)).await.unwrap().cells_resealed;
    }
    assert_eq!(
        resealed,
        60 * 6 + 1,
        "contact, CSR, two of the certificate and of the key; that of the nonces"
    );
    storage.compact().await.unwrap();
    assert_eq!(canaries.found_in(&stolen(directory.path())), BTreeSet::new());
    Canaries::read_back(&storage, 60).await;
    drop(storage);
    assert_eq!(canaries.found_in(&stolen(directory.path())), BTreeSet::new());
    assert!(refusal(&directory, &[]).contains("there is no key ring"));
}

#[tokio::test]
async fn an_old_key_is_needed_until_all_is_sealed_under_the_new_one() {
    let directory = TempDir::new().unwrap();
    Canaries::plant(&open(&directory, sealed(&[1])), 30).await;
    let storage = open(&directory, sealed(&[1, 2]));
    Canaries::read_back(&storage, 30).await;
    let some = storage.reseal(10).await.unwrap();
    assert!(some.cells >= 10 && !some.settled, "{some:?}");
    drop(storage);
    for (keys, wanted) in [(&[2][..], sealing_key(1)), (&[1], sealing_key(2)), (&[3], sealing_key(1))] {
        let refusal = refusal(&directory, keys);
        assert!(refusal.contains("is not in the key ring"), "{refusal}");
        assert!(keys != [2] || refusal.contains(&wanted.id().to_string()), "{refusal}");
    }

    let storage = open(&directory, sealed(&[1, 2]));
    while !storage.reseal(1_000).await.unwrap().settled {}
    drop(storage);
    let storage = open(&directory, sealed(&[2]));
    Canaries::read_back(&storage, 30).await;
    assert_eq!(storage.reseal(1_000).await.unwrap().cells, 0);
    assert!(refusal(&directory, &[1]).contains("is not in the key ring"));
}

#[tokio::test]
async fn what_was_written_under_an_old_key_after_another_had_settled_is_found_at_the_next_start() {
    let directory = TempDir::new().unwrap();
    let behind = open(&directory, sealed(&[2, 1]));
    let ahead = open(&directory, sealed(&[1, 2]));
    while !ahead.reseal(1_000).await.unwrap().settled {}
    Canaries::plant(&behind, 3).await;
    drop((behind, ahead));

    let storage = open(&directory, sealed(&[1, 2]));
    let mut cells = 0;
    loop {
        let done = storage.reseal(1_000).await.unwrap();
        cells += done.cells;
        if done.settled {
            break;
        }
    }
    assert_eq!(cells, 3 * 6, "contact, CSR, two of the certificate and of the key");
    drop(storage);
    Canaries::read_back(&open(&directory, sealed(&[2])), 3).await;
}

#[tokio::test]
async fn a_cell_that_was_swapped_cut_or_is_somebody_elses_is_an_error_that_names_its_row() {
    let directory = TempDir::new().unwrap();
    let storage = open(&directory, sealed(&[1]));
    Canaries::plant(&storage, 2).await;
    let [one, other] = [account(0), account(1)];
    let kept = cells(&directory, "SELECT contact AS cell FROM accounts ORDER BY id");
    let elsewhere = TempDir::new().unwrap();
    Canaries::plant(&open(&elsewhere, sealed(&[2])), 2).await;
    let theirs = cells(&elsewhere, "SELECT contact AS cell FROM accounts ORDER BY id");

    let attach = format!("ATTACH '{}' AS theirs", file(&elsewhere).display());
    for (meddled, why) in [
        (
            "UPDATE accounts SET contact = o.contact FROM (SELECT id, contact FROM accounts) AS o WHERE o.id <> accounts.id",
            "belongs to another row",
        ),
        (
            "UPDATE accounts SET contact = (SELECT csr FROM orders WHERE account_id = accounts.id)",
            "belongs to another row",
        ),
        ("UPDATE accounts SET contact = substr(contact, 1, length(contact) - 1)", "it was changed"),
        ("UPDATE accounts SET contact = substr(contact, 1, 20)", "it is cut off"),
        ("UPDATE accounts SET contact = x''", "it is cut off"),
        ("UPDATE accounts SET contact = x'5b5d'", "neither plain nor sealed"),
        (
            "UPDATE accounts SET contact = (SELECT contact FROM theirs.accounts AS o WHERE o.id = accounts.id)",
            "is not in the key ring",
        ),
    ] {
        let mut connection = connect(&directory);
        sql_query(&attach).execute(&mut connection).unwrap();
        sql_query(meddled).execute(&mut connection).unwrap();
        for account in [&one, &other] {
            let error = storage.account(&account.directory, &account.id).await.unwrap_err();
            assert!(matches!(error, StorageError::Sealed { .. }), "{meddled}: {error:?}");
            let told = told(&error);
            assert!(told.starts_with(&format!("accounts.contact of {}", account.id)), "{told}");
            assert!(told.contains(why) && !told.contains("canary"), "{told}");
        }
        for (id, cell) in [(&one, &kept), (&other, &kept)].map(|(account, kept)| (account.id, kept)) {
            let place = usize::from(id != one.id.min(other.id));
            let back = sql_query("UPDATE accounts SET contact = ? WHERE id = ?");
            let back = back.bind::<Binary, _>(&cell[place]).bind::<Binary, _>(id.as_bytes().as_slice());
            back.execute(&mut connect(&directory)).unwrap();
        }
        Canaries::read_back(&storage, 2).await;
    }
    assert_ne!(kept, theirs);

    run(&directory, "UPDATE external_account_keys SET secret = comment");
    let error = storage.external_account_key(&one.directory, "kid 1").await.unwrap_err();
    assert!(told(&error).starts_with("external_account_keys.secret of "), "{}", told(&error));
    assert!(told(&error).contains("kid 1"), "{}", told(&error));
}

#[tokio::test]
async fn what_cannot_be_opened_is_left_and_keeps_its_key_in_use() {
    let directory = TempDir::new().unwrap();
    Canaries::plant(&open(&directory, sealed(&[1])), 3).await;
    let one = account(0).id.to_string();
    run(&directory, "UPDATE orders SET csr = substr(csr, 1, length(csr) - 1)");
    let storage = open(&directory, sealed(&[1, 2]));
    for _ in 0..3 {
        assert!(!storage.reseal(1_000).await.unwrap().settled, "{one}");
    }
    drop(storage);
    assert!(refusal(&directory, &[2]).contains("is not in the key ring"));
}
