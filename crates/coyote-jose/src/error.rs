use openssl::error::ErrorStack;

use crate::base64url::Invalid;

/// Why something was refused.
///
/// The texts are written for whoever sent the input, and contain nothing of it but an algorithm's name.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not what RFC 7515, RFC 7517 and RFC 8555 section 6.2 allow. Says what is wrong.
    #[error("{0}")]
    Malformed(&'static str),

    /// The algorithm of this name is not one that is taken here; its name is cut after 64 characters.
    /// [`Algorithm::SIGNATURES`](crate::Algorithm::SIGNATURES) are those to offer instead.
    #[error("the algorithm {0:?} is not supported")]
    UnsupportedAlgorithm(String),

    /// A well-formed JWK whose key is unfit for use. Says why.
    #[error("{0}")]
    BadKey(&'static str),

    /// The signature or MAC was not made over this content with this key.
    #[error("the signature does not verify")]
    BadSignature,

    /// OpenSSL failed at something that does not depend on the input, such as allocating memory.
    #[error("a cryptographic operation failed")]
    Crypto(#[from] ErrorStack),
}

impl Error {
    /// [`Error::UnsupportedAlgorithm`] with a name that cannot be longer than is useful.
    pub(crate) fn unsupported(name: &str) -> Self {
        Self::UnsupportedAlgorithm(name.chars().take(64).collect())
    }
}

impl From<Invalid> for Error {
    fn from(_: Invalid) -> Self {
        Self::Malformed("a value is not unpadded base64url")
    }
}
