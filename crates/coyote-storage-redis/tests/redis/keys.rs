//! What is in Redis.

use std::time::Duration;

use coyote_storage::{Quota, RateLimitStore, StorageError};
use coyote_storage_redis::{RedisOptions, RedisStore};

use super::server::Server;
use super::{NOW, consume, issue, replica};

const HOUR: i64 = 60 * 60 * 1_000;
const MINUTE: i64 = 60 * 1_000;

#[tokio::test]
async fn every_key_has_an_end_and_the_prefix() {
    let server = Server::start();
    let store = replica(&server);
    for number in 0..10 {
        let nonce = issue(&store).await;
        assert!(consume(&store, &nonce).await);
        let key = format!("key {number}");
        for (cost, period) in [(0, 60), (1, 60), (3, 60), (1, u64::MAX)] {
            let quota = Quota { amount: 3, period: Duration::from_secs(period) };
            store.take(&key, &quota, cost, NOW).await.unwrap();
        }
    }
    let keys = server.keys();
    assert_eq!(keys.len(), 1 + 10 + 10, "{keys:?}");
    for key in keys {
        let left: i64 = server.tell(&["PTTL", &key]);
        let ends = if key.starts_with("{coyote}:nonces:used:") {
            // Lifetime, clocks that differ, and longer than the epoch, so that the epoch is the first to be forgotten.
            HOUR + 24 * MINUTE..=HOUR + 25 * MINUTE
        } else if key == "{coyote}:nonces:epoch" {
            14 * MINUTE..=15 * MINUTE
        } else {
            assert!(key.starts_with("coyote:quotas:"), "{key}");
            10 * MINUTE..=i64::MAX
        };
        assert!(ends.contains(&left), "{key} ends in {left} ms");
    }
}

#[tokio::test]
async fn deployments_with_a_prefix_each_have_nothing_in_common() {
    let server = Server::start();
    let of = |prefix: &str| {
        let options = RedisOptions { prefix: prefix.to_owned(), ..RedisOptions::default() };
        RedisStore::connect(&server.url(), options).unwrap()
    };
    let (one, other) = (of("one"), of("other"));
    let nonce = issue(&one).await;
    assert!(!consume(&other, &nonce).await);
    let quota = Quota { amount: 1, period: Duration::from_secs(60) };
    assert!(one.take("key", &quota, 1, NOW).await.unwrap().allowed);
    assert!(other.take("key", &quota, 1, NOW).await.unwrap().allowed);
}

#[tokio::test]
async fn a_quota_that_is_damaged_is_said_to_be() {
    let server = Server::start();
    let store = replica(&server);
    let quota = Quota { amount: 1, period: Duration::from_secs(60) };
    store.take("key", &quota, 1, NOW).await.unwrap();
    let keys = server.keys();
    let key = keys.iter().find(|key| key.starts_with("coyote:quotas:")).unwrap();
    let () = server.tell(&["SET", key, "x"]);
    let result = store.take("key", &quota, 1, NOW).await;
    assert!(matches!(result, Err(StorageError::Corrupt { .. })), "{result:?}");
}

/// The README says which commands are needed.
#[tokio::test]
async fn a_user_who_may_only_do_what_is_needed_can() {
    let server = Server::start();
    let rules = "ACL SETUSER coyote on >pw resetkeys ~{coyote}:* ~coyote:* resetchannels -@all +info +get +set +evalsha +script|load";
    let () = server.tell(&rules.split(' ').collect::<Vec<_>>());
    let url = format!("redis://coyote:pw@{}", server.address());
    let store = RedisStore::connect(&url, RedisOptions::default()).unwrap();
    let nonce = issue(&store).await;
    assert!(consume(&store, &nonce).await);
    let quota = Quota { amount: 1, period: Duration::from_secs(60) };
    assert!(store.take("key", &quota, 1, NOW).await.unwrap().allowed);
}

/// Redis forgets its scripts with each restart, and when it is told to.
#[tokio::test]
async fn scripts_that_redis_has_forgotten_are_taught_again() {
    let server = Server::start();
    let store = replica(&server);
    for _ in 0..2 {
        let nonce = issue(&store).await;
        assert!(consume(&store, &nonce).await);
        let () = server.tell(&["SCRIPT", "FLUSH"]);
    }
}
