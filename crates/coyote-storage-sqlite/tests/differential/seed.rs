//! The ids and records that small numbers stand for.

use coyote_protocol::{Identifier, Problem, ProblemType, Timestamp};
use coyote_storage::{
    AccountId, AuthorizationId, BeginIssuance, CertificateId, ChallengeId, DirectoryId, IssuanceOutcome,
    Lease, LeaseTerms, OrderId, Work,
};

use crate::common::{DAY, bits, certificate, dns, order, serial};

pub(crate) const ACCOUNTS: u64 = 3;
/// Of the accounts, those that there are from the beginning.
pub(crate) const OWNERS: u64 = 2;
pub(crate) const ORDERS: u64 = 5;
pub(crate) const SERIALS: u64 = 6;
pub(crate) const CERTIFICATES: u64 = 4;
pub(crate) const NAMES: [&str; 3] = ["a.test", "*.a.test", "b.test"];

/// Whose an order is, unless it is said to be another's.
pub(crate) fn owner(order: u64, other: Option<u64>) -> u64 {
    other.unwrap_or(order % OWNERS)
}

pub(crate) fn directory_id(seed: u64) -> DirectoryId {
    DirectoryId::new(format!("directory {seed}"))
}

pub(crate) fn account_id(seed: u64) -> AccountId {
    AccountId::from_bytes(bits(seed))
}

pub(crate) fn order_id(seed: u64) -> OrderId {
    OrderId::from_bytes(bits(seed))
}

pub(crate) fn authorization_id(order: u64, name: u64) -> AuthorizationId {
    AuthorizationId::from_bytes(bits(1000 * (order + 1) + 10 * name))
}

pub(crate) fn challenge_id(order: u64, name: u64, challenge: u64) -> ChallengeId {
    ChallengeId::from_bytes(bits(1000 * (order + 1) + 10 * name + challenge))
}

pub(crate) fn certificate_id(seed: u64) -> CertificateId {
    CertificateId::from_bytes(bits(seed))
}

pub(crate) fn identifiers(names: &[usize]) -> Vec<Identifier> {
    names.iter().map(|name| dns(NAMES[*name])).collect()
}

pub(crate) fn new_order(id: u64, account: u64, names: &[usize], now: Timestamp) -> coyote_storage::Order {
    let mut new = order(id, account_id(account), &identifiers(names));
    new.created = now;
    new.expires = now + 7 * DAY;
    for authorization in &mut new.authorizations {
        authorization.created = now;
        authorization.expires = now + 7 * DAY;
    }
    new
}

pub(crate) fn begin_issuance(
    order: u64,
    account: u64,
    seed: u64,
    lease: Option<LeaseTerms>,
) -> BeginIssuance {
    let csr = bits::<20>(seed).to_vec();
    BeginIssuance { account: account_id(account), order: order_id(order), csr, serial: serial(seed), lease }
}

/// A certificate for what the lease is on.
pub(crate) fn issued(id: u64, lease: &Lease, seed: u64) -> IssuanceOutcome {
    let (account, order) = match lease.work {
        Work::Issue { account, order } => (account, order),
        Work::Validate { account, .. } => (account, order_id(0)),
    };
    IssuanceOutcome::Issued(Box::new(certificate(id, order, account, serial(seed))))
}

pub(crate) fn problem() -> Problem {
    Problem::new(ProblemType::Connection, "nobody is there")
}
