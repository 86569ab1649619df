//! Sealing: what a stolen database does not show.
//!
//! A store keeps secrets and what is personal (contacts, CSRs, certificates, MAC keys, keys of its own) in *cells*: the
//! value of one column in one row. With a [`KeyRing`], which is never in the database, a cell is encrypted and bound to
//! its place; without one it is plain. A backend calls [`Sealing::seal`] on the way in and [`Sealing::open`] on the way
//! out, and has no other part in it.
//!
//! # The form of a cell
//!
//! | first byte | then |
//! | --- | --- |
//! | `0x0a`, a newline | the value as it is: JSON and PEM can still be read where they are |
//! | `0x01` | 8 bytes: the [`KeyId`]; 12 bytes: the nonce; AES-256-GCM's ciphertext; its tag, 16 bytes |
//!
//! A sealed cell is 37 bytes longer than its value, a plain one 1.
//!
//! For each cell there are two keys of its own, HKDF-Expand with SHA-512 (RFC 5869) of the ring's key and the place:
//! table, column and row. One encrypts. With the other the nonce is made: the first 12 bytes of HMAC-SHA-256 over the
//! value. The place, the version and the key id are the associated data as well. So a cell that was copied to another
//! row, column or table does not open, nor does one that was cut or changed, or comes from somebody else's database.
//!
//! # Why the nonce is not random
//!
//! AES-GCM breaks if one key encrypts two values with one nonce. A random nonce trusts the source of randomness each
//! time, also in a virtual machine that was cloned or went back to a snapshot, and 2^32 cells a key are as many as one
//! may draw. Here, a nonce can only meet two values if two values *of the same cell* have the same 96 bits of HMAC,
//! as no two cells share a key: for a cell that is rewritten a million times, the chance is below 2^-56. There is no limit
//! to the number of cells, and storage goes on owning no randomness. The price is that writing the same value into the
//! same cell again gives the same bytes: who can compare two copies of a database sees that a cell has not changed.
//!
//! # What it does not do
//!
//! Names, serial numbers, public keys, statuses, times, and who asked from which address are not sealed: they are looked
//! for. Who can write to the database can take rows away, put older ones back, or put a plain cell in the place of a
//! sealed one.

mod key_ring;
mod mark;
mod place;

use openssl::symm::{self, Cipher};

pub use key_ring::{InvalidKeyRing, KeyId, KeyRing, SealingKey};
pub use mark::{KeyMark, MarksChecked};
pub use place::{Column, Place, Row};

use crate::{Result, StorageError};

/// Begins a plain cell.
const PLAIN: u8 = b'\n';
/// Begins a sealed cell.
const SEALED: u8 = 1;

const HEADER: usize = 1 + KeyId::LENGTH;
const NONCE: usize = 12;
const TAG: usize = 16;

/// Seals the cells of one database, and opens them.
#[derive(Clone, Debug, Default)]
pub struct Sealing {
    ring: Option<KeyRing>,
}

/// How a cell is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seal {
    /// Plain.
    Plain,
    /// Sealed under this key.
    Under(KeyId),
}

/// How far sealing anew has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resealed {
    /// How many cells were sealed anew.
    pub cells: u64,
    /// Whether nothing is left: older keys can be taken out of the ring.
    pub settled: bool,
}

/// Why a cell cannot be opened, or not be sealed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealFault {
    /// It is sealed, and there is no key ring.
    #[error("it is sealed under the key {0}, and there is no key ring")]
    NoKeyRing(KeyId),
    /// It is sealed under a key that is not in the ring.
    #[error("it is sealed under the key {0}, which is not in the key ring")]
    UnknownKey(KeyId),
    /// It is shorter than any cell.
    #[error("it is cut off")]
    Truncated,
    /// Its first byte means nothing.
    #[error("it is neither plain nor sealed in a way that is known")]
    UnknownForm,
    /// It was changed, or sealed for another place.
    #[error("it does not open: it was changed, or belongs to another row, column or table")]
    Forged,
    /// OpenSSL refuses to work.
    #[error("cryptography failed")]
    Cryptography(#[from] openssl::error::ErrorStack),
}

impl Sealing {
    /// Keeps cells plain, and opens plain ones only. The default.
    pub fn none() -> Self {
        Self::default()
    }

    /// Seals under the current key of the ring, and opens what is sealed under any of its keys, and what is plain.
    pub fn with(ring: KeyRing) -> Self {
        Self { ring: Some(ring) }
    }

    /// The key ring.
    pub fn ring(&self) -> Option<&KeyRing> {
        self.ring.as_ref()
    }

    /// The value as the cell at this place keeps it.
    ///
    /// # Errors
    ///
    /// [`Sealed`](StorageError::Sealed) if OpenSSL refuses.
    pub fn seal(&self, place: &Place<'_>, value: &[u8]) -> Result<Vec<u8>> {
        match &self.ring {
            None => Ok([&[PLAIN], value].concat()),
            Some(ring) => seal(ring.current(), place, value).map_err(|fault| at(place, fault)),
        }
    }

    /// The value of a cell.
    ///
    /// # Errors
    ///
    /// [`Sealed`](StorageError::Sealed), which says which cell it is.
    pub fn open(&self, place: &Place<'_>, cell: &[u8]) -> Result<Vec<u8>> {
        self.try_open(place, cell).map_err(|fault| at(place, fault))
    }

    /// How the cell has to be kept, if it is not kept so: sealed, under the current key. Without a ring, none has to.
    ///
    /// # Errors
    ///
    /// [`Sealed`](StorageError::Sealed) if it cannot be opened.
    pub fn renew(&self, place: &Place<'_>, cell: &[u8]) -> Result<Option<Vec<u8>>> {
        if !self.is_stale(cell) {
            return Ok(None);
        }
        let value = self.open(place, cell)?;
        self.seal(place, &value).map(Some)
    }

    /// Whether the cell is not kept as a new one would be, if there is a ring.
    pub fn is_stale(&self, cell: &[u8]) -> bool {
        let current = self.ring.as_ref().map(|ring| ring.current().id());
        current.is_some_and(|current| Seal::of(cell) != Some(Seal::Under(current)))
    }

    fn try_open(&self, place: &Place<'_>, cell: &[u8]) -> Result<Vec<u8>, SealFault> {
        let id = match Seal::of(cell) {
            Some(Seal::Plain) => return Ok(cell.get(1..).unwrap_or_default().to_vec()),
            Some(Seal::Under(id)) => id,
            None if matches!(cell.first(), None | Some(&SEALED)) => return Err(SealFault::Truncated),
            None => return Err(SealFault::UnknownForm),
        };
        let ring = self.ring.as_ref().ok_or(SealFault::NoKeyRing(id))?;
        open(ring.key(id).ok_or(SealFault::UnknownKey(id))?, place, cell)
    }
}

impl Seal {
    /// How this cell is kept, as its first bytes say; `None` if they say nothing that is known.
    pub fn of(cell: &[u8]) -> Option<Self> {
        match cell.split_first()? {
            (&PLAIN, _) => Some(Self::Plain),
            (&SEALED, rest) => Some(Self::Under(KeyId::from_bytes(*rest.first_chunk()?))),
            _ => None,
        }
    }
}

fn seal(key: &SealingKey, place: &Place<'_>, value: &[u8]) -> Result<Vec<u8>, SealFault> {
    let keys = key.cell_keys(&place.to_bytes())?;
    let nonce = keys.nonce(value)?;
    let header = header(key.id());
    let mut tag = [0; TAG];
    let bound = [&header[..], &place.to_bytes()].concat();
    let sealed =
        symm::encrypt_aead(Cipher::aes_256_gcm(), &keys.encryption, Some(&nonce), &bound, value, &mut tag)?;
    Ok([&header[..], &nonce, &sealed, &tag].concat())
}

fn open(key: &SealingKey, place: &Place<'_>, cell: &[u8]) -> Result<Vec<u8>, SealFault> {
    let (header, rest) = cell.split_first_chunk::<HEADER>().ok_or(SealFault::Truncated)?;
    let (nonce, rest) = rest.split_first_chunk::<NONCE>().ok_or(SealFault::Truncated)?;
    let (sealed, tag) = rest.split_last_chunk::<TAG>().ok_or(SealFault::Truncated)?;
    let keys = key.cell_keys(&place.to_bytes())?;
    let bound = [&header[..], &place.to_bytes()].concat();
    symm::decrypt_aead(Cipher::aes_256_gcm(), &keys.encryption, Some(nonce), &bound, sealed, tag)
        .map_err(|_| SealFault::Forged)
}

fn header(id: KeyId) -> [u8; HEADER] {
    let mut header = [SEALED; HEADER];
    if let Some(rest) = header.last_chunk_mut() {
        *rest = *id.as_bytes();
    }
    header
}

fn at(place: &Place<'_>, fault: SealFault) -> StorageError {
    StorageError::Sealed { cell: place.to_string(), fault }
}

#[cfg(test)]
mod tests;
