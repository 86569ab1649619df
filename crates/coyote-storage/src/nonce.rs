//! Anti-replay nonces. RFC 8555 section 6.5.

use async_trait::async_trait;
use coyote_protocol::{Nonce, Timestamp};

use crate::Result;

mod sealed;
mod sealer;

pub use sealed::SealedNonces;
pub use sealer::{NonceSealer, OpenedNonce};

/// Issues and consumes anti-replay nonces. The one trait to write for another nonce store.
#[async_trait]
pub trait NonceStore: Send + Sync + 'static {
    /// A nonce that nobody was given before and nobody can guess.
    async fn issue(&self, now: Timestamp) -> Result<Nonce>;

    /// `true` to exactly one caller for each nonce that was issued and has not expired.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::StorageError::Unavailable) if it cannot be told: the nonce is then not accepted.
    async fn consume(&self, nonce: &Nonce, now: Timestamp) -> Result<bool>;
}
