//! External account binding. RFC 8555 section 7.3.4.

use coyote_jose::{Error as JoseError, Jwk, Jws, KeyId, base64url};
use coyote_protocol::{DnsName, ExternalAccountBinding, Identifier, Problem, ProblemType, Timestamp};
use coyote_storage::{
    Account, Actor, Cause, DirectoryId, ExternalAccount, ExternalAccountKey, RequestId, StorageError,
};

use crate::{
    acme::Acme,
    entropy::{Entropy, NoEntropy},
    error::{Error, Result},
    url::path,
};

/// What an external account key is to be good for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExternalAccountGrant {
    /// Whom it is for, in the operator's words.
    pub comment: String,
    /// Until when it opens accounts.
    pub expires: Option<Timestamp>,
    /// How many accounts it opens.
    pub most_accounts: Option<u32>,
    /// The domains whose names, and the names below, the accounts may have certificates for. Empty: all.
    pub domains: Vec<DnsName>,
}

impl ExternalAccountGrant {
    /// Makes a key with this grant. Its secret has 32 bytes, its `kid` 16, all random. It opens accounts once it is stored:
    /// by [`Acme::create_external_account_key`], or by a program beside the server.
    ///
    /// # Errors
    ///
    /// [`NoEntropy`].
    pub fn mint(
        self,
        directory: DirectoryId,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<ExternalAccountKey, NoEntropy> {
        Ok(ExternalAccountKey {
            kid: base64url::encode(typeable(entropy.bytes::<16>()?)),
            directory,
            secret: typeable(entropy.bytes::<32>()?).to_vec(),
            comment: self.comment,
            created: now,
            expires: self.expires,
            most_accounts: self.most_accounts,
            accounts: 0,
            domains: self.domains,
            revoked: None,
        })
    }
}

/// The same, unless its text in base64url starts with `-`: some clients would take it for an option.
fn typeable<const N: usize>(mut bytes: [u8; N]) -> [u8; N] {
    const DASH: u8 = 62;
    match bytes.first_mut() {
        Some(first) if *first >> 2 == DASH => *first ^= 0x80,
        _ => {}
    }
    bytes
}

impl Acme {
    /// Makes a key that opens accounts, and stores it. See [`ExternalAccountGrant::mint`].
    ///
    /// # Errors
    ///
    /// [`Error`], if it cannot be stored.
    pub async fn create_external_account_key(
        &self,
        grant: ExternalAccountGrant,
        operator: &str,
    ) -> Result<ExternalAccountKey> {
        let cause = self.operator_cause(operator)?;
        let key = grant.mint(self.directory.clone(), cause.now, &*self.entropy)?;
        self.storage.create_external_account_key(key.clone(), &cause).await?;
        Ok(key)
    }

    /// Takes a key back: it opens no further account. Those that it opened stay.
    ///
    /// # Errors
    ///
    /// [`Error`]; `unauthorized` if there is no such key.
    pub async fn revoke_external_account_key(&self, kid: &str, operator: &str) -> Result<ExternalAccountKey> {
        let cause = self.operator_cause(operator)?;
        Ok(self.storage.revoke_external_account_key(&self.directory, kid, &cause).await?)
    }

    /// The name of the directory, by which its external account keys are listed.
    pub fn directory_id(&self) -> &DirectoryId {
        &self.directory
    }

    /// Verifies a binding: the holder of a MAC key that was handed out vouches for the account key.
    ///
    /// Whether the key is unknown, cannot be used, or did not make this MAC is not told apart.
    pub(super) async fn verify_binding(
        &self,
        binding: &ExternalAccountBinding,
        account_key: &Jwk,
        now: Timestamp,
    ) -> Result<ExternalAccount> {
        let json = binding.as_json();
        let jws = Jws::parse_mac(json.as_bytes()).map_err(|error| match error {
            JoseError::UnsupportedAlgorithm(_) => Error::malformed("the external account binding has no MAC"),
            error => error.into(),
        })?;
        let header = jws.header();
        if header.nonce.is_some() {
            return Err(Error::malformed("the external account binding has a nonce"));
        }
        if header.url.as_deref() != Some(self.urls.at(path::NEW_ACCOUNT).as_str()) {
            return Err(Error::malformed(
                "the url of the external account binding is not that of the request",
            ));
        }
        let KeyId::Kid(kid) = header.key.clone() else {
            return Err(Error::malformed("the external account binding has no kid"));
        };
        let refused =
            || Error::unauthorized("the external account binding is not by a key that can be used here");
        let (secret, is_usable) = match self.storage.external_account_key(&self.directory, &kid).await {
            Ok(key) => (key.secret.clone(), key.is_usable(now)),
            // Verifying takes its time even so.
            Err(StorageError::NotFound) => (self.entropy.bytes::<32>()?.to_vec(), false),
            Err(error) => return Err(error.into()),
        };
        let payload = match jws.verify_mac(&secret) {
            Ok(payload) if is_usable => payload,
            Ok(_) | Err(JoseError::BadSignature) => return Err(refused()),
            Err(error) => return Err(error.into()),
        };
        let bound: Jwk = serde_json::from_slice(&payload)
            .map_err(|_| Error::malformed("the payload of the external account binding is not a key"))?;
        if bound != *account_key {
            return Err(Error::malformed(
                "the external account binding is for another key than the request's",
            ));
        }
        let binding =
            serde_json::from_str(json).map_err(|e| Error::internal("reading a binding again", e))?;
        Ok(ExternalAccount { kid, binding })
    }

    /// What the external account that an account is bound to was granted, if it is bound to one.
    pub(super) async fn grant_of(&self, account: &Account) -> Result<Option<ExternalAccountKey>> {
        match &account.external_account {
            None => Ok(None),
            Some(external) => {
                Ok(Some(self.storage.external_account_key(&self.directory, &external.kid).await?))
            }
        }
    }

    fn operator_cause(&self, operator: &str) -> Result<Cause> {
        let request = RequestId::from_bytes(self.entropy.bytes()?);
        Ok(Cause {
            now: self.clock.now(),
            request,
            actor: Actor::Operator(operator.to_owned()),
            client: None,
            trace: None,
        })
    }
}

/// Refuses what the external account was not granted.
pub(super) fn check_grant(
    grant: Option<&ExternalAccountKey>,
    identifier: &Identifier,
) -> Result<(), Problem> {
    if grant.is_none_or(|grant| grant.permits(identifier)) {
        return Ok(());
    }
    let detail = format!("the external account of this account was not granted {identifier}");
    Err(Problem::new(ProblemType::RejectedIdentifier, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Constant(u8);

    impl Entropy for Constant {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
            bytes.fill(self.0);
            Ok(())
        }
    }

    #[test]
    fn a_minted_key_can_be_pasted_after_an_option() {
        for byte in 0..=u8::MAX {
            let now = Timestamp::from_seconds(0);
            let grant = ExternalAccountGrant::default();
            let key = grant.mint(DirectoryId::default(), now, &Constant(byte)).unwrap();
            assert_eq!((key.kid.len(), key.secret.len()), (22, 32));
            for text in [&key.kid, &base64url::encode(&key.secret)] {
                assert!(!text.starts_with('-'), "{text}");
            }
        }
    }
}
