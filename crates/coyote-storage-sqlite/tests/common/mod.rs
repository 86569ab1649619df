//! What goes into the storages of the tests, and where these are.

#![allow(unused_imports, dead_code, reason = "each test uses its own part of it")]

use std::path::PathBuf;

pub(crate) use coyote_storage::conformance::seeded::*;
use coyote_storage::sealing::{KeyRing, Sealing, SealingKey};
use coyote_storage_sqlite::SqliteOptions;
use tempfile::TempDir;

pub(crate) fn file(directory: &TempDir) -> PathBuf {
    directory.path().join("coyote.db")
}

/// A key, made of this byte.
pub(crate) fn sealing_key(byte: u8) -> SealingKey {
    SealingKey::new([byte; 32]).unwrap()
}

/// Seals with these keys, of which the last is the current one; with none, not at all.
pub(crate) fn sealed(keys: &[u8]) -> SqliteOptions {
    let mut keys = keys.iter().map(|byte| sealing_key(*byte));
    let ring = keys.next().map(|first| keys.fold(KeyRing::of(first), |ring, key| ring.with(key)));
    let sealing = ring.map_or_else(Sealing::none, Sealing::with);
    SqliteOptions { sealing, ..SqliteOptions::default() }
}
