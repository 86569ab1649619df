#![doc = include_str!("../README.md")]

mod account;
mod archive;
mod audit;
mod authorization;
mod cell;
mod certificate;
mod column;
mod error;
mod external_account;
mod job;
mod migrate;
mod nonce;
mod options;
mod order;
mod pool;
mod rate_limit;
mod resealing;
mod schema;
mod session;
mod statistics;
mod storage;
mod sweep;
mod trace;
mod update;
mod url;
mod wake;

pub use options::{ConnectError, PgOptions, SessionLimits};
pub use statistics::statistics;
pub use storage::PgStorage;
