use async_trait::async_trait;
use coyote_jose::{Jwk, Thumbprint};

use super::MemoryStorage;
use crate::{
    Account, AccountChange, AccountId, AccountStore, AuditEvent, Cause, Conflict, Creation, DirectoryId,
    Result, StorageError,
};

#[async_trait]
impl AccountStore for MemoryStorage {
    async fn create_account(&self, account: Account, cause: &Cause) -> Result<Creation> {
        self.write(|state| {
            let thumbprint = account.key.thumbprint();
            let key = (account.directory.clone(), thumbprint);
            if let Some(existing) = state.keys.get(&key) {
                return Ok(Creation::Existing(state.account(existing)?.clone()));
            }
            if state.accounts.contains_key(&account.id) {
                return Err(Conflict::IdInUse.into());
            }
            if let Some(external) = &account.external_account {
                state.bind_external_account(&account.directory, &external.kid, cause.now)?;
            }
            state.keys.insert(key, account.id);
            state.accounts.insert(account.id, account.clone());
            state.record(AuditEvent::AccountCreated { account: account.id, key: thumbprint }, cause);
            Ok(Creation::Created(account))
        })
    }

    async fn account(&self, directory: &DirectoryId, id: &AccountId) -> Result<Account> {
        self.read(|state| {
            let account = state.account(id)?;
            if account.directory == *directory { Ok(account.clone()) } else { Err(StorageError::NotFound) }
        })
    }

    async fn account_by_key(&self, directory: &DirectoryId, key: &Thumbprint) -> Result<Account> {
        self.read(|state| {
            let id = state.keys.get(&(directory.clone(), *key)).ok_or(StorageError::NotFound)?;
            state.account(id).cloned()
        })
    }

    async fn update_account(&self, id: &AccountId, change: AccountChange, cause: &Cause) -> Result<Account> {
        self.write(|state| {
            let mut account = state.account(id)?.clone();
            let event = account.update(change, cause.now)?;
            state.accounts.insert(*id, account.clone());
            state.record(event, cause);
            Ok(account)
        })
    }

    async fn change_account_key(
        &self,
        id: &AccountId,
        old: &Thumbprint,
        new: Jwk,
        cause: &Cause,
    ) -> Result<Account> {
        self.write(|state| {
            let mut account = state.account(id)?.clone();
            let event = account.change_key(old, new)?;
            let key = |thumbprint| (account.directory.clone(), thumbprint);
            let new = key(account.key.thumbprint());
            if let Some(holder) = state.keys.get(&new) {
                return Err(Conflict::KeyInUse(*holder).into());
            }
            state.keys.remove(&key(*old));
            state.keys.insert(new, account.id);
            state.accounts.insert(*id, account.clone());
            state.record(event, cause);
            Ok(account)
        })
    }
}
