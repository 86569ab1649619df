//! How an operation on storage can fail.

use coyote_protocol::{AuthorizationStatus, OrderStatus};

use crate::{AccountId, sealing::SealFault};

/// The result of an operation on storage.
pub type Result<T, E = StorageError> = std::result::Result<T, E>;

/// Any error, as a source.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why an operation on storage did not happen.
///
/// After every error but [`Unavailable`](StorageError::Unavailable) nothing has changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// There is no such record, or it belongs to someone else: the two cannot be told apart.
    #[error("not found")]
    NotFound,

    /// The record's state does not allow it.
    #[error(transparent)]
    Conflict(#[from] Conflict),

    /// The lease has expired or was spent, and somebody else may have done the work.
    #[error("the lease on the job was lost")]
    LeaseLost,

    /// The database cannot be reached, is full, or did not answer in time. Whether a write happened is unknown.
    #[error("storage is unavailable while {doing}")]
    Unavailable {
        /// What was being done, as in "creating an order".
        doing: &'static str,
        /// What the database said.
        #[source]
        source: BoxError,
    },

    /// What is stored cannot be read as what it should be.
    #[error("what is stored is damaged: {what}")]
    Corrupt {
        /// Which value of which record.
        what: String,
    },

    /// What is sealed cannot be opened, or a value not be sealed.
    #[error("{cell} is sealed, and cannot be read")]
    Sealed {
        /// Which cell, for the operator: table, column and row.
        cell: String,
        /// Why.
        #[source]
        fault: SealFault,
    },
}

/// The state of a record that forbids what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Conflict {
    /// The account is not `valid`.
    #[error("the account is not valid")]
    AccountNotValid,
    /// The new key belongs to this account already. RFC 8555 7.3.5.
    #[error("the key belongs to another account")]
    KeyInUse(AccountId),
    /// The key that was to be replaced is no longer the account's.
    #[error("the account's key was changed meanwhile")]
    KeyChanged,
    /// Only an order that is `ready` can be finalized. RFC 8555 7.4.
    #[error("the order is {0}, not ready")]
    OrderNotReady(OrderStatus),
    /// Only an authorization that is `pending` can be validated. RFC 8555 7.5.1.
    #[error("the authorization is {0}, not pending")]
    AuthorizationNotPending(AuthorizationStatus),
    /// Only an authorization that is `pending` or `valid` can be deactivated. RFC 8555 7.1.6.
    #[error("the authorization is {0}, which is final")]
    AuthorizationFinal(AuthorizationStatus),
    /// An authorization that was to be used again is not valid any more.
    #[error("an authorization to be used again is not valid")]
    AuthorizationNotValid,
    /// The external account key is unknown, revoked, has expired, or has opened all the accounts that it may.
    #[error("the external account key cannot be used")]
    ExternalAccountKeyNotUsable,
    /// The account has as many open orders, or authorizations of no order, as it may have.
    #[error("the account has too many open orders or authorizations that no order has")]
    TooManyOpen,
    /// Another order replaces the certificate already. RFC 9773 5.
    #[error("the certificate is being replaced by another order, or was")]
    AlreadyReplaced,
    /// The certificate to be replaced is not the account's.
    #[error("the certificate to be replaced is not the account's")]
    NothingToReplace,
    /// The certificate is revoked. RFC 8555 7.6.
    #[error("the certificate is revoked")]
    AlreadyRevoked,
    /// The serial number was used before.
    #[error("the serial number was used before")]
    SerialInUse,
    /// The storage does not [stand](crate::Standing) any more where it stood.
    #[error("the storage is somebody else's to fill, or is in service")]
    MovedOn,
    /// The storage is to be filled with what another has, and something is in it.
    #[error("the storage is not empty")]
    NotEmpty,
    /// A new record has the id of an old one.
    #[error("the id was used before")]
    IdInUse,
}
