//! Revocation. RFC 8555 section 7.6.

use std::sync::Arc;

use coyote_jose::{Jwk, Jws, KeyId, Thumbprint};
use coyote_protocol::{
    CertificateChain, Identifier, Problem, ProblemType, RevocationReason, RevokeCertificate, UnknownReason,
};
use coyote_storage::{
    Account, Authorization, BeginRevocation, Cause, Certificate, RevocationBegun, Serial, StorageError,
    Telling, WorkKind,
};
use openssl::x509::X509;
use tracing::instrument;

use super::order::{is_proved, is_through};
use super::request::{Authenticated, Request, SelfSigned};
use crate::{
    acme::{Acme, corroborated},
    error::{Error, Result},
    policy::BY_POLICY,
    reply::Reply,
};

/// Who asks for a revocation, and has proved it.
enum Claimant {
    Account(Box<Account>),
    Key(Thumbprint),
}

impl Acme {
    /// `revokeCert`: revokes a certificate for the account that it was issued to, for one that is authorized for all of
    /// its names, or for whoever has its key. RFC 8555 section 7.6. The answer leaves once that is on record; the issuer is
    /// told by a job, if it wants to be.
    ///
    /// # Errors
    ///
    /// `malformed`; `badRevocationReason`; `alreadyRevoked`; `unauthorized` for everybody else, for a certificate that
    /// has expired, and for one that was not issued here.
    #[instrument(skip_all, fields(client = ?request.client))]
    pub async fn revoke_certificate(self: &Arc<Self>, request: &Request) -> Result<Reply> {
        let (claimant, cause, wanted) = self.authenticate_revocation(request).await?;
        let der = wanted.der().map_err(|_| Error::malformed("the certificate is not base64url"))?;
        let certificate = self.find_certificate(&der, &claimant).await?;
        let reason = accept_reason(wanted.reason)?;
        if certificate.not_after < cause.now {
            return Err(Error::unauthorized("the certificate has expired"));
        }
        self.check_claim(&claimant, &certificate, &der, &cause).await?;
        let (permit, telling) = match self.issuer.wants_revocations() {
            true => {
                let (permit, lease) = self.begin_now(WorkKind::Revoke)?;
                (permit, Telling::Owed(lease))
            }
            false => (None, Telling::NotNeeded),
        };
        let begin = BeginRevocation { certificate: certificate.id, reason, telling };
        let RevocationBegun { certificate, lease } = self.storage.revoke_certificate(begin, &cause).await?;
        tracing::info!(serial = %certificate.serial, certificate = %certificate.id, %reason, "revoked");
        if let Some(lease) = lease {
            self.tell_now(lease, certificate, permit);
        }
        Ok(Reply::empty(200))
    }

    async fn authenticate_revocation(
        &self,
        request: &Request,
    ) -> Result<(Claimant, Cause, RevokeCertificate)> {
        match Jws::parse(&request.body)?.header().key {
            KeyId::Kid(_) => {
                let request: Authenticated = self.authenticate(request).await?;
                let wanted = request.payload()?;
                Ok((Claimant::Account(Box::new(request.account)), request.cause, wanted))
            }
            KeyId::Jwk(_) => {
                let request: SelfSigned = self.authenticate_key(request).await?;
                let wanted = request.payload()?;
                Ok((Claimant::Key(request.key.thumbprint()), request.cause, wanted))
            }
        }
    }

    /// The certificate on record that is this one, octet for octet: a serial number alone names nothing.
    async fn find_certificate(&self, der: &[u8], claimant: &Claimant) -> Result<Certificate> {
        let serial = serial(der).ok_or_else(|| Error::malformed("the certificate is not one in DER"))?;
        let unknown = || Error::unauthorized("the certificate was not issued here");
        let certificate = match self.storage.certificate_by_serial(&serial).await {
            Err(StorageError::NotFound) => return Err(unknown()),
            certificate => certificate?,
        };
        let asking = match claimant {
            Claimant::Account(account) => Some(&**account),
            Claimant::Key(_) => None,
        };
        if !self.issued_here(&certificate, asking).await? {
            return Err(unknown());
        }
        let chain: CertificateChain = certificate
            .chain
            .parse()
            .map_err(|error| Error::internal("reading a certificate from the store", error))?;
        if chain.as_der().first().is_none_or(|leaf| leaf != der) {
            return Err(unknown());
        }
        Ok(certificate)
    }

    async fn check_claim(
        &self,
        claimant: &Claimant,
        certificate: &Certificate,
        der: &[u8],
        cause: &Cause,
    ) -> Result<()> {
        let account = match claimant {
            Claimant::Key(key) if certified_key(der) == Some(*key) => return Ok(()),
            Claimant::Key(_) => return Err(Error::unauthorized("the key is not the certificate's")),
            Claimant::Account(account) if account.id == certificate.account => return Ok(()),
            Claimant::Account(account) => account,
        };
        let order = self.storage.order(&certificate.account, &certificate.order).await?;
        let names = &order.identifiers;
        let held = self.storage.reusable_authorizations(&account.id, names, cause.now).await?;
        // Through which network the certificate's own authorization was seen, whatever its profile is by now.
        let network_of = |name: &Identifier| {
            let own = order.authorizations.iter().find(|own| own.identifier == *name && is_proved(own));
            match own.and_then(|own| own.challenges.first()) {
                Some(challenge) => challenge.network.as_deref(),
                None => self.network_of(order.profile.as_deref()),
            }
        };
        // Or was seen by others through it since.
        let is_as_good = |held: &Authorization, network| {
            is_through(held, network) || is_through(held, corroborated(network))
        };
        // What a policy vouched for serves the order that it was asked for, and nothing else.
        let proved = |authorization: &Authorization| {
            let method = authorization.validated_by().filter(|method| method.as_str() != BY_POLICY);
            method.is_some_and(|method| self.allows_method(&authorization.identifier, method))
                && is_as_good(authorization, network_of(&authorization.identifier))
        };
        let proved: Vec<_> = held.iter().filter(|held| proved(held)).map(|held| &held.identifier).collect();
        if names.iter().all(|name| proved.contains(&name)) {
            return Ok(());
        }
        Err(Error::unauthorized(
            "the account is neither the certificate's nor authorized for all of its names",
        ))
    }
}

/// The reasons that a subscriber may give; the others are a CA's own affairs. RFC 5280 section 5.3.1.
fn accept_reason(code: Option<u8>) -> Result<RevocationReason, Problem> {
    use RevocationReason::{
        AffiliationChanged, CessationOfOperation, KeyCompromise, PrivilegeWithdrawn, Superseded, Unspecified,
    };
    const ALLOWED: [RevocationReason; 6] = [
        Unspecified,
        KeyCompromise,
        AffiliationChanged,
        Superseded,
        CessationOfOperation,
        PrivilegeWithdrawn,
    ];
    let refused = |what: String| {
        let allowed = ALLOWED.map(|reason| format!("{} ({reason})", reason.code())).join(", ");
        let detail = format!("{what}; a certificate's holder can give {allowed}");
        Problem::new(ProblemType::BadRevocationReason, detail)
    };
    let reason = code.map_or(Ok(Unspecified), RevocationReason::try_from);
    let reason = reason.map_err(|unknown: UnknownReason| refused(unknown.to_string()))?;
    if ALLOWED.contains(&reason) {
        Ok(reason)
    } else {
        Err(refused(format!("{reason} is a reason for the CA alone")))
    }
}

fn serial(der: &[u8]) -> Option<Serial> {
    let certificate = X509::from_der(der).ok()?;
    Serial::from_bytes(&certificate.serial_number().to_bn().ok()?.to_vec())
}

fn certified_key(der: &[u8]) -> Option<Thumbprint> {
    let key = X509::from_der(der).ok()?.public_key().ok()?;
    Some(Jwk::from_public_key(&key).ok()?.thumbprint())
}
