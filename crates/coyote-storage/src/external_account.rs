//! External account keys. RFC 8555 section 7.3.4.
//!
//! An operator hands a MAC key to somebody whom they know. Whoever proves it with a newAccount request gets an account
//! that is bound to it, and with it what the operator granted.

use async_trait::async_trait;
use coyote_protocol::{DnsName, Identifier, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{AuditEvent, Cause, Conflict, DirectoryId, Result};

/// A MAC key that was handed out, and what it is good for.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalAccountKey {
    /// Its key identifier, unique in the directory.
    pub kid: String,
    /// The directory that it opens accounts in.
    pub directory: DirectoryId,
    /// The secret: what the MAC is made with.
    pub secret: Vec<u8>,
    /// Whom it was given to, in the operator's words.
    pub comment: String,
    /// When it was made.
    #[serde(with = "crate::millis")]
    pub created: Timestamp,
    /// Until when it opens accounts.
    #[serde(with = "crate::millis::option", default)]
    pub expires: Option<Timestamp>,
    /// How many accounts it opens.
    pub most_accounts: Option<u32>,
    /// How many it has opened.
    pub accounts: u32,
    /// The domains whose names, and the names below, accounts bound to it may have certificates for. Empty: all that the
    /// policy allows.
    pub domains: Vec<DnsName>,
    /// When the operator took it back. Accounts that it opened are not touched.
    #[serde(with = "crate::millis::option", default)]
    pub revoked: Option<Timestamp>,
}

impl ExternalAccountKey {
    /// Whether it opens an account at that time.
    pub fn is_usable(&self, now: Timestamp) -> bool {
        self.revoked.is_none()
            && self.expires.is_none_or(|expires| now < expires)
            && self.most_accounts.is_none_or(|most| self.accounts < most)
    }

    /// Counts an account that it opens.
    pub fn bind(&mut self, now: Timestamp) -> Result<(), Conflict> {
        if !self.is_usable(now) {
            return Err(Conflict::ExternalAccountKeyNotUsable);
        }
        self.accounts = self.accounts.saturating_add(1);
        Ok(())
    }

    /// Takes it back. Once is enough: taken back again, it keeps the time of the first.
    pub fn revoke(&mut self, now: Timestamp) -> AuditEvent {
        self.revoked.get_or_insert(now);
        AuditEvent::ExternalAccountKeyRevoked { kid: self.kid.clone() }
    }

    /// Whether accounts that are bound to it may have certificates for this identifier.
    pub fn permits(&self, identifier: &Identifier) -> bool {
        match identifier {
            _ if self.domains.is_empty() => true,
            Identifier::Dns(name) | Identifier::Wildcard(name) => {
                self.domains.iter().any(|domain| name == domain || name.is_within(domain))
            }
            Identifier::Ip(_) => false,
        }
    }
}

/// All but the secret.
impl std::fmt::Debug for ExternalAccountKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExternalAccountKey")
            .field("kid", &self.kid)
            .field("directory", &self.directory)
            .field("comment", &self.comment)
            .field("created", &self.created)
            .field("expires", &self.expires)
            .field("most_accounts", &self.most_accounts)
            .field("accounts", &self.accounts)
            .field("domains", &self.domains)
            .field("revoked", &self.revoked)
            .finish_non_exhaustive()
    }
}

/// External account keys. Each method is one transaction: it happens entirely, or, on any error but
/// [`Unavailable`](crate::StorageError::Unavailable), not at all.
///
/// Keys are used by [`create_account`](crate::AccountStore::create_account), which counts the account in the same
/// transaction.
#[async_trait]
pub trait ExternalAccountStore: Send + Sync + 'static {
    /// Stores a new key.
    ///
    /// # Errors
    ///
    /// [`Conflict::IdInUse`] if the directory has a key with this `kid`.
    async fn create_external_account_key(&self, key: ExternalAccountKey, cause: &Cause) -> Result<()>;

    /// The key with this `kid`, usable or not.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::StorageError::NotFound).
    async fn external_account_key(&self, directory: &DirectoryId, kid: &str) -> Result<ExternalAccountKey>;

    /// The directory's keys in the order of their `kid` (by its bytes), from the one after `after`; `limit` at most.
    async fn external_account_keys(
        &self,
        directory: &DirectoryId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<ExternalAccountKey>>;

    /// Takes a key back by [`ExternalAccountKey::revoke`], and answers it as it is then.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::StorageError::NotFound).
    async fn revoke_external_account_key(
        &self,
        directory: &DirectoryId,
        kid: &str,
        cause: &Cause,
    ) -> Result<ExternalAccountKey>;
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_000);

    fn key() -> ExternalAccountKey {
        ExternalAccountKey {
            kid: "kid-1".into(),
            directory: DirectoryId::default(),
            secret: vec![1; 32],
            comment: "web team".into(),
            created: NOW,
            expires: None,
            most_accounts: None,
            accounts: 0,
            domains: Vec::new(),
            revoked: None,
        }
    }

    #[test]
    fn a_key_opens_as_many_accounts_as_it_may_until_it_expires_or_is_revoked() {
        let mut key = ExternalAccountKey {
            most_accounts: Some(1),
            expires: Some(Timestamp::from_seconds(2_000)),
            ..key()
        };
        assert!(!key.is_usable(Timestamp::from_seconds(2_000)), "it has expired");
        assert_eq!(key.bind(NOW), Ok(()));
        assert_eq!(key.bind(NOW), Err(Conflict::ExternalAccountKeyNotUsable), "one account is all");
        let mut key = ExternalAccountKey { most_accounts: None, ..key };
        key.revoke(NOW);
        assert!(!key.is_usable(NOW), "it is revoked");
    }

    #[test]
    fn domains_permit_themselves_and_what_is_below() {
        let key = ExternalAccountKey { domains: vec![DnsName::parse("corp.example").unwrap()], ..key() };
        let permits = |kind, value| key.permits(&Identifier::parse(kind, value).unwrap());
        assert!(permits("dns", "corp.example") && permits("dns", "a.b.corp.example"));
        assert!(permits("dns", "*.corp.example"));
        assert!(
            !permits("dns", "evilcorp.example") && !permits("dns", "example") && !permits("ip", "192.0.2.1")
        );
    }

    #[test]
    fn the_secret_is_not_printed() {
        assert!(!format!("{:?}", key()).contains("secret"));
    }
}
