//! Records for the tests of the rules.

use coyote_jose::{Jwk, base64url};
use coyote_protocol::{ChallengeType, Identifier, Problem, ProblemType, Timestamp, Token};

use crate::{
    Account, AccountId, Authorization, AuthorizationId, Certificate, CertificateId, Challenge, ChallengeId,
    DirectoryId, Issuance, Order, OrderId, Serial, Verdict,
};

/// When the tests take place; everything that expires does so at [`EXPIRES`].
pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_000);
pub(crate) const EXPIRES: Timestamp = Timestamp::from_seconds(2_000);

pub(crate) fn account() -> Account {
    Account {
        id: AccountId::from_bytes([1; 16]),
        directory: DirectoryId::default(),
        key: key(1),
        contact: vec!["mailto:a@example.org".into()],
        terms_of_service_agreed: None,
        external_account: None,
        created: NOW,
        deactivated: None,
        revoked: None,
    }
}

pub(crate) fn key(number: u8) -> Jwk {
    let x = base64url::encode([number; 32]);
    Jwk::parse(&format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#)).unwrap()
}

/// A pending order for these names.
pub(crate) fn order(names: &[&str]) -> Order {
    let identifiers: Vec<_> = names.iter().map(|name| Identifier::parse("dns", name).unwrap()).collect();
    let authorizations =
        names.iter().enumerate().map(|(number, name)| authorization(number as u8, name)).collect();
    Order {
        id: OrderId::from_bytes([2; 16]),
        account: account().id,
        identifiers,
        profile: None,
        not_before: None,
        not_after: None,
        replaces: None,
        created: NOW,
        expires: EXPIRES,
        authorizations,
        issuance: None,
        certificate: None,
        error: None,
    }
}

/// The same with all its authorizations earned.
pub(crate) fn ready_order(names: &[&str]) -> Order {
    let mut order = order(names);
    order.authorizations.iter_mut().for_each(earn);
    order
}

/// A pending authorization with an http-01 challenge and a dns-01 challenge.
pub(crate) fn authorization(number: u8, name: &str) -> Authorization {
    let challenge = |id: u8, kind| Challenge {
        id: ChallengeId::from_bytes([id; 16]),
        kind,
        token: Token::from_bytes(&[id; 32]),
        began: None,
        verdict: None,
        errors: Vec::new(),
        network: None,
    };
    Authorization {
        id: AuthorizationId::from_bytes([number; 16]),
        account: account().id,
        identifier: Identifier::parse("dns", name).unwrap(),
        created: NOW,
        expires: EXPIRES,
        challenges: vec![
            challenge(number * 2, ChallengeType::HTTP_01),
            challenge(number * 2 + 1, ChallengeType::DNS_01),
        ],
        deactivated: None,
        revoked: None,
    }
}

/// Meets the first challenge.
pub(crate) fn earn(authorization: &mut Authorization) {
    authorization.challenges[0].began = Some(NOW);
    authorization.challenges[0].verdict = Some(Verdict::Valid { at: NOW });
}

/// Fails the first challenge.
pub(crate) fn fail(authorization: &mut Authorization) {
    authorization.challenges[0].began = Some(NOW);
    authorization.challenges[0].verdict = Some(Verdict::Invalid { at: NOW });
    authorization.challenges[0].errors = vec![problem("no")];
}

pub(crate) fn issuance() -> Issuance {
    Issuance { csr: vec![1], serial: serial(1), began: NOW }
}

pub(crate) fn certificate() -> Certificate {
    Certificate {
        id: CertificateId::from_bytes([3; 16]),
        account: account().id,
        order: OrderId::from_bytes([2; 16]),
        serial: serial(1),
        not_before: NOW,
        not_after: EXPIRES,
        chain: String::new(),
        alternates: Vec::new(),
        issued: NOW,
        revocation: None,
        issuer_told: None,
        issuer_refused: None,
        replaced_by: None,
    }
}

pub(crate) fn serial(number: u8) -> Serial {
    Serial::from_bytes(&[number]).unwrap()
}

pub(crate) fn problem(detail: &str) -> Problem {
    Problem::new(ProblemType::Connection, detail)
}
