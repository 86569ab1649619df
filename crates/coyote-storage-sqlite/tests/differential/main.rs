//! SQLite compared with the memory store, which is the specification: the same operations on both, and each answer
//! and what is stored in the end must be the same.
//!
//! The ids are few, so that operations meet; the leases are all that were ever given, so that most are lost. Failures
//! that only SQLite has (`Unavailable`, `Corrupt`) are differences. Two freedoms are not compared: in which order a
//! sweep goes when there is more to do than its batch, and nonces, which are random.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "these are tests, also outside of the functions that are marked so"
)]

#[path = "../common/mod.rs"]
mod common;
mod seed;
mod step;
mod world;

use proptest::{collection::vec, prelude::*};

use seed::OWNERS;
use step::{Step, steps};
use world::World;

proptest! {
    // PROPTEST_CASES says how many, if this is not enough.
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn sqlite_answers_what_memory_answers(steps in vec(steps(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new();
            for seed in 0..OWNERS {
                world.take_step(Step::CreateAccount { id: seed, key: seed, directory: 0, kid: None }).await?;
            }
            for step in steps {
                world.take_step(step).await?;
            }
            world.compare().await
        })?;
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "proptest's own variable, which a configuration of ours would hide"
)]
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(64)
}
