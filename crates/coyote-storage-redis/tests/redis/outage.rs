//! While there is no Redis, nothing is accepted, and nobody waits for long.

use std::time::{Duration, Instant};

use coyote_storage::{NonceStore, Quota, RateLimitStore};
use coyote_storage_redis::{ConnectError, RedisOptions, RedisStore};

use super::server::Server;
use super::{NOW, consume, is_unavailable, issue, replica};

const QUOTA: Quota = Quota { amount: 3, period: Duration::from_secs(60) };

/// The default patience, and what a loaded machine takes.
const BOUND: Duration = Duration::from_millis(1_500);

#[tokio::test]
async fn a_server_that_is_gone_is_unavailable_at_once_and_good_again_when_it_is_back() {
    let mut server = Server::start();
    let store = replica(&server);
    let nonce = issue(&store).await;
    server.kill();
    for _ in 0..20 {
        let start = Instant::now();
        is_unavailable(store.consume(&nonce, NOW).await);
        is_unavailable(store.take("key", &QUOTA, 1, NOW).await);
        assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    }
    issue(&store).await; // needs nobody
    server.start_again();
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert!(!consume(&store, &nonce).await, "it is of the epoch before");
    let fresh = issue(&store).await;
    assert!(consume(&store, &fresh).await);
    assert!(store.take("key", &QUOTA, 1, NOW).await.unwrap().allowed);
}

/// Of 200 who wait at the same time, the last does not wait for the others before it.
#[tokio::test]
async fn a_server_that_does_not_answer_is_unavailable_within_the_patience_there_is() {
    let server = Server::start();
    let store = replica(&server);
    let nonce = issue(&store).await;
    server.freeze();
    for round in 0..3 {
        let start = Instant::now();
        let waiting: Vec<_> = (0..200)
            .map(|number| {
                let (store, nonce) = (store.clone(), nonce.clone());
                tokio::spawn(async move {
                    if number % 2 == 0 {
                        is_unavailable(store.consume(&nonce, NOW).await);
                    } else {
                        is_unavailable(store.take("key", &QUOTA, 1, NOW).await);
                    }
                })
            })
            .collect();
        for waiting in waiting {
            waiting.await.unwrap();
        }
        assert!(start.elapsed() < BOUND, "round {round}: {:?}", start.elapsed());
    }
    server.thaw();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let fresh = issue(&store).await;
    assert!(consume(&store, &fresh).await);
}

#[tokio::test]
async fn an_idle_connection_that_was_cut_is_replaced_unnoticed() {
    let server = Server::start();
    let store = replica(&server);
    for _ in 0..5 {
        let () = server.tell(&["CLIENT", "KILL", "TYPE", "normal"]);
        let nonce = issue(&store).await;
        assert!(consume(&store, &nonce).await);
    }
}

#[test]
fn a_server_that_is_not_there_cannot_be_connected_to() {
    let mut server = Server::start();
    server.kill();
    let start = Instant::now();
    let refused = RedisStore::connect(&server.url(), RedisOptions::default()).unwrap_err();
    assert!(matches!(refused, ConnectError::Unavailable(_)), "{refused:?}");
    assert!(start.elapsed() < BOUND, "{:?}", start.elapsed());
}

#[test]
fn a_wrong_password_is_refused_and_not_repeated() {
    let server = Server::with(&["--requirepass", "right"]);
    let url = |password| format!("redis://:{password}@{}", server.address());
    let refused = RedisStore::connect(&url("hunter2"), RedisOptions::default()).unwrap_err();
    assert!(!format!("{refused} {refused:?}").contains("hunter2"), "{refused:?}");
    let store = RedisStore::connect(&url("right"), RedisOptions::default()).unwrap();
    assert!(!format!("{store:?}").contains("right"));
}

#[tokio::test]
async fn a_replica_which_cannot_write_is_unavailable() {
    let (master, server) = (Server::start(), Server::start());
    let store = replica(&server);
    let nonce = issue(&store).await;
    let () = server.tell(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]);
    is_unavailable(store.consume(&nonce, NOW).await);
}

#[tokio::test]
async fn a_server_without_memory_is_unavailable() {
    let server = Server::start();
    let store = replica(&server);
    let nonce = issue(&store).await;
    let () = server.tell(&["CONFIG", "SET", "maxmemory", "1"]);
    is_unavailable(store.consume(&nonce, NOW).await);
    is_unavailable(store.take("key", &QUOTA, 1, NOW).await);
    let () = server.tell(&["CONFIG", "SET", "maxmemory", "0"]);
    assert!(consume(&store, &nonce).await, "it was not used by the attempt");
}
