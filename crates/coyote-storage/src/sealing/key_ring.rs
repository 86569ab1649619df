use std::{fmt, str::FromStr, sync::Arc};

use openssl::{
    error::ErrorStack,
    hash::MessageDigest,
    pkey::{PKey, Private},
    sign::Signer,
};

/// The keys of a deployment: one that seals, and older ones, under which cells may still be sealed.
///
/// It has its place in a file, or comes from a command that fetches it, never in the database. As text, it has a key a
/// line: 64 hexadecimal digits, which are 256 random bits, and after a blank whatever one likes; `#` begins a comment.
/// The last key is the current one, so that a new key is added at the end.
#[derive(Clone)]
pub struct KeyRing {
    /// Never empty; the last is the current one.
    keys: Arc<[SealingKey]>,
    current: SealingKey,
}

/// A key that seals: 256 bits that somebody has drawn at random. `Debug` shows its id.
#[derive(Clone)]
pub struct SealingKey {
    id: KeyId,
    key: PKey<Private>,
}

/// What names a key in the cells that it has sealed. It follows from the key, so that one cannot be taken for another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; Self::LENGTH]);

/// A text is not a key ring. No message shows a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKeyRing {
    /// There is no key in it.
    #[error("there is no key in it")]
    Empty,
    /// A line of it is not a key.
    #[error("line {0} does not begin with a key, which is 64 hexadecimal digits")]
    Line(usize),
    /// A key is in it twice, and it is not clear which is the newest.
    #[error("line {0} repeats a key of an earlier line")]
    Repeated(usize),
    /// OpenSSL does not take it.
    #[error("cryptography failed: {0}")]
    Cryptography(String),
}

/// The two keys of one cell.
pub(super) struct CellKeys {
    pub(super) encryption: [u8; 32],
    nonce: [u8; 32],
}

impl KeyRing {
    /// A ring with one key.
    pub fn of(current: SealingKey) -> Self {
        Self { keys: Arc::from([current.clone()]), current }
    }

    /// The same ring with another current key; the one before is the newest of the older ones.
    #[must_use]
    pub fn with(&self, current: SealingKey) -> Self {
        let older = self.keys.iter().filter(|key| key.id != current.id).cloned();
        Self { keys: older.chain([current.clone()]).collect(), current }
    }

    /// The key that seals.
    pub fn current(&self) -> &SealingKey {
        &self.current
    }

    /// The key with this id.
    pub fn key(&self, id: KeyId) -> Option<&SealingKey> {
        self.keys.iter().find(|key| key.id == id)
    }

    /// The ids of all keys, the current one last.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.keys.iter().map(|key| key.id)
    }
}

impl FromStr for KeyRing {
    type Err = InvalidKeyRing;

    fn from_str(text: &str) -> Result<Self, InvalidKeyRing> {
        let mut ring: Option<Self> = None;
        for (number, line) in (1..).zip(text.lines()) {
            let content = line.split('#').next().unwrap_or_default();
            let Some(word) = content.split_whitespace().next() else { continue };
            let bits = from_hex(word).ok_or(InvalidKeyRing::Line(number))?;
            let key =
                SealingKey::new(bits).map_err(|error| InvalidKeyRing::Cryptography(error.to_string()))?;
            ring = Some(match ring {
                Some(ring) if ring.key(key.id).is_some() => return Err(InvalidKeyRing::Repeated(number)),
                Some(ring) => ring.with(key),
                None => Self::of(key),
            });
        }
        ring.ok_or(InvalidKeyRing::Empty)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyRing").field(&self.keys).finish()
    }
}

fn from_hex(word: &str) -> Option<[u8; 32]> {
    if word.len() != 64 || !word.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut bits = [0; 32];
    for (byte, digits) in bits.iter_mut().zip(word.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bits)
}

impl SealingKey {
    /// The key of these bits, which must have been drawn at random, and be known to nobody else.
    ///
    /// # Errors
    ///
    /// What OpenSSL says, if it does not do HMAC.
    pub fn new(bits: [u8; 32]) -> Result<Self, ErrorStack> {
        let key = PKey::hmac(&bits)?;
        let name: [u8; 32] = mac(&key, MessageDigest::sha256(), &[b"coyote sealing: key id"])?;
        Ok(Self { id: KeyId(part(&name, 0)), key })
    }

    /// Its id.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// HKDF-Expand of RFC 5869 with SHA-512: 64 octets are its first block.
    pub(super) fn cell_keys(&self, place: &[u8]) -> Result<CellKeys, ErrorStack> {
        let info: [&[u8]; 3] = [b"coyote sealing: cell", place, &[1]];
        let both: [u8; 64] = mac(&self.key, MessageDigest::sha512(), &info)?;
        Ok(CellKeys { encryption: part(&both, 0), nonce: part(&both, 32) })
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealingKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl CellKeys {
    pub(super) fn nonce(&self, value: &[u8]) -> Result<[u8; 12], ErrorStack> {
        let mac: [u8; 32] = mac(&PKey::hmac(&self.nonce)?, MessageDigest::sha256(), &[value])?;
        Ok(part(&mac, 0))
    }
}

#[allow(clippy::indexing_slicing, reason = "no part is taken of what is shorter; zeros would be no key")]
fn part<const N: usize, const M: usize>(bytes: &[u8; N], from: usize) -> [u8; M] {
    std::array::from_fn(|place| bytes[from + place])
}

fn mac<const N: usize>(
    key: &PKey<Private>,
    digest: MessageDigest,
    parts: &[&[u8]],
) -> Result<[u8; N], ErrorStack> {
    let mut signer = Signer::new(digest, key)?;
    for part in parts {
        signer.update(part)?;
    }
    let mut mac = [0; N];
    signer.sign(&mut mac)?;
    Ok(mac)
}

impl KeyId {
    pub(super) const LENGTH: usize = 8;

    pub(super) fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// Its bytes, as a sealed cell has them from the second on.
    pub fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

/// As 16 hexadecimal digits.
impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}
