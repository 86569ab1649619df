//! Parts of a server that do as a test tells them.

use std::{
    collections::VecDeque,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use coyote_protocol::{ChallengeType, Identifier, ProblemType, RevocationReason, Timestamp};
use coyote_server::{
    Clock, SystemEntropy,
    issue::{
        CaFiles, CaRequest, IssuanceFailure, IssuanceRequest, IssuedCertificate, Issuer, LocalCa,
        RevocationFailure,
    },
    validate::{Attempt, ChallengeValidator, ValidationFailure},
};
use coyote_storage::{Certificate, Serial};
use tokio::time::{Instant, sleep};

/// When each test begins.
pub(crate) const START: Timestamp = Timestamp::from_seconds(1_900_000_000);

/// A time that never comes.
pub(crate) const FOR_EVER: Duration = Duration::from_secs(1_000_000_000);

/// tokio's time, from [`START`] on.
pub(crate) struct TestClock(Instant);

impl TestClock {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        START + self.0.elapsed()
    }
}

/// A clock that stands still, as to a process that hangs.
pub(crate) struct StoppedClock(pub(crate) Timestamp);

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// Finds every challenge met, unless told otherwise. Clones are one.
#[derive(Clone)]
pub(crate) struct TestValidator(Arc<Validating>);

struct Validating {
    kind: ChallengeType,
    offered: AtomicBool,
    failures: Mutex<VecDeque<ValidationFailure>>,
    takes: Millis,
    looks: AtomicU64,
}

impl TestValidator {
    pub(crate) fn new(kind: ChallengeType) -> Self {
        Self(Arc::new(Validating {
            kind,
            offered: AtomicBool::new(true),
            failures: Mutex::default(),
            takes: Millis::default(),
            looks: AtomicU64::new(0),
        }))
    }

    /// The next looks end like this.
    pub(crate) fn fail(&self, failures: impl IntoIterator<Item = ValidationFailure>) {
        self.0.failures.lock().unwrap().extend(failures);
    }

    /// Each look takes so long.
    pub(crate) fn take(&self, time: Duration) {
        self.0.takes.set(time);
    }

    /// The method is no longer offered.
    pub(crate) fn switch_off(&self) {
        self.0.offered.store(false, Ordering::Relaxed);
    }

    /// How often it has looked.
    pub(crate) fn looks(&self) -> u64 {
        self.0.looks.load(Ordering::Relaxed)
    }
}

/// Nobody was there.
pub(crate) fn no_answer() -> ValidationFailure {
    ValidationFailure::transient(ProblemType::Connection, "nobody is there")
}

/// The answer was wrong.
pub(crate) fn wrong_answer() -> ValidationFailure {
    ValidationFailure::definitive(ProblemType::IncorrectResponse, "this is something else")
}

#[async_trait]
impl ChallengeValidator for TestValidator {
    fn challenge_type(&self) -> ChallengeType {
        self.0.kind.clone()
    }

    fn offers(&self, _identifier: &Identifier) -> bool {
        self.0.offered.load(Ordering::Relaxed)
    }

    async fn validate(&self, _attempt: Attempt<'_>) -> Result<(), ValidationFailure> {
        self.0.looks.fetch_add(1, Ordering::Relaxed);
        sleep(self.0.takes.get()).await;
        let failure = self.0.failures.lock().unwrap().pop_front();
        failure.map_or(Ok(()), Err)
    }
}

/// A CA of this process, unless told otherwise. Clones are one.
#[derive(Clone, Default)]
pub(crate) struct TestIssuer(Arc<Issuing>);

#[derive(Default)]
struct Issuing {
    takes: Millis,
    failures: AtomicU64,
    has_alternates: AtomicBool,
    serials: Mutex<Vec<Serial>>,
    unmoved: AtomicBool,
    deaf: AtomicU64,
    refusing: AtomicBool,
    told: Mutex<Vec<(Serial, RevocationReason)>>,
}

impl TestIssuer {
    /// Each certificate takes so long.
    pub(crate) fn take(&self, time: Duration) {
        self.0.takes.set(time);
    }

    /// The next so many times, the key is not to be had.
    pub(crate) fn fail(&self, times: u64) {
        self.0.failures.store(times, Ordering::Relaxed);
    }

    /// There is another chain: the first one, with the root.
    pub(crate) fn add_alternates(&self) {
        self.0.has_alternates.store(true, Ordering::Relaxed);
    }

    /// It needs not be told of revocations.
    pub(crate) fn ignore_revocations(&self) {
        self.0.unmoved.store(true, Ordering::Relaxed);
    }

    /// The next so many times, it cannot be told of a revocation.
    pub(crate) fn miss_revocations(&self, times: u64) {
        self.0.deaf.store(times, Ordering::Relaxed);
    }

    /// It takes no revocations.
    pub(crate) fn refuse_revocations(&self) {
        self.0.refusing.store(true, Ordering::Relaxed);
    }

    /// What it was told of revocations, also if it failed then.
    pub(crate) fn told(&self) -> Vec<(Serial, RevocationReason)> {
        self.0.told.lock().unwrap().clone()
    }

    /// The serial numbers that it was asked to sign with, in turn.
    pub(crate) fn serials(&self) -> Vec<Serial> {
        self.0.serials.lock().unwrap().clone()
    }
}

#[async_trait]
impl Issuer for TestIssuer {
    async fn issue(&self, request: &IssuanceRequest<'_>) -> Result<IssuedCertificate, IssuanceFailure> {
        self.0.serials.lock().unwrap().push(request.order.issuance().serial.clone());
        sleep(self.0.takes.get()).await;
        let fails = self.0.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        if fails.is_ok() {
            return Err(IssuanceFailure::Transient("token /dev/hsm0 is not in its slot".into()));
        }
        let mut issued = CA.issue(request).await?;
        if self.0.has_alternates.load(Ordering::Relaxed) {
            issued.alternates.push([issued.chain.clone(), CA.roots()].concat());
        }
        Ok(issued)
    }

    async fn revoke(
        &self,
        certificate: &Certificate,
        reason: RevocationReason,
    ) -> Result<(), RevocationFailure> {
        self.0.told.lock().unwrap().push((certificate.serial.clone(), reason));
        sleep(self.0.takes.get()).await;
        if self.0.refusing.load(Ordering::Relaxed) {
            return Err(RevocationFailure::Refused("it does not know the serial number".into()));
        }
        let fails = self.0.deaf.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        match fails {
            Ok(_) => Err(RevocationFailure::Transient("nobody answers".into())),
            Err(_) => CA.revoke(certificate, reason).await,
        }
    }

    fn wants_revocations(&self) -> bool {
        !self.0.unmoved.load(Ordering::Relaxed)
    }

    fn not_after(&self) -> Timestamp {
        CA.not_after()
    }

    fn roots(&self) -> Vec<Vec<u8>> {
        CA.roots()
    }
}

static CA: LazyLock<LocalCa> = LazyLock::new(|| {
    let directory = tempfile::tempdir().unwrap();
    let (files, request) = (CaFiles::in_directory(directory.path()), CaRequest::new("Test"));
    LocalCa::load_or_create(&files, &request, &StoppedClock(START), &SystemEntropy).unwrap()
});

#[derive(Default)]
struct Millis(AtomicU64);

impl Millis {
    fn set(&self, time: Duration) {
        self.0.store(time.as_millis().try_into().unwrap(), Ordering::Relaxed);
    }

    fn get(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}
