//! Certificates and their revocation. RFC 8555 sections 7.4.2 and 7.6.

use async_trait::async_trait;
use coyote_protocol::{OrderStatus, RevocationReason, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    AccountId, AuditEvent, Cause, CertificateId, Conflict, Lease, LeaseTerms, Order, OrderId, Result, Serial,
    Work,
};

/// A certificate that was issued.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// Its id, which its URL is made of.
    pub id: CertificateId,
    /// The account that it was issued to.
    pub account: AccountId,
    /// The order that it answers.
    pub order: OrderId,
    /// Its serial number.
    pub serial: Serial,
    /// The first moment of its validity.
    #[serde(with = "crate::millis")]
    pub not_before: Timestamp,
    /// The last moment of its validity.
    #[serde(with = "crate::millis")]
    pub not_after: Timestamp,
    /// The chain, leaf first, as PEM: byte for byte what its URL answers, for ever.
    pub chain: String,
    /// Other chains to other roots, likewise. RFC 8555 7.4.2.
    pub alternates: Vec<String>,
    /// When it was issued.
    #[serde(with = "crate::millis")]
    pub issued: Timestamp,
    /// When and why it was revoked, if it was.
    pub revocation: Option<Revocation>,
    /// When the issuer knew of the revocation: it was told, or did not need to be.
    #[serde(with = "crate::millis::option", default)]
    pub issuer_told: Option<Timestamp>,
    /// When telling the issuer was given up: it would not be told, or no attempt was left.
    #[serde(with = "crate::millis::option", default)]
    pub issuer_refused: Option<Timestamp>,
    /// The latest order that is to replace it. RFC 9773 5.
    pub replaced_by: Option<OrderId>,
}

/// That a certificate was revoked, which is never undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: RevocationReason,
}

/// What [`CertificateStore::revoke_certificate`] needs to know.
#[derive(Clone, Debug)]
pub struct BeginRevocation {
    /// The certificate.
    pub certificate: CertificateId,
    /// Why it is revoked.
    pub reason: RevocationReason,
    /// Whether the issuer is to be told.
    pub telling: Telling,
}

/// Whether an issuer is to be told of a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// It is, by a job. The lease on that is for the caller, who then starts at once; `None` leaves the job to whoever
    /// claims it.
    Owed(Option<LeaseTerms>),
    /// It needs no telling: that is on record with the revocation, and there is no job.
    NotNeeded,
}

/// A certificate that has just been revoked.
#[derive(Debug)]
#[must_use]
pub struct RevocationBegun {
    /// The certificate as it is now.
    pub certificate: Certificate,
    /// The caller's lease on the job that tells the issuer, if one was asked for.
    pub lease: Option<Lease>,
}

/// How telling an issuer of a revocation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevocationOutcome {
    /// It knows.
    Told,
    /// It does not, and will not be told.
    GivenUp,
}

impl Certificate {
    /// Has it replaced by an order of its account. RFC 9773 section 5.
    ///
    /// `before` is the status of the order that was to replace it before, if that order is still known: one that came
    /// to nothing makes room for another.
    pub fn replace(&mut self, by: &Order, before: Option<OrderStatus>) -> Result<(), Conflict> {
        if by.account != self.account {
            return Err(Conflict::NothingToReplace);
        }
        if before.is_some_and(|status| status != OrderStatus::Invalid) {
            return Err(Conflict::AlreadyReplaced);
        }
        self.replaced_by = Some(by.id);
        Ok(())
    }

    /// Revokes it, and owes the issuer word of that, unless it needs none. RFC 8555 section 7.6.
    pub fn revoke(
        &mut self,
        reason: RevocationReason,
        telling: Telling,
        now: Timestamp,
    ) -> Result<AuditEvent, Conflict> {
        if self.revocation.is_some() {
            return Err(Conflict::AlreadyRevoked);
        }
        self.revocation = Some(Revocation { at: now, reason });
        self.issuer_told = (telling == Telling::NotNeeded).then_some(now);
        Ok(AuditEvent::CertificateRevoked { certificate: self.id, serial: self.serial.clone(), reason })
    }

    /// The work that the server owes it: telling the issuer that it is revoked.
    pub fn owed(&self) -> Option<Work> {
        let untold = self.revocation.is_some() && self.issuer_told.is_none() && self.issuer_refused.is_none();
        untold.then(|| Work::revocation(self))
    }

    /// Ends the telling. `None` if none was owed: then nothing changes.
    pub fn finish_revocation(&mut self, outcome: RevocationOutcome, now: Timestamp) -> Option<AuditEvent> {
        self.owed()?;
        let (certificate, serial) = (self.id, self.serial.clone());
        match outcome {
            RevocationOutcome::Told => {
                self.issuer_told = Some(now);
                Some(AuditEvent::RevocationTold { certificate, serial })
            }
            RevocationOutcome::GivenUp => {
                self.issuer_refused = Some(now);
                Some(AuditEvent::RevocationNotTold { certificate, serial })
            }
        }
    }
}

/// Certificates. Each method is one transaction: it happens entirely, or, on any error but
/// [`Unavailable`](crate::StorageError::Unavailable), not at all.
#[async_trait]
pub trait CertificateStore: Send + Sync + 'static {
    /// Records a serial number before anything is signed with it, for the issuance that the lease is on. It takes
    /// the place of the order's serial; the one before stays on record as used.
    ///
    /// # Errors
    ///
    /// [`LeaseLost`](crate::StorageError::LeaseLost); [`Conflict::SerialInUse`].
    async fn reserve_serial(&self, lease: &Lease, serial: Serial, cause: &Cause) -> Result<()>;

    /// The order that a serial number was ever recorded for, whether or not a certificate came of it.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::StorageError::NotFound).
    async fn reserved_serial(&self, serial: &Serial) -> Result<OrderId>;

    /// The certificate with this id, if it was issued to this account.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::StorageError::NotFound), for an unknown id and for somebody else's alike.
    async fn certificate(&self, account: &AccountId, id: &CertificateId) -> Result<Certificate>;

    /// The certificate with this serial number, whoever it was issued to.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::StorageError::NotFound).
    async fn certificate_by_serial(&self, serial: &Serial) -> Result<Certificate>;

    /// Revokes a certificate by [`Certificate::revoke`], and stores the job that tells the issuer, due now, unless that
    /// needs no telling. Of any number of concurrent calls, exactly one succeeds, and its reason stands.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::StorageError::NotFound); [`Conflict::AlreadyRevoked`].
    async fn revoke_certificate(&self, begin: BeginRevocation, cause: &Cause) -> Result<RevocationBegun>;

    /// Ends the telling of a revocation by [`Certificate::finish_revocation`], and the job with it. To tell the issuer
    /// again later, [give the job back](crate::JobQueue::release_job).
    ///
    /// # Errors
    ///
    /// [`LeaseLost`](crate::StorageError::LeaseLost): then nothing is written.
    async fn finish_revocation(
        &self,
        lease: Lease,
        outcome: RevocationOutcome,
        cause: &Cause,
    ) -> Result<Certificate>;

    /// The revoked certificates that had not expired at `now`, by serial number, from the one after `after`;
    /// `limit` at most.
    async fn revocations(
        &self,
        now: Timestamp,
        after: Option<&Serial>,
        limit: u32,
    ) -> Result<Vec<(Serial, Revocation)>>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{NOW, certificate, order};

    fn by(number: u8) -> Order {
        Order { id: OrderId::from_bytes([number; 16]), ..order(&["a.test"]) }
    }

    #[test]
    fn a_certificate_is_replaced_by_one_order_unless_that_came_to_nothing() {
        let mut certificate = certificate();
        assert_eq!(certificate.replace(&by(8), None), Ok(()));
        for status in [OrderStatus::Pending, OrderStatus::Ready, OrderStatus::Processing, OrderStatus::Valid]
        {
            assert_eq!(certificate.replace(&by(9), Some(status)), Err(Conflict::AlreadyReplaced), "{status}");
            assert_eq!(certificate.replaced_by, Some(by(8).id));
        }
        assert_eq!(certificate.replace(&by(9), Some(OrderStatus::Invalid)), Ok(()));
        assert_eq!(certificate.replaced_by, Some(by(9).id));
        assert_eq!(certificate.replace(&by(10), None), Ok(()), "what it was is not known any more");
        assert_eq!(certificate.replaced_by, Some(by(10).id));
    }

    /// Also where there is room.
    #[test]
    fn a_certificate_is_replaced_by_an_order_of_its_account_only() {
        let mut certificate = certificate();
        let foreign = Order { account: AccountId::from_bytes([9; 16]), ..by(8) };
        for before in [None, Some(OrderStatus::Invalid), Some(OrderStatus::Valid)] {
            assert_eq!(certificate.replace(&foreign, before), Err(Conflict::NothingToReplace));
        }
        assert_eq!(certificate.replaced_by, None);
    }

    #[test]
    fn a_certificate_is_revoked_once() {
        let mut certificate = certificate();
        let event = certificate.revoke(RevocationReason::Superseded, Telling::NotNeeded, NOW).unwrap();
        assert_eq!(event.subject(), certificate.id.to_string());
        let revoked = certificate.clone();
        let again = certificate.revoke(RevocationReason::KeyCompromise, Telling::Owed(None), NOW);
        assert_eq!(again, Err(Conflict::AlreadyRevoked));
        assert_eq!(certificate, revoked);
    }

    #[test]
    fn the_issuer_is_owed_word_of_a_revocation_until_it_is_told_or_that_is_given_up() {
        assert_eq!(certificate().owed(), None, "it is not revoked");
        for telling in [Telling::Owed(None), Telling::NotNeeded] {
            let mut certificate = certificate();
            certificate.revoke(RevocationReason::Superseded, telling, NOW).unwrap();
            let owed = telling != Telling::NotNeeded;
            assert_eq!(certificate.owed(), owed.then(|| Work::revocation(&certificate)));
            for (outcome, ends) in [(RevocationOutcome::GivenUp, owed), (RevocationOutcome::Told, false)] {
                assert_eq!(certificate.finish_revocation(outcome, NOW).is_some(), ends, "it ends once");
                assert_eq!(certificate.owed(), None);
            }
        }
    }
}
