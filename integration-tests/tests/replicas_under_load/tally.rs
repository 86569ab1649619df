//! What has happened to the clients.

use std::{
    fmt,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Counts, over all clients.
#[derive(Default)]
pub struct Tally {
    begun: AtomicU64,
    asked: AtomicU64,
    /// Nobody was there to take the request.
    pub refused: AtomicU64,
    /// It was taken, and no answer came.
    pub lost: AtomicU64,
    /// It was answered with 503.
    pub unavailable: AtomicU64,
    /// It was answered with `badNonce`.
    pub bad_nonce: AtomicU64,
    /// Used nonces that were sent again, and refused.
    pub replays: AtomicU64,
    /// Nonces that nobody had issued, and that were refused.
    pub forgeries: AtomicU64,
    /// Requests signed with a key that had been given up, and refused.
    pub old_keys: AtomicU64,
    /// Certificates that were revoked.
    pub revoked: AtomicU64,
    times: Mutex<Vec<Duration>>,
    failures: Mutex<Vec<String>>,
}

impl Tally {
    /// An order was acknowledged.
    pub fn begin(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    /// A request is sent.
    pub fn ask(&self) {
        self.asked.fetch_add(1, Ordering::Relaxed);
    }

    /// How many orders were acknowledged.
    pub fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Something went wrong that must not.
    pub fn fail(&self, why: String) {
        self.failures.lock().unwrap().push(why);
    }

    /// All that went wrong.
    pub fn failures(&self) -> Vec<String> {
        self.failures.lock().unwrap().clone()
    }

    /// An issuance took so long, from the first attempt to the chain.
    pub fn took(&self, time: Duration) {
        self.times.lock().unwrap().push(time);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let mut times = self.times.lock().unwrap().clone();
        times.sort();
        let at = |percent: usize| times.get(times.len().saturating_sub(1) * percent / 100).copied();
        write!(
            f,
            "{} requests: {} without a server, {} without an answer, {} times 503, {} times badNonce, \
             {} replays, {} made-up nonces and {} old keys refused, {} certificates revoked; an issuance took {:.3?} (median), {:.3?} (p99), {:.3?} (longest)",
            read(&self.asked),
            read(&self.refused),
            read(&self.lost),
            read(&self.unavailable),
            read(&self.bad_nonce),
            read(&self.replays),
            read(&self.forgeries),
            read(&self.old_keys),
            read(&self.revoked),
            at(50).unwrap_or_default(),
            at(99).unwrap_or_default(),
            at(100).unwrap_or_default(),
        )
    }
}
