//! What the file keeps, whatever happens to the process, and what becomes of files that it should not touch.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "these are tests, also outside of the functions that are marked so"
)]

mod common;

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use common::{
    DAY, MINUTE, NOW, account, bits, cause, dns, file, issue, key, order, placing, terms, validate,
};
use coyote_protocol::RevocationReason;
use coyote_storage::{
    AccountId, AccountStore, AuditFilter, AuditLog, AuthorizationStore, BeginRevocation, BeginValidation,
    CertificateStore, Claim, Creation, DirectoryId, JobQueue, NonceStore, OrderStore, Quota, RateLimitStore,
    StorageError, Telling,
};
use coyote_storage_sqlite::{Durability, OpenError, SqliteOptions, SqliteStorage};
use diesel::{Connection, SqliteConnection, connection::SimpleConnection};
use tempfile::TempDir;

fn open(file: &Path) -> SqliteStorage {
    SqliteStorage::open(file, SqliteOptions::default()).unwrap()
}

/// A connection of somebody who knows nothing of us.
fn stranger(file: &Path) -> SqliteConnection {
    SqliteConnection::establish(file.to_str().unwrap()).unwrap()
}

#[tokio::test]
async fn all_that_was_answered_is_there_when_the_file_is_opened_again() {
    let directory = TempDir::new().unwrap();
    let storage = open(&file(&directory));
    let owner = account(10);
    storage.create_account(owner.clone(), &cause(NOW)).await.unwrap();
    let certificate = issue(&storage, 11, &owner).await;
    let (reason, id) = (RevocationReason::Superseded, certificate.id);
    let begin = BeginRevocation { certificate: id, reason, telling: Telling::NotNeeded };
    let revoked = storage.revoke_certificate(begin, &cause(NOW)).await.unwrap().certificate;
    let pending = order(12, owner.id, &[dns("b.example.org"), dns("*.example.org")]);
    let pending = storage.create_order(placing(pending, []), &cause(NOW)).await.unwrap();
    let authorization = &pending.authorizations[1];
    let begin = BeginValidation {
        account: owner.id,
        authorization: authorization.id,
        challenge: authorization.challenges[0].id,
        lease: None,
    };
    storage.begin_validation(begin, &cause(NOW)).await.unwrap().lease.ok_or(()).unwrap_err();
    let quota = Quota { amount: 1, period: DAY };
    assert!(storage.take("somebody", &quota, 1, NOW).await.unwrap().allowed);
    let pending = storage.order(&owner.id, &pending.id).await.unwrap();
    let issued = storage.order(&owner.id, &certificate.order).await.unwrap();
    let everything = AuditFilter { subject: None, limit: 100 };
    let audit = storage.audit(&everything).await.unwrap();
    drop(storage);

    let storage = open(&file(&directory));

    assert_eq!(storage.account(&owner.directory, &owner.id).await.unwrap(), owner);
    assert_eq!(storage.order(&owner.id, &pending.id).await.unwrap(), pending);
    assert_eq!(storage.order(&owner.id, &issued.id).await.unwrap(), issued);
    assert_eq!(storage.certificate(&owner.id, &certificate.id).await.unwrap(), revoked);
    assert_eq!(storage.reserved_serial(&certificate.serial).await.unwrap(), issued.id);
    assert_eq!(storage.audit(&everything).await.unwrap(), audit);
    assert_eq!(audit.len(), 3, "an account, a certificate and its revocation: {audit:?}");
    assert!(!storage.take("somebody", &quota, 1, NOW).await.unwrap().allowed);
    let claim =
        Claim { directory: DirectoryId::default(), kind: None, limit: 9, terms: terms(1, NOW + MINUTE) };
    assert_eq!(storage.claim_jobs(&claim, &cause(NOW)).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_nonce_outlives_the_process_and_is_used_once_all_the_same() {
    let directory = TempDir::new().unwrap();
    let storage = open(&file(&directory));
    let (used, unused) = (storage.issue(NOW).await.unwrap(), storage.issue(NOW).await.unwrap());
    assert!(storage.consume(&used, NOW).await.unwrap());
    drop(storage);

    let storage = open(&file(&directory));

    assert!(!storage.consume(&used, NOW).await.unwrap());
    assert!(storage.consume(&unused, NOW).await.unwrap());
}

/// The one who is killed: it tells which accounts it was promised to be kept.
#[test]
#[ignore = "another test runs it in a process of its own"]
#[allow(clippy::disallowed_methods, reason = "the environment is how the one test tells the other")]
fn opens_accounts_until_it_is_killed() {
    let file = std::env::var_os("COYOTE_TEST_FILE").expect("the file to write to");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    let storage = Arc::new(open(file.as_ref()));
    let workers = (0..16).map(|worker| {
        let storage = Arc::clone(&storage);
        runtime.spawn(async move {
            for seed in (worker * 1_000_000..).take(1_000_000) {
                let account = account(seed);
                let id = account.id;
                storage.create_account(account, &cause(NOW)).await.unwrap();
                println!("\npromised {id}");
            }
        })
    });
    let workers: Vec<_> = workers.collect();
    runtime.block_on(async {
        for worker in workers {
            worker.await.unwrap();
        }
    });
}

#[tokio::test]
async fn what_was_answered_survives_kill_9() {
    let directory = TempDir::new().unwrap();
    for round in 1..=3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["opens_accounts_until_it_is_killed", "--exact", "--ignored", "--nocapture"])
            .env("COYOTE_TEST_FILE", file(&directory).with_extension(round.to_string()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut promised = lines.map_while(Result::ok).filter_map(|line| {
            let id = line.strip_prefix("promised ")?;
            Some(id.parse::<AccountId>().unwrap())
        });
        let mut kept: Vec<AccountId> = promised.by_ref().take(200 * round).collect();
        child.kill().unwrap();
        kept.extend(promised); // what it had said before it died
        child.wait().unwrap();

        let storage = open(&file(&directory).with_extension(round.to_string()));

        assert!(kept.len() >= 200, "the child has done something");
        for id in kept {
            storage.account(&DirectoryId::default(), &id).await.expect("an account that was promised");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_that_have_the_file_open_see_each_others_writes_and_never_both_win() {
    let directory = TempDir::new().unwrap();
    let both = [Arc::new(open(&file(&directory))), Arc::new(open(&file(&directory)))];
    for round in 0..50 {
        let attempts = both.clone().map(|storage| {
            let account = common::account(1000 + round);
            tokio::spawn(async move { storage.create_account(account, &cause(NOW)).await.unwrap() })
        });
        let mut created = 0;
        for attempt in attempts {
            created += u32::from(matches!(attempt.await.unwrap(), Creation::Created(_)));
        }
        assert_eq!(created, 1, "round {round}");
        for storage in &both {
            let id = AccountId::from_bytes(bits(1000 + round));
            storage.account(&DirectoryId::default(), &id).await.expect("seen by both");
        }
    }
    let nonce = both[0].issue(NOW).await.unwrap();
    assert!(both[1].consume(&nonce, NOW).await.unwrap(), "they share the key of the nonces");
    assert!(!both[0].consume(&nonce, NOW).await.unwrap());
}

#[test]
fn of_several_that_make_the_file_at_the_same_time_none_fails() {
    for _ in 0..10 {
        let directory = TempDir::new().unwrap();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| open(&file(&directory)))).collect();
            threads.into_iter().for_each(|thread| drop(thread.join().unwrap()));
        });
    }
}

#[tokio::test]
async fn a_file_that_somebody_else_holds_is_unavailable_for_writing_and_can_be_read() {
    let directory = TempDir::new().unwrap();
    let busy_timeout = Duration::from_millis(50);
    let options = SqliteOptions { busy_timeout, ..SqliteOptions::default() };
    let storage = SqliteStorage::open(file(&directory), options).unwrap();
    storage.create_account(account(1), &cause(NOW)).await.unwrap();
    let mut other = stranger(&file(&directory));
    other.batch_execute("BEGIN IMMEDIATE").unwrap();

    let refused = storage.create_account(account(2), &cause(NOW)).await;

    assert!(matches!(refused, Err(StorageError::Unavailable { .. })), "{refused:?}");
    storage.account(&DirectoryId::default(), &account(1).id).await.expect("reading waits for nobody");
    other.batch_execute("ROLLBACK").unwrap();
    storage.create_account(account(2), &cause(NOW)).await.expect("the file is free again");
}

#[tokio::test]
async fn compacting_is_not_done_while_somebody_reads_what_was_before() {
    let directory = TempDir::new().unwrap();
    let busy_timeout = Duration::from_millis(50);
    let options = SqliteOptions { busy_timeout, ..SqliteOptions::default() };
    let storage = SqliteStorage::open(file(&directory), options).unwrap();
    storage.create_account(account(1), &cause(NOW)).await.unwrap();
    let mut other = stranger(&file(&directory));
    other.batch_execute("BEGIN; SELECT * FROM accounts").unwrap();

    let refused = storage.compact().await;

    assert!(matches!(refused, Err(StorageError::Unavailable { .. })), "{refused:?}");
    other.batch_execute("ROLLBACK").unwrap();
    storage.compact().await.expect("nobody reads any more");
}

#[test]
fn a_file_that_a_later_version_has_changed_is_refused() {
    let directory = TempDir::new().unwrap();
    drop(open(&file(&directory)));
    let later = "INSERT INTO __diesel_schema_migrations (version) VALUES ('99991231000000')";
    stranger(&file(&directory)).batch_execute(later).unwrap();

    let refused = SqliteStorage::open(file(&directory), SqliteOptions::default());

    let Err(error @ OpenError::Newer { .. }) = refused else { panic!("{refused:?}") };
    assert!(error.to_string().contains("99991231000000"), "it says which version: {error}");
}

#[test]
fn another_programs_database_is_refused_and_left_alone() {
    let directory = TempDir::new().unwrap();
    stranger(&file(&directory)).batch_execute("CREATE TABLE bookmarks (url TEXT)").unwrap();
    let before = std::fs::read(file(&directory)).unwrap();

    let refused = SqliteStorage::open(file(&directory), SqliteOptions::default());

    assert!(matches!(refused, Err(OpenError::NotOurs { .. })), "{refused:?}");
    assert_eq!(std::fs::read(file(&directory)).unwrap(), before);
}

#[test]
fn what_is_no_database_is_refused_and_left_alone() {
    let directory = TempDir::new().unwrap();
    std::fs::write(file(&directory), "Dear diary, ".repeat(100)).unwrap();

    let refused = SqliteStorage::open(file(&directory), SqliteOptions::default());

    assert!(matches!(refused, Err(OpenError::Database { .. })), "{refused:?}");
    assert!(std::fs::read(file(&directory)).unwrap().starts_with(b"Dear diary"));
    let nowhere = directory.path().join("no such directory").join("coyote.db");
    let refused = SqliteStorage::open(nowhere, SqliteOptions::default());
    assert!(matches!(refused, Err(OpenError::File { .. })), "{refused:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_read_the_file_and_its_companions() {
    use std::os::unix::fs::PermissionsExt;

    let directory = TempDir::new().unwrap();
    let storage = open(&file(&directory));
    storage.create_account(account(1), &cause(NOW)).await.unwrap();

    let files: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(Result::unwrap).collect();
    assert_eq!(files.len(), 3, "the database, its log and the log's index: {files:?}");
    for file in files {
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", file.path());
    }
}

#[tokio::test]
async fn a_path_may_have_characters_that_mean_something_in_a_url() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("100%? #1&mode=memory.db");
    let options = SqliteOptions { durability: Durability::Process, ..SqliteOptions::default() };
    let storage = SqliteStorage::open(&file, options).unwrap();
    storage.create_account(account(1), &cause(NOW)).await.unwrap();
    drop(storage);

    open(&file).account_by_key(&DirectoryId::default(), &key(1).thumbprint()).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_read_as_what_it_should_be_is_corrupt_and_says_where() {
    let directory = TempDir::new().unwrap();
    let storage = open(&file(&directory));
    storage.create_account(account(1), &cause(NOW)).await.unwrap();
    let order = storage
        .create_order(placing(order(2, account(1).id, &[dns("a.test")]), []), &cause(NOW))
        .await
        .unwrap();
    validate(&storage, 2, &order.authorizations[0]).await;
    stranger(&file(&directory)).batch_execute("UPDATE orders SET identifiers = '[{'").unwrap();

    let damaged = storage.order(&order.account, &order.id).await;

    let Err(StorageError::Corrupt { what }) = damaged else { panic!("{damaged:?}") };
    assert!(what.contains("identifiers"), "{what}");
}
