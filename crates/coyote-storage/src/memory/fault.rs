#[cfg(any(test, feature = "conformance"))]
use std::collections::BTreeMap;

use crate::{AccountId, Cause, Job, Lease, Result, StorageError};

#[cfg(any(test, feature = "conformance"))]
use super::MemoryStorage;
use super::State;

/// A mistake that a backend could make, made on purpose, to see whether the conformance kit notices.
#[cfg(any(test, feature = "conformance"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlantedFault {
    /// What an operation decided on may have changed by the time it writes.
    NoGuard,
    /// Whoever ever had a lease may settle the job.
    NoTokenFence,
    /// A record is given to whoever knows its id.
    NoOwnerCheck,
}

impl State {
    pub(super) fn require_owner(&self, owner: &AccountId, account: &AccountId) -> Result<()> {
        #[cfg(any(test, feature = "conformance"))]
        if self.fault == Some(PlantedFault::NoOwnerCheck) {
            return Ok(());
        }
        if owner == account { Ok(()) } else { Err(StorageError::NotFound) }
    }

    pub(super) fn require_held(&self, job: &Job, lease: &Lease, cause: &Cause) -> Result<()> {
        #[cfg(any(test, feature = "conformance"))]
        if self.fault == Some(PlantedFault::NoTokenFence) {
            return Ok(());
        }
        if job.is_held_by(lease, cause.now) { Ok(()) } else { Err(StorageError::LeaseLost) }
    }
}

#[cfg(any(test, feature = "conformance"))]
impl MemoryStorage {
    /// Storage that makes this mistake.
    pub fn with_fault(fault: PlantedFault) -> Self {
        let storage = Self::new();
        storage.lock().fault = Some(fault);
        storage
    }

    /// Everything that is stored except audit records, nonces and rate limits, as text: equal texts, equal
    /// contents.
    pub fn dump(&self) -> String {
        self.read(|state| format!("{:#?}", State { audit: BTreeMap::new(), ..state.clone() }))
    }

    /// Removes a job, as no operation does: damage for a sweep to repair.
    pub fn lose_job(&self, job: &crate::JobId) {
        self.lock().jobs.remove(job);
    }

    /// Decides on the tables as they were, and overwrites what they have become.
    pub(super) fn write_without_guard<T>(&self, body: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let mut outdated = self.read(State::clone);
        std::thread::yield_now();
        let answer = body(&mut outdated);
        if answer.is_ok() {
            *self.lock() = outdated;
        }
        answer
    }
}
