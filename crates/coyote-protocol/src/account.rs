//! Accounts. RFC 8555 sections 7.1.2 and 7.3.

use serde::{Deserialize, Serialize};

use crate::ExternalAccountBinding;
use crate::text::{is_false, null_as_default, statuses};

statuses! {
    /// The status of an account. RFC 8555 section 7.1.2.
    pub enum AccountStatus {
        /// In use.
        Valid = "valid",
        /// Ended by its owner.
        Deactivated = "deactivated",
        /// Ended by the server.
        Revoked = "revoked",
    }
}

/// The account object, as the server shows it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// Its status.
    pub status: AccountStatus,
    /// URLs by which its owner can be reached.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub contact: Vec<String>,
    /// Whether its owner has agreed to the terms of service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms_of_service_agreed: Option<bool>,
    /// The binding that the account was made with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_account_binding: Option<ExternalAccountBinding>,
    /// Where its orders are listed. Some servers have no such list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orders: Option<String>,
}

/// The payload of a newAccount request. RFC 8555 section 7.3.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewAccount {
    /// URLs by which the client can be reached.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub contact: Vec<String>,
    /// Whether the client agrees to the terms of service.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_false")]
    pub terms_of_service_agreed: bool,
    /// Asks for the existing account of this key, and for none to be made. RFC 8555 section 7.3.1.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_false")]
    pub only_return_existing: bool,
    /// Binds the account to one that the client has elsewhere. RFC 8555 section 7.3.4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_account_binding: Option<ExternalAccountBinding>,
}

/// The payload of a request to an account URL. What is `None` stays as it is. RFC 8555 sections 7.3.2,
/// 7.3.3 and 7.3.6.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountUpdate {
    /// The new contacts; an empty list removes all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<Vec<String>>,
    /// The new status. The protocol allows a client `deactivated` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<AccountStatus>,
    /// Agrees to changed terms of service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms_of_service_agreed: Option<bool>,
}
