//! Where random bits come from.

/// The machine's random number generator failed.
#[derive(Debug, thiserror::Error)]
#[error("no random bits")]
pub struct NoEntropy(#[source] openssl::error::ErrorStack);

/// A source of random bits, good enough for keys. The server knows no other.
pub trait Entropy: Send + Sync + 'static {
    /// Fills `bytes` with random bits.
    ///
    /// # Errors
    ///
    /// [`NoEntropy`]: then nothing may be made of `bytes`.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoEntropy>;
}

impl dyn Entropy {
    /// `N` random bytes.
    ///
    /// # Errors
    ///
    /// [`NoEntropy`].
    pub fn bytes<const N: usize>(&self) -> Result<[u8; N], NoEntropy> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }
}

/// OpenSSL's generator, seeded by the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[allow(clippy::disallowed_methods, reason = "this is where randomness comes in")]
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        openssl::rand::rand_bytes(bytes).map_err(NoEntropy)
    }
}
