//! Problem documents: how ACME says no. RFC 8555 section 6.7, RFC 9457.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::RawIdentifier;

/// The media type of a problem document. RFC 9457 section 6.1.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// The `type` of a problem that says no more than its HTTP status does. RFC 9457 section 4.2.1.
const ABOUT_BLANK: &str = "about:blank";

/// Defines [`ProblemType`]: each ACME error type once, with its wire name and default HTTP status.
macro_rules! problem_types {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $status:literal;)*) => {
        /// An error type of the IANA registry "ACME Error Types".
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[non_exhaustive]
        pub enum ProblemType {
            $($(#[$doc])* $variant,)*
            /// None of ACME's: [`Problem::other_type`] has the URI.
            Other,
        }

        impl ProblemType {
            /// Every ACME error type, [`Other`](Self::Other) not being one.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name, as it ends the URN: `badNonce`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Other => ABOUT_BLANK,
                }
            }

            /// The `type` of the problem document: `urn:ietf:params:acme:error:badNonce`.
            pub const fn urn(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!("urn:ietf:params:acme:error:", $name),)*
                    Self::Other => ABOUT_BLANK,
                }
            }

            /// The HTTP status that goes with this type unless something else is known.
            pub const fn status(self) -> u16 {
                match self {
                    $(Self::$variant => $status,)*
                    Self::Other => 500,
                }
            }
        }

        /// Reads the URN.
        impl FromStr for ProblemType {
            type Err = UnknownProblemType;

            fn from_str(urn: &str) -> Result<Self, Self::Err> {
                match urn {
                    $(concat!("urn:ietf:params:acme:error:", $name) => Ok(Self::$variant),)*
                    _ => Err(UnknownProblemType),
                }
            }
        }
    };
}

problem_types! {
    // RFC 8555 section 6.7
    /// The request named an account that does not exist.
    AccountDoesNotExist = "accountDoesNotExist", 400;
    /// The certificate to be revoked has been revoked already.
    AlreadyRevoked = "alreadyRevoked", 400;
    /// The CSR is unacceptable.
    BadCsr = "badCSR", 400;
    /// The anti-replay nonce is unacceptable; the answer carries a fresh one.
    BadNonce = "badNonce", 400;
    /// The JWS was signed by a key that the server does not support.
    BadPublicKey = "badPublicKey", 400;
    /// The server does not allow this reason for a revocation.
    BadRevocationReason = "badRevocationReason", 400;
    /// The JWS was signed with an algorithm that the server does not support; the answer lists those it does.
    BadSignatureAlgorithm = "badSignatureAlgorithm", 400;
    /// CAA records forbid the CA to issue.
    Caa = "caa", 403;
    /// Several things are wrong; the subproblems say which.
    Compound = "compound", 400;
    /// The server could not connect to the validation target.
    Connection = "connection", 400;
    /// A DNS query failed during validation.
    Dns = "dns", 400;
    /// The request lacks the external account binding that the server demands.
    ExternalAccountRequired = "externalAccountRequired", 403;
    /// The response to the challenge is not the expected one.
    IncorrectResponse = "incorrectResponse", 403;
    /// A contact URL is invalid.
    InvalidContact = "invalidContact", 400;
    /// The request is malformed.
    Malformed = "malformed", 400;
    /// The order to be finalized is not ready for it.
    OrderNotReady = "orderNotReady", 403;
    /// The request exceeds a rate limit.
    RateLimited = "rateLimited", 429;
    /// The server will not issue for the identifier.
    RejectedIdentifier = "rejectedIdentifier", 400;
    /// The server failed.
    ServerInternal = "serverInternal", 500;
    /// The validation target failed at TLS.
    Tls = "tls", 400;
    /// The client may not do this.
    Unauthorized = "unauthorized", 403;
    /// A contact URL has a scheme that the server does not support.
    UnsupportedContact = "unsupportedContact", 400;
    /// The server knows no identifiers of this type.
    UnsupportedIdentifier = "unsupportedIdentifier", 400;
    /// A human has to visit the `instance` URL.
    UserActionRequired = "userActionRequired", 403;

    // RFC 8739 section 3.6
    /// The certificate is no longer renewed, because its order has been canceled.
    AutoRenewalCanceled = "autoRenewalCanceled", 403;
    /// The certificate is no longer renewed, because its order has expired.
    AutoRenewalExpired = "autoRenewalExpired", 403;
    /// The order cannot be canceled in the state it is in.
    AutoRenewalCancellationInvalid = "autoRenewalCancellationInvalid", 400;
    /// Certificates that renew themselves cannot be revoked.
    AutoRenewalRevocationNotSupported = "autoRenewalRevocationNotSupported", 403;

    // RFC 9115 section 2.3
    /// The order names a delegation that the server does not know.
    UnknownDelegation = "unknownDelegation", 403;

    // RFC 9773 section 7.4
    /// The certificate that the order says it replaces has been replaced already.
    AlreadyReplaced = "alreadyReplaced", 409;

    // RFC 9799 section 6.4
    /// The server takes the CAA records of a hidden service from the client only, and got none.
    OnionCaaRequired = "onionCAARequired", 403;

    // draft-ietf-acme-profiles
    /// The order asks for a profile that the server does not offer.
    InvalidProfile = "invalidProfile", 400;

    // draft-ietf-acme-device-attest
    /// The attestation statement is unacceptable.
    BadAttestationStatement = "badAttestationStatement", 400;
}

/// The URN.
impl fmt::Display for ProblemType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.urn())
    }
}

/// The text is not the URN of an ACME error type.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not the URN of an ACME error type")]
pub struct UnknownProblemType;

/// A problem document.
///
/// All of it is told to the client. Reading is lenient, as RFC 9457 wants it: a type that is none of
/// ACME's is kept as text, and what is missing is filled in from the type.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(from = "Document", into = "Document")]
pub struct Problem {
    /// What kind of problem this is.
    pub kind: ProblemType,
    /// The `type` URI, if `kind` is [`ProblemType::Other`]; none then stands for `about:blank`.
    pub other_type: Option<String>,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong, for a human.
    pub detail: String,
    /// The parts of a problem that has several. RFC 8555 section 6.7.1.
    pub subproblems: Vec<Subproblem>,
    /// A URL for this very occurrence: what [`ProblemType::UserActionRequired`] wants visited.
    pub instance: Option<String>,
    /// The signature algorithms that the server does support. RFC 8555 section 6.2.
    pub algorithms: Vec<String>,
}

impl Problem {
    /// A problem of this kind, with the kind's own HTTP status.
    pub fn new(kind: ProblemType, detail: impl Into<String>) -> Self {
        Self {
            kind,
            other_type: None,
            status: kind.status(),
            detail: detail.into(),
            subproblems: Vec::new(),
            instance: None,
            algorithms: Vec::new(),
        }
    }

    /// A problem whose type is none of ACME's.
    pub fn other(type_uri: impl Into<String>, status: u16, detail: impl Into<String>) -> Self {
        let other_type = Some(type_uri.into());
        Self { other_type, status, ..Self::new(ProblemType::Other, detail) }
    }

    /// One problem made of several: of their kind if they share one, else [`ProblemType::Compound`].
    /// RFC 8555 section 6.7.1.
    pub fn of_subproblems(detail: impl Into<String>, subproblems: Vec<Subproblem>) -> Self {
        let mut kinds = subproblems.iter().map(|subproblem| subproblem.kind);
        let kind = match kinds.next() {
            Some(first) if kinds.all(|kind| kind == first) => first,
            _ => ProblemType::Compound,
        };
        Self { subproblems, ..Self::new(kind, detail) }
    }

    /// The `type` member.
    pub fn type_uri(&self) -> &str {
        self.other_type.as_deref().unwrap_or(self.kind.urn())
    }

    /// With another HTTP status than the kind's own.
    #[must_use]
    pub fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// With one more part.
    #[must_use]
    pub fn with_subproblem(mut self, subproblem: Subproblem) -> Self {
        self.subproblems.push(subproblem);
        self
    }

    /// With the list of supported signature algorithms.
    #[must_use]
    pub fn with_algorithms<T: Into<String>>(self, algorithms: impl IntoIterator<Item = T>) -> Self {
        Self { algorithms: algorithms.into_iter().map(Into::into).collect(), ..self }
    }

    /// With a URL for this very occurrence.
    #[must_use]
    pub fn with_instance(self, instance: impl Into<String>) -> Self {
        Self { instance: Some(instance.into()), ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.other_type.as_deref().unwrap_or(self.kind.name());
        write!(f, "{name}: {}", self.detail)
    }
}

impl std::error::Error for Problem {}

/// One part of a problem. RFC 8555 section 6.7.1.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(from = "Document", into = "Document")]
pub struct Subproblem {
    /// What kind of problem this is.
    pub kind: ProblemType,
    /// The `type` URI, if `kind` is [`ProblemType::Other`]; none then stands for `about:blank`.
    pub other_type: Option<String>,
    /// What went wrong, for a human.
    pub detail: String,
    /// What it went wrong with, as the client spelled it: it need not be a valid identifier. Only
    /// subproblems have one; RFC 8555 forbids it at the top.
    pub identifier: Option<RawIdentifier>,
}

impl Subproblem {
    /// A part of this kind.
    pub fn new(kind: ProblemType, detail: impl Into<String>) -> Self {
        Self { kind, other_type: None, detail: detail.into(), identifier: None }
    }

    /// With the identifier that it concerns.
    #[must_use]
    pub fn with_identifier(self, identifier: impl Into<RawIdentifier>) -> Self {
        Self { identifier: Some(identifier.into()), ..self }
    }

    /// The `type` member.
    pub fn type_uri(&self) -> &str {
        self.other_type.as_deref().unwrap_or(self.kind.urn())
    }
}

/// Problems and subproblems as JSON has them.
#[derive(Deserialize, Serialize)]
struct Document {
    #[serde(rename = "type", default = "about_blank")]
    type_uri: Cow<'static, str>,
    #[serde(default)]
    detail: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    identifier: Option<RawIdentifier>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    subproblems: Vec<Subproblem>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    algorithms: Vec<String>,
}

fn about_blank() -> Cow<'static, str> {
    Cow::Borrowed(ABOUT_BLANK)
}

/// Tells ACME's types from others, which are kept as text.
fn read_type(type_uri: Cow<'static, str>) -> (ProblemType, Option<String>) {
    match type_uri.parse() {
        Ok(kind) => (kind, None),
        Err(UnknownProblemType) if type_uri == ABOUT_BLANK => (ProblemType::Other, None),
        Err(UnknownProblemType) => (ProblemType::Other, Some(type_uri.into_owned())),
    }
}

fn write_type(kind: ProblemType, other_type: Option<String>) -> Cow<'static, str> {
    other_type.map_or(Cow::Borrowed(kind.urn()), Cow::Owned)
}

impl From<Document> for Problem {
    fn from(document: Document) -> Self {
        let (kind, other_type) = read_type(document.type_uri);
        Self {
            kind,
            other_type,
            status: document.status.unwrap_or(kind.status()),
            detail: document.detail,
            subproblems: document.subproblems,
            instance: document.instance,
            algorithms: document.algorithms,
        }
    }
}

impl From<Problem> for Document {
    fn from(problem: Problem) -> Self {
        Self {
            type_uri: write_type(problem.kind, problem.other_type),
            detail: problem.detail,
            status: Some(problem.status),
            identifier: None,
            subproblems: problem.subproblems,
            instance: problem.instance,
            algorithms: problem.algorithms,
        }
    }
}

impl From<Document> for Subproblem {
    fn from(document: Document) -> Self {
        let (kind, other_type) = read_type(document.type_uri);
        Self { kind, other_type, detail: document.detail, identifier: document.identifier }
    }
}

impl From<Subproblem> for Document {
    fn from(subproblem: Subproblem) -> Self {
        Self {
            type_uri: write_type(subproblem.kind, subproblem.other_type),
            detail: subproblem.detail,
            status: None,
            identifier: subproblem.identifier,
            subproblems: Vec::new(),
            instance: None,
            algorithms: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
