//! Everything in memory: the specification of storage, in code, and what the other backends are compared with.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use coyote_jose::Thumbprint;
use coyote_protocol::Timestamp;

use crate::{
    Account, AccountId, AuditEvent, AuditRecord, Authorization, AuthorizationId, Bell, Cause, Certificate,
    CertificateId, Conflict, DirectoryId, ExternalAccountKey, Job, JobId, Lease, Order, OrderId, Result,
    SealedNonces, Serial, Standing, StorageError, TraceRecord,
};

mod account;
mod archive;
mod audit;
mod authorization;
mod certificate;
mod external_account;
mod fault;
mod job;
mod nonce;
mod order;
mod rate_limit;
mod sweep;
mod trace;

#[cfg(any(test, feature = "conformance"))]
pub use fault::PlantedFault;

/// Storage that forgets everything when it is dropped: for tests, demonstrations, and as the specification.
///
/// One lock over plain maps. Each operation looks at everything that can forbid it before it changes anything.
#[derive(Default)]
pub struct MemoryStorage {
    state: Mutex<State>,
    nonces: OnceLock<SealedNonces>,
    arrivals: Mutex<HashMap<String, Timestamp>>,
    bell: Bell,
}

/// The tables.
#[derive(Clone, Debug, Default)]
struct State {
    accounts: BTreeMap<AccountId, Account>,
    keys: BTreeMap<(DirectoryId, Thumbprint), AccountId>,
    external_account_keys: BTreeMap<(DirectoryId, String), ExternalAccountKey>,
    orders: BTreeMap<OrderId, StoredOrder>,
    authorizations: BTreeMap<AuthorizationId, Authorization>,
    certificates: BTreeMap<CertificateId, Certificate>,
    certificate_serials: BTreeMap<Serial, CertificateId>,
    serials: BTreeMap<Serial, (OrderId, Timestamp)>,
    jobs: BTreeMap<JobId, Job>,
    audit: BTreeMap<u64, AuditRecord>,
    standing: Standing,
    traces: Vec<TraceRecord>,
    #[cfg(any(test, feature = "conformance"))]
    fault: Option<PlantedFault>,
}

/// An order without its authorizations, which orders may share, and their ids.
#[derive(Clone, Debug)]
struct StoredOrder {
    order: Order,
    authorizations: Vec<AuthorizationId>,
}

impl MemoryStorage {
    /// Storage in which there is nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the tables.
    fn read<T>(&self, body: impl FnOnce(&State) -> T) -> T {
        body(&self.lock())
    }

    /// Changes the tables. A body that fails must not have changed anything.
    fn write<T>(&self, body: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let mut state = self.lock();
        #[cfg(any(test, feature = "conformance"))]
        if state.fault == Some(PlantedFault::NoGuard) {
            drop(state);
            return self.write_without_guard(body);
        }
        state.require_in_service()?;
        body(&mut state)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn account(&self, id: &AccountId) -> Result<&Account> {
        self.accounts.get(id).ok_or(StorageError::NotFound)
    }

    /// Whoever asks for something new must have an account, and it must be valid.
    fn require_valid_account(&self, id: &AccountId) -> Result<(), Conflict> {
        self.account(id).map_err(|_| Conflict::AccountNotValid)?.require_valid()
    }

    /// The order with its authorizations, as they are now.
    fn order(&self, account: &AccountId, id: &OrderId) -> Result<Order> {
        let stored = self.orders.get(id).ok_or(StorageError::NotFound)?;
        self.require_owner(&stored.order.account, account)?;
        self.join(stored)
    }

    fn join(&self, stored: &StoredOrder) -> Result<Order> {
        let held = stored.authorizations.iter().map(|id| self.authorizations.get(id).cloned());
        let authorizations = held.collect::<Option<Vec<_>>>();
        let mut order = stored.order.clone();
        order.authorizations =
            authorizations.ok_or_else(|| corrupt("an authorization of an order is missing"))?;
        order.arrange();
        Ok(order)
    }

    /// Stores what is the order's own of an order that is there already.
    fn save_order(&mut self, mut order: Order) -> Result<Order> {
        let stored = self.orders.get_mut(&order.id).ok_or(StorageError::NotFound)?;
        let authorizations = std::mem::take(&mut order.authorizations);
        stored.order = order.clone();
        order.authorizations = authorizations;
        Ok(order)
    }

    /// The ids of the authorizations that orders have.
    fn ordered(&self) -> BTreeSet<AuthorizationId> {
        self.orders.values().flat_map(|stored| &stored.authorizations).copied().collect()
    }

    fn authorization(&self, account: &AccountId, id: &AuthorizationId) -> Result<Authorization> {
        let authorization = self.authorizations.get(id).ok_or(StorageError::NotFound)?;
        self.require_owner(&authorization.account, account)?;
        Ok(authorization.clone())
    }

    fn save_authorization(&mut self, authorization: Authorization) -> Authorization {
        self.authorizations.insert(authorization.id, authorization.clone());
        authorization
    }

    /// The job that this lease is on, if the lease is still the right to settle it.
    fn leased_job(&self, lease: &Lease, cause: &Cause) -> Result<Job> {
        let job = self.jobs.get(&lease.job).ok_or(StorageError::LeaseLost)?;
        self.require_held(job, lease, cause)?;
        Ok(job.clone())
    }

    fn record(&mut self, event: AuditEvent, cause: &Cause) {
        let next = self.audit.last_key_value().map_or(1, |(last, _)| last + 1);
        self.audit.insert(next, AuditRecord::new(event, cause));
    }

    fn keep_trace(&mut self, cause: &Cause) {
        self.traces.extend(cause.trace.as_deref().cloned());
    }
}

fn corrupt(what: &str) -> StorageError {
    StorageError::Corrupt { what: what.to_owned() }
}

#[cfg(test)]
mod tests;
