#![doc = include_str!("../README.md")]

mod account;
mod authorization;
mod certificate;
mod challenge;
mod directory;
mod dns_name;
mod external_account;
mod identifier;
mod key_authorization;
mod key_change;
mod nonce;
mod order;
mod problem;
mod renewal_info;
mod revocation;
mod text;
mod timestamp;

pub use account::{Account, AccountStatus, AccountUpdate, NewAccount};
pub use authorization::{Authorization, AuthorizationStatus, AuthorizationUpdate, NewAuthorization};
pub use certificate::{CertificateChain, InvalidChain, PEM_CERTIFICATE_CHAIN, PKIX_CERT};
pub use challenge::{Challenge, ChallengeResponse, ChallengeStatus, ChallengeType, InvalidToken, Token};
pub use directory::{Directory, DirectoryMeta};
pub use dns_name::DnsName;
pub use external_account::{ExternalAccountBinding, InvalidBinding};
pub use identifier::{Identifier, IdentifierError, RawIdentifier};
pub use key_authorization::KeyAuthorization;
pub use key_change::KeyChange;
pub use nonce::{InvalidNonce, Nonce, REPLAY_NONCE};
pub use order::{Finalize, NewOrder, Order, OrderStatus, OrdersList};
pub use problem::{PROBLEM_JSON, Problem, ProblemType, Subproblem, UnknownProblemType};
pub use renewal_info::{CertificateIdentifier, InvalidCertificateIdentifier, RenewalInfo, SuggestedWindow};
pub use revocation::{RevocationReason, RevokeCertificate, UnknownReason};
pub use text::UnknownStatus;
pub use timestamp::{InvalidTimestamp, Timestamp};
