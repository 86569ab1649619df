//! External account keys. RFC 8555 section 7.3.4.

use async_trait::async_trait;
use coyote_protocol::Timestamp;
use coyote_storage::{
    AuditEvent, Cause, Conflict, DirectoryId, ExternalAccountKey, ExternalAccountStore, Result,
};

use crate::{
    RedbStorage, audit,
    table::{EXTERNAL_ACCOUNT_KEYS, Range, Transaction, in_directory},
};

/// Counts an account that the key opens.
pub(crate) fn bind(
    transaction: &Transaction,
    directory: &DirectoryId,
    kid: &str,
    now: Timestamp,
) -> Result<()> {
    let key = in_directory(directory, kid.as_bytes());
    let found = transaction.find(&EXTERNAL_ACCOUNT_KEYS, &key)?;
    let mut found = found.ok_or(Conflict::ExternalAccountKeyNotUsable)?;
    found.bind(now)?;
    transaction.put(&EXTERNAL_ACCOUNT_KEYS, &key, &found)
}

#[async_trait]
impl ExternalAccountStore for RedbStorage {
    async fn create_external_account_key(&self, new: ExternalAccountKey, cause: &Cause) -> Result<()> {
        let cause = cause.clone();
        self.write(move |transaction| {
            let key = in_directory(&new.directory, new.kid.as_bytes());
            if transaction.find(&EXTERNAL_ACCOUNT_KEYS, &key)?.is_some() {
                return Err(Conflict::IdInUse.into());
            }
            transaction.put(&EXTERNAL_ACCOUNT_KEYS, &key, &new)?;
            audit::record(transaction, AuditEvent::ExternalAccountKeyCreated { kid: new.kid }, &cause)
        })
        .await
    }

    async fn external_account_key(&self, directory: &DirectoryId, kid: &str) -> Result<ExternalAccountKey> {
        self.read(|transaction| {
            transaction.load(&EXTERNAL_ACCOUNT_KEYS, &in_directory(directory, kid.as_bytes()))
        })
    }

    async fn external_account_keys(
        &self,
        directory: &DirectoryId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<ExternalAccountKey>> {
        let prefix = in_directory(directory, b"");
        let after = after.map(|kid| in_directory(directory, kid.as_bytes()));
        let page = Range { prefix: &prefix, after: after.as_deref(), limit: limit as usize };
        self.read(|transaction| transaction.select(&EXTERNAL_ACCOUNT_KEYS, page, |_| Ok(true)))
    }

    async fn revoke_external_account_key(
        &self,
        directory: &DirectoryId,
        kid: &str,
        cause: &Cause,
    ) -> Result<ExternalAccountKey> {
        let (key, cause) = (in_directory(directory, kid.as_bytes()), cause.clone());
        self.write(move |transaction| {
            let mut found = transaction.load(&EXTERNAL_ACCOUNT_KEYS, &key)?;
            let event = found.revoke(cause.now);
            transaction.put(&EXTERNAL_ACCOUNT_KEYS, &key, &found)?;
            audit::record(transaction, event, &cause)?;
            Ok(found)
        })
        .await
    }
}
