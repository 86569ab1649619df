use async_trait::async_trait;
use coyote_protocol::{Nonce, Timestamp};

use super::MemoryStorage;
use crate::{NonceStore, Result, SealedNonces};

#[async_trait]
impl NonceStore for MemoryStorage {
    async fn issue(&self, now: Timestamp) -> Result<Nonce> {
        let nonces = match self.nonces.get() {
            Some(nonces) => nonces,
            None => {
                let nonces = SealedNonces::new(SealedNonces::LIFETIME)?;
                self.nonces.get_or_init(|| nonces)
            }
        };
        nonces.issue(now).await
    }

    async fn consume(&self, nonce: &Nonce, now: Timestamp) -> Result<bool> {
        match self.nonces.get() {
            Some(nonces) => nonces.consume(nonce, now).await,
            None => Ok(false), // none was issued yet
        }
    }
}
