//! Accounts. RFC 8555 sections 7.1.2 and 7.3.

use async_trait::async_trait;
use coyote_jose::{Jwk, Thumbprint};
use coyote_storage::{
    Account, AccountChange, AccountId, AccountStore, AuditEvent, Cause, Conflict, Creation, DirectoryId,
    Result, StorageError,
};

use crate::{
    RedbStorage, audit, external_account,
    table::{ACCOUNT_OF_KEY, ACCOUNTS, Transaction, of_key},
};

/// Whoever asks for something new must have an account, and it must be valid.
pub(crate) fn require_valid(transaction: &Transaction, id: &AccountId) -> Result<()> {
    let account = transaction.find(&ACCOUNTS, id.as_bytes())?.ok_or(Conflict::AccountNotValid)?;
    Ok(account.require_valid()?)
}

#[async_trait]
impl AccountStore for RedbStorage {
    async fn create_account(&self, account: Account, cause: &Cause) -> Result<Creation> {
        let cause = cause.clone();
        self.write(move |transaction| {
            let key = account.key.thumbprint();
            let of_key = of_key(&account.directory, &key);
            if let Some(existing) = transaction.find(&ACCOUNT_OF_KEY, &of_key)? {
                return Ok(Creation::Existing(transaction.load(&ACCOUNTS, existing.as_bytes())?));
            }
            if transaction.find(&ACCOUNTS, account.id.as_bytes())?.is_some() {
                return Err(Conflict::IdInUse.into());
            }
            if let Some(external) = &account.external_account {
                external_account::bind(transaction, &account.directory, &external.kid, cause.now)?;
            }
            transaction.put(&ACCOUNT_OF_KEY, &of_key, &account.id)?;
            transaction.put(&ACCOUNTS, account.id.as_bytes(), &account)?;
            audit::record(transaction, AuditEvent::AccountCreated { account: account.id, key }, &cause)?;
            Ok(Creation::Created(account))
        })
        .await
    }

    async fn account(&self, directory: &DirectoryId, id: &AccountId) -> Result<Account> {
        let account = self.read(|transaction| transaction.load(&ACCOUNTS, id.as_bytes()))?;
        if account.directory == *directory { Ok(account) } else { Err(StorageError::NotFound) }
    }

    async fn account_by_key(&self, directory: &DirectoryId, key: &Thumbprint) -> Result<Account> {
        self.read(|transaction| {
            let id = transaction.load(&ACCOUNT_OF_KEY, &of_key(directory, key))?;
            transaction.load(&ACCOUNTS, id.as_bytes())
        })
    }

    async fn update_account(&self, id: &AccountId, change: AccountChange, cause: &Cause) -> Result<Account> {
        let (id, cause) = (*id, cause.clone());
        self.write(move |transaction| {
            let mut account = transaction.load(&ACCOUNTS, id.as_bytes())?;
            let event = account.update(change, cause.now)?;
            transaction.put(&ACCOUNTS, id.as_bytes(), &account)?;
            audit::record(transaction, event, &cause)?;
            Ok(account)
        })
        .await
    }

    async fn change_account_key(
        &self,
        id: &AccountId,
        old: &Thumbprint,
        new: Jwk,
        cause: &Cause,
    ) -> Result<Account> {
        let (id, old, cause) = (*id, *old, cause.clone());
        self.write(move |transaction| {
            let mut account = transaction.load(&ACCOUNTS, id.as_bytes())?;
            let event = account.change_key(&old, new)?;
            let of_new_key = of_key(&account.directory, &account.key.thumbprint());
            if let Some(holder) = transaction.find(&ACCOUNT_OF_KEY, &of_new_key)? {
                return Err(Conflict::KeyInUse(holder).into());
            }
            transaction.remove(&ACCOUNT_OF_KEY, &of_key(&account.directory, &old))?;
            transaction.put(&ACCOUNT_OF_KEY, &of_new_key, &id)?;
            transaction.put(&ACCOUNTS, id.as_bytes(), &account)?;
            audit::record(transaction, event, &cause)?;
            Ok(account)
        })
        .await
    }
}
