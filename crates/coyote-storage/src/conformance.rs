//! The promises of the storage traits, as tests that any backend can run.
//!
//! Each promise is one function, named for what it promises. A backend runs all of them with one line:
//!
//! ```ignore
//! async fn fresh() -> Subject {
//!     let storage = Arc::new(MyStorage::open_empty().await);
//!     let damaged = storage.clone();
//!     Subject::new(storage, async move |job| damaged.delete_the_row_of(job).await)
//! }
//!
//! coyote_storage::storage_conformance!(fresh);
//! coyote_storage::nonce_conformance!(fresh_nonces); // async fn fresh_nonces() -> Arc<dyn NonceStore>
//! coyote_storage::rate_limit_conformance!(fresh_limits); // async fn fresh_limits() -> Arc<dyn RateLimitStore>
//! coyote_storage::archive_conformance!(fresh_archives); // async fn fresh_archives() -> Archived
//! ```
//!
//! Each becomes one `#[test]` a promise, with a store of its own and a multi-threaded runtime of its own.
//! [`differential`] compares a backend with the memory store, in random histories.
//! [`canaries`] are for stores that seal what they keep.
//! [`FaultyStorage`] is for the tests of what is built on storage.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "these are tests, although they are compiled as a library"
)]

use std::pin::Pin;
use std::sync::Arc;

use crate::{NonceStore, RateLimitStore};

pub mod accounts;
pub mod archives;
pub mod audit;
pub mod authorizations;
pub mod canaries;
pub mod certificates;
pub mod differential;
pub mod external_accounts;
mod faulty;
pub mod fidelity;
mod fixture;
pub mod growth;
pub mod issuance;
pub mod jobs;
pub mod leases;
pub mod nonces;
pub mod open_orders;
pub mod orders;
pub mod preauthorization;
mod race;
pub mod rate_limits;
pub mod renewals;
pub mod replacements;
pub mod revocations;
pub mod seeded;
pub mod sweep;
mod table;
pub mod traces;
pub mod validation;

pub use self::archives::Archived;
pub use self::faulty::{Fault, FaultyStorage};
pub use self::fixture::{Subject, World};
pub use crate::memory::PlantedFault;

/// A promise, and the test of it.
pub struct Promise<W> {
    /// The promise, as the name of the function.
    pub name: &'static str,
    /// Runs the test, which panics if the promise is broken.
    pub keep: fn(W) -> Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// What every storage promises.
pub const STORAGE: &[Promise<World>] = crate::__promises!(storage[table::promises]);

/// What every nonce store promises. Each test is given two stores that have nothing in common.
pub const NONCES: &[Promise<[Arc<dyn NonceStore>; 2]>] = crate::__promises!(nonces[table::promises]);

/// What every storage promises that can be copied, and be a copy.
pub const ARCHIVES: &[Promise<Archived>] = crate::__promises!(archives[table::promises]);

/// What every store of rate limits promises.
pub const RATE_LIMITS: &[Promise<Arc<dyn RateLimitStore>>] = crate::__promises!(rate_limits[table::promises]);

/// Runs a test on a runtime with several threads. The macros expand to calls of this.
#[doc(hidden)]
pub fn run<W, F: Future<Output = ()>>(make: impl Future<Output = W>, promise: impl FnOnce(W) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build();
    runtime.expect("a runtime").block_on(async { promise(make.await).await });
}

#[cfg(test)]
mod tests;
