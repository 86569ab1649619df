use super::*;
use crate::issue::testing::{at, order};

const NOW: &str = "2026-11-25T12:00:00.750Z";
const ISSUER_END: &str = "2036-01-01T00:00:00Z";

/// The validity under the default profile of an order that asks for this, signed an hour after it was made.
fn validity(not_before: Option<&str>, not_after: Option<&str>) -> Result<(String, String), Problem> {
    let now = at(NOW);
    let asking = Order {
        not_before: not_before.map(at),
        not_after: not_after.map(at),
        created: now - Duration::from_secs(3600),
        ..order(&["a.example"], Vec::new(), now)
    };
    let (from, until) = Profile::new("default").validity(&asking, at(ISSUER_END), now)?;
    Ok((from.to_string(), until.to_string()))
}

#[track_caller]
fn assert_malformed(not_before: Option<&str>, not_after: Option<&str>) {
    let problem = validity(not_before, not_after).expect_err("not within bounds");
    assert_eq!(problem.kind, ProblemType::Malformed, "{problem}");
}

#[test]
fn validity_is_backdated_and_counts_its_last_second() {
    let (from, until) = validity(None, None).unwrap();

    assert_eq!(from, "2026-11-25T11:55:00Z", "five minutes before, in whole seconds");
    assert_eq!(until, "2027-02-23T11:54:59Z", "90 days, the last second among them");
}

#[test]
fn what_the_order_asks_for_is_what_it_gets() {
    let (from, until) = validity(Some("2026-11-25T10:56:00Z"), Some("2026-12-01T00:00:00Z")).unwrap();
    assert_eq!((from.as_str(), until.as_str()), ("2026-11-25T10:56:00Z", "2026-12-01T00:00:00Z"));

    let (from, until) = validity(Some("2026-12-01T00:00:00.5Z"), None).unwrap();
    assert_eq!(from, "2026-12-01T00:00:00Z");
    assert_eq!(until, "2027-02-23T11:59:59Z", "no later than if it began now");
}

#[test]
fn what_the_order_may_not_have_it_is_told() {
    assert_malformed(Some("2026-11-25T10:54:59Z"), None); // earlier than the order, and more than a clock may differ
    assert_malformed(Some("2019-01-01T00:00:00Z"), None);
    assert_malformed(Some("0001-01-01T00:00:00Z"), None);
    assert_malformed(Some("9999-12-31T23:59:59Z"), None);
    assert_malformed(Some("2027-02-24T00:00:00Z"), None); // begins after the last possible end
    assert_malformed(None, Some("2026-11-25T12:00:00Z")); // over as soon as it is signed
    assert_malformed(None, Some("2027-02-24T00:00:00Z")); // too long
    assert_malformed(None, Some("2099-01-01T00:00:00Z"));
    assert_malformed(None, Some("9999-12-31T23:59:59Z"));
    assert_malformed(Some("2026-12-01T00:00:00Z"), Some("2026-12-01T00:00:00Z"));
    assert_malformed(Some("2026-12-02T00:00:00Z"), Some("2026-12-01T00:00:00Z"));
}

#[test]
fn no_certificate_outlives_its_issuer() {
    let now = at(NOW);
    let issuer_end = at("2026-12-24T00:00:00Z");
    let profile = Profile::new("default");
    let open = order(&["a.example"], Vec::new(), now);
    let asking = Order { not_after: Some(at("2026-12-24T00:00:01Z")), ..open.clone() };

    let (_, until) = profile.validity(&open, issuer_end, now).unwrap();
    assert_eq!(until, issuer_end, "it is cut where the order asks for nothing");
    assert_eq!(profile.validity(&asking, issuer_end, now).unwrap_err().kind, ProblemType::Malformed);
    let expired = profile.validity(&open, now, now).unwrap_err();
    assert_eq!(expired.kind, ProblemType::ServerInternal);
}

#[test]
fn an_issuer_that_never_ends_is_no_limit() {
    let now = at(NOW);
    let open = order(&["a.example"], Vec::new(), now);
    let (from, until) =
        Profile::new("default").validity(&open, Timestamp::from_millis(i64::MAX), now).unwrap();
    assert_eq!(until.since(from) + Duration::from_secs(1), 90 * DAY);
}

#[test]
fn profiles_are_found_by_name() {
    let short = Profile { validity: DAY, ..Profile::new("short") };
    let profiles = Profiles::new(Profile::new("usual")).unwrap().with(short.clone()).unwrap();

    assert_eq!(profiles.find(None).unwrap().name, "usual");
    assert_eq!(profiles.find(Some("short")), Ok(&short));
    assert_eq!(profiles.find(Some("long")).unwrap_err().kind, ProblemType::InvalidProfile);
    assert_eq!(profiles.iter().map(|profile| profile.name.as_str()).collect::<Vec<_>>(), ["short", "usual"]);
}

#[test]
fn a_profile_that_contradicts_itself_is_refused() {
    let usual = Profile::new("usual");
    let cases = [
        Profile { name: String::new(), ..usual.clone() },
        Profile { backdate: Profile::MAX_BACKDATE + MINUTE, ..usual.clone() },
        Profile { validity: 5 * MINUTE, ..usual.clone() },
        Profile { validity: 91 * DAY, ..usual.clone() },
        Profile { extended_key_usages: Vec::new(), ..usual },
    ];
    for profile in cases {
        assert!(Profiles::new(profile.clone()).is_err(), "{profile:?}");
    }
    assert_eq!(Profiles::default().find(None), Ok(&Profile::new("default")), "the defaults are sound");
}
