use super::{Column, KeyId, KeyRing, Seal, SealFault, Sealing, SealingKey, seal};
use crate::Result;

/// A row of `settings`: that cells are sealed under a key.
///
/// A database has one for each key that any of its cells may be sealed under. It is a cell itself, sealed under that key,
/// so that who opens the database with another key ring, or with none, is refused at once, and not at the first row that
/// cannot be read. A key's mark goes when the last of its cells has been sealed anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyMark {
    /// The name of the setting.
    pub name: String,
    /// Its value.
    pub cell: Vec<u8>,
}

/// What the marks of a database come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MarksChecked {
    /// All cells were as new ones would be when that was said. A server with another current key may have written since:
    /// a store with a ring has to look at all of them once more before it believes it.
    Settled,
    /// Some may be plain, or under an older key. The mark is to be stored, unless there is one of its name, before the
    /// first cell is sealed.
    Stale(KeyMark),
}

/// What a mark says: that all cells are sealed under the key, or that some are.
const ALL: &[u8] = b"all";
const SOME: &[u8] = b"some";

impl KeyMark {
    /// Begins the names of the settings that are marks.
    pub const PREFIX: &'static str = "sealing_key:";

    fn new(key: &SealingKey, says: &[u8]) -> Result<Self, SealFault> {
        let name = Self::name_of(key.id());
        let cell = seal(key, &Column::SETTING.named(&[&name]), says)?;
        Ok(Self { name, cell })
    }

    fn name_of(id: KeyId) -> String {
        format!("{}{id}", Self::PREFIX)
    }

    /// What it says, if the ring has its key.
    fn says(&self, sealing: &Sealing) -> Result<Vec<u8>, SealFault> {
        let told = sealing.try_open(&Column::SETTING.named(&[&self.name]), &self.cell)?;
        match Seal::of(&self.cell) {
            Some(Seal::Under(id)) if self.name == Self::name_of(id) => Ok(told),
            _ => Err(SealFault::Forged),
        }
    }
}

impl Sealing {
    /// Whether the database with these marks can be read, and what is left to do.
    ///
    /// # Errors
    ///
    /// [`SealFault`] if a key is in use that is not in the ring, or there is no ring.
    pub fn check(&self, marks: &[KeyMark]) -> Result<MarksChecked, SealFault> {
        let told: Vec<Vec<u8>> =
            marks.iter().map(|mark| mark.says(self)).collect::<Result<_, SealFault>>()?;
        let Some(current) = self.ring().map(KeyRing::current) else { return Ok(MarksChecked::Settled) };
        let name = KeyMark::name_of(current.id());
        match (marks, told.as_slice()) {
            ([only], [told]) if only.name == name && told == ALL => Ok(MarksChecked::Settled),
            _ => Ok(MarksChecked::Stale(KeyMark::new(current, SOME)?)),
        }
    }

    /// The mark that says that all cells are sealed under the current key. All other marks go when it is stored. `None`
    /// without a ring.
    ///
    /// # Errors
    ///
    /// [`Sealed`](crate::StorageError::Sealed) if OpenSSL refuses.
    pub fn settled(&self) -> Result<Option<KeyMark>> {
        let Some(ring) = self.ring() else { return Ok(None) };
        let name = KeyMark::name_of(ring.current().id());
        let cell = self.seal(&Column::SETTING.named(&[&name]), ALL)?;
        Ok(Some(KeyMark { name, cell }))
    }
}
