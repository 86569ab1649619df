//! What an ACME server remembers, and the promises that its memory keeps.
//!
//! Four things live here:
//!
//! * **records** ([`Account`], [`Order`], [`Authorization`], [`Certificate`], [`Job`]): facts, never conclusions.
//!   A status is computed from them ([`Order::status`]), so that nothing can store a wrong one.
//! * **rules**: pure methods on the records, which decide each step of RFC 8555 7.1.6. A backend loads a
//!   record, calls the rule, saves the record; it decides nothing itself.
//! * **traits** ([`AccountStore`], [`OrderStore`], …): each method is one transaction and one promise. Together
//!   they are [`Storage`]; [`NonceStore`] and [`RateLimitStore`] stand apart, because they are what people move
//!   elsewhere first.
//! * **[`MemoryStorage`]**, the specification in code, and **`conformance`** (a feature), the promises as tests
//!   that the author of another backend runs too.
//!
//! Nothing here reads a clock or makes a random number: both arrive as arguments, time in a [`Cause`]. Nonces
//! are the exception, as a nonce store mints what it alone can recognise.

mod account;
pub mod archive;
mod audit;
mod authorization;
mod cause;
mod certificate;
mod challenge;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod error;
mod external_account;
mod id;
mod job;
mod memory;
mod millis;
mod nonce;
mod order;
mod rate_limit;
#[cfg(test)]
mod samples;
pub mod sealing;
mod serial;
mod statistics;
mod sweep;
mod trace;
mod wake;

pub use account::{Account, AccountChange, AccountStore, Creation, ExternalAccount};
pub use archive::{Archive, Record, RecordKey, RecordKind, Standing};
pub use audit::{AuditEvent, AuditFilter, AuditLog, AuditRecord};
pub use authorization::{
    Authorization, AuthorizationStore, BeginValidation, ValidationBegun, ValidationOutcome,
};
pub use cause::{Actor, Cause};
pub use certificate::{
    BeginRevocation, Certificate, CertificateStore, Revocation, RevocationBegun, RevocationOutcome, Telling,
};
pub use challenge::{Challenge, Verdict};
pub use error::{BoxError, Conflict, Result, StorageError};
pub use external_account::{ExternalAccountKey, ExternalAccountStore};
pub use id::{
    AccountId, AuthorizationId, CertificateId, ChallengeId, DirectoryId, InvalidId, JobId, LeaseToken,
    OrderId, RequestId,
};
pub use job::{Claim, Job, JobQueue, Lease, LeaseTerms, Work, WorkKind};
pub use memory::MemoryStorage;
pub use nonce::{NonceSealer, NonceStore, OpenedNonce, SealedNonces};
pub use order::{
    BeginIssuance, Issuance, IssuanceBegun, IssuanceOutcome, NewOrder, NotAuthorized, Order, OrderPage,
    OrderStore, ReadyOrder,
};
pub use rate_limit::{Quota, RateLimitStore, Taken};
pub use serial::Serial;
pub use statistics::{CellCount, DatabaseSize, RowCount, Statistics};
pub use sweep::{Sweep, SweepReport};
pub use trace::{TraceKey, TraceLog, TraceRecord, TraceSubject};
pub use wake::{Bell, Wake, Wakes};

/// Everything an ACME server remembers, except nonces and rate limits.
///
/// Implemented for whatever implements its parts; there is nothing to write.
pub trait Storage:
    AccountStore
    + ExternalAccountStore
    + OrderStore
    + AuthorizationStore
    + CertificateStore
    + JobQueue
    + AuditLog
    + TraceLog
{
}

impl<T> Storage for T where
    T: AccountStore
        + ExternalAccountStore
        + OrderStore
        + AuthorizationStore
        + CertificateStore
        + JobQueue
        + AuditLog
        + TraceLog
        + ?Sized
{
}
