//! Authenticating a request. RFC 8555 section 6.

use std::{net::IpAddr, sync::Arc};

use coyote_jose::{Jws, KeyId, VerifyingKey};
use coyote_protocol::{Problem, ProblemType, Timestamp};
use coyote_storage::{Account, Actor, Cause, RequestId, StorageError};
use serde::de::DeserializeOwned;

use crate::{
    acme::Acme,
    error::{Error, Result},
};

/// A POST as it came in: nothing of it is to be believed yet.
#[derive(Clone, Debug)]
pub struct Request {
    /// The URL that it was sent to, as the server would write it; never made from a request's `Host`.
    pub url: String,
    /// The body.
    pub body: Vec<u8>,
    /// The address it came from.
    pub client: Option<IpAddr>,
    /// Its `Accept` header, if it has one; several are joined by commas.
    pub accept: Option<String>,
}

/// A request of a valid account: its nonce was fresh, its URL right, its signature good.
#[derive(Debug)]
pub struct Authenticated {
    /// The account as it was when the request was authenticated.
    pub account: Account,
    /// Why what follows from the request is written.
    pub cause: Cause,
    payload: Vec<u8>,
}

/// A request that is signed by the key that it carries.
#[derive(Debug)]
pub(crate) struct SelfSigned {
    pub(crate) key: Arc<VerifyingKey>,
    pub(crate) cause: Cause,
    payload: Vec<u8>,
}

impl Acme {
    /// Authenticates a request of an account, named by `kid`. RFC 8555 section 6.2.
    ///
    /// In this order: form, URL, nonce, account, signature. Nothing of the payload is seen before the last.
    ///
    /// # Errors
    ///
    /// `malformed`, `badSignatureAlgorithm`, `badPublicKey`, `unauthorized`, `badNonce`, `accountDoesNotExist`.
    pub async fn authenticate(&self, request: &Request) -> Result<Authenticated> {
        let jws = Jws::parse(&request.body)?;
        let KeyId::Kid(kid) = &jws.header().key else {
            return Err(Error::malformed("this resource wants a kid, not a jwk"));
        };
        let id =
            self.urls.account_of(kid).ok_or_else(|| Error::malformed("the kid is not an account URL"))?;
        let cause = self.admit(&jws, request, Actor::Account(id)).await?;
        let account = match self.storage.account(&self.directory, &id).await {
            Ok(account) => account,
            Err(StorageError::NotFound) => {
                return Err(Error::problem(ProblemType::AccountDoesNotExist, "there is no such account"));
            }
            Err(error) => return Err(error.into()),
        };
        account.require_valid()?;
        let key = self.keys.verifying_key(&account.key)?;
        let payload = jws.verify(&key)?;
        Ok(Authenticated { account, cause, payload })
    }

    /// Authenticates a request that carries its key as `jwk`. RFC 8555 section 6.2. Whether the key is good enough is for
    /// the operation to ask.
    pub(crate) async fn authenticate_key(&self, request: &Request) -> Result<SelfSigned> {
        let jws = Jws::parse(&request.body)?;
        let KeyId::Jwk(jwk) = &jws.header().key else {
            return Err(Error::malformed("this resource wants a jwk, not a kid"));
        };
        let key = self.keys.verifying_key(jwk)?;
        let cause = self.admit(&jws, request, Actor::Anonymous).await?;
        let payload = match jws.verify(&key) {
            Ok(payload) => payload,
            Err(error) => {
                // That the key is weak says more than that the signature is bad.
                self.check_account_key(&key)?;
                return Err(error.into());
            }
        };
        Ok(SelfSigned { key, cause, payload })
    }

    /// Checks the URL and takes the nonce. RFC 8555 sections 6.4 and 6.5.
    async fn admit(&self, jws: &Jws, request: &Request, actor: Actor) -> Result<Cause> {
        match &jws.header().url {
            None => return Err(Error::malformed("the protected header has no url")),
            Some(url) if *url != request.url => {
                return Err(Error::unauthorized("the url in the protected header is not the request's"));
            }
            Some(_) => {}
        }
        let now = self.clock.now();
        self.consume_nonce(jws.header().nonce.as_deref(), now).await?;
        let request_id = RequestId::from_bytes(self.entropy.bytes()?);
        Ok(Cause { now, request: request_id, actor, client: request.client, trace: None })
    }
}

impl Authenticated {
    /// When the request was authenticated.
    pub fn now(&self) -> Timestamp {
        self.cause.now
    }

    /// The payload, as the JSON object that the resource wants.
    ///
    /// # Errors
    ///
    /// `malformed`.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<T> {
        object(&self.payload)
    }

    /// The payload, as it was signed.
    pub(super) fn raw_payload(&self) -> &[u8] {
        &self.payload
    }

    /// Whether the payload is empty, as in a POST-as-GET. RFC 8555 section 6.3.
    pub fn is_post_as_get(&self) -> bool {
        self.payload.is_empty()
    }

    /// Refuses a payload: the resource can only be read.
    ///
    /// # Errors
    ///
    /// `malformed`.
    pub fn require_post_as_get(&self) -> Result<()> {
        if self.is_post_as_get() {
            Ok(())
        } else {
            Err(Error::malformed("the payload of a POST-as-GET is empty"))
        }
    }
}

impl SelfSigned {
    pub(crate) fn payload<T: DeserializeOwned>(&self) -> Result<T> {
        object(&self.payload)
    }
}

/// Reads a JSON object. serde would also take an array for a struct, which no ACME payload is.
pub(super) fn object<T: DeserializeOwned>(payload: &[u8]) -> Result<T> {
    if payload.trim_ascii_start().first() != Some(&b'{') {
        return Err(Error::malformed("the payload is not a JSON object"));
    }
    serde_json::from_slice(payload).map_err(|error| {
        let detail = format!("the payload is not what this resource wants: {error}");
        Problem::new(ProblemType::Malformed, detail).into()
    })
}
