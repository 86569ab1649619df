//! Account key roll-over. RFC 8555 section 7.3.5.

use coyote_jose::Jwk;
use serde::{Deserialize, Serialize};

/// The payload of the inner JWS of a keyChange request, which the new key signs.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyChange {
    /// The URL of the account.
    pub account: String,
    /// The key that the account has now.
    pub old_key: Jwk,
}
