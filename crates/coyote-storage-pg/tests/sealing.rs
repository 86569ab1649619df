//! What a stolen dump shows, and what becomes of cells that somebody meddled with.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "these are tests, also outside of the functions that are marked so"
)]

mod common;

use std::{collections::BTreeSet, error::Error, pin::pin};

use common::{Database, NOW, account, cause, sealed, sealing_key};
use coyote_storage::{
    AccountStore, JobQueue, NonceStore, StorageError, Sweep, conformance::canaries::Canaries,
};
use coyote_storage_pg::{ConnectError, PgStorage};
use futures_util::StreamExt;

/// All that is in all tables, as the bytes that it is, and as text, in which bytes are hexadecimal.
async fn dump(database: &Database) -> Vec<u8> {
    let stranger = database.stranger().await;
    let tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'";
    let tables = stranger.query(tables, &[]).await.unwrap();
    assert!(tables.len() > 10);
    let mut dump = Vec::new();
    for table in tables {
        let table: String = table.get(0);
        for form in ["binary", "text"] {
            let copy = stranger.copy_out(&format!("COPY {table} TO STDOUT (FORMAT {form})")).await.unwrap();
            let mut copy = pin!(copy);
            while let Some(part) = copy.next().await {
                dump.extend(part.unwrap());
            }
        }
    }
    dump
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

async fn refusal(database: &Database, keys: &[u8]) -> String {
    match PgStorage::connect(&database.url, sealed(keys)).await {
        Err(error @ ConnectError::Sealed(_)) => told(&error),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_dump_shows_nothing_of_what_is_sealed() {
    for (keys, sealed_at_all) in [(&[][..], false), (&[1], true)] {
        let database = Database::new();
        let storage = database.storage_with(sealed(keys)).await;
        let canaries = Canaries::plant(&storage, 3).await;
        let found = canaries.found_in(&dump(&database).await);
        if sealed_at_all {
            assert_eq!(found, BTreeSet::new());
        } else {
            let mut missing = &canaries.names() - &found;
            missing.remove("old contact"); // which is overwritten
            assert_eq!(missing, BTreeSet::new(), "a thief finds what is not sealed");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_database_is_sealed_by_sweeps() {
    let database = Database::new();
    let storage = database.storage_with(sealed(&[])).await;
    let canaries = Canaries::plant(&storage, 12).await;
    let nonce = storage.issue(NOW).await.unwrap();
    drop(storage);

    let storage = database.storage_with(sealed(&[1])).await;
    Canaries::read_back(&storage, 12).await;
    assert!(storage.consume(&nonce, NOW).await.unwrap(), "the key of the nonces is the same");
    let mut resealed = 0;
    while !storage.reseal(0).await.unwrap().settled {
        let sweep = Sweep {
            remove_expired_before: NOW,
            remove_issued_before: NOW,
            remove_audit_before: NOW,
            remove_traces_before: NOW,
            batch: 5,
        };
        resealed += storage.sweep(&sweep, &cause(NOW)).await.unwrap().cells_resealed;
    }
    assert_eq!(
        resealed,
        12 * 6 + 1,
        "contact, CSR, two of the certificate and of the key; that of the nonces"
    );
    Canaries::read_back(&storage, 12).await;
    assert_eq!(canaries.found_in(&dump(&database).await), BTreeSet::new());
    assert!(refusal(&database, &[]).await.contains("there is no key ring"));
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_seal_anew_at_the_same_time_and_the_old_key_is_needed_until_they_are_done() {
    let database = Database::new();
    let first = database.storage_with(sealed(&[1])).await;
    Canaries::plant(&first, 12).await;
    let one = database.storage_with(sealed(&[1, 2])).await;
    let other = database.storage_with(sealed(&[1, 2])).await;
    assert!(refusal(&database, &[2]).await.contains(&sealing_key(1).id().to_string()));
    assert!(refusal(&database, &[1]).await.contains(&sealing_key(2).id().to_string()));

    let both = tokio::join!(one.reseal(1_000), other.reseal(1_000));
    let sealed_anew = both.0.unwrap().cells + both.1.unwrap().cells;
    assert_eq!(sealed_anew, 12 * 6 + 1, "none twice");
    while !one.reseal(1_000).await.unwrap().settled {}
    while !other.reseal(1_000).await.unwrap().settled {}
    let storage = database.storage_with(sealed(&[2])).await;
    Canaries::read_back(&storage, 12).await;
    assert!(refusal(&database, &[1]).await.contains("is not in the key ring"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_under_an_old_key_after_another_had_settled_is_found_at_the_next_start() {
    let database = Database::new();
    let behind = database.storage_with(sealed(&[2, 1])).await;
    let ahead = database.storage_with(sealed(&[1, 2])).await;
    while !ahead.reseal(1_000).await.unwrap().settled {}
    Canaries::plant(&behind, 3).await;

    let storage = database.storage_with(sealed(&[1, 2])).await;
    assert_eq!(storage.reseal(1_000).await.unwrap().cells, 3 * 6, "whatever the mark says");
    while !storage.reseal(1_000).await.unwrap().settled {}
    Canaries::read_back(&database.storage_with(sealed(&[2])).await, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cell_that_was_swapped_cut_or_is_somebody_elses_is_an_error_that_names_its_row() {
    let database = Database::new();
    let storage = database.storage_with(sealed(&[1])).await;
    Canaries::plant(&storage, 2).await;
    let stranger = database.stranger().await;
    stranger.batch_execute("CREATE TABLE kept AS SELECT id, contact FROM accounts").await.unwrap();
    for (meddled, why) in [
        ("(SELECT contact FROM kept WHERE kept.id <> accounts.id)", "belongs to another row"),
        ("(SELECT csr FROM orders WHERE account_id = accounts.id)", "belongs to another row"),
        ("substring(contact FROM 1 FOR length(contact) - 1)", "it was changed"),
        ("substring(contact FROM 1 FOR 20)", "it is cut off"),
        ("''", "it is cut off"),
        ("'[]'", "neither plain nor sealed"),
        ("overlay(contact PLACING '\\x0000' FROM 3)", "is not in the key ring"),
    ] {
        stranger.batch_execute(&format!("UPDATE accounts SET contact = {meddled}")).await.unwrap();
        for account in [account(0), account(1)] {
            let error = storage.account(&account.directory, &account.id).await.unwrap_err();
            assert!(matches!(error, StorageError::Sealed { .. }), "{meddled}: {error:?}");
            let told = told(&error);
            assert!(told.starts_with(&format!("accounts.contact of {}", account.id)), "{told}");
            assert!(told.contains(why) && !told.contains("canary"), "{meddled}: {told}");
        }
        let back = "UPDATE accounts SET contact = kept.contact FROM kept WHERE kept.id = accounts.id";
        stranger.batch_execute(back).await.unwrap();
        Canaries::read_back(&storage, 2).await;
    }
}
