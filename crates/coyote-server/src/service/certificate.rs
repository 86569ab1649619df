//! Certificates. RFC 8555 section 7.4.2.

use coyote_protocol::{CertificateChain, PEM_CERTIFICATE_CHAIN, PKIX_CERT};
use coyote_storage::{Certificate, CertificateId};
use tracing::instrument;

use super::request::Request;
use crate::{
    accept,
    acme::Acme,
    error::{Error, Result},
    reply::Reply,
};

/// The forms in which certificates are served, the usual one first.
const FORMS: [&str; 2] = [PEM_CERTIFICATE_CHAIN, PKIX_CERT];

impl Acme {
    /// `POST`-as-GET to a certificate: a chain, the same octets for ever, with links to the others. To a client that would
    /// rather have `application/pkix-cert`, by its `Accept`: the certificate alone, with a link to its issuer's.
    /// RFC 8555 section 7.4.2. `chain` is 0 for the first.
    ///
    /// # Errors
    ///
    /// `unauthorized` for an unknown certificate and for another account's alike; `malformed`: 404 for a chain that there
    /// is not, 406 if the client takes none of the forms.
    #[instrument(skip_all, fields(certificate = %id, chain))]
    pub async fn certificate(&self, request: &Request, id: &CertificateId, chain: usize) -> Result<Reply> {
        let (pem, chains) = self.chain(request, id, chain).await?;
        let reply = match form(request)? {
            PKIX_CERT => {
                let certificates = parse(&pem)?;
                let [leaf, rest @ ..] = certificates.as_der() else { return Err(no_such_chain()) };
                let reply = Reply::certificate(leaf.clone());
                match rest.is_empty() {
                    true => reply,
                    false => reply.with_link(self.urls.issuer(id, chain, 1), "up"),
                }
            }
            _ => Reply::chain(pem),
        };
        let url = |n: usize| if n == 0 { self.urls.certificate(id) } else { self.urls.alternate(id, n) };
        let others = (0..chains).filter(|other| *other != chain);
        Ok(others.fold(reply, |reply, other| reply.with_link(url(other), "alternate")))
    }

    /// `POST`-as-GET to a certificate in a chain that certifies those before it, in the same forms. RFC 8555 section
    /// 7.4.2. `place` is 1 for the issuer of the certificate itself; of the last one's issuer there is no link, as it is a
    /// root.
    ///
    /// # Errors
    ///
    /// As [`certificate`](Self::certificate).
    #[instrument(skip_all, fields(certificate = %id, chain, place))]
    pub async fn issuer_certificate(
        &self,
        request: &Request,
        id: &CertificateId,
        chain: usize,
        place: usize,
    ) -> Result<Reply> {
        let (pem, _) = self.chain(request, id, chain).await?;
        let certificates = parse(&pem)?;
        let der = certificates.as_der().get(place).cloned().ok_or_else(no_such_chain)?;
        let has_issuer = place + 1 < certificates.as_der().len();
        let reply = match form(request)? {
            PKIX_CERT => Reply::certificate(der),
            _ => {
                let alone = CertificateChain::from_der(vec![der]);
                Reply::chain(
                    alone.map_err(|e| Error::internal("writing a certificate as PEM", e))?.to_string(),
                )
            }
        };
        Ok(match has_issuer {
            true => reply.with_link(self.urls.issuer(id, chain, place + 1), "up"),
            false => reply,
        })
    }

    /// One of the chains of a certificate of the account that asks, as PEM, and how many there are.
    async fn chain(&self, request: &Request, id: &CertificateId, chain: usize) -> Result<(String, usize)> {
        let request = self.authenticate(request).await?;
        request.require_post_as_get()?;
        let Certificate { chain: first, alternates, .. } =
            self.storage.certificate(&request.account.id, id).await?;
        let chains = alternates.len() + 1;
        let pem = std::iter::once(first).chain(alternates).nth(chain);
        Ok((pem.ok_or_else(no_such_chain)?, chains))
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

/// The form that the client would have.
fn form(request: &Request) -> Result<&'static str> {
    accept::choose(request.accept.as_deref(), &FORMS).ok_or_else(|| {
        let detail = format!("a certificate is served as {}", FORMS.join(" and as "));
        Error::malformed(detail).with_status(406)
    })
}

fn parse(pem: &str) -> Result<CertificateChain> {
    pem.parse().map_err(|error| Error::internal("reading a certificate from the store", error))
}

fn no_such_chain() -> Error {
    Error::malformed("the certificate has no such chain").with_status(404)
}
