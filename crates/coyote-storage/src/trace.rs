//! Traces: what an attempt saw, step by step, kept with what came of it.
//!
//! They are for the operator who asks why. Storage does not look into them.

use async_trait::async_trait;
use coyote_protocol::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{AuthorizationId, OrderId, RequestId, Result};

/// What one attempt saw: a validation, or an issuance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceRecord {
    /// When the attempt began.
    #[serde(with = "crate::millis")]
    pub at: Timestamp,
    /// The run that made it. Clients are told this, so that they can name it.
    pub request: RequestId,
    /// What it was about.
    pub subject: TraceSubject,
    /// The names that it was about, as clients write them, separated by one space.
    pub names: String,
    /// The steps, as the server writes and reads them. At most [`TraceRecord::MAX_BYTES`].
    pub timeline: String,
}

/// What an attempt was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TraceSubject {
    /// A challenge of this authorization.
    Authorization(AuthorizationId),
    /// The certificate of this order.
    Order(OrderId),
}

impl TraceRecord {
    /// How long the steps of one attempt may be, in bytes.
    pub const MAX_BYTES: usize = 64 * 1024;
}

impl TraceSubject {
    /// The id of what it was about, as URLs show it.
    pub fn id(&self) -> String {
        match self {
            Self::Authorization(id) => id.to_string(),
            Self::Order(id) => id.to_string(),
        }
    }

    /// What kind of thing it is, as a store may keep it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Authorization(_) => "authorization",
            Self::Order(_) => "order",
        }
    }

    /// The reverse of [`kind`](Self::kind) and [`id`](Self::id); `None` for what they never give.
    pub fn parse(kind: &str, id: &str) -> Option<Self> {
        match kind {
            "authorization" => id.parse().ok().map(Self::Authorization),
            "order" => id.parse().ok().map(Self::Order),
            _ => None,
        }
    }
}

/// Which traces are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceKey {
    /// Those of this run: one, if it is there.
    Request(RequestId),
    /// Those about this authorization.
    Authorization(AuthorizationId),
    /// Those about this order, and, while the order is there, about its authorizations.
    Order(OrderId),
    /// Those that are about this name, and no other.
    Name(String),
}

/// The traces. They are written by the operations that settle an attempt, and give back its job, for the
/// [`Cause`](crate::Cause) that [bears one](crate::Cause::trace); here they are only read.
#[async_trait]
pub trait TraceLog: Send + Sync + 'static {
    /// The latest traces of this key, the newest first, `limit` at most.
    async fn traces(&self, key: &TraceKey, limit: u32) -> Result<Vec<TraceRecord>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_reads_back_from_its_kind_and_id() {
        for subject in [
            TraceSubject::Authorization(AuthorizationId::from_bytes([1; 16])),
            TraceSubject::Order(OrderId::from_bytes([2; 16])),
        ] {
            assert_eq!(TraceSubject::parse(subject.kind(), &subject.id()), Some(subject));
        }
        assert_eq!(TraceSubject::parse("order", "?"), None);
        assert_eq!(TraceSubject::parse("account", &OrderId::from_bytes([2; 16]).to_string()), None);
    }
}
