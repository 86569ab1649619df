//! When jobs that were put off are due, as far as this process knows.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use coyote_protocol::Timestamp;
use coyote_storage::JobId;

/// How many jobs are remembered. Of others, a client is told the usual wait.
const MOST: usize = 4_096;

/// The jobs that this process has put off, and until when: so that a client can be told without asking the store.
#[derive(Default)]
pub(super) struct Schedule(Mutex<HashMap<JobId, Timestamp>>);

impl Schedule {
    /// The job is due then.
    pub(super) fn put_off(&self, job: JobId, due: Timestamp, now: Timestamp) {
        let mut jobs = self.lock();
        if jobs.len() >= MOST {
            jobs.retain(|_, due| *due > now);
        }
        if jobs.len() < MOST {
            jobs.insert(job, due);
        }
    }

    /// The job is being worked on, or has ended.
    pub(super) fn forget(&self, job: JobId) {
        self.lock().remove(&job);
    }

    /// When the job is due, if it was put off.
    pub(super) fn due(&self, job: JobId) -> Option<Timestamp> {
        self.lock().get(&job).copied()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, Timestamp>> {
        // Nothing above can leave the map half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_000);

    fn job(number: usize) -> JobId {
        JobId::from_bytes((number as u128).to_be_bytes())
    }

    #[test]
    fn no_more_jobs_are_remembered_than_there_is_room_for_and_those_that_are_due_make_room() {
        let (schedule, later) = (Schedule::default(), NOW + std::time::Duration::from_secs(1));
        for number in 0..MOST {
            schedule.put_off(job(number), later, NOW);
        }
        schedule.put_off(job(MOST), later, NOW);
        assert_eq!((schedule.due(job(0)), schedule.due(job(MOST))), (Some(later), None));
        schedule.put_off(job(MOST), later, later);
        assert_eq!((schedule.due(job(0)), schedule.due(job(MOST))), (None, Some(later)));
        schedule.forget(job(MOST));
        assert_eq!(schedule.due(job(MOST)), None);
    }
}
