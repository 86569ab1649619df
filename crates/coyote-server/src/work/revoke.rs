//! Telling the issuer that a certificate is revoked. RFC 8555 section 7.6.

use std::sync::Arc;

use coyote_protocol::RevocationReason;
use coyote_storage::{Cause, Certificate, Lease, RevocationOutcome, StorageError, WorkKind};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};
use tracing::instrument;

use super::validate::unavailable;
use crate::{acme::Acme, issue::RevocationFailure, service::chain};

impl Acme {
    /// Starts to tell the issuer. Nobody waits for that: what the client is told is on record.
    pub(crate) fn tell_now(
        self: &Arc<Self>,
        lease: Lease,
        certificate: Certificate,
        permit: Option<OwnedSemaphorePermit>,
    ) {
        let acme = self.clone();
        tokio::spawn(async move {
            acme.tell(lease, certificate).await;
            acme.make_room(WorkKind::Revoke, permit);
        });
    }

    /// Tells the issuer once, and settles the job: told, given up, or to be tried again.
    #[instrument(skip_all, fields(certificate = %certificate.id, serial = %certificate.serial))]
    pub(super) async fn tell(&self, lease: Lease, certificate: Certificate) {
        let settled = match self.while_leased(&lease, self.tell_once(&lease, &certificate)).await {
            Ok(()) => {
                tracing::info!("the issuer was told of the revocation");
                self.settle_revocation(lease, RevocationOutcome::Told).await
            }
            Err(RevocationFailure::Transient(error)) if lease.attempts < self.limits.revocation_attempts => {
                let error = chain(&*error);
                tracing::warn!(
                    attempt = lease.attempts,
                    error,
                    "the issuer could not be told of the revocation"
                );
                self.retry_revocation(lease).await
            }
            Err(failure) => {
                tracing::error!(error = %chain(&failure), "the issuer will not be told of the revocation");
                self.settle_revocation(lease, RevocationOutcome::GivenUp).await
            }
        };
        if let Err(error) = settled {
            self.not_settled(&error);
        }
    }

    async fn tell_once(&self, lease: &Lease, certificate: &Certificate) -> Result<(), RevocationFailure> {
        // Whoever began the last one did not live to say how it went.
        if lease.attempts > self.limits.revocation_attempts {
            return Err(RevocationFailure::Refused("no attempt is left".into()));
        }
        let reason = certificate.revocation.map_or(RevocationReason::Unspecified, |revoked| revoked.reason);
        let told = self.issuer.revoke(certificate, reason);
        timeout(self.limits.revocation_time, told)
            .await
            .unwrap_or_else(|elapsed| Err(RevocationFailure::Transient(elapsed.into())))
    }

    async fn settle_revocation(&self, lease: Lease, outcome: RevocationOutcome) -> Result<(), StorageError> {
        let finish =
            |lease, cause: Cause| async move { self.storage.finish_revocation(lease, outcome, &cause).await };
        let cause = self.own_cause(self.clock.now()).map_err(unavailable)?;
        self.insist(lease, &cause, finish).await.map(drop)
    }

    async fn retry_revocation(&self, lease: Lease) -> Result<(), StorageError> {
        let now = self.clock.now();
        let due = now + self.limits.backoff(self.limits.revocation_backoff, lease.attempts);
        let cause = self.own_cause(now).map_err(unavailable)?;
        self.storage.release_job(lease, due, &cause).await?;
        self.job_is_waiting();
        Ok(())
    }
}
