use std::io;
use std::path::{Path, PathBuf};

use openssl::error::ErrorStack;

use super::UnusableKey;
use crate::entropy::NoEntropy;

/// Why there is no CA to issue with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaError {
    /// Its files or certificates are not as they must be. A sentence for the operator.
    #[error("{0}")]
    Unfit(String),
    /// A file cannot be read or written.
    #[error("{doing} {} failed", .path.display())]
    File {
        /// What was being done, as in "reading".
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A private key is of no use.
    #[error("the private key in {} is of no use", .path.display())]
    Key {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: UnusableKey,
    },
    /// A new CA could not be made, for want of random bits.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
    /// OpenSSL failed.
    #[error("a cryptographic operation failed")]
    Crypto(#[from] ErrorStack),
    /// A certificate cannot be read or written.
    #[error("a certificate cannot be read or written as DER")]
    Encoding(#[from] der::Error),
}

impl CaError {
    pub(super) fn unfit(sentence: impl Into<String>) -> Self {
        Self::Unfit(sentence.into())
    }

    pub(super) fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { doing, path: path.to_owned(), source }
    }
}
