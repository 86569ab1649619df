//! Why a transaction came to nothing, and how that is told.

use coyote_storage::{BoxError, Conflict, StorageError};
use diesel::result::{DatabaseErrorKind, Error as DieselError};

/// Why a transaction came to nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A rule said no, or a guard did.
    Refused(StorageError),
    /// SQLite said no.
    Database(DieselError),
    /// A guard found something else than the rule had seen. It cannot be, as a transaction that writes is alone; so
    /// nobody knows what to tell of it.
    Changed,
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self::Refused(error)
    }
}

impl From<Conflict> for Failure {
    fn from(conflict: Conflict) -> Self {
        Self::Refused(conflict.into())
    }
}

impl From<DieselError> for Failure {
    fn from(error: DieselError) -> Self {
        Self::Database(error)
    }
}

impl Failure {
    /// As the caller is told.
    pub(crate) fn into_storage_error(self, doing: &'static str) -> StorageError {
        match self {
            Self::Refused(error) => error,
            Self::Database(DieselError::DeserializationError(error)) => {
                StorageError::Corrupt { what: format!("{error} (while {doing})") }
            }
            Self::Database(error) => unavailable(doing, error),
            Self::Changed => unavailable(doing, "the row was changed meanwhile"),
        }
    }
}

pub(crate) fn unavailable(doing: &'static str, source: impl Into<BoxError>) -> StorageError {
    StorageError::Unavailable { doing, source: source.into() }
}

/// For an INSERT in which only one key can be taken: says which conflict that is.
pub(crate) fn taken(conflict: Conflict) -> impl FnOnce(DieselError) -> Failure {
    move |error| match error {
        DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _) => conflict.into(),
        error => error.into(),
    }
}

/// For an UPDATE or DELETE whose predicate repeats what the rule has seen: `refusal` if that is not so any more.
pub(crate) fn guarded(rows: usize, refusal: impl Into<Failure>) -> Result<(), Failure> {
    if rows == 1 { Ok(()) } else { Err(refusal.into()) }
}
