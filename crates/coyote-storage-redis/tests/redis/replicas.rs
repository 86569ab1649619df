//! Several replicas on one Redis.

use std::time::Duration;

use coyote_storage::{NonceStore, Quota, RateLimitStore};
use coyote_storage_redis::{RedisOptions, RedisStore};

use super::server::Server;
use super::{NOW, consume, issue, replica};

#[tokio::test]
async fn each_takes_the_nonces_of_the_other_once() {
    let server = Server::start();
    let (one, other) = (replica(&server), replica(&server));
    let nonce = issue(&one).await;
    assert!(consume(&other, &nonce).await);
    assert!(!consume(&one, &nonce).await);
    assert!(!consume(&other, &nonce).await);
}

#[tokio::test]
async fn all_that_start_at_the_same_moment_agree() {
    for round in 0..5 {
        let server = Server::start();
        let start = |_| {
            let url = server.url();
            tokio::task::spawn_blocking(move || RedisStore::connect(&url, RedisOptions::default()).unwrap())
        };
        let starting: Vec<_> = (0..8).map(start).collect();
        let mut replicas = Vec::new();
        for replica in starting {
            replicas.push(replica.await.unwrap());
        }
        let nonce = issue(&replicas[0]).await;
        assert!(consume(&replicas[7], &nonce).await, "round {round}");
        let nonce = issue(&replicas[5]).await;
        assert!(consume(&replicas[2], &nonce).await, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_in_two_replicas_who_use_a_nonce_one_succeeds() {
    let server = Server::start();
    let replicas = [replica(&server), replica(&server)];
    for round in 0..100 {
        let nonce = issue(&replicas[round % 2]).await;
        let tasks: Vec<_> = (0..32)
            .map(|contender| {
                let (store, nonce) = (replicas[contender % 2].clone(), nonce.clone());
                tokio::spawn(async move { consume(&store, &nonce).await })
            })
            .collect();
        let mut good = 0;
        for task in tasks {
            good += usize::from(task.await.unwrap());
        }
        assert_eq!(good, 1, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_in_several_replicas_who_take_from_a_quota_no_more_are_allowed_than_there_is_room_for() {
    let quota = Quota { amount: 10, period: Duration::from_secs(3600) };
    let server = Server::start();
    let replicas: Vec<_> = (0..4).map(|_| replica(&server)).collect();
    for round in 0..20 {
        let tasks: Vec<_> = (0..64)
            .map(|contender| {
                let (store, key) = (replicas[contender % 4].clone(), format!("round {round}"));
                tokio::spawn(async move { store.take(&key, &quota, 1, NOW).await.unwrap().allowed })
            })
            .collect();
        let mut allowed = 0;
        for task in tasks {
            allowed += usize::from(task.await.unwrap());
        }
        assert_eq!(allowed, 10, "round {round}");
    }
}

#[tokio::test]
async fn those_whose_clocks_differ_by_less_than_ten_minutes_take_each_others_nonces() {
    let server = Server::start();
    let (slow, fast) = (replica(&server), replica(&server));
    let ahead = NOW + Duration::from_secs(9 * 60);
    let nonce = fast.issue(ahead).await.unwrap();
    assert!(slow.consume(&nonce, NOW).await.unwrap());
    assert!(!fast.consume(&nonce, ahead).await.unwrap());
    let nonce = fast.issue(NOW + Duration::from_secs(11 * 60)).await.unwrap();
    assert!(!slow.consume(&nonce, NOW).await.unwrap(), "its mark might not outlive it");
}

/// As a web server's workers are: the first may be busy, or be gone.
#[test]
fn a_store_works_on_any_runtime_whatever_became_of_the_one_it_was_first_used_on() {
    let server = Server::start();
    let store = replica(&server);
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    let first = runtime();
    let nonce = first.block_on(issue(&store));
    assert!(first.block_on(consume(&store, &nonce)));
    drop(first);
    let nonce = runtime().block_on(issue(&store));
    assert!(runtime().block_on(consume(&store, &nonce)));
}

#[tokio::test]
async fn a_store_can_be_made_and_dropped_inside_of_a_runtime() {
    let server = Server::start();
    let store = replica(&server);
    let clone = store.clone();
    drop(store);
    let nonce = issue(&clone).await;
    assert!(consume(&clone, &nonce).await);
}
