//! Sweeping is nothing that other work waits for.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use coyote_protocol::Timestamp;
use coyote_server::policy::RateLimits;
use coyote_storage::{MemoryStorage, Quota, RateLimitStore, StorageError, Taken};
use tokio::time::Instant;

use crate::world::World;

const SECOND: Duration = Duration::from_secs(1);

/// Whose turn it is to sweep takes a minute to be said.
struct SlowTurns(MemoryStorage);

#[async_trait]
impl RateLimitStore for SlowTurns {
    async fn take(&self, key: &str, quota: &Quota, cost: u32, now: Timestamp) -> Result<Taken, StorageError> {
        if key.starts_with("turn:") {
            tokio::time::sleep(60 * SECOND).await;
        }
        self.0.take(key, quota, cost, now).await
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_due_is_done_while_the_store_is_swept() {
    let turns = Arc::new(SlowTurns(MemoryStorage::new()));
    let world = World::with(|builder| builder.with_rate_limits(turns, RateLimits::default()));
    world.run(&world.acme);
    world.issuer.fail(2);
    let account = world.account().await;
    let order = account.ready_order(&["a.example"]).await;
    let begun = Instant::now();
    let _ = account.finalize(&order).await.expect(200);

    assert_eq!(account.settled(&order).await.text("status"), "valid");
    assert!(begun.elapsed() < 10 * SECOND, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_is_to_stop_does_not_wait_for_the_next_sweep() {
    let world = World::new();
    let begun = Instant::now();
    world.acme.clone().run_jobs(tokio::time::sleep(3 * SECOND)).await;
    assert_eq!(begun.elapsed().as_secs(), 3);
}
