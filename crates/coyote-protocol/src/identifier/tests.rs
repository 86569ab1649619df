use proptest::prelude::*;
use serde_json::json;

use super::*;

/// What a client is told of this identifier; `None` if it is a good one.
fn complaint(kind: &str, value: &str) -> Option<ProblemType> {
    Identifier::parse(kind, value).err().map(|error| error.problem_type())
}

fn dns(value: &str) -> Identifier {
    Identifier::parse("dns", value).unwrap_or_else(|error| panic!("{value:?} is a name, but: {error}"))
}

fn assert_malformed(kind: &str, values: &[&str]) {
    for value in values {
        assert_eq!(complaint(kind, value), Some(ProblemType::Malformed), "{value:?} as {kind}");
    }
}

#[test]
fn other_types_than_dns_and_ip_are_unsupported() {
    for kind in ["email", "tkauth", "", "DNS", "dns "] {
        assert_eq!(complaint(kind, "example.org"), Some(ProblemType::UnsupportedIdentifier), "{kind:?}");
    }
}

#[test]
fn names_are_accepted_and_lower_cased() {
    let names = [
        ("example.org", "example.org"),
        ("Example.ORG", "example.org"),
        ("localhost", "localhost"),
        ("a-b.1x.example", "a-b.1x.example"),
        ("1.2.3.4.example", "1.2.3.4.example"),
        ("a--b.example", "a--b.example"),
        ("0xg", "0xg"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("xn--strae-oqa.example", "xn--strae-oqa.example"),
        ("example.xn--p1ai", "example.xn--p1ai"),
    ];
    for (given, canonical) in names {
        assert_eq!(dns(given).value(), canonical);
    }
}

#[test]
fn a_name_ends_without_a_dot_and_has_no_empty_label() {
    assert_malformed("dns", &["", ".", "example.org.", "a..example.org", ".example.org"]);
}

#[test]
fn a_label_has_at_most_63_characters_and_a_name_253() {
    let label = "a".repeat(63);
    assert_eq!(complaint("dns", &format!("{label}.example")), None);
    assert_malformed("dns", &[&format!("{label}a.example")]);

    let longest = format!("{label}.{label}.{label}.{}", "b".repeat(61));
    assert_eq!(complaint("dns", &longest), None, "{} characters", longest.len());
    assert_malformed("dns", &[&format!("{longest}b"), &format!("*.{longest}")]);
}

#[test]
fn a_name_has_a_bounded_number_of_labels() {
    let deep = |labels: usize| vec!["a"; labels].join(".");
    assert_eq!(complaint("dns", &deep(DnsName::MAX_LABELS)), None);
    assert_eq!(complaint("dns", &deep(DnsName::MAX_LABELS + 1)), Some(ProblemType::RejectedIdentifier));
    assert_eq!(complaint("dns", &deep(127)), Some(ProblemType::RejectedIdentifier));
}

#[test]
fn a_label_is_letters_digits_and_inner_hyphens() {
    assert_malformed(
        "dns",
        &["_a.example.org", "-a.example.org", "a-.example.org", "example.-", "a_b.example"],
    );
    assert_malformed(
        "dns",
        &["a.example.org\0.evil.org", "a b.example", " a.example", "a.example\n", "a\tb.example"],
    );
    assert_malformed(
        "dns",
        &["a@b.example", "a.example:443", "http://a.example", "a.example/", "a\\.example", "%61.example"],
    );
}

#[test]
fn raw_unicode_is_not_a_name() {
    let lookalikes =
        ["exämple.org", "example。org", "ｅxample.org", "examp\u{ad}le.org", "\u{212a}elvin.org"];
    assert_malformed("dns", &lookalikes);
}

#[test]
fn an_a_label_is_what_its_own_unicode_form_encodes_to() {
    assert_malformed(
        "dns",
        &["xn--0.example.org", "xn--zzzzzz99999.example.org", "xn--.example", "xn--a.example"],
    );
    let aliases = [
        ("xn--abc-.example", "plain abc"),
        ("xn--e-xbb.example", "e and a combining accent, which is another spelling of é"),
        ("xn--bcher-2pa.example", "bÜcher, which is not in lower case"),
        ("xn--x-6q0i.example", "a full-width letter"),
        ("xn--abc-hfa.example", "a soft hyphen, which is mapped to nothing"),
        ("xn--a-wbb.example", "a combining accent in first place"),
        ("xn--ab-m1t.example", "a joiner that joins nothing"),
        ("xn--ab-r13a.example", "an ideographic full stop"),
    ];
    for (name, what) in aliases {
        assert_eq!(complaint("dns", name), Some(ProblemType::Malformed), "{name} has {what}");
    }
}

#[test]
fn reserved_labels_are_rejected() {
    for name in
        ["ab--cd.example.org", "example.ab--cd", "*.ab--cd.example.org", "00--0.example", "xm--a.example"]
    {
        assert_eq!(complaint("dns", name), Some(ProblemType::RejectedIdentifier), "{name}");
    }
}

#[test]
fn what_reads_as_an_ip_address_is_not_a_name() {
    assert_malformed(
        "dns",
        &["192.0.2.1", "127.1", "2130706433", "127.0.1", "0177.0.0.1", "a.b.c.1", "example.123"],
    );
    assert_malformed("dns", &["0x7f000001", "0x7f.0.0.0x1", "0X7F000001", "a.0x"]);
    assert_malformed("dns", &["[::1]", "::1", "::ffff:127.0.0.1", "[2001:db8::1]"]);
}

#[test]
fn a_wildcard_is_one_star_in_the_leftmost_label() {
    assert_eq!(dns("*.Example.org").value(), "*.example.org");
    assert_malformed(
        "dns",
        &["*", "*.", "*.*.example.org", "a.*.example.org", "f*.example.org", "**.example.org"],
    );
    assert_malformed("dns", &["*example.org", "*..example.org", "example.*", "*.1.2.3.4", "*.[::1]"]);
}

#[test]
fn the_authorization_for_a_wildcard_names_its_base() {
    let wildcard = dns("*.example.org");
    assert!(wildcard.is_wildcard());
    assert_eq!(wildcard.base(), dns("example.org"));
    assert_eq!(dns("example.org").base(), dns("example.org"));
}

#[test]
fn an_ip_address_is_written_canonically() {
    for address in
        ["192.0.2.1", "0.0.0.0", "2001:db8::1", "::", "::1", "2001:db8:0:1:1:1:1:1", "64:ff9b::c000:221"]
    {
        assert_eq!(complaint("ip", address), None, "{address}");
    }
    assert_malformed("ip", &["2001:DB8::1", "2001:db8:0:0:0:0:0:1", "2001:db8::0001", "2001:db8::1:1:1:1:1"]);
    assert_malformed("ip", &["fe80::1%eth0", "fe80::1%2", "[2001:db8::1]"]);
    assert_malformed(
        "ip",
        &["192.0.2.1/32", "192.000.002.001", "300.1.1.1", "", "127.1", "2130706433", "192.0.2.1 "],
    );
    assert_malformed("ip", &["*", "*.1.2.3.4", "example.org"]);
}

#[test]
fn an_ipv4_address_in_ipv6_clothes_is_refused() {
    assert_malformed("ip", &["::ffff:192.0.2.1", "::ffff:c000:201"]);
}

#[test]
fn the_names_below_a_name_end_in_whole_labels_of_it() {
    let name = |text| DnsName::parse(text).expect("a name");
    assert!(name("example.org").is_within(&name("example.org")));
    assert!(name("a.b.example.org").is_within(&name("example.org")));
    assert!(!name("badexample.org").is_within(&name("example.org")));
    assert!(!name("org").is_within(&name("example.org")));
    assert_eq!(name("a.example.org").parent(), Some(name("example.org")));
    assert_eq!(name("org").parent(), None);
}

#[test]
fn json_goes_through_the_same_parser() {
    let read = |json| serde_json::from_value::<Identifier>(json);
    assert_eq!(read(json!({"type": "dns", "value": "*.A.test"})).expect("a wildcard"), dns("*.a.test"));
    assert!(read(json!({"type": "dns", "value": "a_.test"})).is_err());
    assert!(serde_json::from_str::<RawIdentifier>(r#"{"type":"dns","value":"a","value":"b"}"#).is_err());
    assert_eq!(
        serde_json::to_value(dns("*.a.test")).expect("JSON"),
        json!({"type": "dns", "value": "*.a.test"})
    );
}

proptest! {
    #[test]
    fn what_is_accepted_has_one_spelling(value in r"(\*\.)?([a-zA-Z0-9-]{1,8}|xn--[a-z0-9-]{1,8})(\.[a-zA-Z0-9-]{1,5}){0,3}") {
        if let Ok(identifier) = Identifier::parse("dns", &value) {
            prop_assert_eq!(identifier.value(), value.to_ascii_lowercase());
            prop_assert_eq!(Identifier::parse("dns", &identifier.value()), Ok(identifier.clone()));
            let json = serde_json::to_string(&identifier).unwrap();
            prop_assert_eq!(serde_json::from_str::<Identifier>(&json).unwrap(), identifier);
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic_or_map(value in r"\PC{0,20}|[a-z0-9.*\x00-\x2f]{0,20}") {
        if let Ok(identifier) = Identifier::parse("dns", &value) {
            prop_assert_eq!(identifier.value(), value.to_ascii_lowercase());
        }
        if let Ok(identifier) = Identifier::parse("ip", &value) {
            prop_assert_eq!(identifier.value(), value);
        }
    }

    #[test]
    fn every_address_but_a_mapped_one_reads_back(address: IpAddr) {
        let mapped = matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
        let read = Identifier::parse("ip", &address.to_string());
        prop_assert_eq!(read.ok(), (!mapped).then_some(Identifier::Ip(address)));
    }
}
