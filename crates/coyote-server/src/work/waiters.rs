//! Answers that wait for a job to end.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use coyote_storage::JobId;
use tokio::sync::oneshot;

/// Who waits for which job. Bounded; woken by the task that does the job, so that nobody polls the store.
pub(super) struct Waiters {
    most: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    count: usize,
    by_job: HashMap<JobId, Vec<oneshot::Sender<()>>>,
}

impl Waiters {
    pub(super) fn new(most: usize) -> Self {
        Self { most, waiting: Mutex::default() }
    }

    /// Something that ends when the job does. `None` if too many wait.
    pub(super) fn wait(&self, job: JobId) -> Option<oneshot::Receiver<()>> {
        let mut waiting = self.lock();
        if waiting.count >= self.most {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        waiting.count += 1;
        waiting.by_job.entry(job).or_default().push(sender);
        Some(receiver)
    }

    /// The job has ended.
    pub(super) fn wake(&self, job: JobId) {
        let mut waiting = self.lock();
        let Some(senders) = waiting.by_job.remove(&job) else { return };
        waiting.count -= senders.len();
        // Dropping a sender wakes its receiver as well as sending does.
        drop(waiting);
        drop(senders);
    }

    /// Any job may have ended.
    pub(super) fn wake_all(&self) {
        let woken = std::mem::take(&mut *self.lock());
        drop(woken); // which wakes them
    }

    /// Forgets those who have stopped waiting for the job.
    pub(super) fn tidy(&self, job: JobId) {
        let mut waiting = self.lock();
        let Some(senders) = waiting.by_job.get_mut(&job) else { return };
        let before = senders.len();
        senders.retain(|sender| !sender.is_closed());
        let gone = before - senders.len();
        if senders.is_empty() {
            waiting.by_job.remove(&job);
        }
        waiting.count -= gone;
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing above can leave the map half changed.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: JobId = JobId::from_bytes([1; 16]);

    #[tokio::test]
    async fn whoever_waits_for_a_job_is_woken_when_it_ends() {
        let waiters = Waiters::new(8);
        let (one, two) = (waiters.wait(JOB).unwrap(), waiters.wait(JOB).unwrap());
        waiters.wake(JOB);
        assert!(one.await.is_err() && two.await.is_err(), "the channel is closed");
        assert_eq!(waiters.lock().count, 0);
    }

    #[tokio::test]
    async fn everybody_can_be_woken_at_once() {
        let waiters = Waiters::new(8);
        let (one, two) = (waiters.wait(JOB).unwrap(), waiters.wait(JobId::from_bytes([2; 16])).unwrap());
        waiters.wake_all();
        assert!(one.await.is_err() && two.await.is_err(), "the channels are closed");
        assert_eq!(waiters.lock().count, 0);
    }

    #[test]
    fn no_more_wait_than_there_is_room_for_and_those_who_gave_up_make_room() {
        let waiters = Waiters::new(1);
        let one = waiters.wait(JOB);
        assert!(one.is_some() && waiters.wait(JOB).is_none());
        drop(one);
        waiters.tidy(JOB);
        assert!(waiters.wait(JOB).is_some());
    }
}
