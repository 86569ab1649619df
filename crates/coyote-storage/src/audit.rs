//! The audit log: who changed what, written in the same transaction as the change.
//!
//! One or two records an issuance, none for its intermediate steps.

use async_trait::async_trait;
use coyote_jose::Thumbprint;
use coyote_protocol::{Identifier, Problem, RevocationReason, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{AccountId, Actor, Cause, CertificateId, OrderId, RequestId, Result, Serial};

/// One change, and who is behind it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// When.
    #[serde(with = "crate::millis")]
    pub at: Timestamp,
    /// In which request or run of a job.
    pub request: RequestId,
    /// On whose behalf.
    pub actor: Actor,
    /// The address that the request came from, if it came from one.
    pub client: Option<std::net::IpAddr>,
    /// What changed.
    pub event: AuditEvent,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum AuditEvent {
    /// An account was opened.
    AccountCreated {
        /// Which.
        account: AccountId,
        /// With which key.
        key: Thumbprint,
    },
    /// An account's contacts or agreement changed.
    AccountChanged {
        /// Which.
        account: AccountId,
    },
    /// An account has another key.
    AccountKeyChanged {
        /// Which.
        account: AccountId,
        /// The key that it had.
        old: Thumbprint,
        /// The key that it has.
        new: Thumbprint,
    },
    /// An account was closed by its holder.
    AccountDeactivated {
        /// Which.
        account: AccountId,
    },
    /// A key was made that opens accounts.
    ExternalAccountKeyCreated {
        /// Which.
        kid: String,
    },
    /// A key that opens accounts was taken back.
    ExternalAccountKeyRevoked {
        /// Which.
        kid: String,
    },
    /// A certificate was issued.
    CertificateIssued {
        /// Which.
        certificate: CertificateId,
        /// For which order.
        order: OrderId,
        /// Its serial number.
        serial: Serial,
        /// What it names.
        identifiers: Vec<Identifier>,
    },
    /// A certificate was promised and then not issued.
    IssuanceRefused {
        /// For which order.
        order: OrderId,
        /// What the client is told.
        problem: Problem,
    },
    /// A certificate was revoked.
    CertificateRevoked {
        /// Which.
        certificate: CertificateId,
        /// Its serial number.
        serial: Serial,
        /// Why.
        reason: RevocationReason,
    },
    /// The issuer was told that a certificate is revoked.
    RevocationTold {
        /// Which.
        certificate: CertificateId,
        /// Its serial number.
        serial: Serial,
    },
    /// Telling the issuer that a certificate is revoked was given up.
    RevocationNotTold {
        /// Which.
        certificate: CertificateId,
        /// Its serial number.
        serial: Serial,
    },
}

impl AuditEvent {
    /// The id of what changed: an account, an external account key, an order or a certificate.
    pub fn subject(&self) -> String {
        match self {
            Self::AccountCreated { account, .. }
            | Self::AccountChanged { account }
            | Self::AccountKeyChanged { account, .. }
            | Self::AccountDeactivated { account } => account.to_string(),
            Self::ExternalAccountKeyCreated { kid } | Self::ExternalAccountKeyRevoked { kid } => kid.clone(),
            Self::CertificateIssued { order, .. } | Self::IssuanceRefused { order, .. } => order.to_string(),
            Self::CertificateRevoked { certificate, .. }
            | Self::RevocationTold { certificate, .. }
            | Self::RevocationNotTold { certificate, .. } => certificate.to_string(),
        }
    }
}

impl AuditRecord {
    /// The record of an event that happens for this cause.
    pub fn new(event: AuditEvent, cause: &Cause) -> Self {
        Self {
            at: cause.now,
            request: cause.request,
            actor: cause.actor.clone(),
            client: cause.client,
            event,
        }
    }
}

/// Which audit records are wanted.
#[derive(Clone, Debug)]
pub struct AuditFilter {
    /// Only those whose event has this [subject](AuditEvent::subject).
    pub subject: Option<String>,
    /// How many at most.
    pub limit: u32,
}

/// The audit log. It is written by the operations that it tells of, and only read here.
#[async_trait]
pub trait AuditLog: Send + Sync + 'static {
    /// The latest records that pass the filter, the newest first.
    async fn audit(&self, filter: &AuditFilter) -> Result<Vec<AuditRecord>>;
}
