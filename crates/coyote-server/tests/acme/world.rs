//! A server and what it stands on.

use std::sync::Arc;

use coyote_protocol::{ChallengeType, DirectoryMeta};
use coyote_server::{
    Acme, AcmeBuilder, Body, Clock, Limits,
    validate::{AddressPolicy, FixedResolver, Network, NetworkLimits},
};
use coyote_storage::{MemoryStorage, Storage};
use serde_json::Value;

use crate::{
    account::Account,
    parts::{TestClock, TestIssuer, TestValidator},
};

pub(crate) const BASE: &str = "https://ca.example";

/// A server, and the parts that another one can be made of.
pub(crate) struct World {
    pub(crate) acme: Arc<Acme>,
    pub(crate) storage: Arc<MemoryStorage>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) issuer: TestIssuer,
    pub(crate) validator: TestValidator,
}

impl World {
    /// A server as it is unless told otherwise, which finds every http-01 challenge met.
    pub(crate) fn new() -> Self {
        Self::with(|builder| builder)
    }

    /// A server with these limits.
    pub(crate) fn limited(set: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::default();
        set(&mut limits);
        Self::with(|builder| builder.with_limits(limits))
    }

    /// A server with this in its directory.
    pub(crate) fn saying(set: impl FnOnce(&mut DirectoryMeta)) -> Self {
        let mut meta = DirectoryMeta::default();
        set(&mut meta);
        Self::with(|builder| builder.with_meta(meta))
    }

    /// A server that is put together in a particular way.
    pub(crate) fn with(set_up: impl FnOnce(AcmeBuilder) -> AcmeBuilder) -> Self {
        let (storage, clock) = (Arc::new(MemoryStorage::new()), Arc::new(TestClock::new()));
        let (issuer, validator) = (TestIssuer::default(), TestValidator::new(ChallengeType::HTTP_01));
        let builder = builder(storage.clone(), clock.clone(), &issuer).with_validator(validator.clone());
        Self { acme: set_up(builder).build().unwrap(), storage, clock, issuer, validator }
    }

    /// Another process over the same store, with this validator.
    pub(crate) fn beside(&self, validator: &TestValidator) -> AcmeBuilder {
        builder(self.storage.clone(), self.clock.clone(), &self.issuer).with_validator(validator.clone())
    }

    /// The same server, with something between it and the store.
    pub(crate) fn through(&self, storage: Arc<dyn Storage>) -> AcmeBuilder {
        builder(storage, self.clock.clone(), &self.issuer).with_validator(self.validator.clone())
    }

    /// The directory object.
    pub(crate) fn directory(&self) -> Value {
        directory(&self.acme)
    }

    /// Does the work that no request is there to do, until the test ends.
    pub(crate) fn run(&self, acme: &Arc<Acme>) {
        tokio::spawn(acme.clone().run_jobs(std::future::pending()));
    }

    /// A new account.
    pub(crate) async fn account(&self) -> Account {
        Account::open(&self.acme).await
    }
}

/// The directory object of a server.
pub(crate) fn directory(acme: &Acme) -> Value {
    let Body::Json(json) = acme.directory().body else { panic!("the directory is no JSON") };
    serde_json::from_slice(&json).unwrap()
}

fn builder(storage: Arc<dyn Storage>, clock: Arc<dyn Clock>, issuer: &TestIssuer) -> AcmeBuilder {
    let nowhere = Arc::new(FixedResolver::new([]));
    Acme::builder(BASE, storage, Arc::new(issuer.clone())).with_clock(clock).with_network(Network::new(
        nowhere,
        AddressPolicy::public(),
        NetworkLimits::default(),
    ))
}
