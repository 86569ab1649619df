use std::sync::Arc;

use super::MemoryStorage;
use crate::conformance::{STORAGE, Subject, World};

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
