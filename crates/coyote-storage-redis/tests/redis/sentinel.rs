//! A master, a replica and a sentinel that fails over.

use std::time::{Duration, Instant};

use coyote_storage::{NonceStore, StorageError};
use coyote_storage_redis::{RedisOptions, RedisStore};

use super::server::{Server, wait_until};
use super::{NOW, consume, expect_one_refusal, issue, used_and_unused};

#[tokio::test]
async fn after_a_failover_to_a_replica_that_lags_no_older_nonce_is_good() {
    let (mut master, understudy) = (Server::start(), Server::start());
    let () = understudy.tell(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]);
    wait_until("the replica is in step", || understudy.info("replication", "master_link_status") == "up");
    let sentinel = Server::sentinel(&master);
    wait_until("the sentinel knows the replica", || {
        let master: Vec<String> = sentinel.tell(&["SENTINEL", "MASTER", "main"]);
        let told = |name: &str| master.iter().position(|word| word == name).map(|at| master[at + 1].clone());
        told("num-slaves").is_some_and(|count| count == "1")
            && told("flags").is_some_and(|flags| flags == "master")
    });
    // Of the two sentinels one is not there.
    let url = format!("redis+sentinel://127.0.0.1:1,{}/main", sentinel.address());
    let connect = || RedisStore::connect(&url, RedisOptions::default()).unwrap();
    let (store, other) = (connect(), connect());
    assert_eq!(master.keys(), ["{coyote}:nonces:epoch"], "the sentinel led to the master");
    wait_until("the replica has the epoch", || understudy.keys().len() == 1);

    cut_off(&master);
    let old = used_and_unused(&store).await;
    assert_eq!((master.keys().len(), understudy.keys().len()), (2, 1), "the replica lacks the mark");
    master.kill();

    let start = Instant::now();
    let refused = loop {
        match store.consume(&old[0], NOW).await {
            Err(StorageError::Unavailable { .. }) => tokio::time::sleep(Duration::from_millis(50)).await,
            other => break other.unwrap(),
        }
        assert!(start.elapsed() < Duration::from_secs(20), "there was no failover");
    };
    println!("good again {:?} after the master was killed", start.elapsed());
    assert!(!refused, "the nonce was used, although the new master does not know it");
    expect_one_refusal(&store, &old).await;
    assert!(!consume(&other, &old[0]).await);
    let fresh = issue(&store).await;
    assert!(consume(&other, &fresh).await, "the replicas agree again");
}

/// The replica loses its connection to the master, which does not let it come back.
fn cut_off(master: &Server) {
    let () = master.tell(&["ACL", "SETUSER", "default", "-psync", "-sync"]);
    let _killed: i64 = master.tell(&["CLIENT", "KILL", "TYPE", "replica"]);
}

#[test]
fn a_master_that_no_sentinel_knows_cannot_be_connected_to() {
    let master = Server::start();
    let sentinel = Server::sentinel(&master);
    let url = format!("redis+sentinel://{}/other", sentinel.address());
    let start = Instant::now();
    RedisStore::connect(&url, RedisOptions::default()).unwrap_err();
    assert!(start.elapsed() < Duration::from_millis(1_500), "{:?}", start.elapsed());
}
