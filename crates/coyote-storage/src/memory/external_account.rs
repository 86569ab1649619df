use std::ops::Bound;

use async_trait::async_trait;
use coyote_protocol::Timestamp;

use super::{MemoryStorage, State};
use crate::{
    AuditEvent, Cause, Conflict, DirectoryId, ExternalAccountKey, ExternalAccountStore, Result, StorageError,
};

#[async_trait]
impl ExternalAccountStore for MemoryStorage {
    async fn create_external_account_key(&self, key: ExternalAccountKey, cause: &Cause) -> Result<()> {
        self.write(|state| {
            let id = (key.directory.clone(), key.kid.clone());
            if state.external_account_keys.contains_key(&id) {
                return Err(Conflict::IdInUse.into());
            }
            let event = AuditEvent::ExternalAccountKeyCreated { kid: key.kid.clone() };
            state.external_account_keys.insert(id, key);
            state.record(event, cause);
            Ok(())
        })
    }

    async fn external_account_key(&self, directory: &DirectoryId, kid: &str) -> Result<ExternalAccountKey> {
        self.read(|state| state.external_account_key(directory, kid))
    }

    async fn external_account_keys(
        &self,
        directory: &DirectoryId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<ExternalAccountKey>> {
        let start = match after {
            Some(after) => Bound::Excluded((directory.clone(), after.to_owned())),
            None => Bound::Included((directory.clone(), String::new())),
        };
        self.read(|state| {
            let keys = state.external_account_keys.range((start, Bound::Unbounded)).map(|(_, key)| key);
            let own = keys.take_while(|key| key.directory == *directory);
            Ok(own.take(limit as usize).cloned().collect())
        })
    }

    async fn revoke_external_account_key(
        &self,
        directory: &DirectoryId,
        kid: &str,
        cause: &Cause,
    ) -> Result<ExternalAccountKey> {
        self.write(|state| {
            let mut key = state.external_account_key(directory, kid)?;
            let event = key.revoke(cause.now);
            state.save_external_account_key(key.clone());
            state.record(event, cause);
            Ok(key)
        })
    }
}

impl State {
    /// Counts an account that the key opens.
    pub(super) fn bind_external_account(
        &mut self,
        directory: &DirectoryId,
        kid: &str,
        now: Timestamp,
    ) -> Result<()> {
        let key = self.external_account_key(directory, kid);
        let mut key = key.map_err(|_| Conflict::ExternalAccountKeyNotUsable)?;
        key.bind(now)?;
        self.save_external_account_key(key);
        Ok(())
    }

    fn external_account_key(&self, directory: &DirectoryId, kid: &str) -> Result<ExternalAccountKey> {
        let key = self.external_account_keys.get(&(directory.clone(), kid.to_owned()));
        key.cloned().ok_or(StorageError::NotFound)
    }

    pub(super) fn save_external_account_key(&mut self, key: ExternalAccountKey) {
        self.external_account_keys.insert((key.directory.clone(), key.kid.clone()), key);
    }
}
