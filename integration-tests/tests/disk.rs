//! A disk that is full.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    time::Duration,
};

use integration_tests::{Acmed, Database, Dns, Responder, Setup, eventually};
use serde_json::json;

/// Fills the disk that this file is on.
fn fill(ballast: &Path) {
    let mut file = File::create(ballast).expect("a file");
    for size in [64 * 1024, 4096, 512, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
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
    // Until the room is used up that SQLite has already.
    let refused = eventually("an order is refused", Duration::from_secs(60), || {
        let payload = json!({"identifiers": [{"type": "dns", "value": "full.example.org"}]});
        let answer = account.post(&account.client.resource("newOrder"), &payload);
        if answer.status != 201 {
            return Some(answer);
        }
        acknowledged.push(answer.location());
        None
    });
    refused.expect_problem(503, "serverInternal");
    assert!(refused.header("Retry-After").is_some(), "{refused}");
    for url in &acknowledged {
        assert_eq!(account.read(url).url, *url, "what was answered can be read");
    }
    let told = acmed.log().lines().filter(|line| line.contains("disk is full")).count();
    assert_eq!(told, 1, "the operator is told once:\n{}", acmed.log());

    fs::remove_file(&ballast).expect("a file");
    eventually("there is a certificate without anybody's help", Duration::from_secs(30), || {
        let payload = json!({"identifiers": [{"type": "dns", "value": "after.example.org"}]});
        let answer = account.post(&account.client.resource("newOrder"), &payload);
        (answer.status == 201).then_some(())
    });
    assert!(account.issue(&["again.example.org"], &responder).contains("BEGIN CERTIFICATE"));
    for url in &acknowledged {
        assert_eq!(account.read(url).url, *url, "nothing is lost");
    }
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
