//! The server without its transport: what takes a clock, an issuer or a store to bring about.
//!
//! Each test drives [`Acme`](coyote_server::Acme) by signed requests, over a store that others can share. Time is tokio's,
//! paused: it stands still while there is something to do, and jumps to what is waited for.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "these are tests, also outside of the functions that are marked so"
)]

mod account;
mod caa;
mod chains;
mod external_accounts;
mod issuance;
mod leases;
mod new_authz;
mod orders;
mod parts;
mod policy;
mod rate_limits;
mod renewal;
mod replicas;
mod reuse;
mod revocation;
mod sweeping;
mod terms;
mod validation;
mod workers;
mod world;
mod would_issue;
