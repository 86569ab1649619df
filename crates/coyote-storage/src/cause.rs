//! Why something is written: the time of it, and who is behind it.

use std::net::IpAddr;
use std::sync::Arc;

use coyote_protocol::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{AccountId, RequestId, TraceRecord};

/// What every write is given: where storage gets its time from, and what an audit record says of the change.
#[derive(Clone, Debug)]
pub struct Cause {
    /// When it happens. Storage has no other clock.
    pub now: Timestamp,
    /// The request, or the run of a job, that it happens in.
    pub request: RequestId,
    /// On whose behalf.
    pub actor: Actor,
    /// The address that the request came from, if it came from one.
    pub client: Option<IpAddr>,
    /// What the attempt saw that this is the end of. It is stored with the change by the operations that settle an attempt or
    /// give back its job: `retry_validation`, `finish_validation`, `release_job`, `finish_issuance`. Others pass it over.
    pub trace: Option<Arc<TraceRecord>>,
}

/// On whose behalf something is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Actor {
    /// Someone who has no account yet, or needs none.
    Anonymous,
    /// The holder of an account's key.
    Account(AccountId),
    /// The server itself: a job, a sweep.
    Server,
    /// A person or script at the command line, by the name they gave.
    Operator(String),
}
