#![doc = include_str!("../README.md")]

mod accept;
mod acme;
mod clock;
mod entropy;
mod error;
#[cfg(feature = "actix")]
pub mod http;
pub mod issue;
mod limits;
mod outage;
pub mod policy;
mod post;
mod reply;
mod service;
pub mod trace;
mod url;
pub mod validate;
mod work;

pub use acme::{Acme, AcmeBuilder, BuildError};
pub use clock::{Clock, SystemClock};
pub use coyote_jose as jose;
pub use coyote_protocol as protocol;
pub use coyote_storage as storage;
pub use entropy::{Entropy, NoEntropy, SystemEntropy};
pub use error::{Error, Result};
pub use limits::{Bound, InvalidLimit, Limits};
pub use reply::{Body, Reply, Response};
pub use service::{
    external_account::ExternalAccountGrant,
    own_certificate::OwnCertificate,
    request::{Authenticated, Request},
    would_issue::{Enquiry, Explanation, IdentifierExplanation, Objection, Objector, Reused},
};
pub use url::{InvalidBaseUrl, Urls, path};
