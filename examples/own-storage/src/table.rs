//! Tables: bytes that sort, and what is kept under them, as JSON.

use std::{marker::PhantomData, ops::Bound};

use coyote_jose::Thumbprint;
use coyote_protocol::Timestamp;
use coyote_storage::{
    Account, AccountId, AuditRecord, Authorization, AuthorizationId, Certificate, CertificateId, DirectoryId,
    ExternalAccountKey, Job, OrderId, Result, StorageError, TraceRecord,
};
use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Serialize, de::DeserializeOwned};

use crate::order::StoredOrder;

/// A table, and what is in it.
pub(crate) struct Table<T> {
    name: &'static str,
    of: PhantomData<fn() -> T>,
}

macro_rules! tables {
    ($($(#[$doc:meta])* $name:ident: $record:ty;)*) => {
        $($(#[$doc])* pub(crate) const $name: Table<$record> =
            Table { name: stringify!($name), of: PhantomData };)*

        /// Makes all tables, as one that is not there cannot be read.
        pub(crate) fn create_all(transaction: &WriteTransaction) -> Result<()> {
            $(transaction.open_table($name.definition()).map_err(unavailable)?;)*
            Ok(())
        }
    };
}

tables! {
    /// By id.
    ACCOUNTS: Account;
    /// By [`in_directory`] and the thumbprint of its key.
    ACCOUNT_OF_KEY: AccountId;
    /// By [`in_directory`] and kid.
    EXTERNAL_ACCOUNT_KEYS: ExternalAccountKey;
    /// By id.
    ORDERS: StoredOrder;
    /// By account, then the newest first, then id.
    ORDERS_OF_ACCOUNT: OrderId;
    /// Those that have come to no end, by account and id.
    OPEN_ORDERS: OrderId;
    /// By id.
    AUTHORIZATIONS: Authorization;
    /// By account, identifier and id.
    AUTHORIZATIONS_OF_ACCOUNT: AuthorizationId;
    /// By authorization and order.
    ORDERS_OF_AUTHORIZATION: OrderId;
    /// By id.
    CERTIFICATES: Certificate;
    /// By serial number.
    CERTIFICATE_OF_SERIAL: CertificateId;
    /// Every serial number that was ever to be signed with.
    SERIALS: OrderId;
    /// By id.
    JOBS: Job;
    /// By number.
    AUDIT: AuditRecord;
    /// By number.
    TRACES: TraceRecord;
    /// By the key of the quota.
    RATE_LIMITS: Timestamp;
}

/// What keys in a directory begin with: none is the beginning of another.
pub(crate) fn in_directory(directory: &DirectoryId, key: &[u8]) -> Vec<u8> {
    let name = directory.as_str().as_bytes();
    [&(name.len() as u64).to_be_bytes(), name, key].concat()
}

/// The key of an account's public key.
pub(crate) fn of_key(directory: &DirectoryId, key: &Thumbprint) -> Vec<u8> {
    in_directory(directory, key.as_bytes())
}

/// A transaction of redb's.
pub(crate) enum Transaction {
    Read(ReadTransaction),
    Write(Box<WriteTransaction>),
}

impl Transaction {
    pub(crate) fn commit(self) -> Result<()> {
        match self {
            Self::Read(_) => Ok(()),
            Self::Write(transaction) => transaction.commit().map_err(unavailable),
        }
    }

    /// What is kept under this key.
    pub(crate) fn find<T: DeserializeOwned>(&self, table: &Table<T>, key: &[u8]) -> Result<Option<T>> {
        match self {
            Self::Read(transaction) => {
                find(&transaction.open_table(table.definition()).map_err(unavailable)?, key)
            }
            Self::Write(transaction) => {
                find(&transaction.open_table(table.definition()).map_err(unavailable)?, key)
            }
        }
    }

    /// What has to be there.
    pub(crate) fn load<T: DeserializeOwned>(&self, table: &Table<T>, key: &[u8]) -> Result<T> {
        self.find(table, key)?.ok_or(StorageError::NotFound)
    }

    /// Up to `limit` of what is kept under keys that begin with `prefix`, after the key `after`, and that is wanted.
    pub(crate) fn select<T: DeserializeOwned>(
        &self,
        table: &Table<T>,
        Range { prefix, after, limit }: Range<'_>,
        wanted: impl FnMut(&T) -> Result<bool>,
    ) -> Result<Vec<T>> {
        let from = after.map_or(Bound::Included(prefix), Bound::Excluded);
        match self {
            Self::Read(transaction) => {
                let table = transaction.open_table(table.definition()).map_err(unavailable)?;
                select(&table, prefix, from, limit, wanted)
            }
            Self::Write(transaction) => {
                let table = transaction.open_table(table.definition()).map_err(unavailable)?;
                select(&table, prefix, from, limit, wanted)
            }
        }
    }

    /// All that is kept under keys that begin with `prefix`.
    pub(crate) fn all<T: DeserializeOwned>(&self, table: &Table<T>, prefix: &[u8]) -> Result<Vec<T>> {
        self.select(table, Range { prefix, after: None, limit: usize::MAX }, |_| Ok(true))
    }

    /// Keeps this under the key.
    pub(crate) fn put<T: Serialize>(&self, table: &Table<T>, key: &[u8], record: &T) -> Result<()> {
        let json = serde_json::to_vec(record).map_err(damaged)?;
        let mut table = self.to_write()?.open_table(table.definition()).map_err(unavailable)?;
        table.insert(key, json.as_slice()).map_err(unavailable)?;
        Ok(())
    }

    /// Keeps nothing under the key. `false` if nothing was.
    pub(crate) fn remove<T>(&self, table: &Table<T>, key: &[u8]) -> Result<bool> {
        let mut table = self.to_write()?.open_table(table.definition()).map_err(unavailable)?;
        Ok(table.remove(key).map_err(unavailable)?.is_some())
    }

    /// Keeps a record under the number after the last.
    pub(crate) fn append<T: Serialize>(&self, table: &Table<T>, record: &T) -> Result<()> {
        let last = {
            let table = self.to_write()?.open_table(table.definition()).map_err(unavailable)?;
            let last = table.last().map_err(unavailable)?;
            last.and_then(|(key, _)| key.value().try_into().ok()).map_or(0, u64::from_be_bytes)
        };
        self.put(table, &(last + 1).to_be_bytes(), record)
    }

    /// Removes what is to go, `limit` at most, and answers how many that was.
    pub(crate) fn remove_if<T: DeserializeOwned>(
        &self,
        table: &Table<T>,
        limit: u32,
        goes: impl Fn(&T) -> bool,
    ) -> Result<u64> {
        let mut table = self.to_write()?.open_table(table.definition()).map_err(unavailable)?;
        let goes = |_: &[u8], json: &[u8]| serde_json::from_slice(json).is_ok_and(|record| goes(&record));
        let mut gone = 0;
        for entry in table.extract_if(goes).map_err(unavailable)?.take(limit as usize) {
            entry.map_err(unavailable)?;
            gone += 1;
        }
        Ok(gone)
    }

    fn to_write(&self) -> Result<&WriteTransaction> {
        match self {
            Self::Write(transaction) => Ok(transaction),
            Self::Read(_) => {
                Err(StorageError::Unavailable { doing: "writing", source: "it only reads".into() })
            }
        }
    }
}

/// Which records are looked at.
pub(crate) struct Range<'a> {
    pub(crate) prefix: &'a [u8],
    pub(crate) after: Option<&'a [u8]>,
    pub(crate) limit: usize,
}

impl Range<'_> {
    /// All of them.
    pub(crate) const fn whole() -> Self {
        Self { prefix: &[], after: None, limit: usize::MAX }
    }
}

impl<T> Table<T> {
    const fn definition(&self) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
        TableDefinition::new(self.name)
    }
}

type Kept = &'static [u8];

fn find<T: DeserializeOwned>(table: &impl ReadableTable<Kept, Kept>, key: &[u8]) -> Result<Option<T>> {
    let found = table.get(key).map_err(unavailable)?;
    found.map(|json| serde_json::from_slice(json.value()).map_err(damaged)).transpose()
}

fn select<T: DeserializeOwned>(
    table: &impl ReadableTable<Kept, Kept>,
    prefix: &[u8],
    from: Bound<&[u8]>,
    limit: usize,
    mut wanted: impl FnMut(&T) -> Result<bool>,
) -> Result<Vec<T>> {
    let mut found = Vec::new();
    for entry in table.range::<&[u8]>((from, Bound::Unbounded)).map_err(unavailable)? {
        let (key, json) = entry.map_err(unavailable)?;
        if found.len() >= limit || !key.value().starts_with(prefix) {
            break;
        }
        let record = serde_json::from_slice(json.value()).map_err(damaged)?;
        if wanted(&record)? {
            found.push(record);
        }
    }
    Ok(found)
}

/// What redb cannot do now, be it for the disk's sake, leaves it unknown what happened.
pub(crate) fn unavailable(error: impl Into<redb::Error>) -> StorageError {
    StorageError::Unavailable { doing: "using the database", source: Box::new(error.into()) }
}

fn damaged(error: serde_json::Error) -> StorageError {
    StorageError::Corrupt { what: error.to_string() }
}
