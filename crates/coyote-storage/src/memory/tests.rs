use std::sync::Arc;
use std::time::Duration;

use super::MemoryStorage;
use crate::conformance::{STORAGE, Subject, World};
use crate::samples::NOW;
use crate::{Actor, Cause, JobQueue, Quota, RateLimitStore, RequestId, Sweep};

/// The differential tests compare dumps, so they must be of everything and of nothing that varies.
#[tokio::test]
async fn the_same_operations_give_the_same_dump() {
    for name in ["an_order_is_issued_once", "a_lost_job_is_restored"] {
        let promise = STORAGE.iter().find(|promise| promise.name == name).expect("a promise of that name");
        let mut dumps = Vec::new();
        for _ in 0..2 {
            let storage = Arc::new(MemoryStorage::new());
            let damaged = storage.clone();
            let subject = Subject::new(storage.clone(), move |job| {
                damaged.lose_job(&job);
                std::future::ready(())
            });
            (promise.keep)(World::from(subject)).await;
            dumps.push(storage.dump());
        }
        assert_eq!(dumps[0], dumps[1]);
        assert!(dumps[0].contains("Authorization"), "{}", dumps[0]);
    }
}

#[tokio::test]
async fn a_sweep_forgets_the_rate_limits_that_are_whole_again_and_no_others() {
    let storage = MemoryStorage::new();
    let quota = Quota { amount: 2, period: Duration::from_secs(60) };
    storage.take("idle", &quota, 1, NOW).await.unwrap();
    storage.take("used", &quota, 2, NOW).await.unwrap();
    let later = NOW + Duration::from_secs(30);
    let never = NOW - Duration::from_secs(1_000);
    let sweep = Sweep {
        remove_expired_before: never,
        remove_issued_before: never,
        remove_audit_before: never,
        remove_traces_before: never,
        batch: 10,
    };
    let cause = Cause {
        now: later,
        request: RequestId::from_bytes([0; 16]),
        actor: Actor::Server,
        client: None,
        trace: None,
    };
    assert_eq!(storage.sweep(&sweep, &cause).await.unwrap().transient_removed, 1);
    assert!(!storage.take("used", &quota, 2, later).await.unwrap().allowed, "it is still half used");
}
