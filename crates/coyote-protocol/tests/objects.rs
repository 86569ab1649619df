//! The objects of RFC 8555 and its extensions, as their texts show them.

#![allow(clippy::expect_used, clippy::panic, reason = "the helpers of a test may fail it")]

use coyote_protocol::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn read<T: DeserializeOwned>(json: &Value) -> T {
    // From text, as requests are: duplicates and raw JSON are seen by the text parser only.
    serde_json::from_str(&json.to_string()).unwrap_or_else(|error| panic!("{json} was refused: {error}"))
}

/// Reads the object, asserts that writing it gives the same JSON, and returns it.
fn round_trip<T: DeserializeOwned + Serialize>(json: Value) -> T {
    let object: T = read(&json);
    assert_eq!(serde_json::to_value(&object).expect("JSON"), json);
    object
}

fn is_refused<T: DeserializeOwned>(json: &str) -> bool {
    serde_json::from_str::<T>(json).is_err()
}

#[test]
fn a_directory() {
    let directory: Directory = round_trip(json!({
        "newNonce": "https://example.com/acme/new-nonce",
        "newAccount": "https://example.com/acme/new-account",
        "newOrder": "https://example.com/acme/new-order",
        "newAuthz": "https://example.com/acme/new-authz",
        "revokeCert": "https://example.com/acme/revoke-cert",
        "keyChange": "https://example.com/acme/key-change",
        "renewalInfo": "https://example.com/acme/renewal-info",
        "meta": {
            "termsOfService": "https://example.com/acme/terms/2017-5-30",
            "website": "https://www.example.com/",
            "caaIdentities": ["example.com"],
            "externalAccountRequired": true,
            "profiles": { "classic": "https://example.com/docs/classic", "shortlived": "six days" }
        }
    }));
    assert!(directory.meta.is_some_and(|meta| meta.profiles.len() == 2));
}

#[test]
fn a_directory_with_the_least_and_with_the_unknown() {
    let json = json!({"newNonce": "n", "newAccount": "a", "newOrder": "o", "meta": {}, "kZ3xQ": "https://example.com/"});
    let directory: Directory = read(&json);
    assert_eq!(directory.meta, Some(DirectoryMeta::default()));
    assert!(is_refused::<Directory>(r#"{"newNonce":"n","newAccount":"a"}"#), "without newOrder");
}

#[test]
fn an_account() {
    round_trip::<Account>(json!({
        "status": "valid",
        "contact": ["mailto:cert-admin@example.org", "mailto:admin@example.org"],
        "termsOfServiceAgreed": true,
        "orders": "https://example.com/acme/orders/rzGoeA"
    }));
    let account: Account = round_trip(json!({"status": "deactivated"}));
    assert_eq!(account.status, AccountStatus::Deactivated);
}

#[test]
fn a_request_for_an_account() {
    let request: NewAccount = round_trip(json!({
        "termsOfServiceAgreed": true,
        "contact": ["mailto:cert-admin@example.org", "mailto:admin@example.org"],
        "externalAccountBinding": { "protected": "e30", "payload": "e30", "signature": "AA" }
    }));
    assert!(request.external_account_binding.is_some());

    let request: NewAccount = round_trip(json!({"onlyReturnExisting": true}));
    assert!(request.only_return_existing);

    let request: NewAccount =
        read(&json!({"contact": null, "onlyReturnExisting": null, "termsOfServiceAgreed": false}));
    assert_eq!(request, NewAccount::default(), "null is as good as nothing");
}

#[test]
fn a_request_for_an_account_of_a_wrong_shape() {
    for wrong in [
        r#"{"contact":"mailto:a@example.org"}"#,
        r#"{"contact":[1]}"#,
        r#"{"contact":{}}"#,
        r#"{"termsOfServiceAgreed":"true"}"#,
        r#"{"externalAccountBinding":"e30.e30.AA"}"#,
        r#"{"externalAccountBinding":[]}"#,
    ] {
        assert!(is_refused::<NewAccount>(wrong), "{wrong}");
    }
}

#[test]
fn an_external_account_binding_is_kept_to_the_letter() {
    let jws = r#"{ "payload":"e30", "payload" : "e31" }"#;
    let request: NewAccount =
        serde_json::from_str(&format!(r#"{{"externalAccountBinding": {jws} }}"#)).expect("a request");
    let binding = request.external_account_binding.expect("a binding");
    assert_eq!(binding.as_json(), jws, "the JWS parser shall see the duplicate");
    assert_eq!(ExternalAccountBinding::from_json(jws.to_owned()), Ok(binding));
    assert_eq!(ExternalAccountBinding::from_json("{} {}".to_owned()), Err(InvalidBinding));
    assert_eq!(ExternalAccountBinding::from_json("null".to_owned()), Err(InvalidBinding));
}

#[test]
fn an_update_of_an_account_tells_no_contacts_from_no_change() {
    let update: AccountUpdate = round_trip(json!({"contact": []}));
    assert_eq!(update.contact, Some(vec![]));
    let update: AccountUpdate = round_trip(json!({"status": "deactivated"}));
    assert_eq!((update.contact, update.status), (None, Some(AccountStatus::Deactivated)));
    assert!(is_refused::<AccountUpdate>(r#"{"status":"cancelled"}"#));
}

#[test]
fn a_change_of_keys() {
    let key = json!({
        "kty": "EC",
        "crv": "P-256",
        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"
    });
    let change: KeyChange =
        round_trip(json!({"account": "https://example.com/acme/acct/evOfKhNU60wg", "oldKey": key}));
    assert_eq!(change.account, "https://example.com/acme/acct/evOfKhNU60wg");
    assert!(is_refused::<KeyChange>(r#"{"account":"a"}"#));
}

#[test]
fn an_order() {
    let order: Order = round_trip(json!({
        "status": "valid",
        "expires": "2016-01-20T14:09:07.990Z",
        "identifiers": [
            { "type": "dns", "value": "www.example.org" },
            { "type": "dns", "value": "*.example.org" },
            { "type": "ip", "value": "2001:db8::1" }
        ],
        "notBefore": "2016-01-01T00:00:00Z",
        "notAfter": "2016-01-08T00:00:00Z",
        "authorizations": ["https://example.com/acme/authz/PAniVnsZcis", "https://example.com/acme/authz/r4HqLzrSrpI"],
        "finalize": "https://example.com/acme/order/TOlocE8rfgo/finalize",
        "certificate": "https://example.com/acme/cert/mAt3xBGaobw",
        "replaces": "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE",
        "profile": "tlsserver"
    }));
    assert_eq!(order.status, OrderStatus::Valid);
    assert!(order.identifiers.iter().any(Identifier::is_wildcard));
}

#[test]
fn an_order_that_failed() {
    let order: Order = round_trip(json!({
        "status": "invalid",
        "identifiers": [{ "type": "dns", "value": "example.org" }],
        "authorizations": [],
        "finalize": "https://example.com/acme/order/1/finalize",
        "error": { "type": "urn:ietf:params:acme:error:caa", "detail": "CAA forbids it", "status": 403 }
    }));
    assert_eq!(order.error.map(|problem| problem.kind), Some(ProblemType::Caa));
}

#[test]
fn a_request_for_an_order() {
    let request: NewOrder = round_trip(json!({
        "identifiers": [{ "type": "dns", "value": "www.example.org" }, { "type": "tkauth", "value": "_" }],
        "notBefore": "2016-01-01T00:04:00Z",
        "notAfter": "2016-01-08T00:04:00Z"
    }));
    assert_eq!(request.identifiers[1].parse(), Err(IdentifierError::Unsupported("tkauth".to_owned())));
}

#[test]
fn a_request_for_an_order_of_a_wrong_shape() {
    for wrong in [
        r#"{}"#,
        r#"{"identifiers":"a.test"}"#,
        r#"{"identifiers":{}}"#,
        r#"{"identifiers":[1]}"#,
        r#"{"identifiers":[null]}"#,
        r#"{"identifiers":[{"type":"dns"}]}"#,
        r#"{"identifiers":[{"value":"a.test"}]}"#,
        r#"{"identifiers":[{"type":"dns","value":1}]}"#,
        r#"{"identifiers":[],"identifiers":[]}"#,
        r#"{"identifiers":[],"notBefore":"tomorrow"}"#,
        r#"{"identifiers":[],"notBefore":1451606400}"#,
        r#"{"identifiers":[],"replaces":"x.y"}"#,
    ] {
        assert!(is_refused::<NewOrder>(wrong), "{wrong}");
    }
}

#[test]
fn the_orders_of_an_account() {
    let orders = ["https://example.com/acme/order/TOlocE8rfgo", "https://example.com/acme/order/4E16bbL5iSw"];
    assert_eq!(round_trip::<OrdersList>(json!({"orders": orders})).orders, orders);
}

#[test]
fn a_csr() {
    let request: Finalize = round_trip(json!({"csr": "MIIBPTCBxAIBAA"}));
    assert_eq!(request.der().map(|der| der[..2].to_vec()), Ok(vec![0x30, 0x82]));
    assert_eq!(Finalize::from_der(request.der().expect("base64url")), request);
    assert!(Finalize { csr: "MIIBPTCBxAIBAA==".to_owned() }.der().is_err(), "padding");
}

#[test]
fn an_authorization() {
    let authorization: Authorization = round_trip(json!({
        "status": "valid",
        "expires": "2018-09-09T14:09:01.130Z",
        "identifier": { "type": "dns", "value": "www.example.org" },
        "challenges": [{
            "type": "http-01",
            "url": "https://example.com/acme/chall/prV_B7yEyA4",
            "status": "valid",
            "validated": "2014-12-01T12:05:13.720Z",
            "token": "IlirfxKKXAsHtmzK29Pj8A"
        }],
        "wildcard": true
    }));
    assert_eq!(authorization.challenges[0].kind, ChallengeType::HTTP_01);
    assert!(authorization.challenges[0].extra.is_empty());
}

#[test]
fn an_authorization_in_advance() {
    round_trip::<NewAuthorization>(json!({"identifier": { "type": "dns", "value": "example.org" }}));
    round_trip::<AuthorizationUpdate>(json!({"status": "deactivated"}));
    assert!(is_refused::<AuthorizationUpdate>("{}"));
}

#[test]
fn a_challenge_that_has_failed_once() {
    let challenge: Challenge = round_trip(json!({
        "type": "dns-01",
        "url": "https://example.com/acme/chall/Rg5dV14Gh1Q",
        "status": "processing",
        "error": { "type": "urn:ietf:params:acme:error:dns", "detail": "SERVFAIL", "status": 400 },
        "token": "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"
    }));
    assert_eq!(challenge.status, ChallengeStatus::Processing);
    let duplicate = r#"{"type":"dns-01","type":"http-01","url":"u","status":"pending"}"#;
    assert!(is_refused::<Challenge>(duplicate));
}

#[test]
fn a_revocation() {
    let request: RevokeCertificate =
        round_trip(json!({"certificate": "MIIEDTCCAvegAwIBAgIRAP8", "reason": 4}));
    assert_eq!(request.reason.map(RevocationReason::try_from), Some(Ok(RevocationReason::Superseded)));
    round_trip::<RevokeCertificate>(json!({"certificate": "MIIEDTCCAvegAwIBAgIRAP8"}));
    assert!(is_refused::<RevokeCertificate>(r#"{"reason":1}"#));
}

#[test]
fn renewal_information() {
    round_trip::<RenewalInfo>(json!({
        "suggestedWindow": { "start": "2025-01-02T04:00:00Z", "end": "2025-01-03T04:00:00Z" },
        "explanationURL": "https://acme.example.com/docs/ari"
    }));
}

#[test]
fn statuses_read_back() {
    fn check<T: std::str::FromStr<Err = UnknownStatus> + std::fmt::Display + PartialEq + std::fmt::Debug>(
        all: &[T],
        names: &str,
    ) {
        let written: Vec<_> = all.iter().map(ToString::to_string).collect();
        assert_eq!(written.join(" "), names);
        for status in all {
            assert_eq!(status.to_string().parse().as_ref(), Ok(status));
        }
        assert_eq!("Valid".parse::<T>(), Err(UnknownStatus), "statuses are in lower case");
    }
    check(AccountStatus::ALL, "valid deactivated revoked");
    check(OrderStatus::ALL, "pending ready processing valid invalid");
    check(AuthorizationStatus::ALL, "pending valid invalid deactivated expired revoked");
    check(ChallengeStatus::ALL, "pending processing valid invalid");
}
