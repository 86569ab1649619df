//! Certificates. RFC 8555 section 7.4.2.

use coyote_protocol::CertificateChain;
use coyote_storage::{Certificate, CertificateId};
use tracing::instrument;

use super::request::Request;
use crate::{
    acme::Acme,
    error::{Error, Result},
    reply::Reply,
};

impl Acme {
    /// `POST`-as-GET to a certificate: a chain, the same octets for ever, with links to the others. RFC 8555 section 7.4.2.
    /// `chain` is 0 for the first.
    ///
    /// # Errors
    ///
    /// `unauthorized` for an unknown certificate and for another account's alike; 404 `malformed` for a chain that there
    /// is not.
    #[instrument(skip_all, fields(certificate = %id, chain))]
    pub async fn certificate(&self, request: &Request, id: &CertificateId, chain: usize) -> Result<Reply> {
        let request = self.authenticate(request).await?;
        request.require_post_as_get()?;
        let Certificate { chain: first, alternates, .. } =
            self.storage.certificate(&request.account.id, id).await?;
        let chains = alternates.len() + 1;
        let pem = std::iter::once(first).chain(alternates).nth(chain);
        let pem =
            pem.ok_or_else(|| Error::malformed("the certificate has no such chain").with_status(404))?;
        let url = |n: usize| if n == 0 { self.urls.certificate(id) } else { self.urls.alternate(id, n) };
        let others = (0..chains).filter(|other| *other != chain);
        Ok(others.fold(Reply::chain(pem), |reply, other| reply.with_link(url(other), "alternate")))
    }

    /// The root certificates that clients are to trust, as PEM.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] if the issuer's roots are not certificates.
    pub fn roots(&self) -> Result<Reply> {
        let roots = self.issuer.roots();
        if roots.is_empty() {
            return Err(Error::malformed("this server does not publish its roots").with_status(404));
        }
        let pem =
            CertificateChain::from_der(roots).map_err(|e| Error::internal("writing the roots as PEM", e))?;
        Ok(Reply::chain(pem.to_string()))
    }
}
