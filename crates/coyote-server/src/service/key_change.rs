//! Account key rollover. RFC 8555 section 7.3.5.

use std::sync::Arc;

use coyote_jose::{Jws, KeyId, VerifyingKey};
use coyote_protocol::{KeyChange, Problem, ProblemType};
use coyote_storage::{Account, Conflict, StorageError};
use tracing::instrument;

use super::request::{Request, object};
use crate::{
    acme::Acme,
    error::{Error, Result},
    reply::Reply,
    url::path,
};

impl Acme {
    /// `keyChange`: puts another key in the place of an account's. The holder of the old key asks for it, and the holder
    /// of the new key agrees. RFC 8555 section 7.3.5.
    ///
    /// # Errors
    ///
    /// `malformed`; `badPublicKey` and `badSignatureAlgorithm` for the new key; 409 with the `Location` of the account
    /// that has the new key.
    #[instrument(skip_all, fields(client = ?request.client))]
    pub async fn key_change(&self, request: &Request) -> Result<Reply> {
        let request = self.authenticate(request).await?;
        let account = &request.account;
        let new = self.accept_new_key(account, request.raw_payload())?;
        let old = account.key.thumbprint();
        let changed =
            self.storage.change_account_key(&account.id, &old, new.jwk().clone(), &request.cause).await;
        match changed {
            Ok(account) => Reply::json(200, &self.wire_account(&account)),
            Err(StorageError::Conflict(Conflict::KeyInUse(owner))) => {
                let problem = Problem::new(ProblemType::Malformed, "the new key is an account's already");
                Err(Error::Elsewhere {
                    problem: Box::new(problem.with_status(409)),
                    location: self.urls.account(&owner),
                })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Checks the inner JWS, by which the holder of the new key agrees.
    fn accept_new_key(&self, account: &Account, inner: &[u8]) -> Result<Arc<VerifyingKey>> {
        let jws = Jws::parse(inner)?;
        let header = jws.header();
        let KeyId::Jwk(jwk) = &header.key else {
            return Err(Error::malformed("the inner JWS wants a jwk, not a kid"));
        };
        if header.nonce.is_some() {
            return Err(Error::malformed("the inner JWS has no nonce"));
        }
        if header.url.as_deref() != Some(self.urls.at(path::KEY_CHANGE).as_str()) {
            return Err(Error::malformed("the url of the inner JWS is not that of the outer"));
        }
        let key = self.keys.verifying_key(jwk)?;
        self.check_account_key(&key)?;
        let change: KeyChange = object(&jws.verify(&key)?)?;
        if change.account != self.urls.account(&account.id) {
            return Err(Error::malformed("the account in the inner JWS is not the one that asks"));
        }
        if change.old_key != account.key {
            return Err(Error::malformed("the oldKey is not the account's key"));
        }
        if key.thumbprint() == account.key.thumbprint() {
            return Err(Error::malformed("the new key is the old one"));
        }
        Ok(key)
    }
}
