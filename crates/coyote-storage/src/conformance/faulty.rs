use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use coyote_jose::{Jwk, Thumbprint};
use coyote_protocol::{Identifier, Problem, Timestamp};

use crate::{
    Account, AccountChange, AccountId, AccountStore, AuditFilter, AuditLog, AuditRecord, Authorization,
    AuthorizationId, AuthorizationStore, BeginIssuance, BeginRevocation, BeginValidation, Cause, Certificate,
    CertificateId, CertificateStore, Claim, Creation, DirectoryId, ExternalAccountKey, ExternalAccountStore,
    IssuanceBegun, IssuanceOutcome, JobQueue, Lease, NewOrder, Order, OrderId, OrderPage, OrderStore, Result,
    Revocation, RevocationBegun, RevocationOutcome, Serial, Storage, StorageError, Sweep, SweepReport,
    TraceKey, TraceLog, TraceRecord, ValidationBegun, ValidationOutcome, Wake, Wakes,
};

/// A storage that fails when it is told to, as a database that goes away does: for the tests of what is built on one.
///
/// Calls are counted from 0 on, whatever they call.
pub struct FaultyStorage {
    inner: Arc<dyn Storage>,
    plan: Mutex<Plan>,
}

/// How a call fails, each time with [`StorageError::Unavailable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does nothing.
    Before,
    /// It does everything, and the answer is lost.
    After,
}

#[derive(Default)]
struct Plan {
    calls: u64,
    faults: BTreeMap<u64, Fault>,
}

impl FaultyStorage {
    /// This storage, as yet without faults.
    pub fn new(inner: Arc<dyn Storage>) -> Self {
        Self { inner, plan: Mutex::default() }
    }

    /// How many calls there were.
    pub fn calls(&self) -> u64 {
        self.plan().calls
    }

    /// The `call`th call is going to fail in this way.
    pub fn fail(&self, call: u64, fault: Fault) {
        self.plan().faults.insert(call, fault);
    }

    /// The next call is going to fail in this way.
    pub fn fail_next(&self, fault: Fault) {
        let mut plan = self.plan();
        let next = plan.calls;
        plan.faults.insert(next, fault);
    }

    fn plan(&self) -> std::sync::MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn call<T>(&self, operation: impl Future<Output = Result<T>>) -> Result<T> {
        let fault = {
            let mut plan = self.plan();
            let call = plan.calls;
            plan.calls += 1;
            plan.faults.remove(&call)
        };
        let unavailable = |source: &str| {
            Err(StorageError::Unavailable { doing: "failing as it was told to", source: source.into() })
        };
        match fault {
            None => operation.await,
            Some(Fault::Before) => unavailable("nothing was done"),
            Some(Fault::After) => {
                operation.await?;
                unavailable("the answer was lost")
            }
        }
    }
}

#[async_trait]
impl AccountStore for FaultyStorage {
    async fn create_account(&self, account: Account, cause: &Cause) -> Result<Creation> {
        self.call(self.inner.create_account(account, cause)).await
    }

    async fn account(&self, directory: &DirectoryId, id: &AccountId) -> Result<Account> {
        self.call(self.inner.account(directory, id)).await
    }

    async fn account_by_key(&self, directory: &DirectoryId, key: &Thumbprint) -> Result<Account> {
        self.call(self.inner.account_by_key(directory, key)).await
    }

    async fn update_account(&self, id: &AccountId, change: AccountChange, cause: &Cause) -> Result<Account> {
        self.call(self.inner.update_account(id, change, cause)).await
    }

    async fn change_account_key(
        &self,
        id: &AccountId,
        old: &Thumbprint,
        new: Jwk,
        cause: &Cause,
    ) -> Result<Account> {
        self.call(self.inner.change_account_key(id, old, new, cause)).await
    }
}

#[async_trait]
impl ExternalAccountStore for FaultyStorage {
    async fn create_external_account_key(&self, key: ExternalAccountKey, cause: &Cause) -> Result<()> {
        self.call(self.inner.create_external_account_key(key, cause)).await
    }

    async fn external_account_key(&self, directory: &DirectoryId, kid: &str) -> Result<ExternalAccountKey> {
        self.call(self.inner.external_account_key(directory, kid)).await
    }

    async fn external_account_keys(
        &self,
        directory: &DirectoryId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<ExternalAccountKey>> {
        self.call(self.inner.external_account_keys(directory, after, limit)).await
    }

    async fn revoke_external_account_key(
        &self,
        directory: &DirectoryId,
        kid: &str,
        cause: &Cause,
    ) -> Result<ExternalAccountKey> {
        self.call(self.inner.revoke_external_account_key(directory, kid, cause)).await
    }
}

#[async_trait]
impl OrderStore for FaultyStorage {
    async fn create_order(&self, new: NewOrder, cause: &Cause) -> Result<Order> {
        self.call(self.inner.create_order(new, cause)).await
    }

    async fn order(&self, account: &AccountId, id: &OrderId) -> Result<Order> {
        self.call(self.inner.order(account, id)).await
    }

    async fn orders(&self, account: &AccountId, after: Option<&OrderId>, limit: u32) -> Result<OrderPage> {
        self.call(self.inner.orders(account, after, limit)).await
    }

    async fn begin_issuance(&self, begin: BeginIssuance, cause: &Cause) -> Result<IssuanceBegun> {
        self.call(self.inner.begin_issuance(begin, cause)).await
    }

    async fn finish_issuance(&self, lease: Lease, outcome: IssuanceOutcome, cause: &Cause) -> Result<Order> {
        self.call(self.inner.finish_issuance(lease, outcome, cause)).await
    }
}

#[async_trait]
impl AuthorizationStore for FaultyStorage {
    async fn authorization(&self, account: &AccountId, id: &AuthorizationId) -> Result<Authorization> {
        self.call(self.inner.authorization(account, id)).await
    }

    async fn create_authorization(
        &self,
        authorization: Authorization,
        most_alone: u32,
        cause: &Cause,
    ) -> Result<()> {
        self.call(self.inner.create_authorization(authorization, most_alone, cause)).await
    }

    async fn reusable_authorizations(
        &self,
        account: &AccountId,
        identifiers: &[Identifier],
        until: Timestamp,
    ) -> Result<Vec<Authorization>> {
        self.call(self.inner.reusable_authorizations(account, identifiers, until)).await
    }

    async fn begin_validation(&self, begin: BeginValidation, cause: &Cause) -> Result<ValidationBegun> {
        self.call(self.inner.begin_validation(begin, cause)).await
    }

    async fn retry_validation(
        &self,
        lease: Lease,
        problem: Problem,
        due: Timestamp,
        cause: &Cause,
    ) -> Result<Authorization> {
        self.call(self.inner.retry_validation(lease, problem, due, cause)).await
    }

    async fn finish_validation(
        &self,
        lease: Lease,
        outcome: ValidationOutcome,
        cause: &Cause,
    ) -> Result<Authorization> {
        self.call(self.inner.finish_validation(lease, outcome, cause)).await
    }

    async fn deactivate_authorization(
        &self,
        account: &AccountId,
        id: &AuthorizationId,
        cause: &Cause,
    ) -> Result<Authorization> {
        self.call(self.inner.deactivate_authorization(account, id, cause)).await
    }
}

#[async_trait]
impl CertificateStore for FaultyStorage {
    async fn reserve_serial(&self, lease: &Lease, serial: Serial, cause: &Cause) -> Result<()> {
        self.call(self.inner.reserve_serial(lease, serial, cause)).await
    }

    async fn reserved_serial(&self, serial: &Serial) -> Result<OrderId> {
        self.call(self.inner.reserved_serial(serial)).await
    }

    async fn certificate(&self, account: &AccountId, id: &CertificateId) -> Result<Certificate> {
        self.call(self.inner.certificate(account, id)).await
    }

    async fn certificate_by_serial(&self, serial: &Serial) -> Result<Certificate> {
        self.call(self.inner.certificate_by_serial(serial)).await
    }

    async fn revoke_certificate(&self, begin: BeginRevocation, cause: &Cause) -> Result<RevocationBegun> {
        self.call(self.inner.revoke_certificate(begin, cause)).await
    }

    async fn finish_revocation(
        &self,
        lease: Lease,
        outcome: RevocationOutcome,
        cause: &Cause,
    ) -> Result<Certificate> {
        self.call(self.inner.finish_revocation(lease, outcome, cause)).await
    }

    async fn revocations(
        &self,
        now: Timestamp,
        after: Option<&Serial>,
        limit: u32,
    ) -> Result<Vec<(Serial, Revocation)>> {
        self.call(self.inner.revocations(now, after, limit)).await
    }
}

#[async_trait]
impl JobQueue for FaultyStorage {
    async fn claim_jobs(&self, claim: &Claim, cause: &Cause) -> Result<Vec<Lease>> {
        self.call(self.inner.claim_jobs(claim, cause)).await
    }

    async fn renew_lease(&self, lease: &Lease, expires: Timestamp, cause: &Cause) -> Result<()> {
        self.call(self.inner.renew_lease(lease, expires, cause)).await
    }

    async fn release_job(&self, lease: Lease, due: Timestamp, cause: &Cause) -> Result<()> {
        self.call(self.inner.release_job(lease, due, cause)).await
    }

    async fn next_due(&self, directory: &DirectoryId) -> Result<Option<Timestamp>> {
        self.call(self.inner.next_due(directory)).await
    }

    async fn sweep(&self, sweep: &Sweep, cause: &Cause) -> Result<SweepReport> {
        self.call(self.inner.sweep(sweep, cause)).await
    }

    fn tell(&self, wake: Wake) {
        self.inner.tell(wake);
    }

    fn wakes(&self) -> Box<dyn Wakes> {
        self.inner.wakes()
    }
}

#[async_trait]
impl TraceLog for FaultyStorage {
    async fn traces(&self, key: &TraceKey, limit: u32) -> Result<Vec<TraceRecord>> {
        self.call(self.inner.traces(key, limit)).await
    }
}

#[async_trait]
impl AuditLog for FaultyStorage {
    async fn audit(&self, filter: &AuditFilter) -> Result<Vec<AuditRecord>> {
        self.call(self.inner.audit(filter)).await
    }
}

#[cfg(test)]
mod tests {
    use super::super::World;
    use super::super::fixture::{NOW, cause, expect_not_found};
    use super::super::tests::subject;
    use super::*;
    use crate::MemoryStorage;

    #[tokio::test]
    async fn a_call_fails_before_or_after_it_did_what_it_does_and_no_other_call_fails() {
        let memory = Arc::new(MemoryStorage::new());
        let world = World::from(subject(memory.clone()));
        let storage = FaultyStorage::new(memory.clone());
        storage.fail(1, Fault::Before);
        storage.fail(2, Fault::After);

        let accounts: Vec<_> = (0..4).map(|_| world.new_account()).collect();
        let mut failed = Vec::new();
        for account in &accounts {
            let answer = storage.create_account(account.clone(), &cause()).await;
            failed.push(matches!(answer, Err(StorageError::Unavailable { .. })));
        }
        assert_eq!(failed, [false, true, true, false]);
        assert_eq!(storage.calls(), 4);
        expect_not_found(memory.account(&accounts[1].directory, &accounts[1].id).await);
        memory
            .account(&accounts[2].directory, &accounts[2].id)
            .await
            .expect("the second that failed was stored");
    }

    #[tokio::test]
    async fn a_call_that_fails_before_it_did_anything_leaves_the_storage_as_it_was() {
        let memory = Arc::new(MemoryStorage::new());
        let world = World::from(subject(memory.clone()));
        let account = world.account().await;
        let lease = world.begin_validation(&world.authorization(&account).await).await;
        let storage = FaultyStorage::new(memory.clone());
        let before = memory.dump();
        storage.fail_next(Fault::Before);
        storage.release_job(lease, NOW, &cause()).await.expect_err("it was told to fail");
        assert_eq!(memory.dump(), before);
    }
}
