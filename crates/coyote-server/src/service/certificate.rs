//! Certificates. RFC 8555 section 7.4.2.

use coyote_protocol::CertificateChain;
use coyote_storage::CertificateId;
use tracing::instrument;

use super::request::Request;
use crate::{
    acme::Acme,
    error::{Error, Result},
    reply::Reply,
};

impl Acme {
    /// `POST`-as-GET to a certificate: its chain, the same octets for ever. RFC 8555 section 7.4.2.
    ///
    /// # Errors
    ///
    /// `unauthorized` for an unknown certificate and for another account's alike.
    #[instrument(skip_all, fields(certificate = %id))]
    pub async fn certificate(&self, request: &Request, id: &CertificateId) -> Result<Reply> {
        let request = self.authenticate(request).await?;
        request.require_post_as_get()?;
        let certificate = self.storage.certificate(&request.account.id, id).await?;
        Ok(Reply::chain(certificate.chain))
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
