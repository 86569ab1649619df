use std::collections::BTreeSet;

use super::*;
use crate::MemoryStorage;

async fn fresh() -> Subject {
    subject(Arc::new(MemoryStorage::new()))
}

pub(super) fn subject(storage: Arc<MemoryStorage>) -> Subject {
    let damaged = storage.clone();
    Subject::new(storage, move |job| {
        damaged.lose_job(&job);
        std::future::ready(())
    })
}

mod storage {
    crate::storage_conformance!(super::fresh);
}

mod archives_of_memory {
    use super::*;

    async fn fresh() -> Archived {
        Archived::new(Arc::new(MemoryStorage::new()))
    }

    crate::archive_conformance!(fresh);
}

mod nonces_of_memory {
    use super::*;

    async fn fresh() -> Arc<dyn NonceStore> {
        Arc::new(MemoryStorage::new())
    }

    crate::nonce_conformance!(fresh);
}

mod rate_limits_of_memory {
    use super::*;

    async fn fresh() -> Arc<dyn RateLimitStore> {
        Arc::new(MemoryStorage::new())
    }

    crate::rate_limit_conformance!(fresh);
}

/// A kit that passes whatever a backend does is worth nothing.
#[test]
fn the_kit_notices_every_planted_fault() {
    for fault in [PlantedFault::NoGuard, PlantedFault::NoTokenFence, PlantedFault::NoOwnerCheck] {
        let broken = broken_by(|| MemoryStorage::with_fault(fault));
        println!("{fault:?} breaks {} of {} promises:", broken.len(), STORAGE.len());
        broken.iter().for_each(|promise| println!("  {promise}"));
        assert!(!broken.is_empty(), "nothing notices {fault:?}");
    }
    assert_eq!(broken_by(MemoryStorage::new), [""; 0], "without a fault, nothing is broken");
}

/// A promise that is written but not listed would be tested by nobody.
#[test]
fn every_promise_that_is_written_is_on_the_list() {
    let sources = [
        include_str!("accounts.rs"),
        include_str!("archives.rs"),
        include_str!("audit.rs"),
        include_str!("authorizations.rs"),
        include_str!("certificates.rs"),
        include_str!("external_accounts.rs"),
        include_str!("fidelity.rs"),
        include_str!("issuance.rs"),
        include_str!("jobs.rs"),
        include_str!("leases.rs"),
        include_str!("nonces.rs"),
        include_str!("open_orders.rs"),
        include_str!("orders.rs"),
        include_str!("preauthorization.rs"),
        include_str!("revocations.rs"),
        include_str!("rate_limits.rs"),
        include_str!("renewals.rs"),
        include_str!("replacements.rs"),
        include_str!("sweep.rs"),
        include_str!("traces.rs"),
        include_str!("validation.rs"),
    ];
    let written = sources.iter().flat_map(|source| source.split("pub async fn ").skip(1));
    let written: BTreeSet<_> = written.filter_map(|rest| rest.split('(').next()).collect();
    let storage = STORAGE.iter().map(|promise| promise.name);
    let listed = storage.chain(NONCES.iter().map(|promise| promise.name));
    let listed = listed.chain(ARCHIVES.iter().map(|promise| promise.name));
    let listed: BTreeSet<_> = listed.chain(RATE_LIMITS.iter().map(|promise| promise.name)).collect();
    assert_eq!(listed, written);
}

#[test]
fn each_promise_has_a_name_of_its_own() {
    let names: BTreeSet<_> = STORAGE.iter().map(|promise| promise.name).collect();
    assert_eq!(names.len(), STORAGE.len());
    println!(
        "{} promises of storage, {} of nonces, {} of rate limits, {} of archives",
        names.len(),
        NONCES.len(),
        RATE_LIMITS.len(),
        ARCHIVES.len()
    );
}

fn broken_by(make: impl Fn() -> MemoryStorage) -> Vec<&'static str> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    let is_broken = |promise: &&Promise<World>| {
        let test = runtime.spawn((promise.keep)(subject(Arc::new(make())).into()));
        runtime.block_on(test).is_err()
    };
    STORAGE.iter().filter(is_broken).map(|promise| promise.name).collect()
}
