//! Housekeeping: what lost its job gets it back, what is over is removed.

use coyote_protocol::Timestamp;

use crate::{Authorization, Certificate, Order};

/// How far one sweep goes.
///
/// It goes through the whole store, whichever directory's server sweeps: a job is restored in the directory of its account,
/// and what belongs to a directory that no server serves any more would otherwise be kept for ever. So there is one
/// retention for a store: servers that share one, also of different directories, are to be configured alike, or the
/// shortest of their times counts.
#[derive(Clone, Copy, Debug)]
pub struct Sweep {
    /// Orders without a certificate, and authorizations of no order, are removed if they expired before this; but
    /// no order that is `processing`, which always comes to an end first.
    pub remove_expired_before: Timestamp,
    /// Orders with a certificate are removed, together with it, if the certificate expired before this. A revoked
    /// certificate is thus never removed before it expires; once it has, nobody needs to be told any more.
    pub remove_issued_before: Timestamp,
    /// Audit records older than this are removed.
    pub remove_audit_before: Timestamp,
    /// Traces of attempts that began before this are removed.
    pub remove_traces_before: Timestamp,
    /// How many rows of each kind one sweep touches at most.
    pub batch: u32,
}

impl Sweep {
    /// Whether it removes this order, which has this certificate.
    pub fn removes_order(&self, order: &Order, certificate: Option<&Certificate>) -> bool {
        match certificate {
            Some(certificate) => certificate.not_after < self.remove_issued_before,
            None => order.owed().is_none() && order.expires < self.remove_expired_before,
        }
    }

    /// Whether it removes this authorization, which no order has any more.
    pub fn removes_authorization(&self, authorization: &Authorization) -> bool {
        authorization.expires < self.remove_expired_before
    }
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Challenges and orders in `processing`, and revocations that the issuer is to be told of, that had no job, and got
    /// one, due now.
    pub jobs_restored: u64,
    /// Orders removed.
    pub orders_removed: u64,
    /// Authorizations removed.
    pub authorizations_removed: u64,
    /// Certificates removed.
    pub certificates_removed: u64,
    /// Audit records removed.
    pub audit_removed: u64,
    /// Traces removed.
    pub traces_removed: u64,
    /// Used nonces and idle rate limits forgotten.
    pub transient_removed: u64,
    /// Cells sealed anew, that were plain or under an older key.
    pub cells_resealed: u64,
}

impl SweepReport {
    /// Whether there may be more of a kind than the sweep was allowed to touch.
    pub fn has_more(&self, sweep: &Sweep) -> bool {
        let Self {
            jobs_restored,
            orders_removed,
            authorizations_removed,
            certificates_removed,
            audit_removed,
            traces_removed,
            transient_removed,
            cells_resealed,
        } = *self;
        let counts = [
            jobs_restored,
            orders_removed,
            authorizations_removed,
            certificates_removed,
            audit_removed,
            traces_removed,
            transient_removed,
            cells_resealed,
        ];
        counts.into_iter().any(|count| count >= u64::from(sweep.batch.max(1)))
    }

    /// Whether there was nothing to do.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::samples::{EXPIRES, authorization, certificate, issuance, problem, ready_order};

    const LATER: Timestamp = Timestamp::from_seconds(9_000);

    fn sweep(expired: Timestamp, issued: Timestamp) -> Sweep {
        Sweep {
            remove_expired_before: expired,
            remove_issued_before: issued,
            remove_audit_before: LATER,
            remove_traces_before: LATER,
            batch: 1,
        }
    }

    #[test]
    fn what_expired_before_the_limit_is_removed() {
        let after = EXPIRES + Duration::from_millis(1);
        for (limit, removed) in [(EXPIRES, false), (after, true)] {
            assert_eq!(sweep(limit, EXPIRES).removes_order(&ready_order(&["a.test"]), None), removed);
            assert_eq!(sweep(limit, EXPIRES).removes_authorization(&authorization(1, "a.test")), removed);
        }
    }

    #[test]
    fn an_order_with_a_certificate_is_kept_as_long_as_that() {
        let certificate = certificate();
        let order = Order {
            issuance: Some(issuance()),
            certificate: Some(certificate.id),
            ..ready_order(&["a.test"])
        };
        assert!(!sweep(LATER, EXPIRES).removes_order(&order, Some(&certificate)));
        assert!(sweep(LATER, LATER).removes_order(&order, Some(&certificate)));
    }

    #[test]
    fn an_order_that_is_processing_is_kept_and_one_that_was_refused_is_not() {
        let processing = Order { issuance: Some(issuance()), ..ready_order(&["a.test"]) };
        assert!(!sweep(LATER, LATER).removes_order(&processing, None));
        let refused = Order { error: Some(problem("no")), ..processing };
        assert!(sweep(LATER, LATER).removes_order(&refused, None));
    }
}
