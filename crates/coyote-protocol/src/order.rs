//! Orders. RFC 8555 sections 7.1.3 and 7.4.

use coyote_jose::base64url;
use serde::{Deserialize, Serialize};

use crate::text::{null_as_default, statuses};
use crate::{CertificateIdentifier, Identifier, Problem, RawIdentifier, Timestamp};

statuses! {
    /// The status of an order. RFC 8555 section 7.1.6.
    pub enum OrderStatus {
        /// Waits for authorizations.
        Pending = "pending",
        /// Waits for the client to finalize it.
        Ready = "ready",
        /// Waits for the server to issue.
        Processing = "processing",
        /// Has its certificate.
        Valid = "valid",
        /// Will never have one.
        Invalid = "invalid",
    }
}

/// The order object.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// Its status.
    pub status: OrderStatus,
    /// When the server will consider it invalid, if it is pending or ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// What the certificate is to be about.
    pub identifiers: Vec<Identifier>,
    /// The notBefore that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// The notAfter that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
    /// Why it is invalid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Problem>,
    /// The URLs of the authorizations it needs, or has used.
    pub authorizations: Vec<String>,
    /// Where the CSR goes.
    pub finalize: String,
    /// Where the certificate is, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// The certificate it replaces. RFC 9773 section 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<CertificateIdentifier>,
    /// The profile that the certificate follows. draft-ietf-acme-profiles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
}

/// The payload of a newOrder request. RFC 8555 section 7.4.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewOrder {
    /// What the certificate is to be about, as the client spells it.
    pub identifiers: Vec<RawIdentifier>,
    /// The notBefore that the certificate should have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// The notAfter that the certificate should have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
    /// The certificate that this one is to replace. RFC 9773 section 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<CertificateIdentifier>,
    /// The profile that the certificate should follow. draft-ietf-acme-profiles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
}

/// The orders of an account. RFC 8555 section 7.1.2.1.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct OrdersList {
    /// The URLs of the orders on this page; a `Link` header with `rel="next"` leads to the next page.
    #[serde(deserialize_with = "null_as_default")]
    pub orders: Vec<String>,
}

/// The payload of a finalize request. RFC 8555 section 7.4.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Finalize {
    /// The CSR, in base64url of its DER.
    pub csr: String,
}

impl Finalize {
    /// Asks for a certificate with this CSR, in DER.
    pub fn from_der(csr: impl AsRef<[u8]>) -> Self {
        Self { csr: base64url::encode(csr) }
    }

    /// The CSR, decoded to what should be DER.
    ///
    /// # Errors
    ///
    /// If it is not base64url without padding.
    pub fn der(&self) -> Result<Vec<u8>, base64url::Invalid> {
        base64url::decode(&self.csr)
    }
}
