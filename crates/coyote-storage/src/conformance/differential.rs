//! A storage compared with the memory store, which is the specification: the same operations on both, and each answer
//! and what is stored in the end must be the same.
//!
//! The ids are few, so that operations meet; the leases are all that were ever given, so that most are lost. Failures
//! that only a database has (`Unavailable`, `Corrupt`) are differences. Two freedoms are not compared: in which order a
//! sweep goes when there is more to do than its batch, and nonces, which are random.

use proptest::{collection::vec, prelude::*};

use crate::{RateLimitStore, Storage};

mod seed;
mod step;
mod world;

use self::seed::OWNERS;
use self::step::{Step, steps};
use self::world::World;

/// What happens to a storage, step by step.
#[derive(Clone, Debug)]
pub struct History(Vec<Step>);

/// Histories of up to forty steps.
pub fn histories() -> impl Strategy<Value = History> {
    vec(steps(), 1..40).prop_map(History)
}

/// Lets it happen to this storage, in which there is nothing yet, and to the memory store.
///
/// # Errors
///
/// What the two answered differently.
pub async fn same_as_memory(
    storage: impl Storage + RateLimitStore,
    history: History,
) -> Result<(), TestCaseError> {
    let mut world = World::new(storage);
    for seed in 0..OWNERS {
        world.take_step(Step::CreateAccount { id: seed, key: seed, directory: 0, kid: None }).await?;
    }
    for step in history.0 {
        world.take_step(step).await?;
    }
    world.compare().await
}
