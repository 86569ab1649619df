//! Makers of what goes into a storage. What is made of the same number is the same.

#![allow(dead_code, reason = "each test uses its own part of it")]

use std::{path::PathBuf, time::Duration};

use coyote_jose::{Jwk, base64url};
use coyote_protocol::{ChallengeType, Identifier, Timestamp, Token};
use coyote_storage::{
    Account, AccountId, Actor, Authorization, AuthorizationId, BeginIssuance, BeginValidation, Cause,
    Certificate, CertificateId, Challenge, ChallengeId, DirectoryId, ExternalAccountKey, IssuanceOutcome,
    Lease, LeaseTerms, LeaseToken, NewOrder, Order, OrderId, RequestId, Serial, Storage, ValidationOutcome,
};
use tempfile::TempDir;

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_123);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) fn file(directory: &TempDir) -> PathBuf {
    directory.path().join("coyote.db")
}

pub(crate) fn bits<const N: usize>(seed: u64) -> [u8; N] {
    let mut state = seed;
    std::array::from_fn(|_| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed >> 56) as u8
    })
}

pub(crate) fn cause(now: Timestamp) -> Cause {
    let client = Some("192.0.2.7".parse().unwrap());
    Cause { now, request: RequestId::from_bytes(bits(1)), actor: Actor::Anonymous, client }
}

pub(crate) fn key(seed: u64) -> Jwk {
    let x = base64url::encode(bits::<32>(seed));
    Jwk::parse(&format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#)).unwrap()
}

pub(crate) fn serial(seed: u64) -> Serial {
    Serial::from_random(bits(seed))
}

pub(crate) fn terms(seed: u64, expires: Timestamp) -> LeaseTerms {
    LeaseTerms { token: LeaseToken::from_bytes(bits(seed)), expires }
}

pub(crate) fn account(seed: u64) -> Account {
    Account {
        id: AccountId::from_bytes(bits(seed)),
        directory: DirectoryId::default(),
        key: key(seed),
        contact: vec!["mailto:someone@example.org".into()],
        terms_of_service_agreed: None,
        external_account: None,
        created: NOW,
        deactivated: None,
        revoked: None,
    }
}

pub(crate) fn external_account_key(kid: &str) -> ExternalAccountKey {
    ExternalAccountKey {
        kid: kid.to_owned(),
        directory: DirectoryId::default(),
        secret: vec![7; 32],
        comment: "web team".into(),
        created: NOW,
        expires: None,
        most_accounts: Some(10),
        accounts: 0,
        domains: Vec::new(),
        revoked: None,
    }
}

/// The ids of an order's authorizations and their challenges follow from the order's seed.
pub(crate) fn order(seed: u64, account: AccountId, identifiers: &[Identifier]) -> Order {
    let numbered = (1000 * (seed + 1)..).step_by(10).zip(identifiers);
    Order {
        id: OrderId::from_bytes(bits(seed)),
        account,
        identifiers: identifiers.to_vec(),
        profile: None,
        not_before: None,
        not_after: None,
        replaces: None,
        created: NOW,
        expires: NOW + 7 * DAY,
        authorizations: numbered.map(|(seed, name)| authorization(seed, account, name)).collect(),
        issuance: None,
        certificate: None,
        error: None,
    }
}

/// The order as it is placed by an account that may have as many open as it likes.
pub(crate) fn placing(order: Order, reused: impl Into<Vec<AuthorizationId>>) -> NewOrder {
    NewOrder { order, reused: reused.into(), most_open: u32::MAX }
}

pub(crate) fn authorization(seed: u64, account: AccountId, identifier: &Identifier) -> Authorization {
    let challenge = |number, kind| Challenge {
        id: ChallengeId::from_bytes(bits(seed + number)),
        kind,
        token: Token::from_bytes(&bits::<32>(seed + number)),
        began: None,
        verdict: None,
        errors: Vec::new(),
    };
    Authorization {
        id: AuthorizationId::from_bytes(bits(seed)),
        account,
        identifier: identifier.clone(),
        created: NOW,
        expires: NOW + 7 * DAY,
        challenges: vec![challenge(1, ChallengeType::HTTP_01), challenge(2, ChallengeType::DNS_01)],
        deactivated: None,
        revoked: None,
    }
}

pub(crate) fn certificate(seed: u64, order: OrderId, account: AccountId, serial: Serial) -> Certificate {
    Certificate {
        id: CertificateId::from_bytes(bits(seed)),
        account,
        order,
        serial,
        not_before: NOW - MINUTE,
        not_after: NOW + 90 * DAY,
        chain: "-----BEGIN CERTIFICATE-----\n".repeat(50),
        alternates: vec!["-----BEGIN CERTIFICATE-----\nanother\n".into()],
        issued: NOW,
        revocation: None,
        replaced_by: None,
    }
}

pub(crate) fn dns(name: &str) -> Identifier {
    Identifier::parse("dns", name).unwrap()
}

pub(crate) fn copy(lease: &Lease) -> Lease {
    Lease { job: lease.job, work: lease.work.clone(), attempts: lease.attempts, terms: lease.terms }
}

/// An account that has the certificate of this seed, in the five steps of an issuance.
pub(crate) async fn issue(storage: &dyn Storage, seed: u64, account: &Account) -> Certificate {
    let cause = cause(NOW);
    let new = order(seed, account.id, &[dns(&format!("{seed}.example.org"))]);
    let order = storage.create_order(placing(new, []), &cause).await.unwrap();
    for authorization in &order.authorizations {
        validate(storage, seed, authorization).await;
    }
    let begin = BeginIssuance {
        account: account.id,
        order: order.id,
        csr: vec![0x30; 300],
        serial: serial(seed),
        lease: Some(terms(seed, NOW + MINUTE)),
    };
    let begun = storage.begin_issuance(begin, &cause).await.unwrap();
    let certificate = certificate(seed, order.id, account.id, serial(seed));
    let outcome = IssuanceOutcome::Issued(Box::new(certificate.clone()));
    storage.finish_issuance(begun.lease.unwrap(), outcome, &cause).await.unwrap();
    certificate
}

pub(crate) async fn validate(storage: &dyn Storage, seed: u64, authorization: &Authorization) {
    let begin = BeginValidation {
        account: authorization.account,
        authorization: authorization.id,
        challenge: authorization.challenges[0].id,
        lease: Some(terms(seed, NOW + MINUTE)),
    };
    let begun = storage.begin_validation(begin, &cause(NOW)).await.unwrap();
    let outcome = ValidationOutcome::Valid { expires: NOW + 30 * DAY };
    storage.finish_validation(begun.lease.unwrap(), outcome, &cause(NOW)).await.unwrap();
}
