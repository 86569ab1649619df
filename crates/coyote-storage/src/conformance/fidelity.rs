//! That what comes out of a storage is what went in, whatever it is.
//!
//! Texts have no NUL: PostgreSQL has no text with NUL either, and nothing that a server lets in has one.

use coyote_jose::{Jwk, base64url};
use coyote_protocol::{
    ChallengeType, DnsName, Identifier, Problem, ProblemType, RawIdentifier, Subproblem, Timestamp,
};

use super::World;
use super::fixture::{AUTHORIZED, LEASE, MILLISECOND, NOW, cause, cause_at, placing};
use crate::{
    Account, AccountChange, BeginIssuance, Certificate, DirectoryId, ExternalAccount, ExternalAccountKey,
    IssuanceOutcome, Order, ValidationOutcome,
};

/// Texts that a storage could stumble over.
const ODD: [&str; 14] = [
    "",
    " ",
    "  leading and trailing  ",
    "'; DROP TABLE accounts; --",
    "\"quoted\" and 'quoted' and `quoted`",
    "back\\slash \\n \\u0041 \\x41",
    "line\nfeed\r\nand\ttab\u{1}\u{7f}",
    "%_?$1:1{}[]",
    "null",
    "e\u{301} is not \u{e9}",
    "\u{1f98a}\u{200d}\u{1f43a} \u{10ffff}",
    "\u{202e}left to right",
    "\u{feff}byte order mark\u{fffd}",
    "ÄÖÜ ß İ ı ſ",
];

/// Also an account without any, and one with the same twice.
pub async fn contacts_come_back_as_they_were(world: World) {
    let odd = ODD.map(String::from).to_vec();
    let twice = vec!["mailto:a@example.org".to_owned(); 2];
    for contact in [odd.clone(), Vec::new(), twice, vec!["x".repeat(10_000)]] {
        let account = world.store_account(Account { contact, ..world.new_account() }).await;
        let stored = world.storage.account(&account.directory, &account.id).await.unwrap();
        assert_eq!(stored, account);
        let change = AccountChange { contact: Some(odd.clone()), ..Default::default() };
        let changed = world.storage.update_account(&account.id, change, &cause()).await.unwrap();
        assert_eq!(world.storage.account(&account.directory, &account.id).await.unwrap(), changed);
    }
}

/// Of each kind that there is.
pub async fn account_keys_come_back_as_they_were(world: World) {
    let text = |bytes: &[u8]| base64url::encode(bytes);
    let ec = |curve: &str, coordinate: &[u8]| {
        let coordinate = text(coordinate);
        format!(r#"{{"kty":"EC","crv":"{curve}","x":"{coordinate}","y":"{coordinate}"}}"#)
    };
    let mut modulus = world.bits::<256>();
    modulus[0] |= 0x80;
    modulus[255] |= 1;
    let keys = [
        ec("P-256", &[0; 32]),
        ec("P-384", &world.bits::<48>()),
        ec("P-521", &[&[1][..], &world.bits::<65>()].concat()),
        format!(r#"{{"kty":"RSA","e":"AQAB","n":"{}"}}"#, text(&modulus)),
    ];
    for key in keys {
        let key = Jwk::parse(&key).unwrap();
        let account = world.store_account(Account { key: key.clone(), ..world.new_account() }).await;
        let found = world.storage.account_by_key(&account.directory, &key.thumbprint()).await.unwrap();
        assert_eq!(found, account);
    }
}

/// RFC 8555 section 7.3.4: it is shown in the account object.
pub async fn an_external_account_comes_back_as_it_was(world: World) {
    for kid in ODD {
        let binding = serde_json::json!({
            "protected": "eyJhbGciOiJIUzI1NiJ9", "payload": "", "signature": "AA", "nested": [1, -1, true, null, kid],
        });
        let key = ExternalAccountKey { kid: kid.into(), ..world.new_external_account_key() };
        world.store_external_account_key(key).await;
        let external_account = Some(ExternalAccount { kid: kid.into(), binding });
        let account = world.store_account(Account { external_account, ..world.new_account() }).await;
        let stored = world.storage.account(&account.directory, &account.id).await.unwrap();
        assert_eq!(stored, account);
    }
}

/// Above all the secret, whatever its bytes.
pub async fn external_account_keys_come_back_as_they_were(world: World) {
    let secrets = [Vec::new(), vec![0], (0..=255).collect(), vec![0xff; 10_000], b"null".to_vec()];
    let domains = ["a.test", "xn--bcher-kva.test", "a.a.test"].map(|name| DnsName::parse(name).unwrap());
    let numbers = [0, 1, i32::MAX as u32, u32::MAX];
    let mut keys = Vec::new();
    for (odd, secret) in ODD.into_iter().zip(secrets.iter().cycle()) {
        let number = numbers[keys.len() % numbers.len()];
        let key = ExternalAccountKey {
            kid: odd.into(),
            secret: secret.clone(),
            comment: odd.into(),
            created: Timestamp::from_millis(1),
            expires: Some(Timestamp::from_millis(253_402_300_799_999)),
            most_accounts: Some(number),
            accounts: number,
            domains: domains[..keys.len() % 4].to_vec(),
            ..world.new_external_account_key()
        };
        world.store_external_account_key(key.clone()).await;
        assert_eq!(world.reload_external_account_key(&key).await, key);
        keys.push(key);
    }
    keys.sort_by(|one, other| one.kid.cmp(&other.kid));
    let listed = world.storage.external_account_keys(&DirectoryId::default(), None, 100).await.unwrap();
    assert_eq!(listed, keys);
}

/// Names that differ are different, whatever they have in common.
pub async fn directories_are_told_apart_by_their_very_names(world: World) {
    let key = world.key();
    let names = ["a", "A", "a ", "\u{e9}", "e\u{301}", "a'b", "", "\u{1f43a}"];
    let mut accounts = Vec::new();
    for name in names {
        let account = Account { directory: DirectoryId::new(name), key: key.clone(), ..world.new_account() };
        accounts.push(world.store_account(account).await);
    }
    for account in accounts {
        let found = world.storage.account_by_key(&account.directory, &key.thumbprint()).await.unwrap();
        assert_eq!(found, account);
    }
}

/// To the millisecond, and as far away as a date can be written.
pub async fn times_come_back_to_the_millisecond(world: World) {
    for millis in [1, 999, 1_000, 1_767_225_599_999, 1_767_225_600_001, 253_402_300_799_999] {
        let time = Timestamp::from_millis(millis);
        let new = world.new_account();
        let account = Account { created: time, terms_of_service_agreed: Some(time), ..new };
        let account = world.store_account(account).await;
        assert_eq!(world.storage.account(&account.directory, &account.id).await.unwrap(), account);

        let order = world.new_order(&account, &["a.test"]);
        let (not_before, not_after) = (Some(time), Some(time));
        let mut order = Order { created: time, expires: time + MILLISECOND, not_before, not_after, ..order };
        order.authorizations[0].created = time;
        order.authorizations[0].expires = time + MILLISECOND;
        world.storage.create_order(placing(order.clone()), &cause_at(time)).await.unwrap();
        assert_eq!(world.reload(&order).await, order);
    }
}

/// In all their parts, and several on one challenge.
pub async fn problems_come_back_as_they_were(world: World) {
    let account = world.account().await;
    let mut problems: Vec<_> = ODD.map(|odd| Problem::new(ProblemType::Dns, odd)).to_vec();
    let subproblem = Subproblem::new(ProblemType::Caa, "für \"a\"")
        .with_identifier(RawIdentifier { kind: "x-odd".into(), value: ODD[6].into() });
    problems.push(
        Problem::new(ProblemType::Compound, "several")
            .with_status(418)
            .with_subproblem(subproblem)
            .with_subproblem(Subproblem::new(ProblemType::RejectedIdentifier, ODD[10]))
            .with_instance("https://example.org/?a=1&b='2'")
            .with_algorithms(["ES256", "RS256"]),
    );
    problems.push(Problem::other("https://example.org/odd", 400, "of another kind"));
    for problem in problems {
        let authorization = world.authorization(&account).await;
        let lease = world.begin_validation(&authorization).await;
        let failed = ValidationOutcome::Invalid(problem.clone());
        world.storage.finish_validation(lease, failed, &cause()).await.unwrap();
        let stored = world.reload_authorization(&authorization).await;
        assert_eq!(stored.challenges[0].errors, std::slice::from_ref(&problem));

        let (order, lease) = world.processing_order(&account).await;
        let refused = IssuanceOutcome::Refused(problem.clone());
        world.storage.finish_issuance(lease, refused, &cause()).await.unwrap();
        assert_eq!(world.reload(&order).await.error, Some(problem));
    }
}

/// RFC 8555 section 9.7.7 and RFC 8738.
pub async fn identifiers_of_every_kind_come_back_as_they_were(world: World) {
    let account = world.account().await;
    let long = format!("{}.test", ["a".repeat(63), "b".repeat(63), "c".repeat(63)].join("."));
    let identifiers: Vec<_> = [
        ("dns", "a.test"),
        ("dns", "*.a.test"),
        ("dns", "xn--bcher-kva.test"),
        ("dns", &long),
        ("ip", "192.0.2.1"),
        ("ip", "2001:db8::1"),
        ("ip", "::"),
    ]
    .iter()
    .map(|(kind, value)| Identifier::parse(kind, value).unwrap())
    .collect();
    let mut order = world.new_order(&account, &[]);
    order.authorizations = identifiers.iter().map(|name| world.new_authorization(&account, name)).collect();
    order.identifiers = identifiers;
    world.storage.create_order(placing(order.clone()), &cause()).await.unwrap();
    assert_eq!(world.reload(&order).await, order);

    for authorization in &order.authorizations {
        world.validate(authorization).await;
    }
    let reusable = world.storage.reusable_authorizations(&account.id, &order.identifiers, NOW).await.unwrap();
    assert_eq!(reusable.len(), order.identifiers.len());
}

/// An embedder may have its own.
pub async fn challenges_of_any_type_come_back_as_they_were(world: World) {
    let account = world.account().await;
    let mut order = world.new_order(&account, &["a.test"]);
    let template = order.authorizations[0].challenges[0].clone();
    let of_type = |name: &'static str| {
        let id = crate::ChallengeId::from_bytes(world.bits());
        crate::Challenge {
            id,
            kind: ChallengeType::new(name),
            network: Some(name.into()),
            ..template.clone()
        }
    };
    order.authorizations[0].challenges = ODD.into_iter().chain(["tls-alpn-01"]).map(of_type).collect();
    let order = world.store_order(order).await;
    let valid = world.validate(&order.authorizations[0]).await;
    assert_eq!(world.reload_authorization(&valid).await, valid);
    assert_eq!(valid.expires, NOW + AUTHORIZED);
}

/// With every byte that there is.
pub async fn requests_and_chains_come_back_byte_for_byte(world: World) {
    let account = world.account().await;
    for csr in [Vec::new(), vec![0], (0..=255).collect(), vec![0xff; 100_000]] {
        let order = world.ready_order(&account, &["a.test"]).await;
        let begin = BeginIssuance { csr: csr.clone(), ..world.issuance_of(&order) };
        let begun = world.storage.begin_issuance(begin, &cause()).await.unwrap();
        assert_eq!(world.reload(&order).await.issuance.unwrap().csr, csr);

        let chain = ODD.join("\n").repeat(50);
        let alternates = ODD.map(String::from).to_vec();
        let certificate = Certificate { chain, alternates, ..world.new_certificate(&begun.order) };
        let outcome = IssuanceOutcome::Issued(Box::new(certificate.clone()));
        world.storage.finish_issuance(begun.lease.unwrap(), outcome, &cause()).await.unwrap();
        assert_eq!(world.storage.certificate(&account.id, &certificate.id).await.unwrap(), certificate);
    }
}

/// Which an embedder chooses.
pub async fn profiles_come_back_as_they_were(world: World) {
    let account = world.account().await;
    for profile in ODD.map(|odd| Some(odd.to_owned())).into_iter().chain([None]) {
        let order = Order { profile, ..world.new_order(&account, &["a.test"]) };
        world.storage.create_order(placing(order.clone()), &cause_at(NOW + LEASE)).await.unwrap();
        assert_eq!(world.reload(&order).await, order);
    }
}
