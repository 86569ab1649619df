//! Accounts. RFC 8555 sections 7.1.2 and 7.3.

use async_trait::async_trait;
use coyote_jose::{Jwk, Thumbprint};
use coyote_protocol::{AccountStatus, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{AccountId, AuditEvent, Cause, Conflict, DirectoryId, Result};

/// An account: a key that may ask for certificates, and how to reach who holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// Its id, which its URL is made of.
    pub id: AccountId,
    /// The directory that it was opened in.
    pub directory: DirectoryId,
    /// The public key that its requests are signed with.
    pub key: Jwk,
    /// The URLs by which its holder can be reached.
    pub contact: Vec<String>,
    /// When its holder last agreed to the terms of service, if they did.
    #[serde(with = "crate::millis::option", default)]
    pub terms_of_service_agreed: Option<Timestamp>,
    /// The account elsewhere that it was bound to. RFC 8555 7.3.4.
    pub external_account: Option<ExternalAccount>,
    /// When it was opened.
    #[serde(with = "crate::millis")]
    pub created: Timestamp,
    /// When its holder closed it. RFC 8555 7.3.6.
    #[serde(with = "crate::millis::option", default)]
    pub deactivated: Option<Timestamp>,
    /// When the operator closed it.
    #[serde(with = "crate::millis::option", default)]
    pub revoked: Option<Timestamp>,
}

/// An account in another system that an ACME account was bound to. RFC 8555 section 7.3.4.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExternalAccount {
    /// The key identifier of the MAC key that proved it.
    pub kid: String,
    /// The verified binding, as it is shown in the account object.
    pub binding: serde_json::Value,
}

/// What is to change in an account; `None` leaves a member as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AccountChange {
    /// The new contacts.
    pub contact: Option<Vec<String>>,
    /// Its holder agrees to the terms of service.
    pub agree_to_terms_of_service: bool,
    /// Its holder closes it, for ever.
    pub deactivate: bool,
}

/// What became of a new account.
#[derive(Clone, Debug, PartialEq)]
pub enum Creation {
    /// It was stored.
    Created(Account),
    /// The key had this account already, and it was left as it is, whatever its status.
    Existing(Account),
}

impl Account {
    /// The account's status. RFC 8555 section 7.1.6.
    pub fn status(&self) -> AccountStatus {
        if self.revoked.is_some() {
            AccountStatus::Revoked
        } else if self.deactivated.is_some() {
            AccountStatus::Deactivated
        } else {
            AccountStatus::Valid
        }
    }

    /// Nothing happens on behalf of an account that is not `valid`.
    pub fn require_valid(&self) -> Result<(), Conflict> {
        match self.status() {
            AccountStatus::Valid => Ok(()),
            _ => Err(Conflict::AccountNotValid),
        }
    }

    /// Applies a change. RFC 8555 sections 7.3.2, 7.3.3 and 7.3.6.
    pub fn update(&mut self, change: AccountChange, now: Timestamp) -> Result<AuditEvent, Conflict> {
        self.require_valid()?;
        if let Some(contact) = change.contact {
            self.contact = contact;
        }
        if change.agree_to_terms_of_service {
            self.terms_of_service_agreed = Some(now);
        }
        if change.deactivate {
            self.deactivated = Some(now);
            return Ok(AuditEvent::AccountDeactivated { account: self.id });
        }
        Ok(AuditEvent::AccountChanged { account: self.id })
    }

    /// Puts `new` in the place of the key `old`, which must still be the account's. RFC 8555 section 7.3.5.
    pub fn change_key(&mut self, old: &Thumbprint, new: Jwk) -> Result<AuditEvent, Conflict> {
        self.require_valid()?;
        if self.key.thumbprint() != *old {
            return Err(Conflict::KeyChanged);
        }
        let event = AuditEvent::AccountKeyChanged { account: self.id, old: *old, new: new.thumbprint() };
        self.key = new;
        Ok(event)
    }
}

/// Accounts. Each method is one transaction: it happens entirely, or, on any error but
/// [`Unavailable`](crate::StorageError::Unavailable), not at all.
#[async_trait]
pub trait AccountStore: Send + Sync + 'static {
    /// Stores a new account, unless its key has one in the same directory: then that one is the answer,
    /// unchanged and whatever its status. Of any number of concurrent calls with one key, exactly one creates.
    ///
    /// If the account is bound to an external account, the key of that `kid` counts it in the same transaction, by
    /// [`ExternalAccountKey::bind`](crate::ExternalAccountKey::bind); an account that existed is not counted again.
    ///
    /// # Errors
    ///
    /// [`Conflict::IdInUse`] if another account has the id; [`Conflict::ExternalAccountKeyNotUsable`], also if there
    /// is no such key.
    async fn create_account(&self, account: Account, cause: &Cause) -> Result<Creation>;

    /// The account with this id in this directory, whatever its status.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::StorageError::NotFound).
    async fn account(&self, directory: &DirectoryId, id: &AccountId) -> Result<Account>;

    /// The account whose current key has this thumbprint, whatever its status.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::StorageError::NotFound), also for a key that an account once had.
    async fn account_by_key(&self, directory: &DirectoryId, key: &Thumbprint) -> Result<Account>;

    /// Changes a valid account by [`Account::update`], and answers it as it is then.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::StorageError::NotFound); [`Conflict::AccountNotValid`].
    async fn update_account(&self, id: &AccountId, change: AccountChange, cause: &Cause) -> Result<Account>;

    /// Changes a valid account's key by [`Account::change_key`]. Of any number of concurrent calls that name
    /// one old key, exactly one succeeds, and from then on no other key is the account's.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::StorageError::NotFound); [`Conflict::AccountNotValid`]; [`Conflict::KeyChanged`];
    /// [`Conflict::KeyInUse`] if the new key has an account in the directory, also a closed one or this one.
    async fn change_account_key(
        &self,
        id: &AccountId,
        old: &Thumbprint,
        new: Jwk,
        cause: &Cause,
    ) -> Result<Account>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{NOW, account, key};

    #[test]
    fn an_account_is_valid_until_it_is_closed_by_its_holder_or_by_the_operator() {
        let valid = account();
        assert_eq!(valid.status(), AccountStatus::Valid);
        let deactivated = Account { deactivated: Some(NOW), ..valid.clone() };
        assert_eq!(deactivated.status(), AccountStatus::Deactivated);
        let revoked = Account { revoked: Some(NOW), ..deactivated.clone() };
        assert_eq!(revoked.status(), AccountStatus::Revoked);
        for mut closed in [deactivated, revoked] {
            assert_eq!(closed.require_valid(), Err(Conflict::AccountNotValid));
            assert_eq!(closed.update(AccountChange::default(), NOW), Err(Conflict::AccountNotValid));
            let old = closed.key.thumbprint();
            assert_eq!(closed.change_key(&old, key(2)), Err(Conflict::AccountNotValid));
        }
    }

    #[test]
    fn an_update_that_closes_an_account_may_change_it_as_well() {
        let mut account = account();
        let change =
            AccountChange { contact: Some(Vec::new()), agree_to_terms_of_service: true, deactivate: true };
        let event = account.update(change, NOW).unwrap();
        assert_eq!(event, AuditEvent::AccountDeactivated { account: account.id });
        assert_eq!(account.contact, Vec::<String>::new());
        assert_eq!((account.terms_of_service_agreed, account.deactivated), (Some(NOW), Some(NOW)));
    }

    #[test]
    fn a_key_is_replaced_only_by_who_knows_which_key_it_is() {
        let mut account = account();
        let first = account.key.thumbprint();
        assert_eq!(account.change_key(&key(3).thumbprint(), key(2)), Err(Conflict::KeyChanged));
        let event = account.change_key(&first, key(2)).unwrap();
        let new = key(2).thumbprint();
        assert_eq!(event, AuditEvent::AccountKeyChanged { account: account.id, old: first, new });
        assert_eq!(account.key, key(2));
    }
}
