//! Nonces. RFC 8555 sections 6.5 and 7.2.

use coyote_protocol::{Nonce, Problem, ProblemType, Timestamp};

use crate::{
    acme::Acme,
    error::{Error, Result},
    reply::Reply,
};

impl Acme {
    /// The answer to newNonce, but for the nonce, which [`Acme::respond`] adds: 200 to HEAD, 204 to GET.
    pub fn new_nonce(&self, head: bool) -> Reply {
        Reply::empty(if head { 200 } else { 204 })
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
