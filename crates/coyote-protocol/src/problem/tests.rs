use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;

/// The table of RFC 8555 section 6.7, in its order.
const RFC_8555: &[&str] = &[
    "accountDoesNotExist",
    "alreadyRevoked",
    "badCSR",
    "badNonce",
    "badPublicKey",
    "badRevocationReason",
    "badSignatureAlgorithm",
    "caa",
    "compound",
    "connection",
    "dns",
    "externalAccountRequired",
    "incorrectResponse",
    "invalidContact",
    "malformed",
    "orderNotReady",
    "rateLimited",
    "rejectedIdentifier",
    "serverInternal",
    "tls",
    "unauthorized",
    "unsupportedContact",
    "unsupportedIdentifier",
    "userActionRequired",
];

/// What RFC 8739, RFC 9115, RFC 9773, RFC 9799 and two drafts have added.
const LATER: &[&str] = &[
    "autoRenewalCanceled",
    "autoRenewalExpired",
    "autoRenewalCancellationInvalid",
    "autoRenewalRevocationNotSupported",
    "unknownDelegation",
    "alreadyReplaced",
    "onionCAARequired",
    "invalidProfile",
    "badAttestationStatement",
];

fn read(json: Value) -> Problem {
    serde_json::from_value(json).expect("a problem document")
}

fn write(problem: &Problem) -> Value {
    serde_json::to_value(problem).expect("JSON")
}

#[test]
fn the_types_are_those_of_the_rfcs() {
    let expected: BTreeSet<_> = RFC_8555.iter().chain(LATER).copied().collect();
    let actual: BTreeSet<_> = ProblemType::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(actual, expected);
    assert_eq!(ProblemType::ALL.len(), expected.len(), "no name stands twice");
}

#[test]
fn each_type_reads_back_from_its_urn() {
    for &kind in ProblemType::ALL {
        assert_eq!(kind.urn(), format!("urn:ietf:params:acme:error:{}", kind.name()));
        assert_eq!(kind.urn().parse(), Ok(kind));
        assert!((400..600).contains(&kind.status()), "{kind} is an error");
    }
    assert_eq!("badNonce".parse::<ProblemType>(), Err(UnknownProblemType), "the bare name is no URN");
}

#[test]
fn the_statuses_that_rfcs_prescribe_are_theirs() {
    assert_eq!(ProblemType::OrderNotReady.status(), 403, "RFC 8555 section 7.4");
    assert_eq!(ProblemType::ExternalAccountRequired.status(), 403);
    assert_eq!(ProblemType::UserActionRequired.status(), 403, "RFC 8555 section 7.3.3");
    assert_eq!(ProblemType::AccountDoesNotExist.status(), 400, "RFC 8555 section 7.3.1");
    assert_eq!(ProblemType::BadSignatureAlgorithm.status(), 400, "RFC 8555 section 6.2");
    assert_eq!(ProblemType::RateLimited.status(), 429, "RFC 6585 section 4");
    assert_eq!(ProblemType::AlreadyReplaced.status(), 409, "RFC 9773 section 5");
}

#[test]
fn the_subproblems_of_rfc_8555_section_6_7_1_round_trip() {
    let json = json!({
        "type": "urn:ietf:params:acme:error:malformed",
        "detail": "Some of the identifiers requested were rejected",
        "status": 400,
        "subproblems": [
            {
                "type": "urn:ietf:params:acme:error:malformed",
                "detail": "Invalid underscore in DNS name \"_example.org\"",
                "identifier": { "type": "dns", "value": "_example.org" }
            },
            {
                "type": "urn:ietf:params:acme:error:rejectedIdentifier",
                "detail": "This CA will not issue for \"example.net\"",
                "identifier": { "type": "dns", "value": "example.net" }
            }
        ]
    });
    let problem = read(json.clone());
    assert_eq!(problem.subproblems[0].kind, ProblemType::Malformed);
    assert_eq!(problem.subproblems[1].identifier, Some(RawIdentifier::new("dns", "example.net")));
    assert_eq!(write(&problem), json);
}

#[test]
fn every_member_is_written_that_has_been_set() {
    let problem = Problem::new(ProblemType::BadSignatureAlgorithm, "RS1 is not supported")
        .with_algorithms(["ES256", "EdDSA"])
        .with_instance("https://ca.example/help")
        .with_status(415);
    let json = json!({
        "type": "urn:ietf:params:acme:error:badSignatureAlgorithm",
        "detail": "RS1 is not supported",
        "status": 415,
        "algorithms": ["ES256", "EdDSA"],
        "instance": "https://ca.example/help"
    });
    assert_eq!(write(&problem), json);
    assert_eq!(read(json), problem);
}

#[test]
fn a_type_of_another_vocabulary_survives() {
    let uri = "https://iana.org/assignments/http-problem-types#quota-exceeded";
    let json = json!({"type": uri, "detail": "slow down", "status": 429});
    let problem = read(json.clone());
    assert_eq!(problem, Problem::other(uri, 429, "slow down"));
    assert_eq!(problem.type_uri(), uri);
    assert_eq!(write(&problem), json);
}

#[test]
fn what_a_document_leaves_out_follows_from_its_type() {
    let bare = read(json!({"type": "urn:ietf:params:acme:error:rateLimited", "title": "ignored"}));
    assert_eq!(bare, Problem::new(ProblemType::RateLimited, ""));

    let blank = read(json!({"status": 404}));
    assert_eq!((blank.kind, blank.type_uri(), blank.status), (ProblemType::Other, "about:blank", 404));
}

#[test]
fn a_problem_takes_the_kind_that_its_parts_share() {
    let part = |kind| Subproblem::new(kind, "no").with_identifier(RawIdentifier::new("dns", "a.test"));
    let kind_of = |parts| Problem::of_subproblems("no", parts).kind;
    let (rejected, malformed) = (ProblemType::RejectedIdentifier, ProblemType::Malformed);

    assert_eq!(kind_of(vec![part(rejected)]), rejected);
    assert_eq!(kind_of(vec![part(rejected), part(rejected)]), rejected);
    assert_eq!(kind_of(vec![part(rejected), part(malformed)]), ProblemType::Compound);
}

#[test]
fn a_problem_reads_well_in_a_log() {
    let problem = Problem::new(ProblemType::Dns, "no such name");
    assert_eq!(problem.to_string(), "dns: no such name");
}
