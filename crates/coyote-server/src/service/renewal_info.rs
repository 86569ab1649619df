//! When to renew. RFC 9773.

use std::time::Duration;

use coyote_protocol::{
    self as wire, CertificateChain, CertificateIdentifier, Identifier, ProblemType, SuggestedWindow,
    Timestamp,
};
use coyote_storage::{Account, Certificate, Serial, StorageError};
use openssl::x509::X509;

use crate::{
    acme::Acme,
    error::{Error, Result},
    reply::Reply,
};

impl Acme {
    /// `GET renewalInfo`: when a certificate had best be renewed. RFC 9773 section 4. It needs no authentication: what it
    /// tells follows from the certificate, but for whether it is revoked, which is no secret either.
    ///
    /// The window is as long as a tenth of the certificate's life, so that the clients of one day spread, and ends before
    /// three quarters of it are over. If the certificate is revoked, the window has passed: now is the time.
    ///
    /// # Errors
    ///
    /// `malformed`, 404, for what was not issued in this directory.
    pub async fn renewal_info(&self, identifier: &str) -> Result<Reply> {
        let identifier: CertificateIdentifier = identifier
            .parse()
            .map_err(|_| Error::malformed("this is not the identifier of a certificate"))?;
        let unknown = || Error::malformed("the certificate was not issued here").with_status(404);
        let certificate = self.find_by_identifier(&identifier, None).await?.ok_or_else(unknown)?;
        let now = self.clock.now();
        let suggested_window = window(&certificate, now);
        let explanation_url = certificate.revocation.and(self.renewal_explanation.clone());
        let info = wire::RenewalInfo { suggested_window, explanation_url };
        Ok(Reply::json(200, &info)?.with_retry_after(Some(self.limits.renewal_info_retry)))
    }

    /// The certificate that a new order is to replace: the account's, and with at least one name in common. RFC 9773
    /// section 5. The second says whether that is a renewal as it was asked for: of the same names, or fewer, and not before the
    /// window that was suggested.
    pub(super) async fn accept_replaced(
        &self,
        account: &Account,
        identifier: &CertificateIdentifier,
        names: &[Identifier],
        now: Timestamp,
    ) -> Result<(Certificate, bool)> {
        let refused = |detail: &str| Err(Error::problem(ProblemType::Malformed, detail));
        let Some(certificate) = self.find_by_identifier(identifier, Some(account)).await? else {
            return refused("the certificate to be replaced was not issued here");
        };
        if certificate.account != account.id {
            return Err(Error::unauthorized("the certificate to be replaced is not this account's"));
        }
        let before = self.storage.order(&account.id, &certificate.order).await?;
        if !names.iter().any(|name| before.identifiers.contains(name)) {
            return refused("the certificate to be replaced has no name in common with the order");
        }
        let same = names.iter().all(|name| before.identifiers.contains(name));
        let due = now >= window(&certificate, now).start;
        Ok((certificate, same && due))
    }

    /// The certificate that is called so, if it was issued in this directory.
    async fn find_by_identifier(
        &self,
        identifier: &CertificateIdentifier,
        asking: Option<&Account>,
    ) -> Result<Option<Certificate>> {
        let Some(serial) = Serial::from_bytes(identifier.serial()) else { return Ok(None) };
        let certificate = match self.storage.certificate_by_serial(&serial).await {
            Ok(certificate) => certificate,
            Err(StorageError::NotFound) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let is_it = identifier_of(&certificate)? == *identifier;
        Ok((is_it && self.issued_here(&certificate, asking).await?).then_some(certificate))
    }

    /// Whether a certificate was issued in this directory. Another directory's certificates are that directory's, although
    /// the storage is the same; who asks has an account in this one.
    pub(super) async fn issued_here(
        &self,
        certificate: &Certificate,
        asking: Option<&Account>,
    ) -> Result<bool> {
        if asking.is_some_and(|own| own.id == certificate.account) {
            return Ok(true);
        }
        match self.storage.account(&self.directory, &certificate.account).await {
            Ok(_) => Ok(true),
            Err(StorageError::NotFound) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// The name of a certificate in the sense of RFC 9773 section 4.1.
pub(super) fn identifier_of(certificate: &Certificate) -> Result<CertificateIdentifier> {
    let unreadable =
        |error: coyote_storage::BoxError| Error::internal("reading a certificate from the store", error);
    let chain: CertificateChain =
        certificate.chain.parse().map_err(|e: wire::InvalidChain| unreadable(e.into()))?;
    let leaf = chain.as_der().first().ok_or_else(|| unreadable("an empty chain".into()))?;
    let leaf = X509::from_der(leaf).map_err(|e| unreadable(e.into()))?;
    let authority = leaf.authority_key_id().map(|id| id.as_slice().to_vec()).unwrap_or_default();
    Ok(CertificateIdentifier::new(authority, certificate.serial.as_bytes()))
}

fn window(certificate: &Certificate, now: Timestamp) -> SuggestedWindow {
    const HOUR: Duration = Duration::from_secs(3600);
    if certificate.revocation.is_some() {
        return SuggestedWindow { start: now - 2 * HOUR, end: now - HOUR };
    }
    let life = certificate.not_after.since(certificate.not_before);
    let start = certificate.not_before + life * 13 / 20;
    let end = (start + life / 10).max(start + Duration::from_secs(1));
    SuggestedWindow { start: start.truncate_to_seconds(), end: end.truncate_to_seconds() }
}
