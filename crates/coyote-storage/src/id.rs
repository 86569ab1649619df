//! Identifiers of records: 128 random bits each, made by the service, never by storage.

use std::{fmt, str::FromStr};

use coyote_jose::base64url;
use serde::{Deserialize, Serialize};

/// The text is not the base64url form of 128 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an identifier: 22 characters of base64url are expected")]
pub struct InvalidId;

macro_rules! resource_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// Printed as 22 characters of unpadded base64url, and read back from exactly that.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name([u8; 16]);

        impl $name {
            /// The identifier made of these bits, which must come from a cryptographic source.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The bits.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&base64url::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                if text.len() != 22 {
                    return Err(InvalidId);
                }
                let bytes = base64url::decode(text).map_err(|_| InvalidId)?;
                bytes.try_into().map(Self).map_err(|_| InvalidId)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }
    )*};
}

resource_id! {
    /// Names an account.
    AccountId;
    /// Names an order.
    OrderId;
    /// Names an authorization.
    AuthorizationId;
    /// Names a challenge within its authorization.
    ChallengeId;
    /// Names a certificate.
    CertificateId;
    /// Names a job. A job has the bits of the challenge, order or certificate that it works on, so that there is one at
    /// most.
    JobId;
    /// Whoever knows it may settle the jobs that were claimed with it, until the lease expires.
    LeaseToken;
    /// Names one request, so that its log lines and audit records can be found.
    RequestId;
}

/// Which directory (in the sense of RFC 8555 7.1.1) something belongs to, where one process serves several.
///
/// A short name that the operator chose. Accounts belong to one directory, and all that hangs off them with
/// them: the same key may have an account in each.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DirectoryId(String);

impl DirectoryId {
    /// The directory of that name.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for DirectoryId {
    /// `default`, the only directory of most servers.
    fn default() -> Self {
        Self::new("default")
    }
}

impl fmt::Display for DirectoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_from_what_it_prints() {
        let id = OrderId::from_bytes(*b"0123456789abcdef");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().len(), 22);
    }

    #[test]
    fn text_that_is_not_128_bits_is_no_id() {
        for text in
            ["", "AAAA", "AAAAAAAAAAAAAAAAAAAAA=", "AAAAAAAAAAAAAAAAAAAAAB", "AAAAAAAAAAAAAAAAAAAAAAA"]
        {
            assert_eq!(text.parse::<OrderId>(), Err(InvalidId), "{text:?}");
        }
    }
}
