use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use coyote_jose::{Jwk, base64url};
use coyote_protocol::{ChallengeType, Identifier, Problem, ProblemType, RevocationReason, Timestamp, Token};

use crate::{
    Account, AccountId, Actor, AuditFilter, AuditRecord, Authorization, AuthorizationId, BeginIssuance,
    BeginRevocation, BeginValidation, Cause, Certificate, CertificateId, Challenge, ChallengeId, Claim,
    Conflict, Creation, DirectoryId, ExternalAccount, ExternalAccountKey, IssuanceOutcome, JobId, Lease,
    LeaseTerms, LeaseToken, NewOrder, Order, OrderId, RequestId, Result, Serial, Storage, StorageError,
    Sweep, Telling, ValidationOutcome, Work,
};

/// When everything happens, unless a test says otherwise.
pub(super) const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_123);
pub(super) const MILLISECOND: Duration = Duration::from_millis(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long an order or a pending authorization lasts, a lease, an authorization once it is valid, a certificate.
pub(super) const PENDING: Duration = Duration::from_secs(7 * 24 * 60 * 60);
pub(super) const LEASE: Duration = MINUTE;
pub(super) const AUTHORIZED: Duration = Duration::from_secs(30 * 24 * 60 * 60);
pub(super) const CERTIFIED: Duration = Duration::from_secs(90 * 24 * 60 * 60);

type LoseJob = dyn Fn(JobId) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

/// A storage to be tested, in which there is nothing.
pub struct Subject {
    storage: Arc<dyn Storage>,
    lose_job: Arc<LoseJob>,
    kept: Vec<Box<dyn Any + Send + Sync>>,
}

impl Subject {
    /// Tests this storage. `lose_job` deletes a job's row behind the back of the traits, which no operation does,
    /// so that a sweep can be seen to repair the damage.
    pub fn new<F>(storage: Arc<impl Storage>, lose_job: impl Fn(JobId) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self { storage, lose_job: Arc::new(move |job| Box::pin(lose_job(job))), kept: Vec::new() }
    }

    /// Keeps something, like a temporary directory, until the test is over.
    pub fn keeping(mut self, guard: impl Any + Send + Sync) -> Self {
        self.kept.push(Box::new(guard));
        self
    }
}

/// What a test plays in: a storage, and makers of what goes into it. Clones share both.
#[derive(Clone)]
pub struct World {
    pub(super) storage: Arc<dyn Storage>,
    lose_job: Arc<LoseJob>,
    made: Arc<AtomicU64>,
    _kept: Arc<Vec<Box<dyn Any + Send + Sync>>>,
}

impl From<Subject> for World {
    fn from(subject: Subject) -> Self {
        let Subject { storage, lose_job, kept } = subject;
        Self { storage, lose_job, made: Arc::default(), _kept: Arc::new(kept) }
    }
}

/// Makers of values: nothing is stored.
impl World {
    /// Different ones each time, the same ones in each run, and in no order.
    pub(super) fn bits<const N: usize>(&self) -> [u8; N] {
        let mut state = self.made.fetch_add(1, Ordering::Relaxed);
        std::array::from_fn(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed >> 56) as u8
        })
    }

    pub(super) fn key(&self) -> Jwk {
        let x = base64url::encode(self.bits::<32>());
        Jwk::parse(&format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#)).unwrap()
    }

    pub(super) fn serial(&self) -> Serial {
        Serial::from_random(self.bits())
    }

    pub(super) fn new_account(&self) -> Account {
        Account {
            id: AccountId::from_bytes(self.bits()),
            directory: DirectoryId::default(),
            key: self.key(),
            contact: vec!["mailto:someone@example.org".into()],
            terms_of_service_agreed: None,
            external_account: None,
            created: NOW,
            deactivated: None,
            revoked: None,
        }
    }

    /// It can be used without end.
    pub(super) fn new_external_account_key(&self) -> ExternalAccountKey {
        ExternalAccountKey {
            kid: base64url::encode(self.bits::<16>()),
            directory: DirectoryId::default(),
            secret: self.bits::<32>().to_vec(),
            comment: "web team".into(),
            created: NOW,
            expires: None,
            most_accounts: None,
            accounts: 0,
            domains: Vec::new(),
            revoked: None,
        }
    }

    /// An account that is opened with this key.
    pub(super) fn new_account_of(&self, key: &ExternalAccountKey) -> Account {
        let binding = serde_json::json!({ "protected": "e30", "payload": "e30", "signature": "AA" });
        let external_account = Some(ExternalAccount { kid: key.kid.clone(), binding });
        Account { directory: key.directory.clone(), external_account, ..self.new_account() }
    }

    pub(super) fn new_order(&self, account: &Account, names: &[&str]) -> Order {
        let identifiers: Vec<_> = names.iter().map(|name| dns(name)).collect();
        let authorizations = identifiers.iter().map(|name| self.new_authorization(account, name)).collect();
        Order {
            id: OrderId::from_bytes(self.bits()),
            account: account.id,
            identifiers,
            profile: None,
            not_before: None,
            not_after: None,
            replaces: None,
            created: NOW,
            expires: NOW + PENDING,
            authorizations,
            issuance: None,
            certificate: None,
            error: None,
        }
    }

    pub(super) fn new_authorization(&self, account: &Account, identifier: &Identifier) -> Authorization {
        let challenge = |kind| Challenge {
            id: ChallengeId::from_bytes(self.bits()),
            kind,
            token: Token::from_bytes(&self.bits::<32>()),
            began: None,
            verdict: None,
            errors: Vec::new(),
            network: None,
        };
        Authorization {
            id: AuthorizationId::from_bytes(self.bits()),
            account: account.id,
            identifier: identifier.clone(),
            created: NOW,
            expires: NOW + PENDING,
            challenges: vec![challenge(ChallengeType::HTTP_01), challenge(ChallengeType::DNS_01)],
            deactivated: None,
            revoked: None,
        }
    }

    pub(super) fn new_certificate(&self, order: &Order) -> Certificate {
        let serial = order.issuance.as_ref().map(|issuance| issuance.serial.clone());
        Certificate {
            id: CertificateId::from_bytes(self.bits()),
            account: order.account,
            order: order.id,
            serial: serial.unwrap_or_else(|| self.serial()),
            not_before: NOW - MINUTE,
            not_after: NOW + CERTIFIED,
            chain: "-----BEGIN CERTIFICATE-----\n".into(),
            alternates: Vec::new(),
            issued: NOW,
            revocation: None,
            issuer_told: None,
            issuer_refused: None,
            replaced_by: None,
        }
    }

    pub(super) fn lease_until(&self, expires: Timestamp) -> LeaseTerms {
        LeaseTerms { token: LeaseToken::from_bytes(self.bits()), expires }
    }

    pub(super) fn validation_of(&self, authorization: &Authorization) -> BeginValidation {
        BeginValidation {
            account: authorization.account,
            authorization: authorization.id,
            challenge: authorization.challenges[0].id,
            lease: Some(self.lease_until(NOW + LEASE)),
        }
    }

    pub(super) fn issuance_of(&self, order: &Order) -> BeginIssuance {
        BeginIssuance {
            account: order.account,
            order: order.id,
            csr: vec![0x30, 0x00, 0xff],
            serial: self.serial(),
            lease: Some(self.lease_until(NOW + LEASE)),
        }
    }
}

/// What is in the storage after some ordinary steps.
impl World {
    pub(super) async fn account(&self) -> Account {
        self.store_account(self.new_account()).await
    }

    pub(super) async fn store_account(&self, account: Account) -> Account {
        match self.storage.create_account(account, &cause()).await.unwrap() {
            Creation::Created(account) => account,
            Creation::Existing(account) => panic!("there was an account already: {account:?}"),
        }
    }

    /// A key that opens so many accounts.
    pub(super) async fn external_account_key(&self, most_accounts: Option<u32>) -> ExternalAccountKey {
        let key = ExternalAccountKey { most_accounts, ..self.new_external_account_key() };
        self.store_external_account_key(key.clone()).await;
        key
    }

    pub(super) async fn store_external_account_key(&self, key: ExternalAccountKey) {
        self.storage.create_external_account_key(key, &cause()).await.unwrap();
    }

    pub(super) async fn reload_external_account_key(&self, key: &ExternalAccountKey) -> ExternalAccountKey {
        self.storage.external_account_key(&key.directory, &key.kid).await.unwrap()
    }

    pub(super) async fn close(&self, account: &Account) -> Account {
        let change = crate::AccountChange { deactivate: true, ..Default::default() };
        self.storage.update_account(&account.id, change, &cause()).await.unwrap()
    }

    pub(super) async fn order(&self, account: &Account, names: &[&str]) -> Order {
        self.store_order(self.new_order(account, names)).await
    }

    pub(super) async fn store_order(&self, order: Order) -> Order {
        self.storage.create_order(placing(order), &cause()).await.unwrap()
    }

    /// An order for one name, and its authorization.
    pub(super) async fn authorization(&self, account: &Account) -> Authorization {
        self.order(account, &["a.test"]).await.authorizations.remove(0)
    }

    pub(super) async fn begin_validation(&self, authorization: &Authorization) -> Lease {
        let begun = self.storage.begin_validation(self.validation_of(authorization), &cause()).await;
        begun.unwrap().lease.expect("a lease on a validation that has just begun")
    }

    pub(super) async fn validate(&self, authorization: &Authorization) -> Authorization {
        let lease = self.begin_validation(authorization).await;
        let outcome = ValidationOutcome::Valid { expires: NOW + AUTHORIZED };
        self.storage.finish_validation(lease, outcome, &cause()).await.unwrap()
    }

    pub(super) async fn ready_order(&self, account: &Account, names: &[&str]) -> Order {
        let order = self.order(account, names).await;
        for authorization in &order.authorizations {
            self.validate(authorization).await;
        }
        self.reload(&order).await
    }

    /// An order that is being issued, and the lease on that.
    pub(super) async fn processing_order(&self, account: &Account) -> (Order, Lease) {
        let order = self.ready_order(account, &["a.test"]).await;
        let begun = self.storage.begin_issuance(self.issuance_of(&order), &cause()).await.unwrap();
        (begun.order, begun.lease.expect("a lease on an issuance that has just begun"))
    }

    pub(super) async fn certificate(&self, account: &Account) -> Certificate {
        let (order, lease) = self.processing_order(account).await;
        let certificate = self.new_certificate(&order);
        let outcome = IssuanceOutcome::Issued(Box::new(certificate.clone()));
        self.storage.finish_issuance(lease, outcome, &cause()).await.unwrap();
        certificate
    }

    /// Revokes a certificate, and tells nobody.
    pub(super) async fn revoke(
        &self,
        certificate: &CertificateId,
        reason: RevocationReason,
        cause: &Cause,
    ) -> Result<Certificate> {
        let begin = BeginRevocation { certificate: *certificate, reason, telling: Telling::NotNeeded };
        let begun = self.storage.revoke_certificate(begin, cause).await?;
        assert_eq!(begun.lease, None);
        Ok(begun.certificate)
    }

    pub(super) async fn reload(&self, order: &Order) -> Order {
        self.storage.order(&order.account, &order.id).await.unwrap()
    }

    pub(super) async fn reload_authorization(&self, authorization: &Authorization) -> Authorization {
        self.storage.authorization(&authorization.account, &authorization.id).await.unwrap()
    }

    /// Claims all jobs of the default directory that can be had.
    pub(super) async fn claim(&self, now: Timestamp) -> Vec<Lease> {
        let terms = self.lease_until(now + LEASE);
        let claim = Claim { directory: DirectoryId::default(), kind: None, limit: 100, terms };
        self.storage.claim_jobs(&claim, &cause_at(now)).await.unwrap()
    }

    /// Claims the only job that can be had.
    pub(super) async fn claim_one(&self, now: Timestamp) -> Lease {
        let mut leases = self.claim(now).await;
        assert_eq!(leases.len(), 1, "one job can be claimed: {leases:?}");
        leases.remove(0)
    }

    pub(super) async fn next_due(&self) -> Option<Timestamp> {
        self.storage.next_due(&DirectoryId::default()).await.unwrap()
    }

    pub(super) async fn lose_job(&self, work: &Work) {
        (self.lose_job)(work.job()).await;
    }

    /// The audit records of one thing, the newest first.
    pub(super) async fn audit_of(&self, subject: impl ToString) -> Vec<AuditRecord> {
        let filter = AuditFilter { subject: Some(subject.to_string()), limit: 100 };
        self.storage.audit(&filter).await.unwrap()
    }
}

/// A new order that reuses nothing, of an account that may have as many open as it likes.
pub(super) fn placing(order: Order) -> NewOrder {
    reusing(order, [])
}

/// A new order that reuses these authorizations.
pub(super) fn reusing(order: Order, reused: impl Into<Vec<AuthorizationId>>) -> NewOrder {
    NewOrder { order, reused: reused.into(), most_open: u32::MAX }
}

pub(super) fn dns(name: &str) -> Identifier {
    Identifier::parse("dns", name).unwrap()
}

pub(super) fn cause() -> Cause {
    cause_at(NOW)
}

pub(super) fn cause_at(now: Timestamp) -> Cause {
    Cause { now, request: RequestId::from_bytes([9; 16]), actor: Actor::Server, client: None, trace: None }
}

pub(super) fn problem(detail: &str) -> Problem {
    Problem::new(ProblemType::Connection, detail)
}

/// A sweep that removes nothing.
pub(super) fn sweep() -> Sweep {
    let never = Timestamp::from_millis(0);
    Sweep {
        remove_expired_before: never,
        remove_issued_before: never,
        remove_audit_before: never,
        remove_traces_before: never,
        batch: 100,
    }
}

/// A second lease like this one, as a worker has it that does not know that the first is spent.
pub(super) fn copy(lease: &Lease) -> Lease {
    Lease { job: lease.job, work: lease.work.clone(), attempts: lease.attempts, terms: lease.terms }
}

/// How many there are of each.
pub(super) fn tally<T: Ord>(items: impl IntoIterator<Item = T>) -> BTreeMap<T, usize> {
    items.into_iter().fold(BTreeMap::new(), |mut tally, item| {
        *tally.entry(item).or_default() += 1;
        tally
    })
}

#[track_caller]
pub(super) fn expect_not_found<T: Debug>(result: Result<T>) {
    assert!(matches!(result, Err(StorageError::NotFound)), "not found was expected, not {result:?}");
}

#[track_caller]
pub(super) fn expect_lease_lost<T: Debug>(result: Result<T>) {
    assert!(matches!(result, Err(StorageError::LeaseLost)), "a lost lease was expected, not {result:?}");
}

#[track_caller]
pub(super) fn expect_conflict<T: Debug>(result: Result<T>, expected: Conflict) {
    let met = matches!(&result, Err(StorageError::Conflict(conflict)) if *conflict == expected);
    assert!(met, "{expected:?} was expected, not {result:?}");
}

/// The one success of a race, all others being this conflict.
#[track_caller]
pub(super) fn expect_one_success<T: Debug>(results: Vec<Result<T>>, otherwise: Conflict) -> T {
    let (mut won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    lost.into_iter().for_each(|result| expect_conflict(result, otherwise));
    assert_eq!(won.len(), 1, "exactly one succeeds: {won:?}");
    won.remove(0).unwrap()
}
