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
mod nonce;
mod open;
mod order;
mod rate_limit;
mod readers;
mod resealing;
mod schema;
mod statistics;
mod storage;
mod sweep;
mod trace;
mod update;
mod writer;

pub use open::{Durability, OpenError, SqliteOptions};
pub use statistics::statistics;
pub use storage::SqliteStorage;
