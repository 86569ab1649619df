//! Nonces. RFC 8555 sections 6.5 and 7.2.

use coyote_protocol::{Nonce, Problem, ProblemType, Timestamp};

use super::request::Request;
use crate::{
    acme::Acme,
    error::{Error, Result},
    reply::{Reply, Response},
};

impl Acme {
    /// The answer to newNonce: 200 to HEAD, 204 to GET. RFC 8555 section 7.2.
    pub async fn new_nonce(&self, head: bool) -> Response {
        match self.nonces.issue(self.clock.now()).await {
            Ok(nonce) => self.index(Reply::empty(if head { 200 } else { 204 }), Some(nonce)),
            Err(error) => self.index(self.explain(&error.into()), None),
        }
    }

    /// `POST`-as-GET to newNonce: as GET, and the nonce comes as with every answer. RFC 8555 section 6.3.
    ///
    /// # Errors
    ///
    /// What [`authenticate`](Self::authenticate) answers; `malformed` for a payload.
    pub async fn authenticated_new_nonce(&self, request: &Request) -> Result<Reply> {
        self.authenticate(request).await?.require_post_as_get()?;
        Ok(Reply::empty(204))
    }

    /// Takes the nonce of a request, which from then on is no good any more.
    pub(crate) async fn consume_nonce(&self, nonce: Option<&str>, now: Timestamp) -> Result<()> {
        let bad = |detail: &str| Error::problem(ProblemType::BadNonce, detail);
        let nonce = nonce.ok_or_else(|| bad("the request has no nonce"))?;
        let nonce = Nonce::parse(nonce).map_err(Problem::from)?;
        if self.nonces.consume(&nonce, now).await? {
            return Ok(());
        }
        Err(bad("the nonce was used before, has expired, or is not one of this server's"))
    }
}
