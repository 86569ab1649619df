//! A disk that is full.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    time::Duration,
};

use integration_tests::{Account, Acmed, Database, Dns, Postgres, Responder, Response, Setup, eventually};
use serde_json::json;

/// Fills the disk that this file is on.
fn fill(ballast: &Path) {
    let mut file = File::create(ballast).expect("a file");
    for size in [64 * 1024, 4096, 512, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

fn new_order(account: &Account, name: &str) -> Response {
    let payload = json!({"identifiers": [{"type": "dns", "value": name}]});
    account.post(&account.client.resource("newOrder"), &payload)
}

/// Until the room is used up that the database has already.
fn orders_until_one_is_refused(account: &Account) -> Vec<String> {
    let mut acknowledged = Vec::new();
    let refused = eventually("an order is refused", Duration::from_secs(60), || {
        let answer = new_order(account, &format!("full{}.example.org", acknowledged.len()));
        if answer.status != 201 {
            return Some(answer);
        }
        acknowledged.push(answer.location());
        None
    });
    refused.expect_problem(503, "serverInternal");
    assert!(refused.header("Retry-After").is_some(), "{refused}");
    acknowledged
}

/// Without anybody's help, and nothing that was answered is lost.
fn goes_on(account: &Account, responder: &Responder, acknowledged: &[String]) {
    eventually("there is an order again", Duration::from_secs(30), || {
        (new_order(account, "after.example.org").status == 201).then_some(())
    });
    assert!(account.issue(&["again.example.org"], responder).contains("BEGIN CERTIFICATE"));
    for url in acknowledged {
        assert_eq!(account.read(url).url, *url, "nothing is lost");
    }
}

#[test]
fn a_full_disk_of_postgresql_is_503_too_and_it_is_over_when_there_is_room_again() {
    let Some(postgres) = Postgres::start_on_a_small_disk(24) else { return };
    let (dns, responder) = (Dns::start(), Responder::start());
    let setup = Setup::new(&dns, &responder)
        .with("", &format!("storage = {:?}\nnonces = \"memory:\"", postgres.url()));
    let acmed = Acmed::serve(&setup);
    let account = acmed.client().account();
    let chain = account.issue(&["before.example.org"], &responder);
    assert!(chain.contains("BEGIN CERTIFICATE"));

    let ballast = postgres.small_disk().join("ballast");
    fill(&ballast);
    let acknowledged = orders_until_one_is_refused(&account);
    let told = acmed.log().lines().filter(|line| line.contains("No space left")).count();
    assert_eq!(told, 1, "the operator is told once:\n{}", acmed.log());

    fs::remove_file(&ballast).expect("a file");
    goes_on(&account, &responder, &acknowledged);
}

#[test]
fn a_full_disk_is_503_nothing_answered_is_lost_and_it_is_over_when_there_is_room_again() {
    let (dns, responder) = (Dns::start(), Responder::start());
    let Some(acmed) = Acmed::serve_on_a_small_disk(&Setup::new(&dns, &responder), 24) else { return };
    let account = acmed.client().account();
    let order = account.ready_order(&["before.example.org"], &responder);
    let chain = account.certificate(&order);

    let ballast = acmed.inside("ballast");
    fill(&ballast);
    let mut acknowledged = vec![order.url];
    acknowledged.extend(orders_until_one_is_refused(&account));
    for url in &acknowledged {
        assert_eq!(account.read(url).url, *url, "what was answered can be read");
    }
    let told = acmed.log().lines().filter(|line| line.contains("disk is full")).count();
    assert_eq!(told, 1, "the operator is told once:\n{}", acmed.log());

    fs::remove_file(&ballast).expect("a file");
    goes_on(&account, &responder, &acknowledged);
    let url = account.read(&acknowledged[0]).text("certificate");
    assert_eq!(account.post_as_get(&url).expect(200).text(), chain);
    // SQLite itself does not find the way inside. Nobody writes now, so that a copy is whole.
    for file in ["acmed.db", "acmed.db-wal"] {
        fs::copy(acmed.inside(file), acmed.path(file)).expect("a copy");
    }
    let mut database = Database::open(&acmed.path("acmed.db"));
    let sound = database.text("SELECT integrity_check AS line FROM pragma_integrity_check");
    assert_eq!(sound.trim(), "ok");
}
