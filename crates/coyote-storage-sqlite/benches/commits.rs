//! How many durable commits a second 1, 16 and 64 callers get, beside a loop of plain commits with diesel on the same
//! disk. Disks differ and neighbours disturb: compare the ratios, not the figures.

#![allow(clippy::unwrap_used, reason = "a measurement that fails is over")]

use std::{sync::Arc, time::Instant};

use coyote_jose::{Jwk, base64url};
use coyote_protocol::Timestamp;
use coyote_storage::{Account, AccountId, AccountStore, Actor, Cause, Creation, DirectoryId, RequestId};
use coyote_storage_sqlite::{SqliteOptions, SqliteStorage};
use diesel::{
    Connection, RunQueryDsl, SqliteConnection,
    connection::SimpleConnection,
    sql_query,
    sql_types::{Binary, Text},
};

const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_123);
const PLAIN: u32 = 5_000;

fn main() {
    let plain = plain();
    println!("{:<12}{plain:>10.0} commits/s", "plain loop");
    for (callers, commits) in [(1, 5_000), (16, 40_000), (64, 40_000)] {
        let rate = grouped(callers, commits);
        println!("{:<12}{rate:>10.0} commits/s {:>6.1} x", format!("{callers} callers"), rate / plain);
    }
}

/// One row of about the size of an account's a commit.
fn plain() -> f64 {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("plain.db");
    let mut connection = SqliteConnection::establish(file.to_str().unwrap()).unwrap();
    connection
        .batch_execute(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE plain (id BLOB NOT NULL PRIMARY KEY, text TEXT NOT NULL) STRICT",
        )
        .unwrap();
    let text = "x".repeat(300);
    let start = Instant::now();
    for number in 0..PLAIN {
        let insert = sql_query("INSERT INTO plain VALUES (?, ?)");
        let insert = insert.bind::<Binary, _>(bits(number)).bind::<Text, _>(&text);
        insert.execute(&mut connection).unwrap();
    }
    f64::from(PLAIN) / start.elapsed().as_secs_f64()
}

/// Accounts: two statements that read, two that write.
fn grouped(callers: u32, commits: u32) -> f64 {
    let directory = tempfile::tempdir().unwrap();
    let options = SqliteOptions::default();
    let storage = Arc::new(SqliteStorage::open(directory.path().join("coyote.db"), options).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let each = commits / callers;
    // Made before the clock starts.
    let accounts: Vec<Vec<Account>> =
        (0..callers).map(|caller| (caller * each..(caller + 1) * each).map(account).collect()).collect();
    let start = Instant::now();
    runtime.block_on(async {
        let tasks = accounts.into_iter().map(|accounts| {
            let storage = Arc::clone(&storage);
            tokio::spawn(async move {
                for account in accounts {
                    let created = storage.create_account(account, &cause()).await.unwrap();
                    assert!(matches!(created, Creation::Created(_)));
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
    });
    f64::from(each * callers) / start.elapsed().as_secs_f64()
}

fn account(number: u32) -> Account {
    let x = base64url::encode([bits(number), bits(number)].concat());
    Account {
        id: AccountId::from_bytes(bits(number).try_into().unwrap()),
        directory: DirectoryId::default(),
        key: Jwk::parse(&format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#)).unwrap(),
        contact: vec!["mailto:someone@example.org".into()],
        terms_of_service_agreed: Some(NOW),
        external_account: None,
        created: NOW,
        deactivated: None,
        revoked: None,
    }
}

fn cause() -> Cause {
    Cause {
        now: NOW,
        request: RequestId::from_bytes([7; 16]),
        actor: Actor::Anonymous,
        client: None,
        trace: None,
    }
}

/// 16 bytes that are in no order.
fn bits(number: u32) -> Vec<u8> {
    let mixed = u128::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    mixed.to_be_bytes().to_vec()
}
