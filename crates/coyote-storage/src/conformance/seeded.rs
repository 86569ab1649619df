//! Makers of what goes into a storage. What is made of the same number is the same.

use std::sync::Arc;
use std::time::Duration;

use coyote_jose::{Jwk, base64url};
use coyote_protocol::{ChallengeType, Identifier, Timestamp, Token};

use crate::{
    Account, AccountId, Actor, Authorization, AuthorizationId, BeginIssuance, BeginValidation, Cause,
    Certificate, CertificateId, Challenge, ChallengeId, DirectoryId, ExternalAccountKey, IssuanceOutcome,
    Lease, LeaseTerms, LeaseToken, NewOrder, Order, OrderId, RequestId, Serial, Storage, TraceRecord,
    TraceSubject, ValidationOutcome,
};

/// When everything happens, unless a test says otherwise.
pub const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_123);
/// A minute.
pub const MINUTE: Duration = Duration::from_secs(60);
/// A day.
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Bits that look random, and differ for each seed.
pub fn bits<const N: usize>(seed: u64) -> [u8; N] {
    let mut state = seed;
    std::array::from_fn(|_| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed >> 56) as u8
    })
}

/// A request of somebody without an account, and what it saw.
pub fn cause(now: Timestamp) -> Cause {
    let request = RequestId::from_bytes(bits(1));
    let trace = TraceRecord {
        at: now,
        request,
        subject: TraceSubject::Order(OrderId::from_bytes(bits(2))),
        names: "a.test b.test".to_owned(),
        timeline: now.as_millis().to_string(),
    };
    let client = Some("192.0.2.7".parse().unwrap());
    Cause { now, request, actor: Actor::Anonymous, client, trace: Some(Arc::new(trace)) }
}

/// A public key.
pub fn key(seed: u64) -> Jwk {
    let x = base64url::encode(bits::<32>(seed));
    Jwk::parse(&format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#)).unwrap()
}

/// A serial number.
pub fn serial(seed: u64) -> Serial {
    Serial::from_random(bits(seed))
}

/// A lease that ends then.
pub fn terms(seed: u64, expires: Timestamp) -> LeaseTerms {
    LeaseTerms { token: LeaseToken::from_bytes(bits(seed)), expires }
}

/// An account in the default directory, with the key of the same seed.
pub fn account(seed: u64) -> Account {
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

/// A key that opens ten accounts in the default directory.
pub fn external_account_key(kid: &str) -> ExternalAccountKey {
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
pub fn order(seed: u64, account: AccountId, identifiers: &[Identifier]) -> Order {
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
pub fn placing(order: Order, reused: impl Into<Vec<AuthorizationId>>) -> NewOrder {
    NewOrder { order, reused: reused.into(), most_open: u32::MAX }
}

/// A pending authorization with two challenges, whose ids are those of the next two seeds.
pub fn authorization(seed: u64, account: AccountId, identifier: &Identifier) -> Authorization {
    let challenge = |number, kind| Challenge {
        id: ChallengeId::from_bytes(bits(seed + number)),
        kind,
        token: Token::from_bytes(&bits::<32>(seed + number)),
        began: None,
        verdict: None,
        errors: Vec::new(),
        network: None,
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

/// A certificate for this order.
pub fn certificate(seed: u64, order: OrderId, account: AccountId, serial: Serial) -> Certificate {
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
        issuer_told: None,
        issuer_refused: None,
        replaced_by: None,
    }
}

/// A name, or a wildcard.
pub fn dns(name: &str) -> Identifier {
    Identifier::parse("dns", name).unwrap()
}

/// A second lease like this one.
pub fn copy(lease: &Lease) -> Lease {
    Lease { job: lease.job, work: lease.work.clone(), attempts: lease.attempts, terms: lease.terms }
}

/// An account that has the certificate of this seed, in the five steps of an issuance.
pub async fn issue(storage: &dyn Storage, seed: u64, account: &Account) -> Certificate {
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

/// Has control of the authorization's identifier proved, by its first challenge.
pub async fn validate(storage: &dyn Storage, seed: u64, authorization: &Authorization) {
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
