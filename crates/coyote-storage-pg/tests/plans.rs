//! How PostgreSQL finds what the statements ask for: through an index, however large the tables are.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "these are tests, also outside of the functions that are marked so"
)]

mod common;

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use common::Database;
use coyote_storage::conformance::differential::{histories, same_as_memory};
use diesel::connection::{InstrumentationEvent, set_default_instrumentation};
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use tokio_postgres::Client;

/// So many rows, mostly over and done, that the planner has a choice to make.
const MUCH: &str = "
    SET session_replication_role = replica; -- what refers to what is not looked at
    CREATE FUNCTION id(kind text, n bigint) RETURNS bytea LANGUAGE sql IMMUTABLE AS
        $$ SELECT decode(md5(kind || n), 'hex') $$;
    INSERT INTO accounts SELECT id('account', n), 'default', 'key' || n, '{}', '[]', NULL, NULL, n, NULL, NULL
        FROM generate_series(1, 2000) n;
    INSERT INTO external_account_keys SELECT 'default', 'kid' || n, '', '', n, NULL, NULL, 0, '[]', NULL
        FROM generate_series(1, 5000) n;
    INSERT INTO orders SELECT id('order', n), id('account', n % 2000), '[]', NULL, NULL, NULL, NULL, n, n,
            '', '01', n, CASE WHEN n % 100 > 1 THEN id('certificate', n) END, CASE WHEN n % 100 = 1 THEN '{}' END
        FROM generate_series(1, 30000) n;
    INSERT INTO authorizations SELECT id('authorization', n), id('account', n % 2000), 'dns:' || n % 9000 || '.test',
            n, n, '[]', NULL, NULL, n, n % 100 = 0, n % 100 = 1, 0 FROM generate_series(1, 30000) n;
    INSERT INTO order_authorizations SELECT id('order', n), 0, id('authorization', n) FROM generate_series(1, 30000) n;
    INSERT INTO serials SELECT to_hex(n), id('order', n), n FROM generate_series(1, 30000) n;
    INSERT INTO certificates SELECT id('certificate', n), id('account', n % 2000), id('order', n), to_hex(n), n, n, '',
            '[]', n, CASE WHEN n % 100 = 0 THEN n END, CASE WHEN n % 100 = 0 THEN 1 END,
            CASE WHEN n % 100 = 0 AND n % 1000 > 0 THEN n END, NULL, NULL
        FROM generate_series(1, 30000) n;
    INSERT INTO jobs SELECT id('order', n), 'default', 'issue', '{}', n, 1,
            CASE WHEN n % 100 = 0 THEN id('token', n) END, CASE WHEN n % 100 = 0 THEN n END
        FROM generate_series(1, 30000) n;
    INSERT INTO audit (at, request, actor, client, subject, event)
        SELECT n, id('request', n), '{}', NULL, 'subject' || n % 9000, '{}' FROM generate_series(1, 30000) n;
    INSERT INTO traces (at, request, kind, subject, names, timeline)
        SELECT n, id('request', n), 'order', 'subject' || n % 9000, n % 9000 || '.test', '{}'
        FROM generate_series(1, 30000) n;
    INSERT INTO used_nonces SELECT id('nonce', n), n FROM generate_series(1, 30000) n;
    INSERT INTO rate_limits SELECT 'key' || n, n FROM generate_series(1, 30000) n;
    ANALYZE";

/// Plans as the connections of a storage make them, and for any values.
const SETTINGS: &str = "
    SET plan_cache_mode = force_generic_plan;
    SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off";

static STATEMENTS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
static PREPARED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Remembers each statement that a connection of this process runs, and each that it keeps prepared.
fn listen() {
    set_default_instrumentation(|| {
        Some(Box::new(|event: InstrumentationEvent<'_>| match event {
            InstrumentationEvent::StartQuery { query, .. } => {
                remember(&STATEMENTS, query.to_string().split(" -- binds").next().unwrap_or_default());
            }
            InstrumentationEvent::CacheQuery { sql, .. } => remember(&PREPARED, sql),
            _ => {}
        }))
    })
    .unwrap();
}

fn remember(set: &Mutex<BTreeSet<String>>, statement: &str) {
    set.lock().unwrap_or_else(PoisonError::into_inner).insert(statement.to_owned());
}

/// One test, as it listens to all connections of the process.
#[tokio::test]
async fn nothing_reads_a_whole_table_and_what_runs_often_is_prepared_once() {
    let database = Database::new();
    let stranger = database.stranger().await;
    listen();
    let mut runner = TestRunner::deterministic();
    for _ in 0..30 {
        let history = histories().new_tree(&mut runner).unwrap().current();
        same_as_memory(Database::new().storage().await, history).await.unwrap();
    }
    let statements = STATEMENTS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let prepared = PREPARED.lock().unwrap_or_else(PoisonError::into_inner).clone();

    // A connection keeps its plans, so those made while there was nothing yet are to be as good.
    stranger.batch_execute(SETTINGS).await.unwrap();
    // (Of two indices with nothing in them neither is the better.)
    require_indices(&stranger, &prepared, &["orders_unissued"]).await;
    stranger.batch_execute(MUCH).await.unwrap();
    require_indices(&stranger, &prepared, &[]).await;
    stranger
        .batch_execute("RESET enable_seqscan; RESET enable_hashjoin; RESET enable_mergejoin")
        .await
        .unwrap();
    require_indices(&stranger, &prepared, &[]).await;
    assert!(prepared.len() > 50, "the statements were listened to: {}", prepared.len());

    let words = ["SELECT", "INSERT", "WITH", "UPDATE", "DELETE"];
    let unprepared = statements.difference(&prepared);
    let unprepared = unprepared.filter(|text| words.iter().any(|word| text.starts_with(word)));
    for statement in unprepared {
        let rare =
            statement.contains("schema_migrations") || statement.starts_with("UPDATE \"authorizations\"");
        assert!(rare, "it is prepared each time it runs: {statement}");
    }
}

async fn require_indices(stranger: &Client, prepared: &BTreeSet<String>, also_excused: &[&str]) {
    for statement in prepared.iter().filter(|statement| *statement != "COMMIT") {
        for scan in whole_scans(&plan(stranger, statement).await) {
            let excused =
                also_excused.iter().any(|index| scan.contains(index)) || is_excused(statement, scan);
            assert!(excused, "{scan}: {statement}");
        }
    }
}

fn is_excused(statement: &str, scan: &str) -> bool {
    // The newest records of all are at the end; what is under way has an index with nothing else in it.
    let end = ["audit_pkey", "traces_pkey", "orders_under_way", "certificates_untold"]
        .iter()
        .any(|index| scan.contains(index));
    // Jobs are as many as there is under way: a sweep may compare the two as it likes.
    let jobs = scan.contains(" on jobs ") && statement.contains("NOT (EXISTS (SELECT \"jobs\"");
    end || jobs || scan.contains(" on settings ") // which has one row
}

/// The steps of a plan that read all there is in a table or an index.
fn whole_scans(plan: &[String]) -> Vec<&str> {
    let mut whole = Vec::new();
    for (at, step) in plan.iter().enumerate().filter(|(_, step)| step.contains(" Scan ")) {
        let details = plan.iter().skip(at + 1).take_while(|line| !line.contains("->"));
        let by_index = step.contains("Index") && details.clone().any(|line| line.contains("Index Cond:"));
        let of_plan =
            ["CTE Scan", "Bitmap Heap Scan", "Subquery Scan"].iter().any(|kind| step.contains(kind));
        if !by_index && !of_plan {
            whole.push(step.trim());
        }
    }
    whole
}

/// The plan of a statement for whatever values.
async fn plan(stranger: &Client, statement: &str) -> Vec<String> {
    let parameters = (1..).take_while(|number| statement.contains(&format!("${number}"))).count();
    let nulls = vec!["NULL"; parameters].join(", ");
    let execute = if parameters == 0 { "one".to_owned() } else { format!("one({nulls})") };
    stranger.batch_execute(&format!("PREPARE one AS {statement}")).await.expect(statement);
    let rows = stranger.query(&format!("EXPLAIN EXECUTE {execute}"), &[]).await.expect(statement);
    stranger.batch_execute("DEALLOCATE one").await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}
