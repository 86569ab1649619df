//! Orders. RFC 8555 sections 7.1.3 and 7.4.

use std::sync::Arc;

use coyote_protocol::{
    self as wire, Identifier, OrderStatus, Problem, ProblemType, RawIdentifier, Subproblem, Timestamp, Token,
};
use coyote_storage::{
    Account, Authorization, AuthorizationId, BeginIssuance, Challenge, ChallengeId, Conflict, Order, OrderId,
    Serial, StorageError, Work,
};
use tracing::instrument;

use super::request::{Authenticated, Request};
use crate::{
    acme::Acme,
    error::{Error, Result},
    issue::Csr,
    reply::Reply,
    work::POLL,
};

impl Acme {
    /// `newOrder`: promises a certificate to whoever proves control of each identifier. RFC 8555 section 7.4.
    ///
    /// # Errors
    ///
    /// `malformed`, `unsupportedIdentifier`, `rejectedIdentifier`, `compound`, `invalidProfile`.
    #[instrument(skip_all, fields(client = ?request.client))]
    pub async fn new_order(&self, request: &Request) -> Result<Reply> {
        let request = self.authenticate(request).await?;
        let wanted: wire::NewOrder = request.payload()?;
        let identifiers = self.accept_identifiers(&request.account, &wanted.identifiers).await?;
        let now = request.now();
        let profile = self.profiles.find(wanted.profile.as_deref())?;
        let expires = (now + self.limits.order_lifetime).truncate_to_seconds();
        let authorizations = identifiers
            .iter()
            .map(|identifier| self.prepare_authorization(&request.account, identifier, now, expires));
        let order = Order {
            id: OrderId::from_bytes(self.entropy.bytes()?),
            account: request.account.id,
            authorizations: authorizations.collect::<Result<_>>()?,
            profile: Some(profile.name.clone()),
            not_before: wanted.not_before,
            not_after: wanted.not_after,
            created: now,
            expires,
            issuance: None,
            certificate: None,
            error: None,
            identifiers,
        };
        profile.validity(&order, self.issuer.not_after(), now)?;
        let order = self.storage.create_order(order, &[], &request.cause).await?;
        tracing::info!(order = %order.id, identifiers = ?order.identifiers, "new order");
        Ok(self.order_reply(201, &order, now)?.with_location(self.urls.order(&order.id)))
    }

    /// `POST`-as-GET to an order. RFC 8555 section 7.4.
    ///
    /// # Errors
    ///
    /// `unauthorized` for an unknown order and for another account's alike.
    #[instrument(skip_all, fields(order = %id))]
    pub async fn order(&self, request: &Request, id: &OrderId) -> Result<Reply> {
        let request = self.authenticate(request).await?;
        request.require_post_as_get()?;
        let account = request.account.id;
        let now = request.now();
        let job = |order: &Order| match order.status(now) {
            OrderStatus::Processing => Some(Work::Issue { account, order: *id }.job()),
            _ => None,
        };
        let order = self.linger(|| self.storage.order(&account, id), job).await?;
        self.order_reply(200, &order, now)
    }

    /// `POST` to an order's finalize URL: takes the CSR and promises a certificate. RFC 8555 section 7.4.
    ///
    /// # Errors
    ///
    /// `orderNotReady`, which outranks what is wrong with the CSR; `malformed`, `badCSR`, which leave it ready.
    #[instrument(skip_all, fields(order = %id))]
    pub async fn finalize(self: &Arc<Self>, request: &Request, id: &OrderId) -> Result<Reply> {
        let request = self.authenticate(request).await?;
        let finalize: wire::Finalize = request.payload()?;
        let order = self.storage.order(&request.account.id, id).await?;
        require_ready(&order, request.now())?;
        let csr = finalize.der().map_err(|_| Error::malformed("the csr is not base64url"))?;
        let csr = self.accept_csr(&request, &order, &csr).await?;
        let (permit, lease) =
            self.begin_now(&self.workshop.issuances, self.limits.issuance_time, request.now())?;
        let begin = BeginIssuance {
            account: request.account.id,
            order: *id,
            csr: csr.into_der(),
            serial: Serial::from_random(self.entropy.bytes()?),
            lease,
        };
        let begun = self.storage.begin_issuance(begin, &request.cause).await?;
        let order = match begun.lease {
            Some(lease) => self.issue_now(lease, begun.order, permit).await,
            None => begun.order,
        };
        Ok(self.order_reply(200, &order, self.clock.now())?.with_location(self.urls.order(id)))
    }

    /// Reads the identifiers of an order, and refuses all that must be refused at once. RFC 8555 section 6.7.1.
    async fn accept_identifiers(&self, account: &Account, raw: &[RawIdentifier]) -> Result<Vec<Identifier>> {
        if raw.is_empty() {
            return Err(Error::malformed("an order has at least one identifier"));
        }
        if raw.len() > self.limits.identifiers_per_order as usize {
            let most = self.limits.identifiers_per_order;
            return Err(Error::malformed(format!("an order has at most {most} identifiers")));
        }
        let mut accepted: Vec<Identifier> = Vec::with_capacity(raw.len());
        let mut refused = Vec::new();
        for raw in raw {
            match self.accept_identifier(account, raw).await {
                Ok(identifier) if accepted.contains(&identifier) => {}
                Ok(identifier) => accepted.push(identifier),
                Err(problem) => {
                    refused.push(Subproblem::new(problem.kind, problem.detail).with_identifier(raw.clone()));
                }
            }
        }
        if refused.is_empty() {
            return Ok(accepted);
        }
        let detail = match refused.as_slice() {
            [only] => only.detail.clone(),
            several => format!("{} of the identifiers are refused", several.len()),
        };
        Err(Problem::of_subproblems(detail, refused).into())
    }

    async fn accept_identifier(&self, account: &Account, raw: &RawIdentifier) -> Result<Identifier, Problem> {
        let identifier = raw.parse()?;
        self.issuer.check_identifier(&identifier)?;
        self.policy.identifier(account, &identifier).await?;
        if self.validators_for(&identifier).next().is_none() {
            let detail = format!("no challenge here can prove control of {identifier}");
            return Err(Problem::new(ProblemType::RejectedIdentifier, detail));
        }
        Ok(identifier)
    }

    fn prepare_authorization(
        &self,
        account: &Account,
        identifier: &Identifier,
        now: Timestamp,
        expires: Timestamp,
    ) -> Result<Authorization> {
        // One token serves all challenges: a client that answers two ways says the same thing twice.
        let token = Token::from_bytes(&self.entropy.bytes::<32>()?);
        let challenges = self.validators_for(identifier).map(|validator| {
            Ok(Challenge {
                id: ChallengeId::from_bytes(self.entropy.bytes()?),
                kind: validator.challenge_type(),
                token: token.clone(),
                began: None,
                verdict: None,
                errors: Vec::new(),
            })
        });
        Ok(Authorization {
            id: AuthorizationId::from_bytes(self.entropy.bytes()?),
            account: account.id,
            identifier: identifier.clone(),
            created: now,
            expires,
            challenges: challenges.collect::<Result<_>>()?,
            deactivated: None,
            revoked: None,
        })
    }

    async fn accept_csr(&self, request: &Authenticated, order: &Order, der: &[u8]) -> Result<Csr> {
        let csr = Csr::parse(der, &self.key_policy)?;
        csr.check_against(&order.identifiers)?;
        // Any account's key, not only this one's. RFC 8555 section 11.1.
        match self.storage.account_by_key(&self.directory, &csr.key_thumbprint()).await {
            Ok(_) => return Err(Error::problem(ProblemType::BadCsr, "the key of the CSR is an account's key")),
            Err(StorageError::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
        self.policy.finalize(&request.account, order, &csr).await?;
        Ok(csr)
    }

    /// The order object. RFC 8555 section 7.1.3.
    fn order_reply(&self, status: u16, order: &Order, now: Timestamp) -> Result<Reply> {
        let order_status = order.status(now);
        let object = wire::Order {
            status: order_status,
            expires: Some(order.expires),
            identifiers: order.identifiers.clone(),
            not_before: order.not_before,
            not_after: order.not_after,
            error: order.error.clone(),
            authorizations: order.authorizations.iter().map(|a| self.urls.authorization(&a.id)).collect(),
            finalize: self.urls.finalize(&order.id),
            certificate: order.certificate.as_ref().map(|id| self.urls.certificate(id)),
            replaces: None,
            profile: order.profile.clone(),
        };
        let wait = (order_status == OrderStatus::Processing).then_some(POLL);
        Ok(Reply::json(status, &object)?.with_retry_after(wait))
    }
}

fn require_ready(order: &Order, now: Timestamp) -> Result<()> {
    match order.status(now) {
        OrderStatus::Ready => Ok(()),
        status => Err(Conflict::OrderNotReady(status).into()),
    }
}
