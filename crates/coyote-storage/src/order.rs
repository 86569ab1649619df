//! Orders. RFC 8555 sections 7.1.3 and 7.4.
//!
//! An order records facts: who asked, for what, until when; then the CSR, then the certificate or the problem.
//! Its status is a conclusion from them, drawn by [`Order::status`].

use async_trait::async_trait;
use coyote_protocol::{AuthorizationStatus, ChallengeType, Identifier, OrderStatus, Problem, Timestamp};

use crate::{
    AccountId, AuditEvent, Authorization, AuthorizationId, Cause, Certificate, CertificateId, Conflict,
    Lease, LeaseTerms, OrderId, Result, Serial, Work,
};

/// A request for one certificate.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// Its id, which its URL is made of.
    pub id: OrderId,
    /// The account that asked.
    pub account: AccountId,
    /// What the certificate is to name, without duplicates.
    pub identifiers: Vec<Identifier>,
    /// The profile that the certificate is to follow.
    pub profile: Option<String>,
    /// The `notBefore` that was asked for.
    pub not_before: Option<Timestamp>,
    /// The `notAfter` that was asked for.
    pub not_after: Option<Timestamp>,
    /// When it was made.
    pub created: Timestamp,
    /// Until when it can be finalized.
    pub expires: Timestamp,
    /// One authorization for each identifier, in the same order.
    pub authorizations: Vec<Authorization>,
    /// What the client handed in to be signed, once it has.
    pub issuance: Option<Issuance>,
    /// The certificate, once it is issued.
    pub certificate: Option<CertificateId>,
    /// Why there will be none.
    pub error: Option<Problem>,
}

/// An issuance that began.
#[derive(Clone, Debug, PartialEq)]
pub struct Issuance {
    /// The PKCS#10 request, as DER. From it come the public key, and nothing else.
    pub csr: Vec<u8>,
    /// The serial number that may be signed with now.
    pub serial: Serial,
    /// When it began.
    pub began: Timestamp,
}

/// An order that may be signed: at the moment of asking, each of its identifiers had a valid authorization of the
/// same account, earned in a way that is allowed for it. Only [`Order::authorize_issuance`] makes one, and a
/// signer takes nothing else.
#[derive(Debug)]
pub struct ReadyOrder<'a> {
    order: &'a Order,
    issuance: &'a Issuance,
}

/// Why an order that is `processing` may not be signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAuthorized {
    /// No CSR was accepted, or the order has ended.
    #[error("the order is {0}, not processing")]
    NotProcessing(OrderStatus),
    /// An identifier's authorization is missing or not valid.
    #[error("there is no valid authorization for {0}")]
    Identifier(Identifier),
    /// An identifier's authorization was earned in a way that is not allowed for it.
    #[error("{0} was validated by {1}, which is not allowed for it")]
    Method(Identifier, ChallengeType),
}

/// What [`OrderStore::begin_issuance`] needs to know.
#[derive(Clone, Debug)]
pub struct BeginIssuance {
    /// The account that asks, and must own the order.
    pub account: AccountId,
    /// The order.
    pub order: OrderId,
    /// The PKCS#10 request, checked, as DER.
    pub csr: Vec<u8>,
    /// The serial number to sign with; it is on record before anything is signed.
    pub serial: Serial,
    /// A lease on the job for the caller, who then starts at once; `None` leaves the job to whoever claims it.
    pub lease: Option<LeaseTerms>,
}

/// An issuance that has begun.
#[derive(Debug)]
#[must_use]
pub struct IssuanceBegun {
    /// The order as it is now.
    pub order: Order,
    /// The caller's lease, if one was asked for.
    pub lease: Option<Lease>,
}

/// How an issuance ended.
#[derive(Clone, Debug, PartialEq)]
pub enum IssuanceOutcome {
    /// This certificate was signed.
    Issued(Box<Certificate>),
    /// There will be none: this is what the client is told.
    Refused(Problem),
}

/// A part of an account's list of orders. RFC 8555 section 7.1.2.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderPage {
    /// Ids of orders, the newest first.
    pub orders: Vec<OrderId>,
    /// Whether there are more after the last of them.
    pub more: bool,
}

impl Order {
    /// The order's status. RFC 8555 section 7.1.6.
    ///
    /// Nothing stores a status, so nothing can store a wrong one: it follows from what happened to the order and
    /// from its authorizations, and time alone may change it. `valid` is final, as 7.1.6 draws it.
    pub fn status(&self, now: Timestamp) -> OrderStatus {
        if self.error.is_some() {
            return OrderStatus::Invalid;
        }
        if self.certificate.is_some() {
            return OrderStatus::Valid;
        }
        if self.issuance.is_some() {
            return OrderStatus::Processing; // the issuer decides now, not the calendar
        }
        if now >= self.expires {
            return OrderStatus::Invalid;
        }
        let mut ready = self.authorizations.len() == self.identifiers.len();
        for authorization in &self.authorizations {
            match authorization.status(now) {
                AuthorizationStatus::Valid => {}
                AuthorizationStatus::Pending => ready = false,
                _ => return OrderStatus::Invalid,
            }
        }
        if ready { OrderStatus::Ready } else { OrderStatus::Pending }
    }

    /// Accepts the CSR of an order that is `ready`, and of no other. RFC 8555 section 7.4.
    pub fn begin_issuance(&mut self, csr: Vec<u8>, serial: Serial, now: Timestamp) -> Result<(), Conflict> {
        match self.status(now) {
            OrderStatus::Ready => {
                self.issuance = Some(Issuance { csr, serial, began: now });
                Ok(())
            }
            status => Err(Conflict::OrderNotReady(status)),
        }
    }

    /// Checks, at the moment of signing, that the order may be signed: each identifier has an authorization of
    /// this account that is valid now, earned by a method of which `allowed` says yes.
    pub fn authorize_issuance(
        &self,
        now: Timestamp,
        allowed: impl Fn(&Identifier, &ChallengeType) -> bool,
    ) -> Result<ReadyOrder<'_>, NotAuthorized> {
        let issuance = match (&self.issuance, self.status(now)) {
            (Some(issuance), OrderStatus::Processing) => issuance,
            (_, status) => return Err(NotAuthorized::NotProcessing(status)),
        };
        for identifier in &self.identifiers {
            let held = self.authorizations.iter().find(|held| {
                held.identifier == *identifier
                    && held.account == self.account
                    && held.status(now) == AuthorizationStatus::Valid
            });
            let method = held.and_then(Authorization::validated_by);
            let method = method.ok_or_else(|| NotAuthorized::Identifier(identifier.clone()))?;
            if !allowed(identifier, method) {
                return Err(NotAuthorized::Method(identifier.clone(), method.clone()));
            }
        }
        Ok(ReadyOrder { order: self, issuance })
    }

    /// Puts another serial number in the place of the one that was to be signed with.
    pub fn replace_serial(&mut self, serial: Serial) {
        if let Some(issuance) = &mut self.issuance {
            issuance.serial = serial;
        }
    }

    /// The work that the server owes it: an issuance that began and has not ended.
    pub fn owed(&self) -> Option<Work> {
        let under_way = self.issuance.is_some() && self.certificate.is_none() && self.error.is_none();
        under_way.then(|| Work::issuance(self))
    }

    /// Ends an issuance. `None` if the order has ended before: then nothing changes.
    pub fn finish_issuance(&mut self, outcome: &IssuanceOutcome) -> Option<AuditEvent> {
        self.owed()?;
        match outcome {
            IssuanceOutcome::Issued(certificate) => {
                self.certificate = Some(certificate.id);
                Some(AuditEvent::CertificateIssued {
                    certificate: certificate.id,
                    order: self.id,
                    serial: certificate.serial.clone(),
                    identifiers: self.identifiers.clone(),
                })
            }
            IssuanceOutcome::Refused(problem) => {
                self.error = Some(problem.clone());
                Some(AuditEvent::IssuanceRefused { order: self.id, problem: problem.clone() })
            }
        }
    }

    /// Puts the authorizations into the order of the identifiers that they are for.
    pub fn arrange(&mut self) {
        let identifiers = &self.identifiers;
        let place = |authorization: &Authorization| {
            identifiers.iter().position(|identifier| *identifier == authorization.identifier)
        };
        self.authorizations.sort_by_key(|authorization| place(authorization).unwrap_or(usize::MAX));
    }
}

impl ReadyOrder<'_> {
    /// The order.
    pub fn order(&self) -> &Order {
        self.order
    }

    /// What is to be signed, and with which serial number.
    pub fn issuance(&self) -> &Issuance {
        self.issuance
    }
}

/// Orders, and what an order owns. Each method is one transaction: it happens entirely, or, on any error but
/// [`Unavailable`](crate::StorageError::Unavailable), not at all.
#[async_trait]
pub trait OrderStore: Send + Sync + 'static {
    /// Stores a new order with the new authorizations in it, and attaches the account's existing authorizations
    /// `reused`, which must be `valid`. The answer has all of them, [arranged](Order::arrange).
    ///
    /// # Errors
    ///
    /// [`Conflict::AccountNotValid`], also for an account that does not exist;
    /// [`Conflict::AuthorizationNotValid`] if one of `reused` is not, is another account's or does not exist;
    /// [`Conflict::IdInUse`].
    async fn create_order(&self, order: Order, reused: &[AuthorizationId], cause: &Cause) -> Result<Order>;

    /// The order with this id, if it belongs to this account.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::StorageError::NotFound), for an unknown id and for somebody else's alike.
    async fn order(&self, account: &AccountId, id: &OrderId) -> Result<Order>;

    /// The account's orders, newest first (the smaller id where two are equal), from the one after `after`;
    /// `limit` at most. An `after` that is not the account's gives an empty page.
    async fn orders(&self, account: &AccountId, after: Option<&OrderId>, limit: u32) -> Result<OrderPage>;

    /// Moves a `ready` order to `processing` by [`Order::begin_issuance`], records the serial number, and stores
    /// the job that issues, due now. Of any number of concurrent calls, at most one succeeds.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::StorageError::NotFound), also for somebody else's; [`Conflict::OrderNotReady`];
    /// [`Conflict::AccountNotValid`]; [`Conflict::SerialInUse`].
    async fn begin_issuance(&self, begin: BeginIssuance, cause: &Cause) -> Result<IssuanceBegun>;

    /// Ends an issuance by [`Order::finish_issuance`], stores the certificate if there is one, and ends the job.
    ///
    /// # Errors
    ///
    /// [`LeaseLost`](crate::StorageError::LeaseLost): then nothing is written.
    async fn finish_issuance(&self, lease: Lease, outcome: IssuanceOutcome, cause: &Cause) -> Result<Order>;
}
