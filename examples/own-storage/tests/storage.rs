//! The promises of the storage traits, kept by the example, and a comparison with the specification.

#![allow(clippy::unwrap_used, reason = "these are tests, also outside of the functions that are marked so")]

use std::sync::Arc;

use coyote_storage::{
    JobId, RateLimitStore,
    conformance::{
        Subject,
        differential::{histories, same_as_memory},
    },
};
use own_storage::RedbStorage;
use proptest::prelude::*;
use redb::TableDefinition;
use tempfile::TempDir;

async fn fresh() -> Subject {
    let directory = TempDir::new().unwrap();
    let storage = Arc::new(RedbStorage::open(directory.path().join("coyote.redb")).unwrap());
    let damaged = storage.clone();
    let lose_job = move |job: JobId| {
        let jobs: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("JOBS");
        let transaction = damaged.database().begin_write().unwrap();
        transaction.open_table(jobs).unwrap().remove(job.as_bytes().as_slice()).unwrap();
        transaction.commit().unwrap();
        async {}
    };
    Subject::new(storage, lose_job).keeping(directory)
}

coyote_storage::storage_conformance!(fresh);

mod rate_limits {
    use super::*;

    /// The directory outlives the storage, not the test: on Unix an open file needs no name.
    async fn fresh() -> Arc<dyn RateLimitStore> {
        let directory = TempDir::new().unwrap();
        Arc::new(RedbStorage::open(directory.path().join("coyote.redb")).unwrap())
    }

    coyote_storage::rate_limit_conformance!(fresh);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn it_answers_what_memory_answers(history in histories()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let directory = TempDir::new().unwrap();
        let storage = RedbStorage::open(directory.path().join("coyote.redb")).unwrap();
        runtime.block_on(same_as_memory(storage, history))?;
    }
}
