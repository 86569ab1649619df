//! What clients are told, where validators have it in common.

use std::io::ErrorKind;
use std::time::Duration;

use coyote_protocol::ProblemType;

use super::{ConnectError, Host, ResolveError, ValidationFailure};

/// There is no connection. The host's name is followed by where it came from, if that says something.
pub(super) fn no_connection(host: &Host, from: &str, port: u16, error: &ConnectError) -> ValidationFailure {
    match error {
        ConnectError::Resolve(error) => no_address(host, from, error),
        ConnectError::NotAllowed(_) => ValidationFailure::definitive(
            ProblemType::Connection,
            format!("the address of {host}{from} is not allowed"),
        ),
        ConnectError::TimedOut => ValidationFailure::transient(
            ProblemType::Connection,
            format!("{host}{from} did not accept a connection to port {port} in time"),
        ),
        ConnectError::Failed(error) if error.kind() == ErrorKind::ConnectionRefused => {
            ValidationFailure::transient(
                ProblemType::Connection,
                format!("{host}{from} refused the connection to port {port}"),
            )
        }
        ConnectError::Failed(_) => ValidationFailure::transient(
            ProblemType::Connection,
            format!("{host}{from} could not be reached at port {port}"),
        ),
    }
}

fn no_address(host: &Host, from: &str, error: &ResolveError) -> ValidationFailure {
    let definitive = |detail| ValidationFailure::definitive(ProblemType::Dns, detail);
    match error {
        ResolveError::NoSuchName => {
            definitive(format!("DNS says that {host}{from} does not exist (NXDOMAIN)"))
        }
        ResolveError::NoRecords => {
            definitive(format!("DNS has neither an A nor an AAAA record for {host}{from}"))
        }
        error => no_lookup(&format!("the address of {host}{from}"), error),
    }
}

/// DNS did not say what it was asked for.
pub(super) fn no_lookup(wanted: &str, error: &ResolveError) -> ValidationFailure {
    let detail = match error {
        ResolveError::NoSuchName | ResolveError::NoRecords => format!("DNS does not have {wanted}"),
        ResolveError::Server(code) => format!("DNS answered {code} when asked for {wanted}"),
        ResolveError::TooManyAliases => format!("DNS has too many aliases on the way to {wanted}"),
        ResolveError::NotAuthenticated => {
            format!("DNS is not authenticated by DNSSEC, which is required, where {wanted} should be")
        }
        ResolveError::TimedOut => format!("DNS did not answer in time when asked for {wanted}"),
        ResolveError::Failed(_) => format!("{wanted} could not be looked up"),
    };
    ValidationFailure::transient(ProblemType::Dns, detail)
}

/// A time as a sentence says it.
pub(super) fn in_words(duration: Duration) -> String {
    match duration.as_secs() {
        0 => format!("{} milliseconds", duration.as_millis()),
        seconds => format!("{seconds} seconds"),
    }
}
