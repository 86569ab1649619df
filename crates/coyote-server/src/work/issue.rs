//! Issuing a certificate. RFC 8555 section 7.4.

use std::sync::Arc;

use coyote_protocol::{CertificateChain, Identifier, Problem, ProblemType, Timestamp};
use coyote_storage::{
    Account, AccountId, Authorization, Cause, Certificate, CertificateId, IssuanceOutcome, Lease,
    NotAuthorized, Order, OrderId, Serial, StorageError, TraceSubject, Work, WorkKind,
};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};
use tracing::{Span, field::display, instrument};

use super::validate::unavailable;
use crate::{
    acme::Acme,
    error::{Error, Result},
    issue::{IssuanceFailure, IssuanceRequest, IssuedCertificate},
    service::chain,
    trace::{Trace, TraceEvent},
};

impl Acme {
    /// Starts an issuance, and answers the order as it is when the client has waited long enough.
    pub(crate) async fn issue_now(
        self: &Arc<Self>,
        lease: Lease,
        order: Order,
        mut permit: Option<OwnedSemaphorePermit>,
    ) -> Order {
        let begun = order.clone();
        let acme = self.clone();
        let (job, began) = (lease.job, self.clock.now());
        let task = tokio::spawn(async move {
            let done = acme.issue(lease, order, &mut permit).await;
            acme.tell_of_the_end(job, began);
            acme.make_room(WorkKind::Issue, permit);
            done
        });
        self.linger_for(task).await.unwrap_or(begun)
    }

    /// Asks the issuer once for the order's certificate, and settles the job: issued, refused, or to be tried again.
    #[instrument(skip_all, fields(order = %order.id, trace))]
    async fn issue(
        &self,
        lease: Lease,
        order: Order,
        permit: &mut Option<OwnedSemaphorePermit>,
    ) -> Option<Order> {
        let job = lease.job;
        self.workshop.schedule.forget(job);
        let settled = match self.while_leased(&lease, self.attempt_issuance(&lease, order, permit)).await {
            Ok((Ok(outcome), cause)) => self.settle_issuance(lease, outcome, cause).await,
            Ok((Err(failure), cause)) => self.retry_issuance(lease, &failure, cause).await,
            Err(error) => Err(unavailable(error)),
        };
        self.workshop.waiters.wake(job);
        settled.unwrap_or_else(|error| {
            self.not_settled(&error);
            None
        })
    }

    /// Asks the issuer once, and refuses the certificate if it cannot be had now.
    pub(crate) async fn issue_now_or_never(&self, lease: Lease, order: Order) -> Option<Order> {
        let settled = match self.while_leased(&lease, self.attempt_issuance(&lease, order, &mut None)).await {
            Ok((outcome, cause)) => {
                let outcome = outcome.unwrap_or_else(|failure| {
                    tracing::error!(error = %chain(&failure), "an issuance failed");
                    IssuanceOutcome::Refused(given_up())
                });
                self.settle_issuance(lease, outcome, cause).await
            }
            Err(error) => Err(unavailable(error)),
        };
        settled.unwrap_or_else(|error| {
            self.not_settled(&error);
            None
        })
    }

    /// What becomes of the order, or an error if that cannot be said yet; and the cause to write it for, which bears what was
    /// seen.
    async fn attempt_issuance(
        &self,
        lease: &Lease,
        order: Order,
        permit: &mut Option<OwnedSemaphorePermit>,
    ) -> Result<(Result<IssuanceOutcome>, Cause)> {
        let cause = self.own_cause(self.clock.now())?;
        Span::current().record("trace", display(cause.request));
        let names: Vec<_> = order.identifiers.iter().map(Identifier::to_string).collect();
        let (subject, names) = (TraceSubject::Order(order.id), names.join(" "));
        let trace = Trace::new(cause.request, format!("issuance {names}"));
        let outcome = self.certificate_for(lease, order, permit, &trace).await;
        match &outcome {
            // The log says so elsewhere.
            Ok(IssuanceOutcome::Issued(_)) => trace.record(TraceEvent::verdict::<Problem>(&Ok(()))),
            Ok(IssuanceOutcome::Refused(problem)) => trace.finish(&Err(problem)),
            Err(error) => trace.finish(&Err(chain(error))),
        }
        Ok((outcome, trace.borne_by(cause, subject, names)))
    }

    /// What becomes of the order; an error if that cannot be said yet.
    async fn certificate_for(
        &self,
        lease: &Lease,
        order: Order,
        permit: &mut Option<OwnedSemaphorePermit>,
        trace: &Trace,
    ) -> Result<IssuanceOutcome> {
        // Whoever began the last one did not live to say how it went.
        if lease.attempts > self.limits.issuance_attempts {
            return Ok(IssuanceOutcome::Refused(given_up()));
        }
        let now = self.clock.now();
        let ready = match order.authorize_issuance(now, |name, method| self.allows_method(name, method)) {
            Ok(ready) => ready,
            Err(error) => return Ok(IssuanceOutcome::Refused(not_authorized(&error))),
        };
        // It may have been changed since the client was answered.
        if let Err(problem) = self.require_network(&order) {
            return Ok(IssuanceOutcome::Refused(problem));
        }
        let profile = match self.profiles.find(order.profile.as_deref()) {
            Ok(profile) => profile,
            Err(problem) => return Ok(IssuanceOutcome::Refused(problem)),
        };
        for authorization in &order.authorizations {
            trace.record(TraceEvent::note(proof(authorization)));
        }
        // As close to the signature as can be: what was permitted at the validation may have been taken back.
        if let Err(problem) = self.recheck_caa(&order, permit, trace).await? {
            return Ok(IssuanceOutcome::Refused(problem));
        }
        let serial = order.issuance.as_ref().map(|issuance| issuance.serial.to_string()).unwrap_or_default();
        trace.record(TraceEvent::note(format!(
            "the issuer is asked: profile {}, serial {serial}",
            profile.name
        )));
        let request = IssuanceRequest { order: &ready, profile, now };
        let id = CertificateId::from_bytes(self.entropy.bytes()?); // before there is something to lose
        match timeout(self.limits.issuance_time, self.issuer.issue(&request)).await {
            Ok(Ok(issued)) => Ok(IssuanceOutcome::Issued(Box::new(record(id, &order, issued, now)?))),
            Ok(Err(IssuanceFailure::Refused(problem))) => Ok(IssuanceOutcome::Refused(problem)),
            Ok(Err(IssuanceFailure::Transient(source))) => Err(Error::internal("asking the issuer", source)),
            Err(elapsed) => Err(Error::internal("waiting for the issuer", elapsed)),
        }
    }

    /// What an issuance that was taken over is about. Whoever had it before may have signed with the serial on record,
    /// so this time there is another: a serial signs one content.
    pub(super) async fn issuance_subjects(
        &self,
        lease: &Lease,
        account: &AccountId,
        order: &OrderId,
    ) -> Result<(Account, Order)> {
        let account = self.storage.account(&self.directory, account).await?;
        let mut order = self.storage.order(&account.id, order).await?;
        let serial = Serial::from_random(self.entropy.bytes()?);
        self.storage.reserve_serial(lease, serial.clone(), &self.own_cause(self.clock.now())?).await?;
        if let Some(issuance) = &mut order.issuance {
            issuance.serial = serial;
        }
        Ok((account, order))
    }

    /// The same as [`issue`](Self::issue), later: the account may have been closed since.
    pub(super) async fn issue_for(
        &self,
        lease: Lease,
        order: Order,
        account: &Account,
        permit: &mut Option<OwnedSemaphorePermit>,
    ) {
        if account.require_valid().is_ok() {
            self.issue(lease, order, permit).await;
            return;
        }
        let problem = Problem::new(
            ProblemType::Unauthorized,
            "the account was closed before the certificate was issued",
        );
        let settled = match self.own_cause(self.clock.now()) {
            Ok(cause) => self.settle_issuance(lease, IssuanceOutcome::Refused(problem), cause).await,
            Err(error) => Err(unavailable(error)),
        };
        if let Err(error) = settled {
            self.not_settled(&error);
        }
    }

    async fn settle_issuance(
        &self,
        lease: Lease,
        outcome: IssuanceOutcome,
        cause: Cause,
    ) -> Result<Option<Order>, StorageError> {
        let (account, order) = match lease.work {
            Work::Issue { account, order } => (account, order),
            _ => return Err(StorageError::LeaseLost),
        };
        let finish = |lease, cause: Cause| {
            let outcome = outcome.clone();
            async move { self.storage.finish_issuance(lease, outcome, &cause).await }
        };
        let order = match self.insist(lease, &cause, finish).await {
            Err(StorageError::LeaseLost) => {
                let order = self.storage.order(&account, &order).await?;
                if order.owed().is_some() {
                    return Err(StorageError::LeaseLost);
                }
                order // the issuance has ended, by this call or by another's
            }
            settled => settled?,
        };
        let serial = order.issuance.as_ref().map(|issuance| issuance.serial.to_string());
        match (&order.certificate, &order.error) {
            (Some(certificate), _) => tracing::info!(serial, %certificate, "issued"),
            (None, Some(problem)) => {
                tracing::warn!(serial, problem = %problem.kind, detail = %problem.detail, "not issued");
            }
            (None, None) => {}
        }
        Ok(Some(order))
    }

    async fn retry_issuance(
        &self,
        lease: Lease,
        failure: &Error,
        cause: Cause,
    ) -> Result<Option<Order>, StorageError> {
        tracing::error!(attempt = lease.attempts, error = %chain(failure), "an issuance failed");
        if lease.attempts >= self.limits.issuance_attempts {
            let problem = match failure {
                Error::Problem(problem) => (**problem).clone(),
                _ => given_up(),
            };
            return self.settle_issuance(lease, IssuanceOutcome::Refused(problem), cause).await;
        }
        let now = self.clock.now();
        let due = now + self.limits.backoff(self.limits.issuance_backoff, lease.attempts);
        let job = lease.job;
        self.storage.release_job(lease, due, &Cause { now, ..cause }).await?;
        self.note_due(job, due);
        Ok(None)
    }
}

/// How control of a name was proved, for the operator.
fn proof(authorization: &Authorization) -> String {
    let Authorization { identifier, id, challenges, .. } = authorization;
    let proved =
        challenges.iter().find_map(|challenge| Some((challenge.kind.as_str(), challenge.validated()?)));
    match proved {
        Some((method, at)) => format!("{identifier} was proved by {method} at {at}, authorization {id}"),
        None => format!("{identifier} was not proved, authorization {id}"),
    }
}

fn record(
    id: CertificateId,
    order: &Order,
    issued: IssuedCertificate,
    now: Timestamp,
) -> Result<Certificate> {
    let pem = |chain| {
        let chain = CertificateChain::from_der(chain);
        chain.map(|chain| chain.to_string()).map_err(|e| Error::internal("writing a chain as PEM", e))
    };
    Ok(Certificate {
        id,
        account: order.account,
        order: order.id,
        serial: issued.serial,
        not_before: issued.not_before,
        not_after: issued.not_after,
        chain: pem(issued.chain)?,
        alternates: issued.alternates.into_iter().map(pem).collect::<Result<_>>()?,
        issued: now,
        revocation: None,
        issuer_told: None,
        issuer_refused: None,
        replaced_by: None,
    })
}

/// What the client is told when its order may not be signed after all.
fn not_authorized(error: &NotAuthorized) -> Problem {
    Problem::new(ProblemType::Unauthorized, error.to_string())
}

/// What the client is told when no attempt is left.
fn given_up() -> Problem {
    Problem::new(ProblemType::ServerInternal, "the certificate could not be issued")
}
