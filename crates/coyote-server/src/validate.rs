//! Validation: does whoever holds this account control this name?
//!
//! A challenge type is one [`ChallengeValidator`]. Built in are [`Http01`], [`Dns01`] and [`TlsAlpn01`], and of
//! what is still a draft [`DnsAccount01`] and [`DnsPersist01`]; the builder is told which of them are offered, and of an
//! embedder's own. Whatever a validator asks of strangers goes through
//! [`Network`], the one place that resolves names and opens sockets, and that refuses addresses that the
//! [`AddressPolicy`] forbids. [`Caa`] is what the holders of names say about CAs. [`Perspectives`] look from other
//! places, too.

use std::sync::Arc;

use async_trait::async_trait;
use coyote_protocol::{ChallengeType, Identifier, KeyAuthorization, Problem, ProblemType, Timestamp, Token};
use serde_json::{Map, Value};

use crate::trace::Trace;

mod address_policy;
mod caa;
pub mod danger;
mod dns_01;
mod dns_account_01;
mod dns_persist_01;
mod http_01;
mod network;
mod perspective;
mod resolver;
mod tls;
mod tls_alpn_01;
mod told;

pub use address_policy::{AddressPolicy, Cidr, InvalidCidr, Refusal, Rule};
pub use caa::{Caa, CaaRecord, CaaSubject};
pub use dns_01::Dns01;
pub use dns_account_01::DnsAccount01;
pub use dns_persist_01::{DnsPersist01, DnsPersistDraft, DnsPersistRecord};
pub use http_01::Http01;
pub use network::{ConnectError, Host, InvalidUserAgent, Network, NetworkLimits, UserAgent};
pub use perspective::{
    CaaQuestion, CaaTask, ChallengeTask, Evidence, InvalidQuorum, InvalidRemote, Perspective, Perspectives,
    RemotePerspective, RemoteSettings, Seen, Task, Vantage, answer as answer_task,
};
pub use resolver::{
    Authorities, DnsResolver, Dnssec, FixedResolver, InvalidNameServer, InvalidServers, NameServer,
    ResolveError, Resolver, ZoneResolver,
};
pub use tls_alpn_01::TlsAlpn01;

/// One attempt to validate a challenge.
#[derive(Debug)]
pub struct Attempt<'a> {
    /// The URL of the account that asks.
    pub account_url: &'a str,
    /// The name to be proved. For a wildcard, the name without `*.`, with `wildcard` set.
    pub identifier: &'a Identifier,
    /// Whether the proof is to cover all names one label below the identifier.
    pub wildcard: bool,
    /// The challenge's token.
    pub token: &'a Token,
    /// What the answer must contain. RFC 8555 8.1.
    pub key_authorization: &'a KeyAuthorization,
    /// The way to the outside.
    pub network: &'a Network,
    /// When the attempt began.
    pub now: Timestamp,
    /// Where each step is told, for the operator.
    pub trace: &'a Trace,
}

/// Why an attempt did not prove anything. The problem is what the client is told: one sentence, safe to tell.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ValidationFailure {
    /// The answer was seen and is wrong; asking again would not help.
    #[error("{0}")]
    Definitive(Problem),
    /// The answer was not seen; it may be there in a moment.
    #[error("{0}; it may be tried again")]
    Transient(Problem),
}

impl ValidationFailure {
    /// A failure that trying again would not change.
    pub fn definitive(kind: ProblemType, detail: impl Into<String>) -> Self {
        Self::Definitive(Problem::new(kind, detail))
    }

    /// A failure that may be over in a moment.
    pub fn transient(kind: ProblemType, detail: impl Into<String>) -> Self {
        Self::Transient(Problem::new(kind, detail))
    }

    /// What the client is told.
    pub fn problem(&self) -> &Problem {
        match self {
            Self::Definitive(problem) | Self::Transient(problem) => problem,
        }
    }
}

/// A way to prove control of an identifier.
#[async_trait]
pub trait ChallengeValidator: Send + Sync + 'static {
    /// The challenge type that it validates.
    fn challenge_type(&self) -> ChallengeType;

    /// Whether it can prove control of this identifier. It is asked when challenges are offered, and again, at the
    /// moment of signing, whether the method is allowed for the name: one that is switched off ends what it proved.
    fn offers(&self, identifier: &Identifier) -> bool;

    /// Whether its challenges have a token for the client. Default: they have.
    fn has_token(&self) -> bool {
        true
    }

    /// What else its challenges have, for this account, beside the members of every challenge. Default: nothing.
    fn members(&self, _account_url: &str) -> Map<String, Value> {
        Map::new()
    }

    /// Looks for the answer. The caller bounds the time that it may take.
    async fn validate(&self, attempt: Attempt<'_>) -> Result<(), ValidationFailure>;
}

/// The same one, shared.
#[async_trait]
impl<V: ChallengeValidator + ?Sized> ChallengeValidator for Arc<V> {
    fn challenge_type(&self) -> ChallengeType {
        (**self).challenge_type()
    }

    fn offers(&self, identifier: &Identifier) -> bool {
        (**self).offers(identifier)
    }

    fn has_token(&self) -> bool {
        (**self).has_token()
    }

    fn members(&self, account_url: &str) -> Map<String, Value> {
        (**self).members(account_url)
    }

    async fn validate(&self, attempt: Attempt<'_>) -> Result<(), ValidationFailure> {
        (**self).validate(attempt).await
    }
}

#[cfg(test)]
mod testing;
