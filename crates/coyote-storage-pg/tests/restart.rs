//! What a crash of the server leaves. Alone in its file, as it is everybody's server.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "these are tests, also outside of the functions that are marked so"
)]

mod common;

use std::process::Command;

use common::*;
use coyote_storage::{AccountStore, CertificateStore, OrderStore};

#[tokio::test]
async fn what_was_answered_outlives_the_server_and_the_storage_goes_on_when_that_is_back() {
    let database = Database::new();
    if variable("COYOTE_TEST_POSTGRES_DATA").is_none() {
        return; // somebody's own server, which is not ours to crash
    }
    let storage = database.storage().await;
    let owner = account(1);
    storage.create_account(owner.clone(), &cause(NOW)).await.unwrap();
    let certificate = issue(&storage, 2, &owner).await;

    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/postgres");
    let restarted = Command::new(script).arg("restart").status().unwrap();
    assert!(restarted.success(), "{restarted}");

    let found = storage.certificate(&owner.id, &certificate.id).await;
    assert_eq!(found.expect("a new connection takes the place of the lost one"), certificate);
    assert_eq!(storage.account(&owner.directory, &owner.id).await.unwrap(), owner);
    let order = storage.order(&owner.id, &certificate.order).await.unwrap();
    assert_eq!(order.certificate, Some(certificate.id));
    issue(&storage, 3, &owner).await;
}
