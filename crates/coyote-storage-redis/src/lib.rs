#![doc = include_str!("../README.md")]

mod address;
mod epoch;
mod error;
mod link;
mod nonce;
mod options;
mod rate_limit;
mod script;
mod store;
mod worker;

pub use error::ConnectError;
pub use options::RedisOptions;
pub use store::RedisStore;
