//! Answers, without any HTTP library's types.

use std::time::Duration;

use coyote_protocol::{Nonce, PEM_CERTIFICATE_CHAIN, PKIX_CERT, PROBLEM_JSON, Problem};
use serde::Serialize;

use crate::{
    error::{Error, Result},
    policy::RateLimitFields,
};

/// What an operation answers when all went well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The `Location` header.
    pub location: Option<String>,
    /// `Link` headers: target and relation.
    pub links: Vec<(String, &'static str)>,
    /// The `Retry-After` header.
    pub retry_after: Option<Duration>,
    /// The `RateLimit` header fields.
    pub rate_limit: Option<RateLimitFields>,
    /// The body.
    pub body: Body,
}

/// A body, with its media type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// None.
    Empty,
    /// `application/json`.
    Json(Vec<u8>),
    /// `application/problem+json`.
    Problem(Vec<u8>),
    /// `application/pem-certificate-chain`.
    Chain(String),
    /// `application/pkix-cert`.
    Certificate(Vec<u8>),
}

/// A finished answer: what an adapter writes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The answer proper.
    pub reply: Reply,
    /// The `Replay-Nonce` header. RFC 8555 section 6.5.1.
    pub nonce: Option<Nonce>,
}

impl Reply {
    /// An answer with this status and no body.
    pub fn empty(status: u16) -> Self {
        Self {
            status,
            location: None,
            links: Vec::new(),
            retry_after: None,
            rate_limit: None,
            body: Body::Empty,
        }
    }

    /// An answer with this status and this JSON object.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] if the object cannot be written as JSON.
    pub fn json(status: u16, object: &impl Serialize) -> Result<Self> {
        let json = serde_json::to_vec(object).map_err(|e| Error::internal("writing an answer as JSON", e))?;
        Ok(Self { body: Body::Json(json), ..Self::empty(status) })
    }

    /// A certificate chain.
    pub fn chain(pem: String) -> Self {
        Self { body: Body::Chain(pem), ..Self::empty(200) }
    }

    /// One certificate, as DER.
    pub fn certificate(der: Vec<u8>) -> Self {
        Self { body: Body::Certificate(der), ..Self::empty(200) }
    }

    /// A problem document, with its own status.
    pub fn problem(problem: &Problem) -> Self {
        let json = serde_json::to_vec(problem).unwrap_or_default();
        Self { body: Body::Problem(json), ..Self::empty(problem.status) }
    }

    /// With a `Location`.
    pub fn with_location(self, url: String) -> Self {
        Self { location: Some(url), ..self }
    }

    /// With a `Link`.
    pub fn with_link(mut self, url: String, relation: &'static str) -> Self {
        self.links.push((url, relation));
        self
    }

    /// With a `Retry-After`, if there is something to wait for.
    pub fn with_retry_after(self, wait: Option<Duration>) -> Self {
        Self { retry_after: wait, ..self }
    }

    /// With `RateLimit` header fields, if something was counted.
    pub fn with_rate_limit(self, fields: Option<RateLimitFields>) -> Self {
        Self { rate_limit: fields, ..self }
    }

    /// The value of the `Retry-After` header: whole seconds, never a date, which some clients cannot read.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after.map(|wait| wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX).max(1))
    }
}

impl Body {
    /// The media type.
    pub fn media_type(&self) -> Option<&'static str> {
        match self {
            Self::Empty => None,
            Self::Json(_) => Some("application/json"),
            Self::Problem(_) => Some(PROBLEM_JSON),
            Self::Chain(_) => Some(PEM_CERTIFICATE_CHAIN),
            Self::Certificate(_) => Some(PKIX_CERT),
        }
    }

    /// The octets.
    pub fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Empty => Vec::new(),
            Self::Json(bytes) | Self::Problem(bytes) | Self::Certificate(bytes) => bytes,
            Self::Chain(pem) => pem.into_bytes(),
        }
    }
}
