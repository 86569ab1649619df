//! What Redis is asked, and how often.

use std::time::{Duration, Instant};

use coyote_storage::NonceSealer;

use super::server::Server;
use super::{NOW, consume, issue, replica};

#[tokio::test]
async fn issuing_a_nonce_asks_redis_nothing() {
    let server = Server::start();
    let store = replica(&server);
    let before = commands(&server);
    for _ in 0..1_000 {
        issue(&store).await;
    }
    assert!(scripts_since(&server, before) <= REVIEWS, "issuing is for free");
    assert_eq!(server.keys(), ["{coyote}:nonces:epoch"]);
}

#[tokio::test]
async fn using_a_nonce_is_one_round_trip() {
    let server = Server::start();
    let store = replica(&server);
    let nonce = issue(&store).await;
    assert!(consume(&store, &nonce).await, "the script is known to Redis from now on");
    let before = commands(&server);
    for _ in 0..100 {
        let nonce = issue(&store).await;
        assert!(consume(&store, &nonce).await);
    }
    let asked = scripts_since(&server, before);
    assert!((100..=100 + REVIEWS).contains(&asked), "{asked} for 100 nonces");
}

#[tokio::test]
async fn a_flood_of_forged_nonces_does_not_reach_redis() {
    let server = Server::start();
    let store = replica(&server);
    let forger = NonceSealer::generate().unwrap();
    let (before, start) = (commands(&server), Instant::now());
    for _ in 0..5_000 {
        assert!(!consume(&store, &forger.seal(NOW).unwrap()).await);
    }
    let asked = scripts_since(&server, before);
    let most = start.elapsed().as_millis() as u64 / 50 + 2 + REVIEWS;
    assert!(asked <= most, "{asked} in {:?}", start.elapsed());
}

/// A review of the epoch may come between.
const REVIEWS: u64 = 2;

fn commands(server: &Server) -> u64 {
    let text: String = server.tell(&["INFO", "commandstats"]);
    let scripts = text.lines().filter(|line| line.starts_with("cmdstat_eval"));
    let calls = |line: &str| line.split("calls=").nth(1)?.split(',').next()?.parse::<u64>().ok();
    scripts.filter_map(calls).sum()
}

fn scripts_since(server: &Server, before: u64) -> u64 {
    commands(server) - before
}

#[tokio::test]
async fn who_waits_for_redis_is_not_held_up_by_a_busy_runtime_elsewhere() {
    let server = Server::start();
    let store = replica(&server);
    let busy = store.clone();
    let blocked = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let nonce = issue(&busy).await;
            assert!(consume(&busy, &nonce).await);
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(700) {
                std::hint::spin_loop();
            }
        });
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let start = Instant::now();
    let nonce = issue(&store).await;
    assert!(consume(&store, &nonce).await);
    assert!(start.elapsed() < Duration::from_millis(400), "{:?}", start.elapsed());
    blocked.join().unwrap();
}
