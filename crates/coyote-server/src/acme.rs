//! The server, less its transport.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use coyote_jose::KeyCache;
use coyote_protocol::{ChallengeType, Directory, DirectoryMeta, Identifier, Timestamp};
use coyote_storage::{
    BoxError, DirectoryId, MemoryStorage, NonceStore, RateLimitStore, SealedNonces, Storage,
};

use crate::{
    clock::{Clock, SystemClock},
    entropy::{Entropy, SystemEntropy},
    issue::{Issuer, Profiles},
    limits::{InvalidLimit, Limits},
    outage::Outage,
    policy::{AllowAll, BY_POLICY, KeyPolicy, Policy, RateLimiter, RateLimits},
    reply::Reply,
    service::own_certificate::BY_OPERATOR,
    url::{InvalidBaseUrl, Urls, path},
    validate::{
        AddressPolicy, Caa, ChallengeValidator, Dns01, DnsResolver, Http01, InvalidServers, Network,
        NetworkLimits, Perspectives, TlsAlpn01,
    },
    work::Workshop,
};

/// Challenge types that no client can answer.
pub(crate) const RESERVED: [&str; 2] = [BY_OPERATOR, BY_POLICY];

/// An ACME server, less its transport: its seams, and one async method for each operation of RFC 8555.
///
/// One `Acme` is one directory. Several can share a process and a store; each has its own accounts, and what hangs
/// off them.
pub struct Acme {
    pub(crate) directory: DirectoryId,
    pub(crate) urls: Urls,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) nonces: Arc<dyn NonceStore>,
    pub(crate) issuer: Arc<dyn Issuer>,
    pub(crate) validators: Vec<Arc<dyn ChallengeValidator>>,
    pub(crate) network: Network,
    /// By the profiles that have their own.
    networks: BTreeMap<String, ProfileNetwork>,
    pub(crate) perspectives: Perspectives,
    pub(crate) caa: Option<Caa>,
    pub(crate) policy: Arc<dyn Policy>,
    pub(crate) key_policy: KeyPolicy,
    pub(crate) rate_limiter: RateLimiter,
    pub(crate) terms_changed: Option<Timestamp>,
    pub(crate) renewal_explanation: Option<String>,
    pub(crate) profiles: Profiles,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) limits: Limits,
    pub(crate) meta: DirectoryMeta,
    pub(crate) directory_reply: Reply,
    pub(crate) keys: KeyCache,
    pub(crate) workshop: Workshop,
    pub(crate) unavailable: Outage,
    pub(crate) no_nonces: Outage,
}

/// Puts an [`Acme`] together. What is not said has a default.
#[must_use]
pub struct AcmeBuilder {
    directory: DirectoryId,
    base_url: String,
    storage: Arc<dyn Storage>,
    nonces: Option<Arc<dyn NonceStore>>,
    issuer: Arc<dyn Issuer>,
    validators: Vec<Arc<dyn ChallengeValidator>>,
    network: Option<Network>,
    networks: BTreeMap<String, Network>,
    uncorroborated: BTreeSet<String>,
    perspectives: Perspectives,
    caa: Option<Caa>,
    policy: Arc<dyn Policy>,
    key_policy: KeyPolicy,
    rate_limits: Option<(Arc<dyn RateLimitStore>, RateLimits)>,
    terms_changed: Option<Timestamp>,
    renewal_explanation: Option<String>,
    profiles: Profiles,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    limits: Limits,
    meta: DirectoryMeta,
}

/// How names are proved for orders of a profile, where that is not as for others.
struct ProfileNetwork {
    /// What challenges remember of it. It says whether others are asked as well, so that what was seen from here alone does
    /// not pass for more when that has changed.
    name: String,
    network: Network,
    is_corroborated: bool,
}

impl ProfileNetwork {
    fn new(profile: &str, network: Network, is_corroborated: bool) -> Self {
        // No profile's name has a line feed in it.
        let name = if is_corroborated { profile.to_owned() } else { format!("{profile}{ALONE}") };
        Self { name, network, is_corroborated }
    }
}

/// At the end of the name of a network, where no other perspective is asked.
const ALONE: &str = "\nalone";

/// The name of the same network, where others are asked.
pub(crate) fn corroborated(network: Option<&str>) -> Option<&str> {
    network.map(|name| name.strip_suffix(ALONE).unwrap_or(name))
}

/// Why a server could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The base URL.
    #[error(transparent)]
    BaseUrl(#[from] InvalidBaseUrl),
    /// Two validators for one challenge type.
    #[error("there are two validators for {0}")]
    TwoValidators(ChallengeType),
    /// A validator for a challenge type that stands for something else here.
    #[error("the challenge type {0} is reserved")]
    ReservedType(ChallengeType),
    /// A network for orders of a profile that there is not.
    #[error("there is no profile {0:?} to have a network of its own")]
    NoSuchProfile(String),
    /// Orders of a profile that would share authorizations with others, and be looked at less closely.
    #[error(
        "the profile {0:?} has no network of its own, and is looked at by all perspectives that others are"
    )]
    NoNetworkOfItsOwn(String),
    /// Two perspectives of one name.
    #[error("there are two perspectives called {0:?}")]
    TwoPerspectives(String),
    /// A bound with which the server could not work.
    #[error(transparent)]
    Limits(#[from] InvalidLimit),
    /// A default part could not be made.
    #[error("{doing}")]
    Part {
        /// Which, as in "making the nonce key".
        doing: &'static str,
        /// What went wrong.
        #[source]
        source: BoxError,
    },
}

impl Acme {
    /// A server whose URLs start with `base_url`, that remembers in `storage` and issues through `issuer`.
    ///
    /// Unless told otherwise it validates by http-01, dns-01 and tls-alpn-01, keeps nonces in memory and allows whatever is
    /// proved.
    pub fn builder(
        base_url: impl Into<String>,
        storage: Arc<dyn Storage>,
        issuer: Arc<dyn Issuer>,
    ) -> AcmeBuilder {
        AcmeBuilder {
            directory: DirectoryId::default(),
            base_url: base_url.into(),
            storage,
            nonces: None,
            issuer,
            validators: Vec::new(),
            network: None,
            networks: BTreeMap::new(),
            uncorroborated: BTreeSet::new(),
            perspectives: Perspectives::default(),
            caa: None,
            policy: Arc::new(AllowAll),
            key_policy: KeyPolicy::default(),
            rate_limits: None,
            terms_changed: None,
            renewal_explanation: None,
            profiles: Profiles::default(),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            limits: Limits::default(),
            meta: DirectoryMeta::default(),
        }
    }

    /// The URLs of this directory.
    pub fn urls(&self) -> &Urls {
        &self.urls
    }

    /// The bounds of this server.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The issuer.
    pub fn issuer(&self) -> &Arc<dyn Issuer> {
        &self.issuer
    }

    /// Whether authorizations can be had ahead of orders.
    pub fn offers_new_authz(&self) -> bool {
        offers_new_authz(&self.limits)
    }

    /// The name of the network of this profile's, if it has its own.
    pub(crate) fn network_of(&self, profile: Option<&str>) -> Option<&str> {
        let profile = profile.unwrap_or(self.profiles.default_name());
        self.networks.get(profile).map(|network| network.name.as_str())
    }

    fn network_called(&self, name: &str) -> Option<&ProfileNetwork> {
        self.networks.values().find(|network| network.name == name)
    }

    /// The network of this name; nothing if there is none any more.
    pub(crate) fn network(&self, name: Option<&str>) -> Option<&Network> {
        name.map_or(Some(&self.network), |name| Some(&self.network_called(name)?.network))
    }

    /// Who else has to see what is seen through the network of this name; nobody, perhaps.
    pub(crate) fn perspectives_for(&self, network: Option<&str>) -> Option<&Perspectives> {
        let own = network.and_then(|name| self.network_called(name));
        let is_corroborated = own.is_none_or(|own| own.is_corroborated);
        (is_corroborated && !self.perspectives.is_empty()).then_some(&self.perspectives)
    }

    /// The validator of this challenge type.
    pub(crate) fn validator(&self, kind: &ChallengeType) -> Option<&Arc<dyn ChallengeValidator>> {
        self.validators.iter().find(|validator| validator.challenge_type() == *kind)
    }

    /// The validators that can prove control of this identifier.
    pub(crate) fn validators_for(
        &self,
        identifier: &Identifier,
    ) -> impl Iterator<Item = &Arc<dyn ChallengeValidator>> {
        self.validators.iter().filter(|validator| validator.offers(identifier))
    }

    /// Whether this way of proving control is allowed for this identifier now. A word needs no validator: the operator's
    /// is given for one order, and so is a policy's, which is asked again when the order is finalized.
    pub(crate) fn allows_method(&self, identifier: &Identifier, method: &ChallengeType) -> bool {
        RESERVED.contains(&method.as_str())
            || self.validator(method).is_some_and(|validator| validator.offers(identifier))
    }
}

impl AcmeBuilder {
    /// The directory's name, where one process serves several.
    pub fn with_directory(self, directory: DirectoryId) -> Self {
        Self { directory, ..self }
    }

    /// Where nonces come from. Default: [`SealedNonces`], for one process.
    pub fn with_nonces(self, nonces: Arc<dyn NonceStore>) -> Self {
        Self { nonces: Some(nonces), ..self }
    }

    /// One more way to prove control, offered after those before it. Default, if none is added:
    /// [`Http01`], [`Dns01`], [`TlsAlpn01`].
    pub fn with_validator(mut self, validator: impl ChallengeValidator) -> Self {
        self.validators.push(Arc::new(validator));
        self
    }

    /// How validators reach the outside. Default: the system's resolver and [`AddressPolicy::public`].
    pub fn with_network(self, network: Network) -> Self {
        Self { network: Some(network), ..self }
    }

    /// How validators reach the outside for orders of this profile, CAA records included. What was proved for such an order does
    /// not serve orders of profiles that are validated otherwise, nor the other way round. Other perspectives look through
    /// their own networks, as for all others. Default: as for all others.
    pub fn with_profile_network(mut self, profile: impl Into<String>, network: Network) -> Self {
        self.networks.insert(profile.into(), network);
        self
    }

    /// Has nobody else asked about orders of this profile, which has a network of its own: others may not see the inside. As
    /// any order may ask for any profile, a policy like [`OfProfile`](crate::policy::OfProfile) has to say who may have it for what,
    /// or perspectives are of no use. Default: others are asked.
    pub fn with_uncorroborated_profile(mut self, profile: impl Into<String>) -> Self {
        self.uncorroborated.insert(profile.into());
        self
    }

    /// Who else has to see what is seen through the network, CAA records included. Default: nobody.
    pub fn with_perspectives(self, perspectives: Perspectives) -> Self {
        Self { perspectives, ..self }
    }

    /// Has CAA records looked at, through the network's resolver: when a name was proved, and again before it is
    /// signed for. Default: they are not.
    pub fn with_caa(self, caa: Caa) -> Self {
        Self { caa: Some(caa), ..self }
    }

    /// Who may have what. Default: [`AllowAll`]. [`AllOf`](crate::policy::AllOf) makes one policy of several.
    pub fn with_policy(self, policy: impl Policy) -> Self {
        Self { policy: Arc::new(policy), ..self }
    }

    /// Which keys are good enough.
    pub fn with_key_policy(self, key_policy: KeyPolicy) -> Self {
        Self { key_policy, ..self }
    }

    /// Rate limits, and where they are counted. Default: none.
    pub fn with_rate_limits(self, store: Arc<dyn RateLimitStore>, limits: RateLimits) -> Self {
        Self { rate_limits: Some((store, limits)), ..self }
    }

    /// When the terms of service last changed: accounts that agreed before that have to agree again, from then on. RFC 8555
    /// 7.3.3.
    pub fn with_terms_changed(self, at: Timestamp) -> Self {
        Self { terms_changed: Some(at), ..self }
    }

    /// A page that tells why certificates were revoked, for clients that ask when to renew. RFC 9773 4.2.
    pub fn with_renewal_explanation(self, url: impl Into<String>) -> Self {
        Self { renewal_explanation: Some(url.into()), ..self }
    }

    /// Which kinds of certificates there are.
    pub fn with_profiles(self, profiles: Profiles) -> Self {
        Self { profiles, ..self }
    }

    /// What time it is. Default: [`SystemClock`].
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Where random bits come from. Default: [`SystemEntropy`].
    pub fn with_entropy(self, entropy: Arc<dyn Entropy>) -> Self {
        Self { entropy, ..self }
    }

    /// The bounds.
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// What the directory says about the server. If it names terms of service, new accounts must agree to them.
    pub fn with_meta(self, meta: DirectoryMeta) -> Self {
        Self { meta, ..self }
    }

    /// The server. It does no work that outlives a request until [`Acme::run_jobs`] runs.
    ///
    /// # Errors
    ///
    /// [`BuildError`].
    pub fn build(self) -> Result<Arc<Acme>, BuildError> {
        let urls = Urls::new(&self.base_url)?;
        self.limits.check()?;
        let mut validators = self.validators;
        if validators.is_empty() {
            validators = vec![Arc::new(Http01), Arc::new(Dns01), Arc::new(TlsAlpn01)];
        }
        for (at, validator) in validators.iter().enumerate() {
            let kind = validator.challenge_type();
            if RESERVED.contains(&kind.as_str()) {
                return Err(BuildError::ReservedType(kind));
            }
            if validators.iter().skip(at + 1).any(|other| other.challenge_type() == kind) {
                return Err(BuildError::TwoValidators(kind));
            }
        }
        if let Some(name) = self.networks.keys().find(|name| self.profiles.find(Some(name)).is_err()) {
            return Err(BuildError::NoSuchProfile(name.clone()));
        }
        if let Some(name) = self.uncorroborated.iter().find(|name| !self.networks.contains_key(*name)) {
            return Err(BuildError::NoNetworkOfItsOwn(name.clone()));
        }
        if let Some(name) = self.perspectives.twice() {
            return Err(BuildError::TwoPerspectives(name.to_owned()));
        }
        let network = match self.network {
            Some(network) => network,
            None => system_network(&self.limits)
                .map_err(|e| BuildError::Part { doing: "reading the system's resolver", source: e.into() })?,
        };
        let nonces = match self.nonces {
            Some(nonces) => nonces,
            None => {
                let nonces =
                    SealedNonces::with_window(self.limits.nonce_lifetime, self.limits.nonce_window as usize);
                Arc::new(
                    nonces
                        .map_err(|e| BuildError::Part { doing: "making the nonce key", source: e.into() })?,
                )
            }
        };
        let networks = self.networks.into_iter().map(|(profile, network)| {
            let is_corroborated = !self.uncorroborated.contains(&profile);
            let network = ProfileNetwork::new(&profile, network, is_corroborated);
            (profile, network)
        });
        let networks = networks.collect();
        let meta = DirectoryMeta { profiles: advertised(&self.profiles), ..self.meta };
        let (store, rate_limits) =
            self.rate_limits.unwrap_or_else(|| (Arc::new(MemoryStorage::new()), RateLimits::default()));
        let rate_limiter = RateLimiter::new(store, self.directory.clone(), rate_limits);
        let offers_new_authz = offers_new_authz(&self.limits);
        let directory_reply = Reply::json(200, &directory(&urls, &meta, offers_new_authz))
            .map_err(|e| BuildError::Part { doing: "writing the directory", source: e.into() })?;
        Ok(Arc::new(Acme {
            directory: self.directory,
            storage: self.storage,
            nonces,
            issuer: self.issuer,
            validators,
            network,
            networks,
            perspectives: self.perspectives,
            caa: self.caa,
            policy: self.policy,
            key_policy: self.key_policy,
            rate_limiter,
            terms_changed: self.terms_changed,
            renewal_explanation: self.renewal_explanation,
            profiles: self.profiles,
            clock: self.clock,
            entropy: self.entropy,
            keys: KeyCache::new(self.limits.cached_keys as usize),
            workshop: Workshop::new(&self.limits),
            unavailable: Outage::default(),
            no_nonces: Outage::default(),
            limits: self.limits,
            meta,
            directory_reply,
            urls,
        }))
    }
}

/// The Internet as the system resolves it, at a safe distance from the inside.
fn system_network(limits: &Limits) -> Result<Network, InvalidServers> {
    let resolver = Arc::new(DnsResolver::of_system()?);
    let limits = NetworkLimits { attempt_deadline: limits.validation_time, ..NetworkLimits::default() };
    Ok(Network::new(resolver, AddressPolicy::public(), limits))
}

/// The directory object. RFC 8555 section 7.1.1. It names what is served, and nothing else.
fn directory(urls: &Urls, meta: &DirectoryMeta, offers_new_authz: bool) -> Directory {
    Directory {
        new_nonce: urls.at(path::NEW_NONCE),
        new_account: urls.at(path::NEW_ACCOUNT),
        new_order: urls.at(path::NEW_ORDER),
        new_authz: offers_new_authz.then(|| urls.at(path::NEW_AUTHZ)),
        revoke_cert: Some(urls.at(path::REVOKE_CERT)),
        key_change: Some(urls.at(path::KEY_CHANGE)),
        renewal_info: Some(urls.at(path::RENEWAL_INFO)),
        meta: (*meta != DirectoryMeta::default()).then(|| meta.clone()),
    }
}

/// Without reuse, what is authorized ahead would serve no order.
fn offers_new_authz(limits: &Limits) -> bool {
    !limits.authorization_reuse.is_zero()
}

/// The profiles as the directory shows them. draft-ietf-acme-profiles.
fn advertised(profiles: &Profiles) -> BTreeMap<String, String> {
    profiles.iter().map(|profile| (profile.name.clone(), profile.description.clone())).collect()
}
