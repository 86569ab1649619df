//! Everything that a storage remembers, record by record: how it is copied into another storage.
//!
//! A copy keeps ids, and with them URLs; serial numbers; keys; times; the audit log. What it leaves behind is nonces (a client
//! that has one left is told `badNonce` once, and tries again), rate limits, and what attempts saw ([`crate::TraceLog`]).

use async_trait::async_trait;
use coyote_protocol::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Account, AccountId, AuditRecord, Authorization, AuthorizationId, Certificate, CertificateId, DirectoryId,
    ExternalAccountKey, Job, JobId, Order, OrderId, Result, Serial,
};

mod copy;

pub use copy::{Copied, copy, differences};

/// Kinds of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordKind {
    /// [`Record::Account`]
    Account,
    /// [`Record::ExternalAccountKey`]
    ExternalAccountKey,
    /// [`Record::Authorization`]
    Authorization,
    /// [`Record::Order`]
    Order,
    /// [`Record::Certificate`]
    Certificate,
    /// [`Record::Serial`]
    Serial,
    /// [`Record::Job`]
    Job,
    /// [`Record::Audit`]
    Audit,
}

/// One record, whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::large_enum_variant, reason = "they come in pages of one kind, and most are large")]
pub enum Record {
    /// An account.
    Account(Account),
    /// An external account key, with its secret.
    ExternalAccountKey(ExternalAccountKey),
    /// An authorization with its challenges.
    Authorization(Authorization),
    /// An order.
    Order {
        /// All of it but its authorizations, of which there are none here: orders may share them.
        order: Order,
        /// Their ids, in the order of the identifiers.
        authorizations: Vec<AuthorizationId>,
    },
    /// A certificate.
    Certificate(Certificate),
    /// A serial number that was recorded to be signed with.
    Serial {
        /// The number.
        serial: Serial,
        /// The order that it was recorded for, which may be gone.
        order: OrderId,
        /// When.
        #[serde(with = "crate::millis")]
        reserved: Timestamp,
    },
    /// Work that is owed, and who works on it.
    Job(Job),
    /// An audit record.
    Audit {
        /// Its place in the log.
        number: u64,
        /// The record.
        record: AuditRecord,
    },
}

/// What tells a record from all others. Those of one kind are in the order of their bytes, or numbers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordKey {
    /// Of a [`Record::Account`].
    Account(AccountId),
    /// Of a [`Record::ExternalAccountKey`]: its directory and its kid.
    ExternalAccountKey(DirectoryId, String),
    /// Of a [`Record::Authorization`].
    Authorization(AuthorizationId),
    /// Of a [`Record::Order`].
    Order(OrderId),
    /// Of a [`Record::Certificate`].
    Certificate(CertificateId),
    /// Of a [`Record::Serial`].
    Serial(Serial),
    /// Of a [`Record::Job`].
    Job(JobId),
    /// Of a [`Record::Audit`].
    Audit(u64),
}

impl RecordKind {
    /// All of them, in an order in which each comes after those that it refers to.
    pub const ALL: [Self; 8] = [
        Self::Account,
        Self::ExternalAccountKey,
        Self::Authorization,
        Self::Order,
        Self::Certificate,
        Self::Serial,
        Self::Job,
        Self::Audit,
    ];

    /// What people call several of them.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Account => "accounts",
            Self::ExternalAccountKey => "external account keys",
            Self::Authorization => "authorizations",
            Self::Order => "orders",
            Self::Certificate => "certificates",
            Self::Serial => "serial numbers",
            Self::Job => "jobs",
            Self::Audit => "audit records",
        }
    }
}

impl Record {
    /// Its key.
    pub fn key(&self) -> RecordKey {
        match self {
            Self::Account(account) => RecordKey::Account(account.id),
            Self::ExternalAccountKey(key) => {
                RecordKey::ExternalAccountKey(key.directory.clone(), key.kid.clone())
            }
            Self::Authorization(authorization) => RecordKey::Authorization(authorization.id),
            Self::Order { order, .. } => RecordKey::Order(order.id),
            Self::Certificate(certificate) => RecordKey::Certificate(certificate.id),
            Self::Serial { serial, .. } => RecordKey::Serial(serial.clone()),
            Self::Job(job) => RecordKey::Job(job.id),
            Self::Audit { number, .. } => RecordKey::Audit(*number),
        }
    }
}

/// Where a storage stands in a move.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Standing {
    /// It serves, or may: the usual.
    #[default]
    InService,
    /// It is being filled with what another has: it refuses every write that is not a copy.
    Arriving {
        /// The other, in words for people.
        from: String,
        /// Who fills it. Another who takes that over gives another name, and the first can store nothing more.
        #[serde(default)]
        run: String,
    },
    /// All that it has went to another, or goes there: it refuses every write.
    Left {
        /// The other, in words for people.
        to: String,
        /// Who has closed it, or has taken over from whom that was.
        #[serde(default)]
        run: String,
    },
}

impl Standing {
    /// What whoever would write is told, if it is not [`InService`](Self::InService).
    pub fn refusal(&self) -> Option<String> {
        match self {
            Self::InService => None,
            Self::Arriving { from, .. } => Some(format!("everything is still arriving from {from}")),
            Self::Left { to, .. } => Some(format!("everything has moved to {to}")),
        }
    }
}

/// A storage that can be copied, and be a copy. Each method is one transaction.
///
/// It need not be implemented for a server to run: it is what [`copy`] and `acmed migrate` need.
#[async_trait]
pub trait Archive: Send + Sync + 'static {
    /// The records of a kind in the order of their keys, from the one after `after` (a key of another kind is before
    /// them all); `limit` at most.
    async fn export(&self, kind: RecordKind, after: Option<&RecordKey>, limit: u32) -> Result<Vec<Record>>;

    /// How many records of a kind there are.
    async fn count(&self, kind: RecordKind) -> Result<u64>;

    /// Stores records as they are, each in the place of the one with its key, and answers how many. Nobody else may
    /// write meanwhile, which [`Arriving`](Standing::Arriving) sees to: if the storage does not stand like this any more,
    /// nothing is stored, and the answer is [`Conflict::MovedOn`](crate::Conflict::MovedOn).
    ///
    /// A record that refers to another which is not here (an order to its account or its authorizations, an
    /// authorization to its account, a certificate to its order) is left out. An account whose key another has here
    /// takes it away: the other, which is then outdated in any case, is changed so that it equals no record, and is to
    /// be imported again.
    async fn import(&self, standing: &Standing, records: Vec<Record>) -> Result<u64>;

    /// Removes the records with these keys. Nothing may refer to them any more; the rest is as for [`import`](Self::import).
    async fn remove(&self, standing: &Standing, keys: Vec<RecordKey>) -> Result<()>;

    /// Where it stands.
    async fn standing(&self) -> Result<Standing>;

    /// Changes where it stands from `from` to `to`, and answers whether it did: not if it stood elsewhere. Of several who
    /// would do so at the same time, one does. From the moment that it is not [`InService`](Standing::InService), every
    /// write of every process to a [`Storage`](crate::Storage) is refused with
    /// [`Unavailable`](crate::StorageError::Unavailable), and none is under way.
    ///
    /// A storage that is in service begins to [arrive](Standing::Arriving) only if there is no record in it:
    /// [`Conflict::NotEmpty`](crate::Conflict::NotEmpty).
    async fn stand(&self, from: &Standing, to: Standing) -> Result<bool>;
}
