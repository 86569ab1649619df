use super::{
    super::tests::{account, dns},
    *,
};

fn names(names: &[&str]) -> Vec<DnsName> {
    names.iter().map(|name| DnsName::parse(name).unwrap()).collect()
}

fn networks(networks: &[&str]) -> Vec<Cidr> {
    networks.iter().map(|network| network.parse().unwrap()).collect()
}

fn ip(address: &str) -> Identifier {
    Identifier::parse("ip", address).unwrap()
}

/// What the rules say of an identifier to the account `kid-1` opened, from 192.0.2.1.
fn judge(rules: &Rules, identifier: &Identifier) -> Decision {
    let account = account();
    let client = Some("192.0.2.1".parse().unwrap());
    rules.judge(&Applicant { client, ..Applicant::new(&account) }, identifier).decision
}

fn denies(rules: &Rules, identifier: &Identifier) -> bool {
    matches!(judge(rules, identifier), Decision::Deny(_))
}

#[test]
fn a_denied_domain_is_denied_with_all_below_it_and_every_wildcard_for_it() {
    let rules = Rules {
        denied_names: names(&["evil.example"]),
        denied_networks: networks(&["10.0.0.0/8"]),
        ..Rules::default()
    };
    for name in ["evil.example", "EVIL.example", "sub.evil.example", "*.evil.example", "*.example"] {
        assert!(denies(&rules, &dns(name)), "{name}");
    }
    for name in ["example", "notevil.example", "evil.example.org", "*.good.example"] {
        assert!(!denies(&rules, &dns(name)), "{name}");
    }
    assert!(denies(&rules, &ip("10.1.2.3")) && !denies(&rules, &ip("11.1.2.3")));
}

#[test]
fn where_something_is_allowed_nothing_else_is_and_a_denial_goes_first() {
    let rules = Rules {
        allowed_names: names(&["corp.example"]),
        allowed_networks: networks(&["10.0.0.0/8"]),
        denied_names: names(&["lab.corp.example"]),
        ..Rules::default()
    };
    for good in [dns("corp.example"), dns("*.a.corp.example"), dns("a.b.corp.example"), ip("10.0.0.1")] {
        assert_eq!(judge(&rules, &good), Decision::Allow, "{good}");
    }
    for bad in [dns("example"), dns("x.lab.corp.example"), dns("evilcorp.example"), ip("192.0.2.1")] {
        assert!(denies(&rules, &bad), "{bad}");
    }
}

#[test]
fn accounts_keys_and_clients_are_denied_and_allowed_alike() {
    let (name, me, other) = (dns("a.example"), account().id, AccountId::from_bytes([9; 16]));
    let kid = |kid: &str| vec![kid.to_owned()];
    let default = Rules::default;
    for (rules, denied) in [
        (default(), false),
        (Rules { denied_accounts: vec![me], ..default() }, true),
        (Rules { denied_accounts: vec![other], ..default() }, false),
        (Rules { allowed_accounts: vec![other], ..default() }, true),
        (Rules { allowed_accounts: vec![other], allowed_keys: kid("kid-1"), ..default() }, false),
        (Rules { denied_keys: kid("kid-1"), allowed_accounts: vec![me], ..default() }, true),
        (Rules { denied_clients: networks(&["192.0.2.0/24"]), ..default() }, true),
        (Rules { allowed_clients: networks(&["198.51.100.0/24"]), ..default() }, true),
        (Rules { allowed_clients: networks(&["192.0.2.0/24"]), ..default() }, false),
    ] {
        assert_eq!(denies(&rules, &name), denied, "{rules:?}");
    }
}

#[tokio::test]
async fn a_new_account_is_asked_where_it_comes_from_and_which_key_opens_it() {
    let account = account();
    let unknown = Applicant::new(&account);
    for (rules, denied) in [
        (Rules { allowed_clients: networks(&["192.0.2.0/24"]), ..Rules::default() }, true),
        (Rules { denied_keys: vec!["kid-1".into()], ..Rules::default() }, true),
        (Rules { allowed_keys: vec!["other".into()], ..Rules::default() }, false),
    ] {
        let verdict = rules.new_account(&unknown).await.unwrap();
        assert_eq!(matches!(verdict.decision, Decision::Deny(_)), denied, "{rules:?}");
    }
}

#[test]
fn who_is_trusted_need_not_prove_what_the_trust_is_for_and_no_more() {
    let trusting = |trust: Trust| Rules { trusted: vec![trust], ..Rules::default() };
    let keys = || vec!["kid-1".to_owned()];
    let corp = || names(&["corp.example"]);
    let name = dns("www.corp.example");
    let valid =
        |trust: Trust, identifier: &Identifier| judge(&trusting(trust), identifier) == Decision::AlreadyValid;
    assert!(valid(Trust { keys: keys(), ..Trust::default() }, &name), "any name");
    assert!(valid(Trust { keys: keys(), names: corp(), ..Trust::default() }, &name));
    assert!(!valid(Trust { keys: keys(), names: corp(), ..Trust::default() }, &dns("example")));
    assert!(!valid(Trust { keys: keys(), names: corp(), ..Trust::default() }, &ip("10.0.0.1")));
    assert!(!valid(Trust { keys: vec!["other".into()], names: corp(), ..Trust::default() }, &name));
    let from = |range: &str| Trust { clients: networks(&[range]), ..Trust::default() };
    assert!(valid(from("192.0.2.0/24"), &name) && !valid(from("10.0.0.0/8"), &name));
    assert!(!valid(Trust { keys: keys(), ..from("10.0.0.0/8") }, &name), "both are demanded");
    assert!(!valid(Trust { names: corp(), ..Trust::default() }, &name), "nobody is meant");
    let networks = || networks(&["10.0.0.0/8"]);
    assert!(valid(Trust { keys: keys(), networks: networks(), ..Trust::default() }, &ip("10.0.0.1")));

    let denied = Rules { denied_names: corp(), ..trusting(Trust { keys: keys(), ..Trust::default() }) };
    assert!(denies(&denied, &name), "a denial goes first");
}
