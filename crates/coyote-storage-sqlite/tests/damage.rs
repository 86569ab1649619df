//! What is damaged in the file keeps nobody from what is not.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "these are tests, also outside of the functions that are marked so"
)]

mod common;

use common::{DAY, MINUTE, NOW, account, cause, dns, file, order, placing, terms};
use coyote_storage::{
    AccountStore, AuthorizationStore, BeginValidation, Claim, DirectoryId, JobQueue, OrderStore, Sweep, Work,
};
use coyote_storage_sqlite::{SqliteOptions, SqliteStorage};
use diesel::{Connection, RunQueryDsl, SqliteConnection, sql_query, sql_types::Binary};
use tempfile::TempDir;

#[tokio::test]
async fn a_job_that_cannot_be_read_keeps_nobody_from_the_others() {
    let directory = TempDir::new().unwrap();
    let storage = SqliteStorage::open(file(&directory), SqliteOptions::default()).unwrap();
    let owner = account(1);
    storage.create_account(owner.clone(), &cause(NOW)).await.unwrap();
    let mut jobs = Vec::new();
    for seed in [2, 3] {
        let order = placing(order(seed, owner.id, &[dns("a.test")]), []);
        let order = storage.create_order(order, &cause(NOW)).await.unwrap();
        let authorization = &order.authorizations[0];
        let begin = BeginValidation {
            account: owner.id,
            authorization: authorization.id,
            challenge: authorization.challenges[0].id,
            lease: None,
        };
        drop(storage.begin_validation(begin, &cause(NOW + MINUTE * seed as u32)).await.unwrap());
        jobs.push(Work::validation(authorization, authorization.challenges[0].id).job());
    }
    let mut stranger = SqliteConnection::establish(file(&directory).to_str().unwrap()).unwrap();
    let damage = sql_query("UPDATE jobs SET work = '{\"later\":{}}' WHERE id = ?");
    assert_eq!(damage.bind::<Binary, _>(jobs[0].as_bytes().to_vec()).execute(&mut stranger), Ok(1));

    let now = NOW + MINUTE * 9;
    let terms = terms(4, now + MINUTE);
    let claim = Claim { directory: DirectoryId::default(), kind: None, limit: 1, terms };
    let claimed = storage.claim_jobs(&claim, &cause(now)).await.unwrap();
    assert_eq!(claimed.iter().map(|lease| lease.job).collect::<Vec<_>>(), [jobs[1]], "the other is given");
    storage.release_job(claimed.into_iter().next().unwrap(), now + 3 * DAY, &cause(now)).await.unwrap();
    let directory = DirectoryId::default();
    assert_eq!(storage.next_due(&directory).await.unwrap(), Some(now + DAY), "it is looked at again then");
    let nothing = Sweep {
        remove_expired_before: NOW,
        remove_issued_before: NOW,
        remove_audit_before: NOW,
        remove_traces_before: NOW,
        batch: 100,
    };
    assert!(storage.sweep(&nothing, &cause(now)).await.unwrap().is_empty(), "it is there, if unreadable");
}
