//! Why a transaction came to nothing, and how that is told.

use coyote_storage::{BoxError, Conflict, StorageError};
use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error as DieselError};

/// Why a transaction came to nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A rule said no.
    Refused(StorageError),
    /// PostgreSQL said no, or nothing.
    Database(DieselError),
    /// Somebody was faster. Run again, the transaction sees what they did.
    Overtaken(DieselError),
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
        match &error {
            DieselError::DatabaseError(DatabaseErrorKind::SerializationFailure, _) => Self::Overtaken(error),
            // A deadlock. diesel has no name for it and keeps the SQLSTATE (40P01) to itself; the word is the same in
            // the languages that PostgreSQL speaks in Latin letters.
            DieselError::DatabaseError(DatabaseErrorKind::Unknown, told)
                if told.message().to_lowercase().contains("deadlock") =>
            {
                Self::Overtaken(error)
            }
            _ => Self::Database(error),
        }
    }
}

impl Failure {
    /// Whether it may go well if the transaction is run again at once.
    pub(crate) fn is_worth_another_try(&self) -> bool {
        matches!(self, Self::Overtaken(_))
    }

    /// As the caller is told.
    pub(crate) fn into_storage_error(self, doing: &'static str) -> StorageError {
        match self {
            Self::Refused(error) => error,
            Self::Database(DieselError::DeserializationError(error)) => {
                StorageError::Corrupt { what: format!("{error} (while {doing})") }
            }
            Self::Database(error) | Self::Overtaken(error) => unavailable(doing, error),
        }
    }
}

pub(crate) fn unavailable(doing: &'static str, source: impl Into<BoxError>) -> StorageError {
    StorageError::Unavailable { doing, source: source.into() }
}

/// For an INSERT: a key that is taken is this conflict.
pub(crate) fn taken(conflict: Conflict) -> impl FnOnce(DieselError) -> Failure {
    violated(move |_| conflict.into())
}

/// For an INSERT after looking whether the key is taken: it was taken since.
pub(crate) fn taken_since(error: DieselError) -> Failure {
    match error {
        DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _) => Failure::Overtaken(error),
        error => error.into(),
    }
}

/// The same for an UPDATE.
pub(crate) fn or_taken_since(failure: Failure) -> Failure {
    match failure {
        Failure::Database(error) => taken_since(error),
        failure => failure,
    }
}

/// For an INSERT in which one of several keys can be taken.
pub(crate) fn violated(
    refusal: impl FnOnce(&(dyn DatabaseErrorInformation + Send + Sync)) -> Failure,
) -> impl FnOnce(DieselError) -> Failure {
    move |error| match &error {
        DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, told) => refusal(&**told),
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(kind: DatabaseErrorKind, message: &str) -> Failure {
        DieselError::DatabaseError(kind, Box::new(message.to_owned())).into()
    }

    #[test]
    fn only_what_others_caused_is_worth_another_try() {
        let message = "could not serialize access due to concurrent update";
        assert!(told(DatabaseErrorKind::SerializationFailure, message).is_worth_another_try());
        for message in ["deadlock detected", "Verkettung (Deadlock) entdeckt"] {
            assert!(told(DatabaseErrorKind::Unknown, message).is_worth_another_try(), "{message}");
        }
        for message in ["canceling statement due to lock timeout", "could not extend file: No space left"] {
            assert!(!told(DatabaseErrorKind::Unknown, message).is_worth_another_try(), "{message}");
        }
        assert!(!told(DatabaseErrorKind::UniqueViolation, "orders_pkey").is_worth_another_try());
        assert!(!told(DatabaseErrorKind::UnableToSendCommand, "connection closed").is_worth_another_try());
        assert!(!Failure::from(Conflict::IdInUse).is_worth_another_try());
    }

    #[test]
    fn what_cannot_be_read_is_damage_and_all_else_that_the_database_says_is_its_absence() {
        let damage = Failure::from(DieselError::DeserializationError("no JSON".into()));
        let damage = damage.into_storage_error("loading an order");
        assert!(
            matches!(damage, StorageError::Corrupt { what } if what == "no JSON (while loading an order)")
        );
        let lost = told(DatabaseErrorKind::UnableToSendCommand, "connection closed");
        let lost = lost.into_storage_error("loading an order");
        assert!(matches!(lost, StorageError::Unavailable { doing: "loading an order", .. }));
    }
}
