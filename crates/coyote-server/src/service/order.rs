//! Orders. RFC 8555 sections 7.1.3 and 7.4.

use std::{sync::Arc, time::Duration};

use coyote_protocol::{
    self as wire, CertificateIdentifier, ChallengeType, Identifier, OrderStatus, Problem, ProblemType,
    RawIdentifier, Subproblem, Timestamp, Token,
};
use coyote_storage::{
    Account, Authorization, AuthorizationId, BeginIssuance, BoxError, Cause, Challenge, ChallengeId,
    Conflict, ExternalAccountKey, NewOrder, Order, OrderId, Serial, StorageError, Verdict, Work, WorkKind,
};
use tracing::instrument;

use super::{
    external_account::check_grant,
    renewal_info::identifier_of,
    request::{Authenticated, Request},
};
use crate::{
    acme::{Acme, RESERVED},
    error::{Error, Result},
    issue::Csr,
    policy::{self, Applicant, BY_POLICY},
    reply::Reply,
};

/// An authorization is used again only if it holds for so long yet: an order should have time to be finalized.
const REUSE_MARGIN: Duration = Duration::from_secs(3600);

/// An identifier that an account may have certificates for.
#[derive(Clone, Debug)]
pub(super) struct Accepted {
    pub(super) identifier: Identifier,
    /// Whether a policy says that there is nothing to prove.
    pub(super) vouched: bool,
}

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
        let profile = self.profiles.find(wanted.profile.as_deref())?;
        let applicant = applicant(&request, Some(&profile.name));
        let read = self.read_identifiers(account, &wanted.identifiers).await?;
        let mut identifiers: Vec<Identifier> = Vec::with_capacity(read.len());
        for identifier in read.iter().flatten() {
            if !identifiers.contains(identifier) {
                identifiers.push(identifier.clone());
            }
        }
        let (replaces, is_renewal) = match &wanted.replaces {
            Some(certificate) if read.iter().all(Result::is_ok) => {
                let replaced = self.accept_replaced(account, certificate, &identifiers, now).await?;
                (Some(replaced.0.id), replaced.1)
            }
            _ => (None, false), // of what cannot be read there will be no order
        };
        // Counted below, but whoever has used it up has nobody asked for a decision.
        if !is_renewal {
            self.rate_limiter.may_order(&account.id, now).await??;
        }
        let accepted = self.accept_identifiers(&applicant, &wanted.identifiers, read, now).await?;
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
        let fields = match is_renewal {
            true => None,
            // At this very moment: of several at once, one that was held up since it came would find less than there is.
            false => self.rate_limiter.new_order(&account.id, self.clock.now()).await??,
        };
        let order = self.store_order(account, order, &accepted, &request.cause).await?;
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
            None => {
                self.job_is_waiting();
                begun.order
            }
        };
        Ok(self.order_reply(200, &order, self.clock.now()).await?.with_location(self.urls.order(id)))
    }

    /// Reads the identifiers of an order, each on its own.
    async fn read_identifiers(
        &self,
        account: &Account,
        raw: &[RawIdentifier],
    ) -> Result<Vec<Result<Identifier, Problem>>> {
        if raw.is_empty() {
            return Err(Error::malformed("an order has at least one identifier"));
        }
        if raw.len() > self.limits.identifiers_per_order as usize {
            let most = self.limits.identifiers_per_order;
            return Err(Error::malformed(format!("an order has at most {most} identifiers")));
        }
        let grant = self.grant_of(account).await?;
        Ok(raw.iter().map(|raw| self.read_identifier(grant.as_ref(), raw)).collect())
    }

    /// Accepts the identifiers of an order, each once, and refuses all that must be refused at once. RFC 8555 section 6.7.1.
    async fn accept_identifiers(
        &self,
        applicant: &Applicant<'_>,
        raw: &[RawIdentifier],
        read: Vec<Result<Identifier, Problem>>,
        now: Timestamp,
    ) -> Result<Vec<Accepted>> {
        let mut judged: Vec<(Identifier, Result<Accepted, Problem>)> = Vec::with_capacity(raw.len());
        let mut refused = Vec::new();
        for (raw, read) in raw.iter().zip(read) {
            let verdict = match read {
                Ok(identifier) => match judged.iter().find(|(other, _)| *other == identifier) {
                    Some((_, verdict)) => verdict.clone(),
                    None => {
                        let verdict = self.judge_identifier(applicant, &identifier).await?;
                        judged.push((identifier, verdict.clone()));
                        verdict
                    }
                },
                Err(problem) => Err(problem),
            };
            if let Err(problem) = verdict {
                refused.push(Subproblem::new(problem.kind, problem.detail).with_identifier(raw.clone()));
            }
        }
        if refused.is_empty() {
            let accepted: Vec<_> = judged.into_iter().filter_map(|(_, verdict)| verdict.ok()).collect();
            for accepted in &accepted {
                self.require_may_fail(applicant.account, accepted, now).await?;
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
        applicant: &Applicant<'_>,
        grant: Option<&ExternalAccountKey>,
        raw: &RawIdentifier,
    ) -> Result<Result<Accepted, Problem>> {
        match self.read_identifier(grant, raw) {
            Ok(identifier) => self.judge_identifier(applicant, &identifier).await,
            Err(problem) => Ok(Err(problem)),
        }
    }

    /// Asks the policy whether the account may have certificates for the identifier.
    async fn judge_identifier(
        &self,
        applicant: &Applicant<'_>,
        identifier: &Identifier,
    ) -> Result<Result<Accepted, Problem>> {
        let verdict = self.policy.identifier(applicant, identifier).await.map_err(undecided)?;
        Ok(verdict.permit().and_then(|vouched| {
            if !vouched {
                self.require_challenge(identifier)?;
            }
            Ok(Accepted { identifier: identifier.clone(), vouched })
        }))
    }

    /// Reads an identifier that the account and the issuer may have to do with.
    pub(super) fn read_identifier(
        &self,
        grant: Option<&ExternalAccountKey>,
        raw: &RawIdentifier,
    ) -> Result<Identifier, Problem> {
        let identifier = raw.parse()?;
        check_grant(grant, &identifier)?;
        self.issuer.check_identifier(&identifier)?;
        Ok(identifier)
    }

    /// Whether there is a way to prove control of the identifier.
    pub(super) fn require_challenge(&self, identifier: &Identifier) -> Result<(), Problem> {
        if self.validators_for(identifier).next().is_some() {
            return Ok(());
        }
        let detail = format!("no challenge here can prove control of {identifier}");
        Err(Problem::new(ProblemType::RejectedIdentifier, detail))
    }

    /// Refuses who has failed too often to prove control of a name, and would have to again.
    pub(super) async fn require_may_fail(
        &self,
        account: &Account,
        accepted: &Accepted,
        now: Timestamp,
    ) -> Result<()> {
        if !accepted.vouched {
            self.rate_limiter.may_fail(&account.id, &accepted.identifier, now).await??;
        }
        Ok(())
    }

    /// Stores a new order, with an authorization for each identifier.
    async fn store_order(
        &self,
        account: &Account,
        order: Order,
        accepted: &[Accepted],
        cause: &Cause,
    ) -> Result<Order> {
        let reuse = self.limits.authorization_reuse;
        let new = self.authorized(account, &order, accepted, reuse, cause.now).await?;
        match self.storage.create_order(new, cause).await {
            // One that was to be used again has ended since: nothing that the client has done wrong.
            Err(StorageError::Conflict(Conflict::AuthorizationNotValid)) => {
                let new = self.authorized(account, &order, accepted, Duration::ZERO, cause.now).await?;
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
        accepted: &[Accepted],
        reuse: Duration,
        now: Timestamp,
    ) -> Result<NewOrder> {
        let to_prove: Vec<_> =
            accepted.iter().filter(|new| !new.vouched).map(|new| new.identifier.clone()).collect();
        let network = self.network_of(order.profile.as_deref());
        let reused = self.reusable(account, &to_prove, network, reuse, now).await?;
        let missing =
            accepted.iter().filter(|new| !reused.iter().any(|held| held.identifier == new.identifier));
        let new = missing.map(|accepted| self.prepare_authorization(account, accepted, network, now));
        let authorizations = new.collect::<Result<_>>()?;
        Ok(NewOrder {
            order: Order { authorizations, ..order.clone() },
            reused: reused.into_iter().map(|held| held.id).collect(),
            most_open: self.limits.open_orders,
        })
    }

    /// The authorizations of the account for these identifiers that may be used again. What a policy vouched for is not
    /// among them: the policy is asked anew. Nor is what was proved through another network.
    pub(super) async fn reusable(
        &self,
        account: &Account,
        identifiers: &[Identifier],
        network: Option<&str>,
        reuse: Duration,
        now: Timestamp,
    ) -> Result<Vec<Authorization>> {
        if reuse.is_zero() || identifiers.is_empty() {
            return Ok(Vec::new());
        }
        let mut held =
            self.storage.reusable_authorizations(&account.id, identifiers, now + REUSE_MARGIN).await?;
        held.retain(|held| {
            let validated = held.challenges.iter().find_map(Challenge::validated);
            validated.is_some_and(|at| now.since(at) < reuse)
                && is_through(held, network)
                && held.validated_by().is_some_and(|method| {
                    method.as_str() != BY_POLICY && self.allows_method(&held.identifier, method)
                })
        });
        held.dedup_by(|next, first| next.identifier == first.identifier); // those that hold longest come first
        Ok(held)
    }

    /// Until when something new can be pending.
    fn pending_until(&self, now: Timestamp) -> Timestamp {
        (now + self.limits.order_lifetime).truncate_to_seconds()
    }

    /// A new authorization, with a challenge for each way to prove control; or valid, if a policy vouches for it.
    pub(super) fn prepare_authorization(
        &self,
        account: &Account,
        accepted: &Accepted,
        network: Option<&str>,
        now: Timestamp,
    ) -> Result<Authorization> {
        // One token serves all challenges: a client that answers two ways says the same thing twice.
        let token = Token::from_bytes(&self.entropy.bytes::<32>()?);
        let challenge = |kind| {
            let id = ChallengeId::from_bytes(self.entropy.bytes()?);
            let network = network.map(str::to_owned);
            Ok(Challenge {
                id,
                kind,
                token: token.clone(),
                began: None,
                verdict: None,
                errors: Vec::new(),
                network,
            })
        };
        let challenges = if accepted.vouched {
            let vouched = challenge(ChallengeType::new(BY_POLICY))?;
            vec![Challenge { began: Some(now), verdict: Some(Verdict::Valid { at: now }), ..vouched }]
        } else {
            let offered = self.validators_for(&accepted.identifier);
            offered.map(|validator| challenge(validator.challenge_type())).collect::<Result<_>>()?
        };
        Ok(Authorization {
            id: AuthorizationId::from_bytes(self.entropy.bytes()?),
            account: account.id,
            identifier: accepted.identifier.clone(),
            created: now,
            expires: self.pending_until(now),
            challenges,
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
        let applicant = applicant(request, order.profile.as_deref());
        decided(self.policy.finalize(&applicant, order, &csr).await)?;
        self.require_still_vouched(&applicant, order).await?;
        self.require_network(order).map_err(Error::from)?;
        Ok(csr)
    }

    /// What was proved was seen through the network that the order's profile has now.
    pub(crate) fn require_network(&self, order: &Order) -> Result<(), Problem> {
        let network = self.network_of(order.profile.as_deref());
        let elsewhere =
            order.authorizations.iter().find(|held| is_proved(held) && !is_through(held, network));
        match elsewhere {
            None => Ok(()),
            Some(held) => {
                let detail = format!(
                    "{} has to be proved as its profile demands by now: make a new order",
                    held.identifier
                );
                Err(Problem::new(ProblemType::Unauthorized, detail))
            }
        }
    }

    /// Asks again about what a policy vouched for when the order was made.
    async fn require_still_vouched(&self, applicant: &Applicant<'_>, order: &Order) -> Result<()> {
        let by_policy =
            |held: &&Authorization| held.validated_by().is_some_and(|it| it.as_str() == BY_POLICY);
        for held in order.authorizations.iter().filter(by_policy) {
            if !decided(self.policy.identifier(applicant, &held.identifier).await)? {
                let detail = format!("{} has to be proved by now: make a new order", held.identifier);
                return Err(Error::unauthorized(detail));
            }
        }
        Ok(())
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

/// Whether a challenge was fulfilled, and it is not somebody's word.
pub(super) fn is_proved(authorization: &Authorization) -> bool {
    authorization.validated_by().is_some_and(|method| !RESERVED.contains(&method.as_str()))
}

/// Whether what an authorization says was seen through this network.
pub(super) fn is_through(authorization: &Authorization, network: Option<&str>) -> bool {
    authorization.challenges.iter().all(|challenge| challenge.network.as_deref() == network)
}

fn applicant<'a>(request: &'a Authenticated, profile: Option<&'a str>) -> Applicant<'a> {
    Applicant { client: request.cause.client, profile, ..Applicant::new(&request.account) }
}

/// Whether a policy says that there is nothing to prove. No decision is a refusal for now.
pub(super) fn decided(verdict: Result<policy::Verdict, BoxError>) -> Result<bool> {
    Ok(verdict.map_err(undecided)?.permit()?)
}

pub(super) fn undecided(source: BoxError) -> Error {
    Error::Unavailable { doing: "asking the policy", source }
}

fn require_ready(order: &Order, now: Timestamp) -> Result<()> {
    match order.status(now) {
        OrderStatus::Ready => Ok(()),
        status => Err(Conflict::OrderNotReady(status).into()),
    }
}
