//! Key authorizations: what ties the answer to a challenge to an account key. RFC 8555 section 8.1.

use std::fmt;

use coyote_jose::{Thumbprint, base64url};

use crate::Token;

/// A token and the thumbprint of an account key, joined by a dot.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct KeyAuthorization(String);

impl KeyAuthorization {
    /// What the holder of this key publishes to meet the challenge with this token.
    pub fn new(token: &Token, key: Thumbprint) -> Self {
        Self(format!("{token}.{key}"))
    }

    /// The text that http-01 publishes. RFC 8555 section 8.3.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its SHA-256 digest, which tls-alpn-01 publishes. RFC 8737 section 3.
    pub fn digest(&self) -> [u8; 32] {
        openssl::sha::sha256(self.0.as_bytes())
    }

    /// The digest in base64url, which dns-01 publishes. RFC 8555 section 8.4.
    pub fn dns_digest(&self) -> String {
        base64url::encode(self.digest())
    }
}

impl fmt::Display for KeyAuthorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_token_and_the_thumbprint_with_a_dot_between() {
        let token = Token::parse("evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA").expect("a token");
        let key: Thumbprint = "9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI".parse().expect("a thumbprint");
        let authorization = KeyAuthorization::new(&token, key);

        assert_eq!(
            authorization.as_str(),
            "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"
        );
        // By another implementation of SHA-256 and base64.
        assert_eq!(authorization.dns_digest(), "lCM7cZyQXcVHK2nnW3jjAhNT3Fvm18UN-kWZZknKoYM");
        assert_eq!(base64url::encode(authorization.digest()), authorization.dns_digest());
    }
}
