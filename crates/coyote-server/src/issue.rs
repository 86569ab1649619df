//! Issuance: from an order that may be signed to a certificate.
//!
//! There are two seams. An [`Issuer`] answers "give me a certificate": the bundled [`LocalCa`], another CA, a
//! script. A [`Signer`] answers "sign these bytes": a key file, a token, a service. `LocalCa` is an `Issuer` over
//! a `Signer`.
//!
//! A certificate is a function of the order, the public key and the profile. From the CSR come the key and the
//! check that its names are the order's, and nothing else.

use async_trait::async_trait;
use coyote_protocol::{Identifier, Problem, RevocationReason, Timestamp};
use coyote_storage::{BoxError, Certificate, ReadyOrder, Serial};

mod authority;
mod ca_error;
mod ca_files;
mod certificate;
mod chain;
mod constraints;
mod csr;
mod encoding;
mod leaf;
mod local_ca;
mod profile;
mod signer;
#[cfg(test)]
mod testing;

pub use ca_error::CaError;
pub use ca_files::{CaFiles, CaRequest};
pub use csr::Csr;
pub use local_ca::LocalCa;
pub use profile::{ExtendedKeyUsage, InvalidProfile, Profile, Profiles};
pub use signer::{KeySigner, SignatureAlgorithm, Signer, UnusableKey};

/// What an issuer is asked for.
#[derive(Debug)]
pub struct IssuanceRequest<'a> {
    /// The order, its CSR, and the serial number to sign with: proof that it may be signed.
    pub order: &'a ReadyOrder<'a>,
    /// The profile that the certificate follows.
    pub profile: &'a Profile,
    /// The time of signing.
    pub now: Timestamp,
}

/// A certificate, and the chain to a root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedCertificate {
    /// Its serial number. An issuer that chooses its own need not use the one that was reserved.
    pub serial: Serial,
    /// The first moment of its validity.
    pub not_before: Timestamp,
    /// The last moment of its validity.
    pub not_after: Timestamp,
    /// DER certificates: the leaf, then each one's issuer, without the root.
    pub chain: Vec<Vec<u8>>,
    /// Other chains for the same leaf, likewise.
    pub alternates: Vec<Vec<Vec<u8>>>,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum IssuanceFailure {
    /// There will be none: the client is told this.
    #[error("{}", .0.detail)]
    Refused(Problem),
    /// Not now: it is tried again. The client is told nothing but `processing`; the log is told this.
    #[error("the issuer failed")]
    Transient(#[source] BoxError),
}

/// Why an issuer does not know of a revocation.
#[derive(Debug, thiserror::Error)]
pub enum RevocationFailure {
    /// It will not be told: nobody tries again. The log is told why, and the audit log that it is so.
    #[error("the issuer does not take the revocation")]
    Refused(#[source] BoxError),
    /// Not now: it is told again.
    #[error("the issuer failed")]
    Transient(#[source] BoxError),
}

/// Makes certificates.
#[async_trait]
pub trait Issuer: Send + Sync + 'static {
    /// Signs a certificate for the order. It may be asked again for the same order, with another serial number,
    /// after a crash or a [`Transient`](IssuanceFailure::Transient) failure.
    async fn issue(&self, request: &IssuanceRequest<'_>) -> Result<IssuedCertificate, IssuanceFailure>;

    /// Is told that a certificate was revoked, once that is on record and the client may know. It is a job: a
    /// [`Transient`](RevocationFailure::Transient) failure and a crash have it told again, so it may be told twice.
    /// Whatever becomes of it, the record stands.
    async fn revoke(
        &self,
        certificate: &Certificate,
        reason: RevocationReason,
    ) -> Result<(), RevocationFailure>;

    /// Whether it is to be told of revocations. Default: it is. Otherwise [`revoke`](Self::revoke) is not called, and a
    /// revocation is one commit, and no job.
    fn wants_revocations(&self) -> bool {
        true
    }

    /// Whether it could certify this identifier at all; asked when an order is made. Default: it could.
    ///
    /// # Errors
    ///
    /// What the client is told, such as `rejectedIdentifier`.
    fn check_identifier(&self, _identifier: &Identifier) -> Result<(), Problem> {
        Ok(())
    }

    /// The moment that no certificate it makes is valid beyond. Default: none.
    fn not_after(&self) -> Timestamp {
        Timestamp::from_millis(i64::MAX)
    }

    /// The root certificates that clients are to trust, as DER, for `/ca/root.pem`. Empty if it does not say.
    fn roots(&self) -> Vec<Vec<u8>>;
}
