//! Authorizations. RFC 8555 sections 7.1.4, 7.4.1 and 7.5.

use serde::{Deserialize, Serialize};

use crate::text::statuses;
use crate::{Challenge, Identifier, RawIdentifier, Timestamp};

statuses! {
    /// The status of an authorization. RFC 8555 section 7.1.6.
    pub enum AuthorizationStatus {
        /// Waits for a challenge to be met.
        Pending = "pending",
        /// Control of the identifier has been shown.
        Valid = "valid",
        /// A challenge has failed, or time ran out before one was met.
        Invalid = "invalid",
        /// Given up by the client.
        Deactivated = "deactivated",
        /// Was valid until its time ran out.
        Expired = "expired",
        /// Was valid until the server took it back.
        Revoked = "revoked",
    }
}

/// The authorization object.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Authorization {
    /// What the account is authorized for. Never a wildcard: see `wildcard`.
    pub identifier: Identifier,
    /// Its status.
    pub status: AuthorizationStatus,
    /// When it ends. Always there if it is valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// The challenges to choose from; once it is decided, those that were tried.
    pub challenges: Vec<Challenge>,
    /// `true` if it is for the wildcard name below `identifier`, and absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wildcard: Option<bool>,
}

/// The payload of a newAuthz request. RFC 8555 section 7.4.1.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct NewAuthorization {
    /// What the account wants to be authorized for.
    pub identifier: RawIdentifier,
}

/// The payload of a request to an authorization URL. RFC 8555 section 7.5.2.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct AuthorizationUpdate {
    /// The new status. The protocol allows a client `deactivated` only.
    pub status: AuthorizationStatus,
}
