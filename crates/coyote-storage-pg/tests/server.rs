//! What has to do with there being a server: starting, waiting, going away, and what others do to the database.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "these are tests, also outside of the functions that are marked so"
)]

mod common;

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use common::*;
use coyote_storage::{
    AccountChange, AccountStore, AuthorizationStore, BeginValidation, Claim, DirectoryId, ExternalAccount,
    ExternalAccountStore, JobQueue, NonceStore, OrderStore, StorageError, Sweep, Work,
};
use coyote_storage_pg::{ConnectError, PgOptions, PgStorage, SessionLimits};

fn unavailable<T>(answer: &Result<T, StorageError>) -> bool {
    matches!(answer, Err(StorageError::Unavailable { .. }))
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_start_at_once_make_one_schema_and_share_the_key_of_the_nonces() {
    let database = Database::empty();
    let start = || {
        let url = database.url.clone();
        tokio::spawn(async move { PgStorage::connect(&url, PgOptions::default()).await })
    };
    let replicas: Vec<_> = (0..8).map(|_| start()).collect();
    let mut started = Vec::new();
    for replica in replicas {
        started.push(replica.await.unwrap().expect("each of them starts"));
    }
    let nonce = started[0].issue(NOW).await.unwrap();
    assert!(started[7].consume(&nonce, NOW).await.unwrap(), "it is good at another replica");
    for replica in &started {
        assert!(!replica.consume(&nonce, NOW).await.unwrap(), "and good once");
    }
    let versions = "SELECT count(*) FROM schema_migrations";
    let row = database.stranger().await.query_one(versions, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1, "each migration is run once");
}

#[tokio::test]
async fn a_database_that_a_later_version_has_changed_is_refused() {
    let database = Database::new();
    let stranger = database.stranger().await;
    stranger.batch_execute("INSERT INTO schema_migrations (version) VALUES ('99990101')").await.unwrap();
    let refused = PgStorage::connect(&database.url, PgOptions::default()).await;
    let found = refused.map(|_| ()).unwrap_err();
    assert!(matches!(&found, ConnectError::Newer { found } if found == "99990101"), "{found:?}");
}

#[tokio::test]
async fn a_role_that_may_not_change_the_schema_opens_a_database_that_is_up_to_date() {
    let database = Database::new();
    drop(database.storage().await); // which has made the key of the nonces
    let role = format!("coyote_reader_{}", std::process::id());
    let grants = format!(
        "CREATE ROLE {role} LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC;
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role};"
    );
    let stranger = database.stranger().await;
    stranger.batch_execute(&grants).await.unwrap();
    let url = database.url.replace("coyote@", &format!("{role}@"));
    let storage = PgStorage::connect(&url, PgOptions::default()).await.unwrap();
    issue_something(&storage).await;
    drop(storage);
    let gone = format!("DROP OWNED BY {role}; DROP ROLE {role}");
    stranger.batch_execute(&gone).await.unwrap();
}

async fn issue_something(storage: &PgStorage) {
    let owner = account(1);
    storage.create_account(owner.clone(), &cause(NOW)).await.unwrap();
    issue(storage, 2, &owner).await;
}

#[tokio::test]
async fn the_server_knows_the_limits_and_whose_connection_it_is() {
    let database = Database::new();
    let limits = SessionLimits {
        statement: Duration::from_millis(1234),
        lock: Duration::from_millis(567),
        idle_in_transaction: Duration::from_millis(89_000),
    };
    let options =
        PgOptions { limits: Some(limits), application_name: "acme 1".into(), ..PgOptions::default() };
    let storage = database.storage_with(options).await;
    storage.account(&account(1).directory, &account(1).id).await.unwrap_err();
    let stranger = database.stranger().await;
    let own = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
               AND application_name = 'acme 1'";
    assert_eq!(stranger.query_one(own, &[]).await.unwrap().get::<_, i64>(0), 1);
    // There is no asking another session for its settings: one that waits longer is ended.
    let owner = account(1);
    storage.create_account(owner.clone(), &cause(NOW)).await.unwrap();
    stranger.batch_execute("BEGIN; SELECT 1 FROM accounts FOR UPDATE").await.unwrap();
    let began = Instant::now();
    let answer = storage.update_account(&owner.id, AccountChange::default(), &cause(NOW)).await;
    assert!(unavailable(&answer), "{answer:?}");
    assert!(began.elapsed() >= limits.lock && began.elapsed() < limits.statement, "{:?}", began.elapsed());
}

#[tokio::test]
async fn who_finds_no_connection_free_is_refused_in_time() {
    let database = Database::new();
    let one = PgOptions { connections: 1, patience: Duration::from_millis(100), ..PgOptions::default() };
    let storage = database.storage_with(one).await;
    let owner = account(1);
    storage.create_account(owner.clone(), &cause(NOW)).await.unwrap();
    let stranger = database.stranger().await;
    stranger.batch_execute("BEGIN; SELECT 1 FROM accounts FOR UPDATE").await.unwrap();
    let cause = cause(NOW);
    let waiting = storage.update_account(&owner.id, AccountChange::default(), &cause);
    let refused = async {
        let answer = storage.account(&owner.directory, &owner.id).await;
        stranger.batch_execute("ROLLBACK").await.unwrap();
        answer
    };
    let (waited, refused) = tokio::join!(biased; waiting, refused);
    assert!(unavailable(&refused), "{refused:?}");
    waited.expect("who had the connection goes on");
}

/// Nothing of it stays, and nothing is held: the connection is closed.
#[tokio::test]
async fn a_caller_who_goes_away_leaves_nothing_open() {
    let database = Database::new();
    let storage = database.storage().await;
    let owner = account(1);
    storage.create_account(owner.clone(), &cause(NOW)).await.unwrap();
    let stranger = database.stranger().await;
    stranger.batch_execute("BEGIN; SELECT 1 FROM accounts FOR UPDATE").await.unwrap();
    let change = AccountChange { deactivate: true, ..AccountChange::default() };
    let cause = cause(NOW);
    let update = storage.update_account(&owner.id, change, &cause);
    tokio::time::timeout(Duration::from_millis(300), update).await.expect_err("it waits for the lock");
    stranger.batch_execute("ROLLBACK").await.unwrap();
    let change = AccountChange { contact: Some(Vec::new()), ..AccountChange::default() };
    let changed = storage.update_account(&owner.id, change, &cause).await.unwrap();
    assert_eq!((changed.deactivated, changed.contact), (None, Vec::new()));
    let open = "SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    assert_eq!(stranger.query_one(open, &[]).await.unwrap().get::<_, i64>(0), 0, "no transaction is open");
}

/// A worker of a web server that is busy must not keep others from the connections that it has opened.
#[test]
fn connections_do_not_wait_for_the_runtime_that_opened_them() {
    let database = Database::new();
    let (opened, open) = mpsc::channel();
    let (finish, finished) = mpsc::channel::<()>();
    let one = PgOptions { connections: 1, ..PgOptions::default() };
    let url = database.url.clone();
    let busy = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let storage = std::sync::Arc::new(PgStorage::connect(&url, one).await.unwrap());
            storage.account(&account(1).directory, &account(1).id).await.unwrap_err();
            opened.send(storage.clone()).unwrap();
            finished.recv().ok(); // and does nothing else
        });
    });
    let storage = open.recv().unwrap();
    let (answered, answer) = mpsc::channel();
    let other = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let looked = runtime.block_on(storage.account(&account(1).directory, &account(1).id));
        answered.send(matches!(looked, Err(StorageError::NotFound))).ok();
    });
    let answer = answer.recv_timeout(Duration::from_secs(3));
    drop(finish);
    assert_eq!(answer, Ok(true), "the connection answers while the runtime that opened it is busy");
    busy.join().unwrap();
    other.join().unwrap();
}

/// The one character that PostgreSQL's text has not.
#[tokio::test]
async fn text_with_nul_is_not_stored_and_nothing_else_with_it() {
    let database = Database::new();
    let storage = database.storage().await;
    let key = external_account_key("a\0b");
    let answer = storage.create_external_account_key(key.clone(), &cause(NOW)).await;
    assert!(unavailable(&answer), "{answer:?}");
    let found = storage.external_account_key(&key.directory, &key.kid).await;
    assert!(matches!(found, Err(StorageError::NotFound)), "{found:?}");
    let external = ExternalAccount { kid: key.kid, binding: serde_json::json!({}) };
    let bound = coyote_storage::Account { external_account: Some(external), ..account(1) };
    let refused = storage.create_account(bound, &cause(NOW)).await;
    let refused = format!("{refused:?}");
    assert!(refused.contains("ExternalAccountKeyNotUsable"), "as for any key that there is not: {refused}");
    let stored = "SELECT (SELECT count(*) FROM external_account_keys) + (SELECT count(*) FROM audit)";
    let row = database.stranger().await.query_one(stored, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 0);
}

#[tokio::test]
async fn what_cannot_be_read_is_damage() {
    let database = Database::new();
    let storage = database.storage().await;
    let owner = account(1);
    storage.create_account(owner.clone(), &cause(NOW)).await.unwrap();
    database.stranger().await.batch_execute("UPDATE accounts SET key = 'none'").await.unwrap();
    let damaged = storage.account(&owner.directory, &owner.id).await;
    assert!(matches!(damaged, Err(StorageError::Corrupt { .. })), "{damaged:?}");
}

/// A way to the server that can swallow everything.
struct Relay {
    url: String,
    is_silent: Arc<AtomicBool>,
}

impl Relay {
    fn to(database: &Database) -> Self {
        let (scheme, rest) = database.url.split_once("://").unwrap();
        let (place, name) = rest.split_once('/').unwrap();
        let (user, host) = place.rsplit_once('@').map_or((None, place), |(user, host)| (Some(user), host));
        let (host, listener) = (host.to_owned(), TcpListener::bind("127.0.0.1:0").unwrap());
        let user = user.map_or_else(String::new, |user| format!("{user}@"));
        let url = format!("{scheme}://{user}{}/{name}", listener.local_addr().unwrap());
        let is_silent = Arc::new(AtomicBool::new(false));
        let silent = is_silent.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(&host) else { continue };
                for (mut from, mut to) in
                    [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)]
                {
                    let silent = silent.clone();
                    thread::spawn(move || {
                        let mut buffer = [0; 4096];
                        while let Ok(length @ 1..) = from.read(&mut buffer) {
                            if !silent.load(Ordering::Relaxed) && to.write_all(&buffer[..length]).is_err() {
                                break;
                            }
                        }
                        to.shutdown(Shutdown::Both).ok();
                    });
                }
            }
        });
        Self { url, is_silent }
    }
}

#[tokio::test]
async fn a_server_that_falls_silent_is_given_up_in_time_and_asked_again() {
    let database = Database::new();
    let relay = Relay::to(&database);
    let hasty = PgOptions { operation_timeout: Duration::from_millis(300), ..PgOptions::default() };
    let storage = PgStorage::connect(&relay.url, hasty).await.unwrap();
    let owner = account(1);
    storage.create_account(owner.clone(), &cause(NOW)).await.unwrap();
    relay.is_silent.store(true, Ordering::Relaxed);
    let read = storage.account(&owner.directory, &owner.id).await;
    assert!(unavailable(&read), "{read:?}");
    relay.is_silent.store(false, Ordering::Relaxed);
    assert_eq!(storage.account(&owner.directory, &owner.id).await.unwrap().id, owner.id);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error_that_does_not_tell_the_password() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let silent = PgOptions { connect_timeout: Duration::from_millis(200), ..PgOptions::default() };
    for _ in 0..2 {
        let url = format!("postgres://coyote:secret@127.0.0.1:{port}/none");
        let error = PgStorage::connect(&url, silent.clone()).await.map(|_| ()).unwrap_err();
        assert!(matches!(error, ConnectError::Database(_)), "{error:?}");
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    }
    drop(listener); // refused now, silent before
    let url = format!("postgres://coyote:secret@127.0.0.1:{port}/none");
    let error = PgStorage::connect(&url, silent).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, ConnectError::Database(_)), "{error:?}");
}

/// Of all that the URL can ask of TLS, against a certificate for 127.0.0.1 and not for localhost.
#[tokio::test]
async fn tls_is_as_strict_as_the_url_says() {
    let database = Database::new();
    let Some(ca) = variable("COYOTE_TEST_POSTGRES_CA") else {
        assert_ne!(variable("CI").as_deref(), Some("true"), "the server of the tests has no TLS");
        return;
    };
    let by_name = database.url.replace("127.0.0.1", "localhost");
    assert_ne!(by_name, database.url, "the server of the tests is at 127.0.0.1");
    let trusting = |mode: &str| format!("?sslmode={mode}&sslrootcert={ca}");
    for (url, parameters, encrypted) in [
        (&database.url, String::new(), Some(false)),
        (&database.url, "?sslmode=require".into(), Some(true)),
        (&by_name, "?sslmode=require".into(), Some(true)),
        (&by_name, trusting("require"), Some(true)),
        (&by_name, trusting("verify-ca"), Some(true)),
        (&database.url, trusting("verify-full"), Some(true)),
        (&by_name, trusting("verify-full"), None),
        (&database.url, "?sslmode=verify-ca".into(), None),
        (&database.url, "?sslmode=verify-full".into(), None),
    ] {
        let connected = PgStorage::connect(&format!("{url}{parameters}"), PgOptions::default()).await;
        let Ok(storage) = connected else {
            assert_eq!(encrypted, None, "{url}{parameters}: {connected:?}");
            continue;
        };
        storage.account(&account(1).directory, &account(1).id).await.unwrap_err();
        let used = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                    WHERE datname = current_database() AND application_name = 'coyote'";
        let used = database.stranger().await.query_one(used, &[]).await.unwrap();
        assert_eq!(Some(used.get::<_, bool>(0)), encrypted, "{url}{parameters}");
        drop(storage);
        let gone = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE datname = current_database() AND application_name = 'coyote'";
        database.stranger().await.batch_execute(gone).await.unwrap();
    }
}

#[tokio::test]
async fn a_job_that_cannot_be_read_keeps_nobody_from_the_others() {
    let database = Database::new();
    let storage = database.storage().await;
    let owner = account(1);
    storage.create_account(owner.clone(), &cause(NOW)).await.unwrap();
    let mut jobs = Vec::new();
    for seed in [2, 3] {
        let order = placing(order(seed, owner.id, &[dns("a.test")]), []);
        let order = storage.create_order(order, &cause(NOW)).await.unwrap();
        let authorization = &order.authorizations[0];
        let begin = BeginValidation {
            account: owner.id,
            authorization: authorization.id,
            challenge: authorization.challenges[0].id,
            lease: None,
        };
        drop(storage.begin_validation(begin, &cause(NOW + MINUTE * seed as u32)).await.unwrap());
        jobs.push(Work::validation(authorization, authorization.challenges[0].id).job());
    }
    let damage = "UPDATE jobs SET work = '{\"later\":{}}' WHERE id = $1";
    let damaged = database.stranger().await.execute(damage, &[&jobs[0].as_bytes().as_slice()]).await;
    assert_eq!(damaged.unwrap(), 1);

    let now = NOW + MINUTE * 9;
    let terms = terms(4, now + MINUTE);
    let claim = Claim { directory: DirectoryId::default(), kind: None, limit: 1, terms };
    let claimed = storage.claim_jobs(&claim, &cause(now)).await.unwrap();
    assert_eq!(claimed.iter().map(|lease| lease.job).collect::<Vec<_>>(), [jobs[1]], "the other is given");
    storage.release_job(claimed.into_iter().next().unwrap(), now + 3 * DAY, &cause(now)).await.unwrap();
    let directory = DirectoryId::default();
    assert_eq!(storage.next_due(&directory).await.unwrap(), Some(now + DAY), "it is looked at again then");
    let nothing = Sweep {
        remove_expired_before: NOW,
        remove_issued_before: NOW,
        remove_audit_before: NOW,
        remove_traces_before: NOW,
        batch: 100,
    };
    assert!(storage.sweep(&nothing, &cause(now)).await.unwrap().is_empty(), "it is there, if unreadable");
}
