//! Why a request was not served, and the one place where faults become problems. RFC 8555 section 6.7.

use coyote_jose::Algorithm;
use coyote_protocol::{Problem, ProblemType};
use coyote_storage::{BoxError, Conflict, StorageError};

use crate::{entropy::NoEntropy, policy::RateLimited};

/// The result of an operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request was not served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client's doing, or the client's business: it is told exactly this.
    #[error("{}", .0.detail)]
    Problem(Box<Problem>),

    /// As [`Problem`](Error::Problem), with a header that leads on: the URL of the account whose key it is.
    #[error("{}", .problem.detail)]
    Elsewhere {
        /// What the client is told.
        problem: Box<Problem>,
        /// The `Location`.
        location: String,
    },

    /// The client has used up what it may have for now.
    #[error("{}", .0.problem.detail)]
    RateLimited(Box<RateLimited>),

    /// Not now: a 503 that asks to come back. The log is told the rest.
    #[error("{doing}")]
    Unavailable {
        /// What was being done.
        doing: &'static str,
        /// Why it could not be.
        #[source]
        source: BoxError,
    },

    /// Ours. The client is told `serverInternal`; the log is told the rest.
    #[error("{doing}")]
    Internal {
        /// What was being done, as in "storing the certificate".
        doing: &'static str,
        /// What went wrong.
        #[source]
        source: BoxError,
    },
}

impl Error {
    /// The client is told this.
    pub fn problem(kind: ProblemType, detail: impl Into<String>) -> Self {
        Problem::new(kind, detail).into()
    }

    /// The request is malformed.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::problem(ProblemType::Malformed, detail)
    }

    /// The account may not do this, or there is nothing to do it with: the two look the same from outside.
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::problem(ProblemType::Unauthorized, detail)
    }

    /// The same, with another HTTP status.
    pub fn with_status(self, status: u16) -> Self {
        match self {
            Self::Problem(problem) => problem.with_status(status).into(),
            other => other,
        }
    }

    /// Something failed that is nobody's business outside.
    pub fn internal(doing: &'static str, source: impl Into<BoxError>) -> Self {
        Self::Internal { doing, source: source.into() }
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

impl From<Box<RateLimited>> for Error {
    fn from(limited: Box<RateLimited>) -> Self {
        Self::RateLimited(limited)
    }
}

impl From<NoEntropy> for Error {
    fn from(error: NoEntropy) -> Self {
        Self::internal("making random bits", error)
    }
}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::NotFound => {
                Self::unauthorized("there is no such resource, or it is not this account's")
            }
            StorageError::Conflict(conflict) => conflict.into(),
            StorageError::Unavailable { doing, source } => Self::Unavailable { doing, source },
            // The key may be back with the next restart, or another replica may have it: the client's request is good.
            error @ StorageError::Sealed { .. } => {
                Self::Unavailable { doing: "reading or writing the store", source: error.into() }
            }
            error => Self::internal("reading or writing the store", error),
        }
    }
}

impl From<Conflict> for Error {
    fn from(conflict: Conflict) -> Self {
        use ProblemType::{
            AlreadyReplaced, AlreadyRevoked, Malformed, OrderNotReady, RateLimited, Unauthorized,
        };
        let (kind, status) = match conflict {
            Conflict::AccountNotValid => (Unauthorized, 401),
            Conflict::KeyInUse(_) => (Malformed, 409),
            Conflict::KeyChanged => (Malformed, 409),
            Conflict::OrderNotReady(_) => (OrderNotReady, 403),
            Conflict::AuthorizationNotPending(_) | Conflict::AuthorizationFinal(_) => (Malformed, 400),
            Conflict::AlreadyRevoked => (AlreadyRevoked, 400),
            Conflict::AlreadyReplaced => (AlreadyReplaced, 409),
            Conflict::NothingToReplace | Conflict::ExternalAccountKeyNotUsable => (Unauthorized, 403),
            Conflict::TooManyOpen => (RateLimited, 429),
            // The client asked for nothing wrong: it may try again.
            conflict => return Self::internal("making a new record", conflict),
        };
        Problem::new(kind, conflict.to_string()).with_status(status).into()
    }
}

impl From<coyote_jose::Error> for Error {
    fn from(error: coyote_jose::Error) -> Self {
        use coyote_jose::Error as Jose;
        match error {
            Jose::UnsupportedAlgorithm(_) => {
                Problem::new(ProblemType::BadSignatureAlgorithm, error.to_string())
                    .with_algorithms(Algorithm::SIGNATURES.iter().map(|algorithm| algorithm.name()))
                    .into()
            }
            Jose::BadKey(_) => Self::problem(ProblemType::BadPublicKey, error.to_string()),
            Jose::Malformed(_) | Jose::BadSignature => Self::malformed(error.to_string()),
            error => Self::internal("verifying a signature", error),
        }
    }
}
