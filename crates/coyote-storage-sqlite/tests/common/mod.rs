//! What goes into the storages of the tests, and where these are.

#![allow(unused_imports, dead_code, reason = "each test uses its own part of it")]

use std::path::PathBuf;

pub(crate) use coyote_storage::conformance::seeded::*;
use tempfile::TempDir;

pub(crate) fn file(directory: &TempDir) -> PathBuf {
    directory.path().join("coyote.db")
}
