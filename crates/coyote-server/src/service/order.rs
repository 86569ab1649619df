//! Orders. RFC 8555 sections 7.1.3 and 7.4.

use std::{sync::Arc, time::Duration};

use coyote_protocol::{
    self as wire, CertificateIdentifier, Identifier, OrderStatus, Problem, ProblemType, RawIdentifier,
    Subproblem, Timestamp, Token,
};
use coyote_storage::{
    Account, Authorization, AuthorizationId, BeginIssuance, Cause, Challenge, ChallengeId, Conflict,
    ExternalAccountKey, NewOrder, Order, OrderId, Serial, StorageError, Work, WorkKind,
};
use tracing::instrument;

use super::{
    external_account::check_grant,
    renewal_info::identifier_of,
    request::{Authenticated, Request},
};
use crate::{
    acme::Acme,
    error::{Error, Result},
    issue::Csr,
    reply::Reply,
};

/// An authorization is used again only if it holds for so long yet: an order should have time to be finalized.
const REUSE_MARGIN: Duration = Duration::from_secs(3600);

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
        let now = request.now();
        let account = &request.account;
        self.require_terms(account, now)?;
        let identifiers = self.accept_identifiers(account, &wanted.identifiers, now).await?;
        let profile = self.profiles.find(wanted.profile.as_deref())?;
        let replaces = match &wanted.replaces {
            Some(certificate) => Some(self.accept_replaced(account, certificate, &identifiers).await?.id),
            None => None,
        };
        let order = Order {
            id: OrderId::from_bytes(self.entropy.bytes()?),
            account: account.id,
            authorizations: Vec::new(),
            profile: Some(profile.name.clone()),
            not_before: wanted.not_before,
            not_after: wanted.not_after,
            replaces,
            created: now,
            expires: self.pending_until(now),
            issuance: None,
            certificate: None,
            error: None,
            identifiers,
        };
        profile.validity(&order, self.issuer.not_after(), now)?;
        // Whoever renews when asked to is not held up.
        let fields = match replaces {
            Some(_) => None,
            None => self.rate_limiter.new_order(&account.id, now).await??,
        };
        let order = self.store_order(account, order, &request.cause).await?;
        tracing::info!(order = %order.id, identifiers = ?order.identifiers, "new order");
        let reply = self.order_reply(201, &order, now).await?;
        Ok(reply.with_location(self.urls.order(&order.id)).with_rate_limit(fields))
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
        self.order_reply(200, &order, now).await
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
        let (permit, lease) = self.begin_now(WorkKind::Issue)?;
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
        Ok(self.order_reply(200, &order, self.clock.now()).await?.with_location(self.urls.order(id)))
    }

    /// Reads the identifiers of an order, and refuses all that must be refused at once. RFC 8555 section 6.7.1.
    async fn accept_identifiers(
        &self,
        account: &Account,
        raw: &[RawIdentifier],
        now: Timestamp,
    ) -> Result<Vec<Identifier>> {
        if raw.is_empty() {
            return Err(Error::malformed("an order has at least one identifier"));
        }
        if raw.len() > self.limits.identifiers_per_order as usize {
            let most = self.limits.identifiers_per_order;
            return Err(Error::malformed(format!("an order has at most {most} identifiers")));
        }
        let grant = self.grant_of(account).await?;
        let mut accepted: Vec<Identifier> = Vec::with_capacity(raw.len());
        let mut refused = Vec::new();
        for raw in raw {
            match self.accept_identifier(account, grant.as_ref(), raw).await {
                Ok(identifier) if accepted.contains(&identifier) => {}
                Ok(identifier) => accepted.push(identifier),
                Err(problem) => {
                    refused.push(Subproblem::new(problem.kind, problem.detail).with_identifier(raw.clone()));
                }
            }
        }
        if refused.is_empty() {
            for identifier in &accepted {
                self.rate_limiter.may_fail(&account.id, identifier, now).await??;
            }
            return Ok(accepted);
        }
        let detail = match refused.as_slice() {
            [only] => only.detail.clone(),
            several => format!("{} of the identifiers are refused", several.len()),
        };
        Err(Problem::of_subproblems(detail, refused).into())
    }

    /// Reads an identifier, and asks all who have a say whether the account may have certificates for it.
    pub(super) async fn accept_identifier(
        &self,
        account: &Account,
        grant: Option<&ExternalAccountKey>,
        raw: &RawIdentifier,
    ) -> Result<Identifier, Problem> {
        let identifier = raw.parse()?;
        check_grant(grant, &identifier)?;
        self.issuer.check_identifier(&identifier)?;
        self.policy.identifier(account, &identifier).await?;
        if self.validators_for(&identifier).next().is_none() {
            let detail = format!("no challenge here can prove control of {identifier}");
            return Err(Problem::new(ProblemType::RejectedIdentifier, detail));
        }
        Ok(identifier)
    }

    /// Stores a new order, with an authorization for each identifier.
    async fn store_order(&self, account: &Account, order: Order, cause: &Cause) -> Result<Order> {
        let reuse = self.limits.authorization_reuse;
        let new = self.authorized(account, &order, reuse, cause.now).await?;
        match self.storage.create_order(new, cause).await {
            // One that was to be used again has ended since: nothing that the client has done wrong.
            Err(StorageError::Conflict(Conflict::AuthorizationNotValid)) => {
                let new = self.authorized(account, &order, Duration::ZERO, cause.now).await?;
                Ok(self.storage.create_order(new, cause).await?)
            }
            stored => Ok(stored?),
        }
    }

    /// The order, with such authorizations as the account has and may use again, and new ones for the other identifiers.
    async fn authorized(
        &self,
        account: &Account,
        order: &Order,
        reuse: Duration,
        now: Timestamp,
    ) -> Result<NewOrder> {
        let identifiers = &order.identifiers;
        let held = match reuse.is_zero() {
            true => Vec::new(),
            false => {
                self.storage.reusable_authorizations(&account.id, identifiers, now + REUSE_MARGIN).await?
            }
        };
        let fresh = |held: &&Authorization| {
            let validated = held.challenges.iter().find_map(Challenge::validated);
            validated.is_some_and(|at| now.since(at) < reuse)
                && held.validated_by().is_some_and(|method| self.allows_method(&held.identifier, method))
        };
        let reused: Vec<&Authorization> = held.iter().filter(fresh).collect();
        let missing = identifiers.iter().filter(|name| !reused.iter().any(|held| held.identifier == **name));
        let new = missing.map(|identifier| self.prepare_authorization(account, identifier, now));
        let authorizations = new.collect::<Result<_>>()?;
        Ok(NewOrder {
            order: Order { authorizations, ..order.clone() },
            reused: reused.into_iter().map(|held| held.id).collect(),
            most_open: self.limits.open_orders,
        })
    }

    /// Until when something new can be pending.
    fn pending_until(&self, now: Timestamp) -> Timestamp {
        (now + self.limits.order_lifetime).truncate_to_seconds()
    }

    /// A new authorization, with a challenge for each way to prove control.
    pub(super) fn prepare_authorization(
        &self,
        account: &Account,
        identifier: &Identifier,
        now: Timestamp,
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
            expires: self.pending_until(now),
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
            Ok(_) => {
                return Err(Error::problem(ProblemType::BadCsr, "the key of the CSR is an account's key"));
            }
            Err(StorageError::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
        self.policy.finalize(&request.account, order, &csr).await?;
        Ok(csr)
    }

    /// The certificate that an order replaces, as the client named it.
    async fn replaced_by(&self, order: &Order) -> Result<Option<CertificateIdentifier>> {
        let Some(id) = &order.replaces else { return Ok(None) };
        match self.storage.certificate(&order.account, id).await {
            Ok(certificate) => Ok(Some(identifier_of(&certificate)?)),
            Err(StorageError::NotFound) => Ok(None), // expired, and swept since
            Err(error) => Err(error.into()),
        }
    }

    /// The order object. RFC 8555 section 7.1.3.
    async fn order_reply(&self, status: u16, order: &Order, now: Timestamp) -> Result<Reply> {
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
            replaces: self.replaced_by(order).await?,
            profile: order.profile.clone(),
        };
        let processing = order_status == OrderStatus::Processing;
        let wait = processing.then(|| self.retry_after(Work::issuance(order).job()));
        Ok(Reply::json(status, &object)?.with_retry_after(wait))
    }
}

fn require_ready(order: &Order, now: Timestamp) -> Result<()> {
    match order.status(now) {
        OrderStatus::Ready => Ok(()),
        status => Err(Conflict::OrderNotReady(status).into()),
    }
}
