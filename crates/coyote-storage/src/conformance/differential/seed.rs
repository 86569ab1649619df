//! The ids and records that small numbers stand for.

use coyote_protocol::{DnsName, Identifier, Problem, ProblemType, Timestamp};

use super::super::seeded::{DAY, NOW, authorization, bits, certificate, dns, order, serial};
use crate::{
    AccountId, Authorization, AuthorizationId, BeginIssuance, CertificateId, ChallengeId, DirectoryId,
    ExternalAccount, ExternalAccountKey, IssuanceOutcome, Lease, LeaseTerms, OrderId, Work,
};

pub(super) const ACCOUNTS: u64 = 3;
/// Of the accounts, those that there are from the beginning.
pub(super) const OWNERS: u64 = 2;
pub(super) const ORDERS: u64 = 5;
pub(super) const SERIALS: u64 = 6;
pub(super) const CERTIFICATES: u64 = 4;
pub(super) const KIDS: u64 = 3;
pub(super) const NAMES: [&str; 3] = ["a.test", "*.a.test", "b.test"];

/// Whose an order is, unless it is said to be another's.
pub(super) fn owner(order: u64, other: Option<u64>) -> u64 {
    other.unwrap_or(order % OWNERS)
}

pub(super) fn directory_id(seed: u64) -> DirectoryId {
    DirectoryId::new(format!("directory {seed}"))
}

pub(super) fn account_id(seed: u64) -> AccountId {
    AccountId::from_bytes(bits(seed))
}

pub(super) fn order_id(seed: u64) -> OrderId {
    OrderId::from_bytes(bits(seed))
}

fn authorization_seed(order: u64, name: u64) -> u64 {
    1000 * (order + 1) + 10 * name
}

pub(super) fn authorization_id(order: u64, name: u64) -> AuthorizationId {
    AuthorizationId::from_bytes(bits(authorization_seed(order, name)))
}

pub(super) fn challenge_id(order: u64, name: u64, challenge: u64) -> ChallengeId {
    ChallengeId::from_bytes(bits(authorization_seed(order, name) + challenge))
}

pub(super) fn certificate_id(seed: u64) -> CertificateId {
    CertificateId::from_bytes(bits(seed))
}

pub(super) fn identifiers(names: &[usize]) -> Vec<Identifier> {
    names.iter().map(|name| dns(NAMES[*name])).collect()
}

pub(super) fn new_order(id: u64, account: u64, names: &[usize], now: Timestamp) -> crate::Order {
    let mut new = order(id, account_id(account), &identifiers(names));
    new.created = now;
    new.expires = now + 7 * DAY;
    for authorization in &mut new.authorizations {
        authorization.created = now;
        authorization.expires = now + 7 * DAY;
    }
    new
}

/// A key that can be used for so many accounts, and so many days.
pub(super) fn external_account_key(
    kid: u64,
    directory: u64,
    most_accounts: Option<u32>,
    expires: Option<Timestamp>,
) -> ExternalAccountKey {
    ExternalAccountKey {
        kid: kid.to_string(),
        directory: directory_id(directory),
        secret: bits::<32>(10 * directory + kid).to_vec(),
        comment: format!("team {kid}"),
        created: NOW,
        expires,
        most_accounts,
        accounts: 0,
        domains: vec![DnsName::parse("a.test").unwrap()],
        revoked: None,
    }
}

pub(super) fn external_account(kid: u64) -> ExternalAccount {
    ExternalAccount { kid: kid.to_string(), binding: serde_json::json!({ "signature": "AA" }) }
}

/// The id that an order of this number would give to this authorization.
pub(super) fn new_authorization(
    order: u64,
    name: u64,
    account: u64,
    identifier: usize,
    now: Timestamp,
) -> Authorization {
    let seed = authorization_seed(order, name);
    let new = authorization(seed, account_id(account), &dns(NAMES[identifier]));
    Authorization { created: now, expires: now + 7 * DAY, ..new }
}

pub(super) fn begin_issuance(
    order: u64,
    account: u64,
    seed: u64,
    lease: Option<LeaseTerms>,
) -> BeginIssuance {
    let csr = bits::<20>(seed).to_vec();
    BeginIssuance { account: account_id(account), order: order_id(order), csr, serial: serial(seed), lease }
}

/// A certificate for what the lease is on.
pub(super) fn issued(id: u64, lease: &Lease, seed: u64) -> IssuanceOutcome {
    let (account, order) = match lease.work {
        Work::Issue { account, order } => (account, order),
        Work::Validate { account, .. } | Work::Revoke { account, .. } => (account, order_id(0)),
    };
    IssuanceOutcome::Issued(Box::new(certificate(id, order, account, serial(seed))))
}

pub(super) fn problem() -> Problem {
    Problem::new(ProblemType::Connection, "nobody is there")
}
