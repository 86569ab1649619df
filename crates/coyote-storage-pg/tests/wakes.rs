//! Replicas wake one another. Alone in its file, as it takes everybody's server away.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "these are tests, also outside of the functions that are marked so"
)]

mod common;

use std::{process::Command, time::Duration};

use common::*;
use coyote_storage::{DirectoryId, JobId, JobQueue, Wake, Wakes};
use tokio::time::{sleep, timeout};

const SETTLED: Wake = Wake::Settled(JobId::from_bytes([7; 16]));

/// Waits for a wake-up other than that some may have been missed.
async fn heard(wakes: &mut dyn Wakes) -> Option<Wake> {
    let telling = async {
        loop {
            match wakes.next().await {
                Wake::Missed => {}
                wake => return wake,
            }
        }
    };
    timeout(Duration::from_secs(10), telling).await.ok()
}

#[tokio::test]
async fn what_one_replica_tells_the_others_hear_once_and_again_after_the_server_was_away() {
    let database = Database::new();
    let (one, other) = (database.storage().await, database.storage().await);
    let (mut here, mut there) = (one.wakes(), other.wakes());
    assert_eq!(
        timeout(Duration::from_secs(10), there.next()).await,
        Ok(Wake::Missed),
        "it hears from now on"
    );
    assert_eq!(timeout(Duration::from_secs(10), here.next()).await, Ok(Wake::Missed));

    let due = Wake::Due(DirectoryId::new("it's a name"));
    for told in [SETTLED, due] {
        one.tell(told.clone());
        assert_eq!(heard(&mut *there).await, Some(told.clone()));
        assert_eq!(heard(&mut *here).await, Some(told), "in the same process, too");
    }
    assert!(timeout(Duration::from_millis(300), here.next()).await.is_err(), "once");

    if variable("COYOTE_TEST_POSTGRES_DATA").is_none() {
        return; // somebody's own server, which is not ours to crash
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/postgres");
    assert!(Command::new(script).arg("restart").status().unwrap().success());
    assert_eq!(timeout(Duration::from_secs(20), there.next()).await, Ok(Wake::Missed), "it is back");
    sleep(Duration::from_secs(2)).await; // the other is back as well
    one.tell(SETTLED);
    assert_eq!(heard(&mut *there).await, Some(SETTLED));
}
