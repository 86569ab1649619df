#![doc = include_str!("../README.md")]

mod algorithm;
pub mod base64url;
mod ecdsa;
mod error;
mod header;
mod jwk;
mod jws;
mod key;
mod key_cache;
mod mac;
mod members;
mod sign;
mod signing_key;
mod thumbprint;

pub use crate::algorithm::{Algorithm, UnknownAlgorithm};
pub use crate::error::Error;
pub use crate::header::{Header, KeyId};
pub use crate::jwk::{EcCurve, Jwk, JwkParameters, OkpCurve};
pub use crate::jws::Jws;
pub use crate::key::VerifyingKey;
pub use crate::key_cache::KeyCache;
pub use crate::sign::{sign, sign_mac};
pub use crate::signing_key::SigningKey;
pub use crate::thumbprint::Thumbprint;
