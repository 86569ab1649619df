//! Every hostile or malformed request of the catalogue, and the answer that it must get.
//!
//! `bad_inputs.json` says what is sent and what may be answered; the tables of the modules here say how it is made.
//! Around each request the store is dumped, and must not have changed. A case that is neither in a table nor on the
//! list of what is not built fails the test, so that none is forgotten.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

mod accounts;
mod caa;
mod catalogue;
mod finalize;
mod jws;
mod key_change;
mod keys;
mod name_server;
mod not_built;
mod orders;
mod probe;
mod proofs;
mod revocation;
mod room;
mod signing;
mod strict;
mod transport;
mod validation;
mod weak;

use catalogue::{BadInput, catalogue};
use probe::{Observed, Probe};
use room::Room;

/// How to make the requests of one case, by the case's id.
struct Case(&'static str, fn(&Room) -> Vec<Probe<'_>>);

#[test]
fn every_bad_input_gets_an_answer_that_the_catalogue_wants_and_changes_nothing() {
    let catalogue = catalogue();
    let sections: [&[Case]; 15] = [
        transport::CASES,
        jws::CASES,
        keys::CASES,
        jws::NONCES_AND_URLS,
        accounts::CASES,
        key_change::CASES,
        orders::CASES,
        finalize::CASES,
        strict::CASES,
        signing::CASES,
        revocation::CASES,
        validation::CASES,
        proofs::CASES,
        caa::CASES,
        transport::SLOW,
    ];
    let only = std::env::var("COYOTE_ONLY").unwrap_or_default();
    let wanted = |id: &str| only.is_empty() || only.split(',').any(|other| other == id);
    let known = |id: &str| sections.iter().flat_map(|cases| cases.iter()).any(|case| case.0 == id);
    let unknown: Vec<_> = only.split(',').filter(|id| !id.is_empty() && !known(id)).collect();
    assert!(unknown.is_empty(), "there are no cases {unknown:?}");
    let mut room = Room::new();
    let (mut passed, mut failures) = (0, Vec::new());
    for cases in sections {
        for Case(id, probes) in cases.iter().filter(|case| wanted(case.0)) {
            let input = catalogue.iter().find(|input| input.id == *id);
            let input = input.unwrap_or_else(|| panic!("{id} is not in the catalogue"));
            let begun = Instant::now();
            match catch_unwind(AssertUnwindSafe(|| run(&mut room, input, *probes))) {
                Ok(()) => passed += 1,
                Err(_) => failures.push(*id),
            }
            println!("{id} took {:?}", begun.elapsed());
        }
        room.require_good_issuance();
    }
    let excused: usize = not_built::FEATURES.iter().map(|(_, ids)| ids.len()).sum();
    println!("bad inputs: {passed} cases passed, {} failed, {excused} not applicable", failures.len());
    for (feature, ids) in not_built::FEATURES {
        println!("not applicable, as there is no {feature}: {}", ids.join(", "));
    }
    assert!(failures.is_empty(), "failed: {failures:?}");
    let tabled = sections.into_iter().flatten().map(|case| case.0);
    require_all_accounted_for(&catalogue, &tabled.collect::<Vec<_>>());
}

/// The comparison above would be worth nothing if it saw nothing.
#[test]
fn a_change_of_the_store_is_seen_and_a_nonce_is_none() {
    let world = integration_tests::World::new();
    let account = world.client.account();
    let before = world.acmed.database().dump();

    let _ = account.read(&account.url);
    assert_eq!(world.acmed.database().dump(), before);

    let _ = account.order(&["a.example.org"]);
    let after = world.acmed.database().dump();
    for table in ["orders", "authorizations", "order_authorizations"] {
        assert_ne!(after[table], before[table], "{table}");
    }
    assert_eq!(after["accounts"], before["accounts"]);
}

/// Each id is in exactly one place.
fn require_all_accounted_for(catalogue: &[BadInput], tabled: &[&str]) {
    let excused = not_built::FEATURES.iter().flat_map(|(_, ids)| ids.iter().copied());
    let listed: Vec<_> = tabled.iter().copied().chain(excused).collect();
    let unique: BTreeSet<_> = listed.iter().copied().collect();
    assert_eq!(unique.len(), listed.len(), "an id is listed twice");
    let all: BTreeSet<_> = catalogue.iter().map(|input| &*input.id).collect();
    assert_eq!(all.difference(&unique).collect::<Vec<_>>(), Vec::<&&str>::new(), "cases that nobody makes");
    assert_eq!(
        unique.difference(&all).collect::<Vec<_>>(),
        Vec::<&&str>::new(),
        "cases that are not in the catalogue"
    );
}

/// Sends what the case sends, one request after the other, and looks at the answers and at the store.
fn run(room: &mut Room, input: &BadInput, probes: fn(&Room) -> Vec<Probe<'_>>) {
    let pid = room.world.acmed.pid();
    for probe in probes(room) {
        let Probe { what, act, also, may_write, then } = probe;
        let what = format!("{} ({}), {what}", input.id, input.description);
        let before = room.world.acmed.database().dump();

        let observed = act();

        // The nonces that it brought are for us to look at.
        room.world.client.forget_nonces();
        println!("{what}: {observed}");
        let expected = input.accepts(&observed) || also.iter().any(|accepted| accepted.matches(&observed));
        assert!(expected, "{what}: expected {}, got {observed}", input.expectation());
        if let Observed::Answer { response, is_post } = &observed {
            let acme = input.kind != "raw" || response.problem().is_some();
            if acme {
                check_form(room, response, *is_post, &what);
            }
        }
        let accepted_as_good = (200..300).contains(&observed.status()) && input.status >= 400;
        if input.storage_unchanged && !may_write && !accepted_as_good {
            let after = room.world.acmed.database().dump();
            for (table, rows) in &before {
                assert_eq!(rows, &after[table], "{what}: the table {table} has changed");
            }
        }
        then(&observed);
        check_nothing_told(room, &observed, &what);
    }
    check_alive(room, pid, &input.id);
}

/// RFC 8555 sections 6.5, 6.7 and 7.1, RFC 7807.
fn check_form(room: &Room, response: &integration_tests::Response, is_post: bool, what: &str) {
    assert_ne!(response.status, 500, "{what}");
    if response.status == 0 {
        return;
    }
    if response.status >= 400 {
        assert!(response.problem().is_some(), "{what}: this is no problem document: {response}");
        assert_eq!(response.json()["status"], response.status, "{what}");
    }
    let index = format!("{}/directory", room.world.acmed.base_url());
    assert_eq!(response.links("index"), [index], "{what}: a link to the directory");
    if is_post {
        let nonce = response.nonce().unwrap_or_else(|| panic!("{what}: no Replay-Nonce in {response}"));
        room.require_usable(nonce, what);
    }
}

/// Nothing of what is behind is in an answer.
fn check_nothing_told(room: &Room, observed: &Observed, what: &str) {
    let text = observed.to_string();
    let data = room.world.acmed.data().display().to_string();
    for secret in [&*data, "SELECT ", "INSERT ", "sqlite", ".rs:", "panicked", "coyote_", "src/"] {
        assert!(!text.contains(secret), "{what}: {secret:?} is told in {text}");
    }
}

fn check_alive(room: &mut Room, pid: u32, id: &str) {
    assert!(room.world.acmed.is_running() && room.world.acmed.pid() == pid, "{id}: the server has ended");
    let asked = Instant::now();
    let _ = room.world.client.http.get("/directory").expect(200);
    assert!(asked.elapsed() < Duration::from_secs(1), "{id}: the directory took {:?}", asked.elapsed());
}
