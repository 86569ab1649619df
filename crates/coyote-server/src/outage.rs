//! What is told of an outage: enough to see that it lasts, not a line for each request that it costs.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use coyote_protocol::Timestamp;

/// From one line to the next.
const AGAIN: Duration = Duration::from_secs(10);

/// Complaints of one kind.
#[derive(Default)]
pub(crate) struct Outage(Mutex<Told>);

#[derive(Default)]
struct Told {
    last: Option<Timestamp>,
    unsaid: u64,
}

impl Outage {
    /// Whether to complain now: if so, how many complaints have been held back since the last.
    pub(crate) fn complain(&self, now: Timestamp) -> Option<u64> {
        // Nothing here can leave it half changed.
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back must not make it silent.
        if told.last.is_some_and(|last| last <= now && now.since(last) < AGAIN) {
            told.unsaid += 1;
            return None;
        }
        told.last = Some(now);
        Some(std::mem::take(&mut told.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_complaints_one_is_made_in_a_while_and_says_how_many_it_stands_for() {
        let (outage, now) = (Outage::default(), Timestamp::from_seconds(1_000));
        assert_eq!(outage.complain(now), Some(0));
        assert_eq!(outage.complain(now + AGAIN / 2), None);
        assert_eq!(outage.complain(now + AGAIN / 2), None);
        assert_eq!(outage.complain(now + AGAIN), Some(2));
        assert_eq!(outage.complain(now), Some(0), "the clock was set back");
    }
}
