//! Every bound of the server, in one table: what it is for, its default and the key it is configured by.

use std::time::Duration;

/// The value of a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// A number of things, or of bytes.
    Count(u64),
    /// A time.
    Time(Duration),
}

/// Why a bound could not be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLimit {
    /// No bound has this key.
    #[error("there is no limit called {0:?}")]
    Unknown(String),
    /// A number where a time is wanted, or the other way round, or a number that is too large.
    #[error("the limit {0:?} wants {1}")]
    Kind(&'static str, &'static str),
    /// So little that nothing would work.
    #[error("the limit {0:?} wants {1} at least")]
    TooSmall(&'static str, &'static str),
}

trait FromBound: Copy {
    const WANTED: &'static str;
    fn from_bound(bound: Bound) -> Option<Self>;
    fn into_bound(self) -> Bound;
}

impl FromBound for Duration {
    const WANTED: &'static str = "a time, such as \"10s\"";
    fn from_bound(bound: Bound) -> Option<Self> {
        match bound {
            Bound::Time(time) => Some(time),
            Bound::Count(_) => None,
        }
    }
    fn into_bound(self) -> Bound {
        Bound::Time(self)
    }
}

impl FromBound for u32 {
    const WANTED: &'static str = "a number below 2^32";
    fn from_bound(bound: Bound) -> Option<Self> {
        match bound {
            Bound::Count(count) => u32::try_from(count).ok(),
            Bound::Time(_) => None,
        }
    }
    fn into_bound(self) -> Bound {
        Bound::Count(self.into())
    }
}

macro_rules! limits {
    ($($(#[doc = $doc:literal])+ $key:ident: $kind:ty = $default:expr;)*) => {
        /// The bounds of one server.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Limits {
            $($(#[doc = $doc])+ pub $key: $kind,)*
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($key: $default,)* }
            }
        }

        impl Limits {
            /// The bounds as they are: key, what it is for, and value.
            pub fn table(&self) -> Vec<(&'static str, &'static str, Bound)> {
                vec![$((stringify!($key), concat!($($doc),+).trim_ascii(), self.$key.into_bound()),)*]
            }

            /// Sets the bound of that key.
            ///
            /// # Errors
            ///
            /// [`InvalidLimit`].
            pub fn set(&mut self, key: &str, bound: Bound) -> Result<(), InvalidLimit> {
                match key {
                    $(stringify!($key) => {
                        let wrong = InvalidLimit::Kind(stringify!($key), <$kind as FromBound>::WANTED);
                        self.$key = <$kind as FromBound>::from_bound(bound).ok_or(wrong)?;
                    })*
                    _ => return Err(InvalidLimit::Unknown(key.to_owned())),
                }
                Ok(())
            }
        }
    };
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

limits! {
    /// Bytes in the body of a request.
    request_body: u32 = 64 * 1024;
    /// How long the body of a request may take to arrive.
    request_time: Duration = 10 * SECOND;
    /// Identifiers in an order.
    identifiers_per_order: u32 = 100;
    /// Contacts of an account.
    contacts_per_account: u32 = 10;
    /// Characters in a contact.
    contact_length: u32 = 320;
    /// How long an order, and an authorization in it, can be pending.
    order_lifetime: Duration = DAY;
    /// How long an authorization holds once it is valid.
    authorization_lifetime: Duration = DAY;
    /// How long after its validation an authorization can be used for further orders; 0 turns that off.
    authorization_reuse: Duration = 7 * HOUR;
    /// Orders of an account that have not come to an end.
    open_orders: u32 = 1_000;
    /// Authorizations of an account that are in no order and have not expired, whatever became of them.
    authorizations_without_order: u32 = 1_000;
    /// How long a nonce is good for.
    nonce_lifetime: Duration = HOUR;
    /// How many of the latest nonces can be told apart as used or unused; older ones are refused.
    nonce_window: u32 = 1 << 20;
    /// How long an answer may wait for a result; 0 turns it off.
    linger: Duration = Duration::from_millis(250);
    /// Answers that wait at the same time; further ones are not held back.
    lingering_answers: u32 = 4_096;
    /// Validations at the same time.
    concurrent_validations: u32 = 256;
    /// How long a validation, or an issuance's look at CAA records, may take until it makes room for others, and goes on among
    /// those that wait.
    validation_patience: Duration = Duration::from_millis(250);
    /// Validations that go on after that, with a file descriptor or two each. When there are more, the one that has waited
    /// longest is given up for now, and tried again as one that did not answer. A quarter as
    /// many issuances wait for CAA records likewise.
    waiting_validations: u32 = 2_048;
    /// Issuances at the same time.
    concurrent_issuances: u32 = 64;
    /// Bytes in what another perspective is asked, and in what it answers.
    perspective_message: u32 = 256 * 1024;
    /// Tasks that `acmed perspective` looks at, for all who ask, with a file descriptor or two each; it turns further ones
    /// away. To be as many as all who ask may have under way: `concurrent_validations`, `waiting_validations` and a quarter of
    /// those for CAA records.
    perspective_tasks: u32 = 4_096;
    /// How long one attempt to validate a challenge may take; if there are other perspectives, twice: from here, then from
    /// there.
    validation_time: Duration = 10 * SECOND;
    /// Attempts to validate a challenge, where the answer could not be seen.
    validation_attempts: u32 = 3;
    /// The wait before the second attempt to validate; it doubles with each.
    validation_backoff: Duration = SECOND;
    /// How long one attempt to issue may take.
    issuance_time: Duration = 30 * SECOND;
    /// Attempts to issue a certificate, where the issuer cannot say yes or no.
    issuance_attempts: u32 = 10;
    /// The wait before the second attempt to issue; it doubles with each.
    issuance_backoff: Duration = SECOND;
    /// Issuers that are told of a revocation at the same time.
    concurrent_revocations: u32 = 16;
    /// How long one attempt to tell the issuer of a revocation may take.
    revocation_time: Duration = 30 * SECOND;
    /// Attempts to tell the issuer of a revocation, which stands in any case: three days of them.
    revocation_attempts: u32 = 1_000;
    /// The wait before the issuer is told a second time; it doubles with each.
    revocation_backoff: Duration = SECOND;
    /// The longest wait between two attempts of anything.
    longest_backoff: Duration = Duration::from_secs(300);
    /// How long a worker has a job to itself unless it says that it is still at it, which it does in time. The jobs of a
    /// process that died are taken over after that; a validation that was waiting for a stranger, after four times that.
    lease: Duration = 5 * SECOND;
    /// How often the job queue is looked at when nothing wakes the worker.
    job_poll_interval: Duration = SECOND;
    /// How often the store is swept.
    sweep_interval: Duration = Duration::from_secs(600);
    /// Rows of each kind that one sweep touches.
    sweep_batch: u32 = 1_000;
    /// How long orders and authorizations without a certificate are kept after they expire.
    keep_expired: Duration = Duration::from_secs(7 * 24 * 3600);
    /// How long certificates, and their orders, are kept after they expire.
    keep_issued: Duration = Duration::from_secs(90 * 24 * 3600);
    /// How long audit records are kept.
    keep_audit: Duration = Duration::from_secs(400 * 24 * 3600);
    /// How long what validations and issuances saw is kept, for whoever asks why.
    keep_traces: Duration = Duration::from_secs(30 * 24 * 3600);
    /// Parsed account keys that are kept in memory.
    cached_keys: u32 = 10_000;
    /// How long a client is asked to wait before it asks again when to renew.
    renewal_info_retry: Duration = 6 * HOUR;
    /// How long a client is asked to wait after an answer that says the server is unavailable.
    unavailable_retry: Duration = 5 * SECOND;
}

impl Limits {
    /// Refuses bounds with which the server would only keep itself busy, or serve nothing.
    ///
    /// # Errors
    ///
    /// [`InvalidLimit::TooSmall`].
    pub fn check(&self) -> Result<(), InvalidLimit> {
        let tenth = Duration::from_millis(100);
        let times = [
            ("lease", self.lease, tenth, "100ms"),
            ("job_poll_interval", self.job_poll_interval, Duration::from_millis(10), "10ms"),
            ("sweep_interval", self.sweep_interval, SECOND, "1s"),
            ("validation_time", self.validation_time, tenth, "100ms"),
            ("validation_patience", self.validation_patience, Duration::from_millis(1), "1ms"),
            ("issuance_time", self.issuance_time, tenth, "100ms"),
            ("revocation_time", self.revocation_time, tenth, "100ms"),
            ("order_lifetime", self.order_lifetime, SECOND, "1s"),
            ("authorization_lifetime", self.authorization_lifetime, SECOND, "1s"),
            ("nonce_lifetime", self.nonce_lifetime, SECOND, "1s"),
        ];
        let counts = [
            ("request_body", self.request_body, 4_096, "4096"),
            ("identifiers_per_order", self.identifiers_per_order, 1, "1"),
            ("sweep_batch", self.sweep_batch, 1, "1"),
            ("validation_attempts", self.validation_attempts, 1, "1"),
            ("issuance_attempts", self.issuance_attempts, 1, "1"),
            ("revocation_attempts", self.revocation_attempts, 1, "1"),
            ("open_orders", self.open_orders, 1, "1"),
        ];
        let times = times.into_iter().map(|(key, is, least, text)| (key, is < least, text));
        let counts = counts.into_iter().map(|(key, is, least, text)| (key, is < least, text));
        match times.chain(counts).find(|(_, too_small, _)| *too_small) {
            Some((key, _, least)) => Err(InvalidLimit::TooSmall(key, least)),
            None => Ok(()),
        }
    }

    /// The wait before another attempt, after `attempts` of them: `first`, doubled with each, within bounds.
    pub(crate) fn backoff(&self, first: Duration, attempts: u32) -> Duration {
        let doublings = attempts.saturating_sub(1).min(16);
        first.saturating_mul(1 << doublings).min(self.longest_backoff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_can_be_set_by_the_key_that_the_table_shows() {
        let mut limits = Limits::default();
        for (key, doc, bound) in Limits::default().table() {
            assert!(!doc.is_empty(), "{key} says what it is for");
            assert_eq!(limits.set(key, bound), Ok(()), "{key}");
        }
        assert_eq!(limits, Limits::default());
    }

    #[test]
    fn an_unknown_key_and_a_value_of_another_kind_are_refused() {
        let mut limits = Limits::default();
        assert_eq!(limits.set("nope", Bound::Count(1)), Err(InvalidLimit::Unknown("nope".into())));
        assert!(matches!(limits.set("linger", Bound::Count(1)), Err(InvalidLimit::Kind("linger", _))));
        assert!(matches!(limits.set("request_body", Bound::Count(u64::MAX)), Err(InvalidLimit::Kind(..))));
    }

    #[test]
    fn a_limit_that_would_only_keep_the_server_busy_is_refused() {
        assert_eq!(Limits::default().check(), Ok(()));
        let limits = Limits { lease: Duration::ZERO, ..Limits::default() };
        assert_eq!(limits.check(), Err(InvalidLimit::TooSmall("lease", "100ms")));
        let limits = Limits { sweep_batch: 0, ..Limits::default() };
        assert_eq!(limits.check(), Err(InvalidLimit::TooSmall("sweep_batch", "1")));
    }

    #[test]
    fn backoff_doubles_and_is_bounded() {
        let limits = Limits::default();
        assert_eq!(limits.backoff(SECOND, 1), SECOND);
        assert_eq!(limits.backoff(SECOND, 3), 4 * SECOND);
        assert_eq!(limits.backoff(SECOND, 60), limits.longest_backoff);
    }
}
