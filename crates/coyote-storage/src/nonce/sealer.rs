use std::sync::atomic::{AtomicU64, Ordering};

use coyote_jose::base64url;
use coyote_protocol::{Nonce, Timestamp};
use openssl::error::ErrorStack;
use openssl::symm::{self, Cipher};

use crate::{BoxError, Result, StorageError};

const ID: usize = 12;
const TIME: usize = 8;
const TAG: usize = 16;
const PREFIX: usize = 6;

/// The counter has 48 bits: one nonce a microsecond for nine years.
const SEQUENCES: u64 = 1 << 48;

/// Makes nonces that need not be remembered to be recognised: the time of issue, encrypted and authenticated with
/// AES-256-GCM under a key that only the server has.
///
/// A nonce is 48 characters of base64url: a 12-byte id, which is the IV; the time, as 8 bytes of ciphertext; the
/// 16-byte tag. An id is 48 bits that the sealer drew when it was made, and a 48-bit counter, so no two nonces of
/// a sealer have the same one, and neither have those of several that share a key.
///
/// A sealed nonce proves that it was issued, and when. That it is used once is the business of whoever opens it.
pub struct NonceSealer {
    key: [u8; 32],
    prefix: [u8; PREFIX],
    next: AtomicU64,
}

/// What a nonce says of itself, once it is known to be genuine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenedNonce {
    /// What distinguishes it from all others under the same key.
    pub id: [u8; ID],
    /// When it was issued.
    pub issued: Timestamp,
    /// How many nonces its sealer had issued before it.
    pub sequence: u64,
}

impl NonceSealer {
    /// A sealer with this key, which several processes may share.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](StorageError::Unavailable) if the system has no randomness to give.
    pub fn new(key: [u8; 32]) -> Result<Self> {
        let mut prefix = [0; PREFIX];
        random(&mut prefix)?;
        Ok(Self { key, prefix, next: AtomicU64::new(0) })
    }

    /// A sealer with a key of its own: no other recognises what it seals.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](StorageError::Unavailable) if the system has no randomness to give.
    pub fn generate() -> Result<Self> {
        let mut key = [0; 32];
        random(&mut key)?;
        Self::new(key)
    }

    /// A new nonce, issued now.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](StorageError::Unavailable) if encryption fails, or after 2^48 nonces.
    pub fn seal(&self, now: Timestamp) -> Result<Nonce> {
        let sequence = self.next.fetch_add(1, Ordering::Relaxed);
        if sequence >= SEQUENCES {
            return Err(unavailable("the sealer has issued all its nonces"));
        }
        let id = self.id(sequence);
        let mut tag = [0; TAG];
        let time = now.as_millis().to_be_bytes();
        let sealed = symm::encrypt_aead(Cipher::aes_256_gcm(), &self.key, Some(&id), &[], &time, &mut tag)
            .map_err(unavailable)?;
        Nonce::parse(&base64url::encode([&id[..], &sealed, &tag].concat())).map_err(unavailable)
    }

    /// What a nonce says, or `None` if it was not sealed with this key.
    pub fn open(&self, nonce: &Nonce) -> Option<OpenedNonce> {
        let bytes = base64url::decode(nonce.as_str()).ok()?;
        let (id, rest) = bytes.split_first_chunk::<ID>()?;
        let (sealed, tag) = rest.split_first_chunk::<TIME>()?;
        let tag: &[u8; TAG] = tag.try_into().ok()?; // a shorter tag would be easier to guess
        let time = symm::decrypt_aead(Cipher::aes_256_gcm(), &self.key, Some(id), &[], sealed, tag).ok()?;
        let issued = Timestamp::from_millis(i64::from_be_bytes(time.try_into().ok()?));
        let counter = id.last_chunk::<{ ID - PREFIX }>()?;
        let sequence = counter.iter().fold(0, |sequence, byte| sequence << 8 | u64::from(*byte));
        Some(OpenedNonce { id: *id, issued, sequence })
    }

    fn id(&self, sequence: u64) -> [u8; ID] {
        let [a, b, c, d, e, f] = self.prefix;
        let [_, _, u, v, w, x, y, z] = sequence.to_be_bytes();
        [a, b, c, d, e, f, u, v, w, x, y, z]
    }
}

#[allow(clippy::disallowed_methods, reason = "a nonce store mints what it alone can recognise")]
fn random(bytes: &mut [u8]) -> Result<()> {
    openssl::rand::rand_bytes(bytes).map_err(|error: ErrorStack| unavailable(error))
}

fn unavailable(source: impl Into<BoxError>) -> StorageError {
    StorageError::Unavailable { doing: "making a nonce", source: source.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_123);

    #[test]
    fn a_nonce_says_when_it_was_sealed_and_as_which() {
        let sealer = NonceSealer::generate().unwrap();
        for sequence in 0..300 {
            let nonce = sealer.seal(NOW).unwrap();
            let opened = sealer.open(&nonce).unwrap();
            assert_eq!((opened.issued, opened.sequence), (NOW, sequence));
            assert_eq!(nonce.as_str().len(), 48);
        }
    }

    #[test]
    fn sealers_that_share_a_key_recognise_each_others_nonces_and_never_make_the_same() {
        let (one, other) = (NonceSealer::new([7; 32]).unwrap(), NonceSealer::new([7; 32]).unwrap());
        let opened = other.open(&one.seal(NOW).unwrap()).unwrap();
        assert_ne!(opened.id, one.open(&other.seal(NOW).unwrap()).unwrap().id);
    }

    #[test]
    fn a_nonce_of_another_key_is_not_recognised() {
        let (one, other) = (NonceSealer::generate().unwrap(), NonceSealer::generate().unwrap());
        assert_eq!(other.open(&one.seal(NOW).unwrap()), None);
    }

    #[test]
    fn a_nonce_with_any_bit_changed_or_of_another_length_is_not_recognised() {
        let sealer = NonceSealer::generate().unwrap();
        let genuine = base64url::decode(sealer.seal(NOW).unwrap().as_str()).unwrap();
        for bit in 0..genuine.len() * 8 {
            let mut forged = genuine.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&sealer, &forged), None, "bit {bit} was changed");
        }
        for length in 1..genuine.len() {
            assert_eq!(open(&sealer, &genuine[..length]), None, "cut to {length} bytes");
        }
        assert_eq!(open(&sealer, &[&genuine[..], &[0]].concat()), None, "a byte too long");
    }

    #[test]
    fn a_sealer_that_has_counted_to_its_end_stops() {
        let mut sealer = NonceSealer::generate().unwrap();
        *sealer.next.get_mut() = SEQUENCES - 1;
        let last = sealer.seal(NOW).unwrap();
        assert_eq!(sealer.open(&last).map(|opened| opened.sequence), Some(SEQUENCES - 1));
        sealer.seal(NOW).expect_err("an IV must never be used twice");
    }

    fn open(sealer: &NonceSealer, bytes: &[u8]) -> Option<OpenedNonce> {
        sealer.open(&Nonce::parse(&base64url::encode(bytes)).unwrap())
    }
}
