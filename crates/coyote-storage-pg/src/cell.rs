//! Cells whose values have more than one form.

use coyote_storage::{
    Result, StorageError,
    sealing::{Place, Sealing},
};
use serde::{Serialize, de::DeserializeOwned};

pub(crate) fn seal_json<T: Serialize>(sealing: &Sealing, place: &Place<'_>, value: &T) -> Result<Vec<u8>> {
    let json = serde_json::to_vec(value).map_err(|error| damaged(place, &error))?;
    sealing.seal(place, &json)
}

pub(crate) fn open_json<T: DeserializeOwned>(sealing: &Sealing, place: &Place<'_>, cell: &[u8]) -> Result<T> {
    serde_json::from_slice(&sealing.open(place, cell)?).map_err(|error| damaged(place, &error))
}

pub(crate) fn open_text(sealing: &Sealing, place: &Place<'_>, cell: &[u8]) -> Result<String> {
    String::from_utf8(sealing.open(place, cell)?).map_err(|error| damaged(place, &error.utf8_error()))
}

fn damaged(place: &Place<'_>, error: &dyn std::error::Error) -> StorageError {
    StorageError::Corrupt { what: format!("{place}: {error}") }
}
