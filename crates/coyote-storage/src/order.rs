//! Orders. RFC 8555 sections 7.1.3 and 7.4.
//!
//! An order records facts: who asked, for what, until when; then the CSR, then the certificate or the problem.
//! Its status is a conclusion from them, drawn by [`Order::status`].

use async_trait::async_trait;
use coyote_protocol::{AuthorizationStatus, ChallengeType, Identifier, OrderStatus, Problem, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    AccountId, AuditEvent, Authorization, AuthorizationId, Cause, Certificate, CertificateId, Conflict,
    Lease, LeaseTerms, OrderId, Result, Serial, Work,
};

/// A request for one certificate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    #[serde(with = "crate::millis::option", default)]
    pub not_before: Option<Timestamp>,
    /// The `notAfter` that was asked for.
    #[serde(with = "crate::millis::option", default)]
    pub not_after: Option<Timestamp>,
    /// The certificate that the new one is to replace. RFC 9773 5.
    pub replaces: Option<CertificateId>,
    /// When it was made.
    #[serde(with = "crate::millis")]
    pub created: Timestamp,
    /// Until when it can be finalized.
    #[serde(with = "crate::millis")]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Issuance {
    /// The PKCS#10 request, as DER. From it come the public key, and nothing else.
    pub csr: Vec<u8>,
    /// The serial number that may be signed with now.
    pub serial: Serial,
    /// When it began.
    #[serde(with = "crate::millis")]
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

/// What [`OrderStore::create_order`] needs to know.
#[derive(Clone, Debug)]
pub struct NewOrder {
    /// The order, with its new authorizations.
    pub order: Order,
    /// Authorizations that the account has, to be used for this order as well.
    pub reused: Vec<AuthorizationId>,
    /// How many orders the account may have open, this one included.
    pub most_open: u32,
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

    /// Whether it counts as open: it has come to no end yet, and has not expired. An order whose authorization failed
    /// counts, too, until it expires: who fails often has to wait.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.certificate.is_none() && self.error.is_none() && now < self.expires
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
    /// Stores a new order with the new authorizations in it, which may be valid from birth, and attaches the account's existing authorizations
    /// `reused`, which must be `valid`. The answer has all of them, [arranged](Order::arrange). If the order replaces a
    /// certificate, that is noted there, by [`Certificate::replace`]; of any number of concurrent orders that would
    /// replace one certificate, one succeeds.
    ///
    /// # Errors
    ///
    /// [`Conflict::AccountNotValid`], also for an account that does not exist;
    /// [`Conflict::AuthorizationNotValid`] if one of `reused` is not, is another account's or does not exist;
    /// [`Conflict::TooManyOpen`] if the account has `most_open` [open](Order::is_open) orders already;
    /// [`Conflict::NothingToReplace`], also if there is no such certificate; [`Conflict::AlreadyReplaced`];
    /// [`Conflict::IdInUse`].
    async fn create_order(&self, new: NewOrder, cause: &Cause) -> Result<Order>;

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
    /// [`LeaseLost`](crate::StorageError::LeaseLost); [`Conflict::IdInUse`] or [`Conflict::SerialInUse`] if another
    /// certificate has the id or the serial number. Then nothing is written, and the lease is as good as before.
    async fn finish_issuance(&self, lease: Lease, outcome: IssuanceOutcome, cause: &Cause) -> Result<Order>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{
        EXPIRES, NOW, certificate, earn, fail, issuance, order, problem, ready_order, serial,
    };

    type Change = fn(&mut Order);

    /// RFC 8555 section 7.1.6, every row of it.
    #[test]
    fn the_status_follows_from_the_facts() {
        let pending = || order(&["a.test", "b.test"]);
        let ready = || ready_order(&["a.test", "b.test"]);
        let with = |mut order: Order, change: &dyn Fn(&mut Order)| {
            change(&mut order);
            order
        };
        let issuing = |order: &mut Order| order.issuance = Some(issuance());
        let issued = |order: &mut Order| order.certificate = Some(certificate().id);
        let refused = |order: &mut Order| order.error = Some(problem("no"));
        let gives_up = |order: &mut Order| order.authorizations[1].deactivated = Some(NOW);
        let taken_back = |order: &mut Order| order.authorizations[1].revoked = Some(NOW);
        let lapsed = |order: &mut Order| order.authorizations[1].expires = NOW;
        let processing = || with(ready(), &issuing);

        for (facts, now, order, expected) in [
            ("new", NOW, pending(), OrderStatus::Pending),
            (
                "one of two earned",
                NOW,
                with(pending(), &|o| earn(&mut o.authorizations[0])),
                OrderStatus::Pending,
            ),
            ("all earned", NOW, ready(), OrderStatus::Ready),
            ("one failed", NOW, with(pending(), &|o| fail(&mut o.authorizations[1])), OrderStatus::Invalid),
            ("one given up", NOW, with(ready(), &gives_up), OrderStatus::Invalid),
            ("one taken back", NOW, with(ready(), &taken_back), OrderStatus::Invalid),
            ("one earned and lapsed", NOW, with(ready(), &lapsed), OrderStatus::Invalid),
            ("one lapsed unearned", NOW, with(pending(), &lapsed), OrderStatus::Invalid),
            ("expired pending", EXPIRES, pending(), OrderStatus::Invalid),
            ("expired ready", EXPIRES, ready(), OrderStatus::Invalid),
            ("CSR accepted", NOW, processing(), OrderStatus::Processing),
            ("CSR accepted, then expired", EXPIRES, processing(), OrderStatus::Processing),
            ("CSR accepted, then one given up", NOW, with(processing(), &gives_up), OrderStatus::Processing),
            ("issued", NOW, with(processing(), &issued), OrderStatus::Valid),
            ("issued, then expired", EXPIRES, with(processing(), &issued), OrderStatus::Valid),
            ("refused", NOW, with(processing(), &refused), OrderStatus::Invalid),
        ] {
            assert_eq!(order.status(now), expected, "{facts}");
        }
    }

    #[test]
    fn an_order_is_open_until_it_is_issued_refused_or_expired() {
        let mut failed = order(&["a.test"]);
        fail(&mut failed.authorizations[0]);
        let processing = Order { issuance: Some(issuance()), ..ready_order(&["a.test"]) };
        let issued = Order { certificate: Some(certificate().id), ..processing.clone() };
        let refused = Order { error: Some(problem("no")), ..processing.clone() };
        for (order, open) in [
            (order(&["a.test"]), true),
            (ready_order(&["a.test"]), true),
            (failed, true),
            (processing, true),
            (issued, false),
            (refused, false),
        ] {
            assert_eq!(order.is_open(NOW), open, "{order:?}");
            assert!(!order.is_open(EXPIRES), "{order:?}");
        }
    }

    #[test]
    fn an_order_that_lacks_an_authorization_is_not_ready() {
        let mut order = ready_order(&["a.test", "b.test"]);
        order.authorizations.pop();
        assert_eq!(order.status(NOW), OrderStatus::Pending);
    }

    #[test]
    fn only_an_order_that_is_ready_accepts_a_csr() {
        let mut pending = order(&["a.test"]);
        let refused = pending.begin_issuance(vec![1], serial(1), NOW);
        assert_eq!(refused, Err(Conflict::OrderNotReady(OrderStatus::Pending)));
        assert_eq!(pending.issuance, None);

        let mut ready = ready_order(&["a.test"]);
        assert_eq!(ready.begin_issuance(vec![1], serial(1), NOW), Ok(()));
        assert_eq!(ready.issuance, Some(issuance()));
        let again = ready.begin_issuance(vec![2], serial(2), NOW);
        assert_eq!(again, Err(Conflict::OrderNotReady(OrderStatus::Processing)));
        assert_eq!(ready.issuance, Some(issuance()), "what was handed in first is what is signed");
    }

    #[test]
    fn an_order_may_be_signed_while_each_name_has_a_valid_authorization_of_its_account() {
        let processing = || Order { issuance: Some(issuance()), ..ready_order(&["a.test", "b.test"]) };
        let order = processing();
        assert_eq!(
            order.authorize_issuance(NOW, |_, _| true).map(|ready| ready.issuance().serial.clone()),
            Ok(serial(1))
        );

        let second = NotAuthorized::Identifier(order.identifiers[1].clone());
        let changes: [(&str, Change); 5] = [
            ("given up", |order| order.authorizations[1].deactivated = Some(NOW)),
            ("lapsed", |order| order.authorizations[1].expires = NOW),
            ("missing", |order| drop(order.authorizations.pop())),
            ("of another account", |order| order.authorizations[1].account = AccountId::from_bytes([9; 16])),
            ("of another name", |order| order.authorizations[1].identifier = order.identifiers[0].clone()),
        ];
        for (what, change) in changes {
            let mut order = processing();
            change(&mut order);
            let refused = order.authorize_issuance(NOW, |_, _| true).map(|_| ());
            assert_eq!(refused, Err(second.clone()), "one authorization is {what}");
        }
    }

    #[test]
    fn an_order_may_not_be_signed_on_a_method_that_is_not_allowed() {
        let order = Order { issuance: Some(issuance()), ..ready_order(&["a.test", "b.test"]) };
        let name = order.identifiers[1].clone();
        let refused = order.authorize_issuance(NOW, |identifier, method| {
            *identifier != name || *method != ChallengeType::HTTP_01
        });
        assert_eq!(refused.map(|_| ()), Err(NotAuthorized::Method(name.clone(), ChallengeType::HTTP_01)));
    }

    #[test]
    fn an_order_that_is_not_processing_may_not_be_signed() {
        let ready = ready_order(&["a.test"]);
        let refused = ready.authorize_issuance(NOW, |_, _| true).map(|_| ());
        assert_eq!(refused, Err(NotAuthorized::NotProcessing(OrderStatus::Ready)));
        let issued = Order { issuance: Some(issuance()), certificate: Some(certificate().id), ..ready };
        let refused = issued.authorize_issuance(NOW, |_, _| true).map(|_| ());
        assert_eq!(refused, Err(NotAuthorized::NotProcessing(OrderStatus::Valid)));
    }

    #[test]
    fn an_issuance_ends_once() {
        let issued = IssuanceOutcome::Issued(Box::new(certificate()));
        let refused = IssuanceOutcome::Refused(problem("no"));
        let mut ready = ready_order(&["a.test"]);
        assert_eq!(ready.finish_issuance(&issued), None, "none began");

        for (first, second) in [(&issued, &refused), (&refused, &issued)] {
            let mut order = Order { issuance: Some(issuance()), ..ready.clone() };
            assert_eq!(order.owed(), Some(Work::issuance(&order)));
            assert!(order.finish_issuance(first).is_some());
            let ended = order.clone();
            assert_eq!(order.finish_issuance(second), None);
            assert_eq!(order, ended);
            assert_eq!(order.owed(), None);
        }
    }
}
