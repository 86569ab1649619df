//! `[retention]`: how long what is over is kept.

use coyote_server::Limits;

use super::{section::section, time::Time};

section! {
    /// How long what is over is kept. It is removed in batches by a sweep every `limits.sweep_interval`. Used nonces and
    /// idle rate limits go as soon as they say nothing any more; serial numbers stay for ever, as they must never be used
    /// again; accounts stay, also closed ones, as their keys must open no other.
    RetentionSection {
        /// Orders that came to nothing, from their expiry on, and authorizations that no order has.
        expired: Time = Time(Limits::default().keep_expired);
        /// Certificates and their orders, from the certificate's expiry on; revoked ones, too, and never before.
        issued: Time = Time(Limits::default().keep_issued);
        /// What attempts to validate and to issue saw.
        traces: Time = Time(Limits::default().keep_traces);
        /// Records of who changed what.
        audit: Time = Time(Limits::default().keep_audit);
    }
}
