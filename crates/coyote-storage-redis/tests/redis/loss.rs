//! What becomes of nonces when Redis forgets: each that was handed out before is refused, used or not.

use coyote_storage_redis::{ConnectError, RedisOptions, RedisStore};

use super::server::{Server, wait_until};
use super::{consume, expect_one_refusal, issue, replica, used_and_unused};

#[tokio::test]
async fn after_flushall_no_older_nonce_is_good() {
    let server = Server::start();
    let store = replica(&server);
    let old = used_and_unused(&store).await;
    let () = server.tell(&["FLUSHALL"]);
    expect_one_refusal(&store, &old).await;
}

#[tokio::test]
async fn if_the_epoch_is_deleted_no_older_nonce_is_good() {
    let server = Server::start();
    let store = replica(&server);
    let old = used_and_unused(&store).await;
    let () = server.tell(&["DEL", "{coyote}:nonces:epoch"]);
    expect_one_refusal(&store, &old).await;
}

#[tokio::test]
async fn after_a_restart_with_nothing_no_older_nonce_is_good() {
    let mut server = Server::start();
    let store = replica(&server);
    let old = used_and_unused(&store).await;
    server.kill();
    server.start_again();
    expect_one_refusal(&store, &old).await;
}

/// The epoch's secret is in the dump, the mark of the used nonce is not.
#[tokio::test]
async fn after_a_restart_from_an_old_dump_no_older_nonce_is_good() {
    let mut server = Server::start();
    let store = replica(&server);
    let () = server.tell(&["SAVE"]);
    let old = used_and_unused(&store).await;
    server.kill();
    server.start_again();
    assert_eq!(server.keys(), ["{coyote}:nonces:epoch"], "the dump was loaded, and the mark is gone");
    expect_one_refusal(&store, &old).await;
}

/// It is the same process then, with the same secret, and the mark is gone: only its history is another.
#[tokio::test]
async fn after_the_master_was_a_replica_for_a_while_no_older_nonce_is_good() {
    let (master, other) = (Server::start(), Server::start());
    copy(&master, &other); // the first replica begins a history, too
    let store = replica(&master);
    copy(&master, &other);
    let old = used_and_unused(&store).await;
    copy(&other, &master);
    assert_eq!(master.keys(), ["{coyote}:nonces:epoch"], "the mark is gone");
    expect_one_refusal(&store, &old).await;
}

/// Makes one server the replica of another until it has its keys.
fn copy(from: &Server, to: &Server) {
    let () = to.tell(&["REPLICAOF", "127.0.0.1", &from.port().to_string()]);
    wait_until("the replica is in step", || to.info("replication", "master_link_status") == "up");
    let () = to.tell(&["REPLICAOF", "NO", "ONE"]);
}

#[tokio::test]
async fn if_redis_evicts_a_key_no_older_nonce_is_good() {
    let server = Server::start();
    let store = replica(&server);
    let old = used_and_unused(&store).await;
    let () = server.tell(&["CONFIG", "SET", "maxmemory", "3mb", "maxmemory-policy", "volatile-lru"]);
    let junk = "x".repeat(100_000);
    let mut number = 0;
    wait_until("the mark is evicted", || {
        number += 1;
        let () = server.try_tell(&["SET", &format!("junk{number}"), &junk, "EX", "60"]).unwrap_or(());
        server.info("stats", "evicted_keys") != "0"
    });
    let () = server.tell(&["CONFIG", "SET", "maxmemory", "0"]);
    expect_one_refusal(&store, &old).await;
}

#[tokio::test]
async fn a_redis_that_evicts_keys_is_refused() {
    let server = Server::with(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]);
    let refused = RedisStore::connect(&server.url(), RedisOptions::default()).unwrap_err();
    assert!(matches!(&refused, ConnectError::Evicts { policy } if policy == "allkeys-lru"), "{refused:?}");
    let () = server.tell(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    replica(&server);
}

#[tokio::test]
async fn a_replica_takes_the_nonces_of_a_new_epoch_that_another_was_first_to_learn_of() {
    let server = Server::start();
    let (first, second) = (replica(&server), replica(&server));
    let old = used_and_unused(&first).await;
    let () = server.tell(&["FLUSHALL"]);
    assert!(!consume(&first, &old[1]).await);
    let fresh = issue(&first).await;
    tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    assert!(consume(&second, &fresh).await, "the second has not heard of the new epoch, and looks");
    assert!(!consume(&first, &fresh).await);
}
