//! Work that waits for strangers.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Those that wait: so many at most, the one that has waited longest first.
pub(super) struct Waiting {
    permits: (Arc<Semaphore>, u32),
    inside: Mutex<VecDeque<Arc<Notify>>>,
    closed: AtomicBool,
}

impl Waiting {
    pub(super) fn new(count: u32) -> Self {
        let count = count.max(1);
        Self {
            permits: (Arc::new(Semaphore::new(count as usize)), count),
            inside: Mutex::default(),
            closed: AtomicBool::new(false),
        }
    }

    /// Lets nobody in from now on, and makes nobody give way. One permit for each place, and how many there are.
    pub(super) fn close(&self) -> &(Arc<Semaphore>, u32) {
        self.closed.store(true, Ordering::Relaxed);
        &self.permits
    }

    /// A place for one that can be told to give way. If there is none, whoever has waited longest is told so, and there may be
    /// one soon.
    pub(super) fn enter(&self, give_way: &Arc<Notify>) -> Option<Place<'_>> {
        if self.closed.load(Ordering::Relaxed) {
            return None;
        }
        let mut inside = self.inside();
        let Ok(permit) = self.permits.0.clone().try_acquire_owned() else {
            if let Some(longest) = inside.pop_front() {
                longest.notify_one();
            }
            return None;
        };
        inside.push_back(give_way.clone());
        Some(Place { waiting: self, give_way: give_way.clone(), _permit: permit })
    }

    fn inside(&self) -> MutexGuard<'_, VecDeque<Arc<Notify>>> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among those that wait, until it is dropped.
pub(super) struct Place<'a> {
    waiting: &'a Waiting,
    give_way: Arc<Notify>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.waiting.inside().retain(|other| !Arc::ptr_eq(other, &self.give_way));
    }
}
