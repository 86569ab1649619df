//! Who kills.

use std::{
    fmt, thread,
    time::{Duration, Instant},
};

use integration_tests::{Acmed, Chance, Postgres};

/// From one kill to the next.
const EVERY: Duration = Duration::from_secs(5);
/// How long a replica stays dead.
const DEAD: Duration = Duration::from_secs(1);

/// Kills a replica every few seconds, starts it anew, and in between restarts the database once.
pub struct Nemesis {
    chance: Chance,
    duration: Duration,
    kills: u64,
    restarts: u64,
}

impl Nemesis {
    /// One that is at it for so long.
    pub fn new(seed: u64, duration: Duration) -> Self {
        Self { chance: Chance::new(seed), duration, kills: 0, restarts: 0 }
    }

    /// Does it. At the end, everybody lives.
    pub fn run(&mut self, replicas: &mut [Acmed], postgres: &Postgres) {
        let (began, half) = (Instant::now(), self.duration / 2 + EVERY / 2);
        let mut restarted = false;
        for number in 1.. {
            let due = EVERY * number;
            if !restarted && due > half {
                sleep_until(began + half.min(self.duration));
                postgres.stop();
                thread::sleep(DEAD);
                postgres.start_again();
                (restarted, self.restarts) = (true, 1);
            }
            if due >= self.duration {
                return;
            }
            sleep_until(began + due);
            let chosen = usize::try_from(self.chance.below(replicas.len() as u64)).expect("a few");
            replicas[chosen].kill();
            self.kills += 1;
            thread::sleep(DEAD);
            replicas[chosen].restart();
        }
    }
}

impl fmt::Display for Nemesis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} kills of a replica, {} restart of PostgreSQL", self.kills, self.restarts)
    }
}

fn sleep_until(moment: Instant) {
    thread::sleep(moment.saturating_duration_since(Instant::now()));
}
