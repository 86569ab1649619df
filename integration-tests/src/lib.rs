//! What the black-box tests of this repository are made of.
//!
//! They know the programs by their command lines, the protocol by RFC 8555, and nothing of the code behind: an
//! [`Acmed`] is a process, a [`Client`] speaks HTTP over a socket and can misbehave in every way that a client can,
//! a [`Responder`], a [`TlsResponder`] and a [`Dns`] are the world that the server looks at when it validates. Only
//! [`Database`] looks behind the curtain, to see that a refused request has changed nothing.
//!
//! A server of another make can be tested, too, to test the tests: only what starts it is particular to acmed.

mod acmed;
mod authority;
mod client;
mod csr;
mod database;
pub mod der;
mod dns;
mod http;
mod jws;
mod key;
mod nginx;
mod openssl_cli;
mod pebble;
mod postgres;
mod real_dns;
mod redis;
mod replicas;
mod responder;
pub mod tls_responder;
mod user;
mod world;

pub use acmed::{Acmed, Setup, free_port, program};
pub use authority::{Authority, Credentials};
pub use client::{Account, Client, DIRECTORY, Object};
pub use csr::{Csr, dns_name};
pub use database::Database;
pub use dns::{Dns, DnsAnswer};
pub use http::{Http, Request, Response};
pub use jws::{Signed, flatten};
pub use key::Key;
pub use nginx::Nginx;
pub use openssl_cli::{assert_chain_verifies, leaf};
pub use pebble::Pebble;
pub use postgres::Postgres;
pub use real_dns::{Knot, Unbound};
pub use redis::Redis;
pub use replicas::Replicas;
pub use responder::{Answer, Gate, Responder};
pub use tls_responder::{ChallengeCertificate, TlsAnswer, TlsResponder};
pub use user::{User, missing};
pub use world::World;

use std::time::{Duration, Instant};

/// Tries until it succeeds, or time is up.
///
/// # Panics
///
/// If time is up: it says what was waited for.
pub fn eventually<T>(what: &str, limit: Duration, mut attempt: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(result) = attempt() {
            return result;
        }
        assert!(Instant::now() < end, "waited {limit:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A seed for random choices: `COYOTE_SEED`, or a new one. A test prints it, so that its run can be repeated.
#[must_use]
pub fn seed() -> u64 {
    let given = std::env::var("COYOTE_SEED").ok().map(|seed| seed.parse().expect("COYOTE_SEED is a number"));
    given.unwrap_or_else(|| {
        let mut bytes = [0; 8];
        openssl::rand::rand_bytes(&mut bytes).expect("random bytes");
        u64::from_le_bytes(bytes) >> 16
    })
}

/// A sequence of numbers that follows from its seed (splitmix64).
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The sequence of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }
}
