//! What the operations ask of SQLite: how many statements, and that each finds its rows through an index.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "these are tests, also outside of the functions that are marked so"
)]

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use common::{
    DAY, MINUTE, NOW, account, cause, dns, file, issue, key, order, placing, serial, terms, validate,
};
use coyote_protocol::{Problem, ProblemType, RevocationReason};
use coyote_storage::{
    AccountChange, AccountStore, AuditFilter, AuditLog, AuthorizationStore, BeginIssuance, BeginRevocation,
    BeginValidation, CertificateStore, Claim, DirectoryId, ExternalAccount, ExternalAccountStore,
    IssuanceOutcome, JobQueue, Lease, NonceStore, OrderStore, Quota, RateLimitStore, RevocationOutcome,
    Sweep, Telling, TraceKey, TraceLog, ValidationOutcome,
};
use coyote_storage_sqlite::{SqliteOptions, SqliteStorage};
use diesel::{
    Connection, QueryableByName, RunQueryDsl, SqliteConnection,
    connection::{InstrumentationEvent, set_default_instrumentation},
    sql_query,
    sql_types::Text,
};
use tempfile::TempDir;

/// The statements since the last look.
static STATEMENTS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The statements that are kept prepared.
static PREPARED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fn listen() {
    set_default_instrumentation(|| {
        Some(Box::new(|event: InstrumentationEvent<'_>| match event {
            InstrumentationEvent::StartQuery { query, .. } => {
                let query = query.to_string();
                let query = query.split(" -- binds").next().unwrap_or_default().to_owned();
                STATEMENTS.lock().unwrap_or_else(PoisonError::into_inner).push(query);
            }
            InstrumentationEvent::CacheQuery { sql, .. } => {
                PREPARED.lock().unwrap_or_else(PoisonError::into_inner).insert(sql.to_owned());
            }
            _ => {}
        }))
    })
    .unwrap();
}

/// The statements since the last look, without those that only open and close transactions.
fn statements() -> Vec<String> {
    let statements = std::mem::take(&mut *STATEMENTS.lock().unwrap_or_else(PoisonError::into_inner));
    let words = ["SELECT", "INSERT", "REPLACE", "UPDATE", "DELETE"];
    statements.into_iter().filter(|text| words.iter().any(|word| text.starts_with(word))).collect()
}

#[derive(QueryableByName)]
struct Step {
    #[diesel(sql_type = Text)]
    detail: String,
}

fn plan(connection: &mut SqliteConnection, statement: &str) -> Vec<String> {
    let steps: Vec<Step> = sql_query(format!("EXPLAIN QUERY PLAN {statement}")).load(connection).unwrap();
    steps.into_iter().map(|step| step.detail).collect()
}

/// One test, as it listens to all connections of the process.
#[tokio::test]
async fn an_issuance_takes_few_statements_and_nothing_reads_a_whole_table() {
    listen();
    let directory = TempDir::new().unwrap();
    let storage = SqliteStorage::open(file(&directory), SqliteOptions::default()).unwrap();
    let mut all: BTreeSet<String> = BTreeSet::new();
    statements(); // those of the migrations

    let counts = an_issuance(&storage, &mut all).await;
    everything_else(&storage).await;
    all.extend(statements());

    let expected = [
        ("create_order", 5),      // account, its open orders; authorization, order, which needs it
        ("begin_validation", 4),  // authorization, account; job, authorization
        ("finish_validation", 4), // job; trace; authorization twice
        ("begin_issuance", 6),    // order, its authorizations, account; serial, order, job
        ("finish_issuance", 7),   // job; trace; order, its authorizations; certificate, order, audit
    ];
    assert_eq!(counts, BTreeMap::from(expected));
    let mut connection = SqliteConnection::establish(file(&directory).to_str().unwrap()).unwrap();
    let prepared = PREPARED.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for statement in &all {
        // When the file is opened; when an operator asks why.
        let once = statement.contains("application_id") || statement.contains("`traces`.`subject` IN");
        assert!(once || prepared.contains(statement), "prepared again each time: {statement}");
        for step in plan(&mut connection, statement) {
            let costly = ["SCAN", "TEMP B-TREE", "AUTOMATIC"].iter().any(|word| step.contains(word));
            assert!(!costly || is_excused(statement, &step), "{step}: {statement}");
            let counts_rows = statement.contains("COUNT(*)") && !step.contains("COVERING INDEX");
            assert!(!counts_rows, "it reads each row that it counts: {step}: {statement}");
        }
    }
    assert!(all.len() > 50, "the statements were listened to: {}", all.len());
}

fn is_excused(statement: &str, step: &str) -> bool {
    // The newest records of all are at the end of the table.
    let newest = step == "SCAN audit" && statement.contains("ORDER BY `audit`.`seq` DESC LIMIT");
    // Leases that ended are sorted by when the jobs were due: as many as there are workers, at most.
    let abandoned =
        step == "USE TEMP B-TREE FOR ORDER BY" && statement.contains("`jobs`.`lease_expires` <= ?");
    // The traces of an order and its authorizations: few, and only an operator asks for them.
    let traces = step == "USE TEMP B-TREE FOR ORDER BY" && statement.contains("`traces`.`subject` IN");
    newest || abandoned || traces
}

async fn an_issuance(storage: &SqliteStorage, all: &mut BTreeSet<String>) -> BTreeMap<&'static str, usize> {
    let cause = &cause(NOW);
    let mut counts = BTreeMap::new();
    let mut count = |operation| {
        let statements = statements();
        counts.insert(operation, statements.len());
        all.extend(statements);
    };
    let owner = account(1);
    storage.create_account(owner.clone(), cause).await.unwrap();
    statements();
    let order = storage.create_order(placing(order(2, owner.id, &[dns("a.test")]), []), cause).await.unwrap();
    count("create_order");
    let authorization = &order.authorizations[0];
    let begin = BeginValidation {
        account: owner.id,
        authorization: authorization.id,
        challenge: authorization.challenges[0].id,
        lease: Some(terms(3, NOW + MINUTE)),
    };
    let lease = storage.begin_validation(begin, cause).await.unwrap().lease.unwrap();
    count("begin_validation");
    let outcome = ValidationOutcome::Valid { expires: NOW + 30 * DAY };
    storage.finish_validation(lease, outcome, cause).await.unwrap();
    count("finish_validation");
    let begin = begin_issuance(&order, 4);
    let lease = storage.begin_issuance(begin, cause).await.unwrap().lease.unwrap();
    count("begin_issuance");
    let certificate = common::certificate(5, order.id, owner.id, serial(4));
    storage.finish_issuance(lease, IssuanceOutcome::Issued(Box::new(certificate)), cause).await.unwrap();
    count("finish_issuance");
    counts
}

fn begin_issuance(order: &coyote_storage::Order, seed: u64) -> BeginIssuance {
    let lease = Some(terms(seed, NOW + MINUTE));
    BeginIssuance { account: order.account, order: order.id, csr: vec![0x30], serial: serial(seed), lease }
}

/// Every operation that an issuance does not need, in a way that makes it use all its statements.
async fn everything_else(storage: &SqliteStorage) {
    let cause = &cause(NOW);
    let directory = DirectoryId::default();
    let owner = account(100);
    storage.create_account(owner.clone(), cause).await.unwrap();
    storage.update_account(&owner.id, AccountChange::default(), cause).await.unwrap();
    storage.change_account_key(&owner.id, &key(100).thumbprint(), key(101), cause).await.unwrap();
    storage.account(&directory, &owner.id).await.unwrap();
    storage.account_by_key(&directory, &key(101).thumbprint()).await.unwrap();

    let external = common::external_account_key("kid-1");
    storage.create_external_account_key(external.clone(), cause).await.unwrap();
    let mut bound = account(110);
    bound.external_account =
        Some(ExternalAccount { kid: external.kid.clone(), binding: serde_json::Value::Null });
    storage.create_account(bound, cause).await.unwrap();
    storage.external_account_key(&directory, &external.kid).await.unwrap();
    storage.external_account_keys(&directory, None, 10).await.unwrap();
    storage.external_account_keys(&directory, Some("kid"), 10).await.unwrap();
    storage.revoke_external_account_key(&directory, &external.kid, cause).await.unwrap();

    let certificate = issue(storage, 102, &owner).await;
    for seed in [111, 112] {
        let mut replacing = order(seed, owner.id, &[dns("d.test")]);
        replacing.replaces = Some(certificate.id);
        let authorization = replacing.authorizations[0].id;
        storage.create_order(placing(replacing, []), cause).await.unwrap();
        storage.deactivate_authorization(&owner.id, &authorization, cause).await.unwrap();
    }
    let alone = common::authorization(500_000, owner.id, &dns("e.test"));
    storage.create_authorization(alone.clone(), 10, cause).await.unwrap();
    validate(storage, 114, &alone).await;
    let mut adopting = order(115, owner.id, &[]);
    adopting.identifiers = vec![dns("e.test")];
    storage.create_order(placing(adopting, [alone.id]), cause).await.unwrap();
    storage.certificate(&owner.id, &certificate.id).await.unwrap();
    storage.certificate_by_serial(&certificate.serial).await.unwrap();
    storage.reserved_serial(&certificate.serial).await.unwrap();
    let lease = terms(116, NOW + MINUTE);
    let telling = Telling::Owed(Some(lease));
    let reason = RevocationReason::KeyCompromise;
    let begin = BeginRevocation { certificate: certificate.id, reason, telling };
    let told = storage.revoke_certificate(begin, cause).await.unwrap().lease.unwrap();
    storage.finish_revocation(told, RevocationOutcome::Told, cause).await.unwrap();
    storage.revocations(NOW, None, 10).await.unwrap();
    storage.orders(&owner.id, None, 10).await.unwrap();
    storage.orders(&owner.id, Some(&certificate.order), 10).await.unwrap();
    let names = [dns("102.example.org")];
    let reusable = storage.reusable_authorizations(&owner.id, &names, NOW).await.unwrap();
    let reused: Vec<_> = reusable.iter().map(|held| held.id).collect();
    let mut new = order(103, owner.id, &[]);
    new.identifiers = names.to_vec();
    let reusing = storage.create_order(placing(new, reused), cause).await.unwrap();

    let begun = storage.begin_issuance(begin_issuance(&reusing, 104), cause).await.unwrap();
    let lease = begun.lease.unwrap();
    storage.reserve_serial(&lease, serial(105), cause).await.unwrap();
    storage.renew_lease(&lease, NOW + 2 * MINUTE, cause).await.unwrap();
    storage.release_job(lease, NOW, cause).await.unwrap();
    let lease = claim(storage).await;
    let refused = IssuanceOutcome::Refused(problem());
    storage.finish_issuance(lease, refused, cause).await.unwrap();

    let pending =
        storage.create_order(placing(order(106, owner.id, &[dns("b.test")]), []), cause).await.unwrap();
    let authorization = &pending.authorizations[0];
    let begin = BeginValidation {
        account: owner.id,
        authorization: authorization.id,
        challenge: authorization.challenges[0].id,
        lease: None,
    };
    let begun = storage.begin_validation(begin, cause).await.unwrap();
    assert!(begun.lease.is_none());
    storage.next_due(&directory).await.unwrap().unwrap();
    let lease = claim(storage).await;
    storage.retry_validation(lease, problem(), NOW, cause).await.unwrap();
    let lease = claim(storage).await;
    storage.deactivate_authorization(&owner.id, &authorization.id, cause).await.unwrap();
    storage.retry_validation(lease, problem(), NOW, cause).await.unwrap();
    storage.authorization(&owner.id, &authorization.id).await.unwrap();

    let under_way =
        storage.create_order(placing(order(107, owner.id, &[dns("c.test")]), []), cause).await.unwrap();
    validate(storage, 108, &under_way.authorizations[0]).await;
    drop(storage.begin_issuance(begin_issuance(&under_way, 109), cause).await.unwrap());
    let nonce = storage.issue(NOW).await.unwrap();
    storage.consume(&nonce, NOW).await.unwrap();
    storage.take("somebody", &Quota { amount: 2, period: MINUTE }, 1, NOW).await.unwrap();
    for subject in [None, Some(owner.id.to_string())] {
        storage.audit(&AuditFilter { subject, limit: 10 }).await.unwrap();
    }
    for key in [
        TraceKey::Request(cause.request),
        TraceKey::Authorization(under_way.authorizations[0].id),
        TraceKey::Order(under_way.id),
        TraceKey::Name("a.test".to_owned()),
    ] {
        storage.traces(&key, 10).await.unwrap();
    }
    let later = NOW + 365 * DAY;
    let sweep = Sweep {
        remove_expired_before: later,
        remove_issued_before: later,
        remove_audit_before: later,
        remove_traces_before: later,
        batch: 100,
    };
    let report = storage.sweep(&sweep, &common::cause(later)).await.unwrap();
    assert!(report.orders_removed > 0 && report.authorizations_removed > 0, "{report:?}");
    assert!(report.certificates_removed > 0 && report.audit_removed > 0, "{report:?}");
    assert!(report.traces_removed > 0, "{report:?}");
    assert_eq!(report.transient_removed, 2, "a nonce and a quota");
}

async fn claim(storage: &SqliteStorage) -> Lease {
    let claim =
        Claim { directory: DirectoryId::default(), kind: None, limit: 1, terms: terms(7, NOW + MINUTE) };
    let mut leases = storage.claim_jobs(&claim, &cause(NOW)).await.unwrap();
    leases.pop().expect("a job that is due")
}

fn problem() -> Problem {
    Problem::new(ProblemType::Connection, "nobody is there")
}
