//! Three replicas under load, while one after the other is killed and PostgreSQL is restarted.
//!
//! Clients that do no more than RFC 8555 lets them (they ask again) get a certificate for each order that was
//! acknowledged, and never two. Afterwards the database is asked for what must never be in it.
//!
//! `COYOTE_LOAD_SECONDS` says for how long orders are begun (15 unless it is set; 120 is the full run),
//! `COYOTE_LOAD_RATE` how many a second are to be begun (200), `COYOTE_SEED` repeats the choice of whom to kill.

mod abuse;
mod nemesis;
mod patient;
mod tally;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use integration_tests::{Replicas, eventually, seed};

use crate::{
    nemesis::Nemesis,
    patient::{Certified, Patient},
    tally::Tally,
};

/// Clients at the same time, each with an account.
const CLIENTS: u64 = 24;
/// Of so many certificates, one is revoked.
const REVOKED: u64 = 10;
/// After so many orders, a client changes its key.
const RENEWED: u64 = 25;

#[test]
fn every_order_ends_valid_and_once_while_replicas_die_and_the_database_restarts() {
    let duration = Duration::from_secs(setting("COYOTE_LOAD_SECONDS", 15));
    let (rate, seed) = (setting("COYOTE_LOAD_RATE", 200), seed());
    println!("COYOTE_SEED={seed} COYOTE_LOAD_SECONDS={} COYOTE_LOAD_RATE={rate}", duration.as_secs());
    let Some(mut replicas) = Replicas::start(&[&[], &[], &[]], |setup| setup) else { return };
    let watched = replicas.postgres.query(include_str!("../../invariants/history.sql"));
    assert!(watched.is_empty(), "{watched:?}");

    let (load, mut nemesis) = (Load::new(rate, duration), Nemesis::new(seed, duration));
    let mut patients: Vec<_> =
        (0..CLIENTS).map(|number| Patient::new(&replicas, number, &load.tally)).collect();
    let certified: Vec<Certified> = thread::scope(|scope| {
        let clients: Vec<_> = patients.iter_mut().map(|patient| scope.spawn(|| load.run(patient))).collect();
        nemesis.run(&mut replicas.members, &replicas.postgres);
        clients.into_iter().flat_map(|client| client.join().expect("no panic")).collect()
    });
    println!("{}\n{nemesis}\n{}", load.report(certified.len()), load.tally);

    eventually("all jobs are done", Duration::from_secs(60), || {
        (replicas.postgres.number("SELECT count(*) FROM jobs") == 0).then_some(())
    });
    let failures = load.tally.failures();
    assert!(failures.is_empty(), "{} of the orders failed: {failures:?}", failures.len());
    require_kept(&replicas, &certified);
    require_revoked(&replicas, &load.tally);
    require_sound(&replicas);
}

/// What was answered is there, and nothing was issued that nobody asked for.
fn require_kept(replicas: &Replicas, certified: &[Certified]) {
    let issued = replicas.postgres.query("SELECT serial FROM certificates ORDER BY 1");
    let mut known: Vec<_> = certified.iter().map(|certified| certified.serial.clone()).collect();
    known.sort();
    let lost: Vec<_> = known.iter().filter(|serial| issued.binary_search(serial).is_err()).collect();
    assert!(lost.is_empty(), "I16: certificates that clients have and the store has not: {lost:?}");
    assert_eq!(known.len(), issued.len(), "certificates that no client has");
}

/// I13: what clients have revoked is revoked, and nothing else.
fn require_revoked(replicas: &Replicas, tally: &Tally) {
    let revoked = replicas.postgres.number("SELECT count(*) FROM certificates WHERE revoked IS NOT NULL");
    assert_eq!(
        revoked,
        tally.revoked.load(Ordering::Relaxed),
        "I13: revoked certificates in the store, and of the clients"
    );
}

/// The invariants, by query.
fn require_sound(replicas: &Replicas) {
    let breaches = replicas.postgres.query(include_str!("../../invariants/postgres.sql"));
    assert!(breaches.is_empty(), "{breaches:#?}");
    let breaches = replicas.postgres.query("SELECT invariant, offender FROM breaches");
    assert!(breaches.is_empty(), "{breaches:#?}");
    for acmed in &replicas.members {
        assert!(!acmed.log().contains("panicked at"), "I22: a panic");
    }
}

/// Orders that begin at a steady rate, ready or not.
struct Load {
    tally: Arc<Tally>,
    next: AtomicU64,
    began: Instant,
    rate: u64,
    duration: Duration,
}

impl Load {
    fn new(rate: u64, duration: Duration) -> Self {
        let tally = Arc::new(Tally::default());
        Self { tally, next: AtomicU64::new(0), began: Instant::now(), rate, duration }
    }

    /// One client's orders, one after the other. Some certificates are revoked, and some keys changed, on the way.
    fn run(&self, patient: &mut Patient) -> Vec<Certified> {
        let mut certified = Vec::new();
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let due = Duration::from_micros(number * 1_000_000 / self.rate);
            if due.max(self.began.elapsed()) >= self.duration {
                return certified;
            }
            thread::sleep(due.saturating_sub(self.began.elapsed()));
            let began = Instant::now();
            let issued = patient.issue(number);
            self.tally.took(began.elapsed());
            let done = issued.and_then(|done| {
                if number.is_multiple_of(REVOKED) {
                    patient.revoke(&done.chain)?;
                }
                if number.is_multiple_of(RENEWED) {
                    patient.change_key()?;
                }
                Ok(done)
            });
            match done {
                Ok(done) => certified.push(done),
                Err(why) => self.tally.fail(format!("n{number}: {why}")),
            }
        }
    }

    fn report(&self, certified: usize) -> String {
        let seconds = self.began.elapsed().as_secs_f64();
        let begun = self.tally.begun();
        let rate = f64::from(u32::try_from(certified).expect("not so many")) / seconds;
        format!(
            "{begun} orders begun, {certified} valid, {} failed, in {seconds:.1} s: {rate:.1} a second",
            self.tally.failures().len()
        )
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}
