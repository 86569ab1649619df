use super::*;

fn verdict(policy: &AddressPolicy, address: &str) -> Result<(), Rule> {
    let address = address.parse().unwrap_or_else(|_| panic!("{address} is not an address"));
    policy.check(address).map_err(|refusal| refusal.rule)
}

fn range(text: &str) -> Cidr {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// First and last address of each closed block, and what is just outside.
#[test]
fn the_default_is_the_public_internet_and_nothing_else() {
    let table: &[(&str, Result<(), Rule>)] = &[
        ("0.0.0.0", Err(Rule::Unspecified)),
        ("0.255.255.255", Err(Rule::Unspecified)),
        ("1.0.0.0", Ok(())),
        ("8.8.8.8", Ok(())),
        ("9.255.255.255", Ok(())),
        ("10.0.0.0", Err(Rule::Private)),
        ("10.255.255.255", Err(Rule::Private)),
        ("11.0.0.0", Ok(())),
        ("100.63.255.255", Ok(())),
        ("100.64.0.0", Err(Rule::CarrierNat)),
        ("100.100.100.200", Err(Rule::CloudMetadata)),
        ("100.127.255.255", Err(Rule::CarrierNat)),
        ("100.128.0.0", Ok(())),
        ("126.255.255.255", Ok(())),
        ("127.0.0.0", Err(Rule::Loopback)),
        ("127.0.0.1", Err(Rule::Loopback)),
        ("127.255.255.255", Err(Rule::Loopback)),
        ("128.0.0.0", Ok(())),
        ("168.63.129.15", Ok(())),
        ("168.63.129.16", Err(Rule::CloudMetadata)),
        ("169.253.255.255", Ok(())),
        ("169.254.0.0", Err(Rule::LinkLocal)),
        ("169.254.169.254", Err(Rule::CloudMetadata)),
        ("169.254.255.255", Err(Rule::LinkLocal)),
        ("169.255.0.0", Ok(())),
        ("172.15.255.255", Ok(())),
        ("172.16.0.0", Err(Rule::Private)),
        ("172.31.255.255", Err(Rule::Private)),
        ("172.32.0.0", Ok(())),
        ("191.255.255.255", Ok(())),
        ("192.0.0.0", Err(Rule::Protocol)),
        ("192.0.0.255", Err(Rule::Protocol)),
        ("192.0.1.0", Ok(())),
        ("192.0.2.0", Err(Rule::Documentation)),
        ("192.0.2.255", Err(Rule::Documentation)),
        ("192.0.3.0", Ok(())),
        ("192.88.99.1", Err(Rule::Protocol)),
        ("192.167.255.255", Ok(())),
        ("192.168.0.0", Err(Rule::Private)),
        ("192.168.255.255", Err(Rule::Private)),
        ("192.169.0.0", Ok(())),
        ("198.17.255.255", Ok(())),
        ("198.18.0.0", Err(Rule::Benchmarking)),
        ("198.19.255.255", Err(Rule::Benchmarking)),
        ("198.20.0.0", Ok(())),
        ("198.51.99.255", Ok(())),
        ("198.51.100.0", Err(Rule::Documentation)),
        ("198.51.100.255", Err(Rule::Documentation)),
        ("198.51.101.0", Ok(())),
        ("203.0.112.255", Ok(())),
        ("203.0.113.0", Err(Rule::Documentation)),
        ("203.0.113.255", Err(Rule::Documentation)),
        ("203.0.114.0", Ok(())),
        ("223.255.255.255", Ok(())),
        ("224.0.0.0", Err(Rule::Multicast)),
        ("239.255.255.255", Err(Rule::Multicast)),
        ("240.0.0.0", Err(Rule::Reserved)),
        ("255.255.255.254", Err(Rule::Reserved)),
        ("255.255.255.255", Err(Rule::Broadcast)),
        ("::", Err(Rule::Unspecified)),
        ("::1", Err(Rule::Loopback)),
        ("1::", Err(Rule::Reserved)),
        ("64:ff9a::1", Err(Rule::Reserved)),
        ("64:ff9b:1::808:808", Err(Rule::LocalNat64)),
        ("64:ff9b:1:ffff:ffff:ffff:ffff:ffff", Err(Rule::LocalNat64)),
        ("64:ff9b::1:808:808", Err(Rule::Reserved)),
        ("100::", Err(Rule::Protocol)),
        ("100::ffff:ffff:ffff:ffff", Err(Rule::Protocol)),
        ("100:0:0:1::", Err(Rule::Reserved)),
        ("200::", Err(Rule::Reserved)),
        ("400::", Err(Rule::Reserved)),
        ("800::", Err(Rule::Reserved)),
        ("1000::", Err(Rule::Reserved)),
        ("1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Err(Rule::Reserved)),
        ("2000::", Ok(())),
        ("2001:1::1", Ok(())),
        ("2001:2::", Err(Rule::Benchmarking)),
        ("2001:2:0:ffff:ffff:ffff:ffff:ffff", Err(Rule::Benchmarking)),
        ("2001:2:1::", Ok(())),
        ("2001:10::", Err(Rule::Protocol)),
        ("2001:2f:ffff:ffff:ffff:ffff:ffff:ffff", Err(Rule::Protocol)),
        ("2001:30::", Ok(())),
        ("2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", Ok(())),
        ("2001:db8::", Err(Rule::Documentation)),
        ("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", Err(Rule::Documentation)),
        ("2001:db9::", Ok(())),
        ("2600::1", Ok(())),
        ("3fff::", Err(Rule::Documentation)),
        ("3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", Err(Rule::Documentation)),
        ("3fff:1000::", Ok(())),
        ("4000::", Err(Rule::Reserved)),
        ("5f00::1", Err(Rule::Reserved)),
        ("7fff::", Err(Rule::Reserved)),
        ("8000::", Err(Rule::Reserved)),
        ("bfff::", Err(Rule::Reserved)),
        ("c000::", Err(Rule::Reserved)),
        ("e000::", Err(Rule::Reserved)),
        ("f000::", Err(Rule::Reserved)),
        ("f800::", Err(Rule::Reserved)),
        ("fc00::", Err(Rule::UniqueLocal)),
        ("fd00:ec2::253", Err(Rule::UniqueLocal)),
        ("fd00:ec2::254", Err(Rule::CloudMetadata)),
        ("fd20:ce::254", Err(Rule::CloudMetadata)),
        ("fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Err(Rule::UniqueLocal)),
        ("fe00::", Err(Rule::Reserved)),
        ("fe80::", Err(Rule::LinkLocal)),
        ("febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Err(Rule::LinkLocal)),
        ("fec0::", Err(Rule::SiteLocal)),
        ("feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Err(Rule::SiteLocal)),
        ("ff00::", Err(Rule::Multicast)),
        ("ff02::1", Err(Rule::Multicast)),
    ];
    for (address, expected) in table {
        assert_eq!(verdict(&AddressPolicy::default(), address), *expected, "{address}");
    }
}

#[test]
fn an_ipv6_address_that_leads_to_an_ipv4_host_is_judged_by_it() {
    let table: &[(&str, Result<(), Rule>)] = &[
        // mapped
        ("::ffff:8.8.8.8", Ok(())),
        ("::ffff:127.0.0.1", Err(Rule::Loopback)),
        ("::ffff:169.254.169.254", Err(Rule::CloudMetadata)),
        // compatible
        ("::8.8.8.8", Ok(())),
        ("::10.0.0.1", Err(Rule::Private)),
        ("::0.0.0.2", Err(Rule::Unspecified)),
        // NAT64
        ("64:ff9b::8.8.8.8", Ok(())),
        ("64:ff9b::192.168.1.1", Err(Rule::Private)),
        ("64:ff9b::0.0.0.0", Err(Rule::Unspecified)),
        // 6to4
        ("2002:808:808::1", Ok(())),
        ("2002:7f00:1::1", Err(Rule::Loopback)),
        ("2002:a9fe:a9fe::", Err(Rule::CloudMetadata)),
        // Teredo: the server, then the client with its bits flipped
        ("2001:0:808:808:0:0:f7f7:f7f7", Ok(())),
        ("2001:0:a00:1:0:0:f7f7:f7f7", Err(Rule::Private)),
        ("2001:0:808:808:0:0:80ff:fffe", Err(Rule::Loopback)),
    ];
    for (address, expected) in table {
        assert_eq!(verdict(&AddressPolicy::default(), address), *expected, "{address}");
    }
}

#[test]
fn a_private_network_is_open_to_its_ca_and_the_machine_itself_is_not() {
    let table: &[(&str, Result<(), Rule>)] = &[
        ("8.8.8.8", Ok(())),
        ("10.1.2.3", Ok(())),
        ("172.16.0.1", Ok(())),
        ("192.168.1.1", Ok(())),
        ("100.64.0.1", Ok(())),
        ("fd12:3456::1", Ok(())),
        ("64:ff9b::10.0.0.1", Ok(())),
        ("127.0.0.1", Err(Rule::Loopback)),
        ("::1", Err(Rule::Loopback)),
        ("::ffff:127.0.0.1", Err(Rule::Loopback)),
        ("0.0.0.0", Err(Rule::Unspecified)),
        ("169.254.1.1", Err(Rule::LinkLocal)),
        ("169.254.169.254", Err(Rule::CloudMetadata)),
        ("100.100.100.200", Err(Rule::CloudMetadata)),
        ("fd00:ec2::254", Err(Rule::CloudMetadata)),
        ("fe80::1", Err(Rule::LinkLocal)),
        ("224.0.0.1", Err(Rule::Multicast)),
        ("192.0.2.1", Err(Rule::Documentation)),
    ];
    for (address, expected) in table {
        assert_eq!(verdict(&AddressPolicy::private_network(), address), *expected, "{address}");
    }
}

#[test]
fn deny_wins_over_allow_and_allow_over_the_default() {
    let denied = range("10.0.0.0/24");
    let policy = AddressPolicy::public().allow(range("10.0.0.0/8")).deny(denied).deny(range("2001:db9::/32"));

    assert_eq!(verdict(&policy, "10.0.1.1"), Ok(()));
    assert_eq!(verdict(&policy, "10.0.0.1"), Err(Rule::Denied(denied)));
    assert_eq!(verdict(&policy, "172.16.0.1"), Err(Rule::Private));
    assert_eq!(verdict(&policy, "::ffff:10.0.0.1"), Err(Rule::Denied(denied)), "as an IPv6 address too");
    assert_eq!(verdict(&policy, "64:ff9b::10.0.1.1"), Ok(()));
    assert_eq!(verdict(&policy, "2001:db9::1"), Err(Rule::Denied(range("2001:db9::/32"))));
}

#[test]
fn denying_all_of_ipv6_denies_its_forms_of_ipv4_addresses() {
    let policy = AddressPolicy::public().deny(range("::/0"));
    assert_eq!(verdict(&policy, "::ffff:8.8.8.8"), Err(Rule::Denied(range("::/0"))));
    assert_eq!(verdict(&policy, "8.8.8.8"), Ok(()));
}

#[test]
fn a_guarded_address_is_opened_only_by_an_entry_within_its_block() {
    let wide = AddressPolicy::public().allow(range("0.0.0.0/0")).allow(range("::/0"));
    assert_eq!(verdict(&wide, "10.0.0.1"), Ok(()));
    assert_eq!(verdict(&wide, "fd00::1"), Ok(()));
    assert_eq!(verdict(&wide, "127.0.0.1"), Err(Rule::Loopback));
    assert_eq!(verdict(&wide, "::1"), Err(Rule::Loopback));
    assert_eq!(verdict(&wide, "fe80::1"), Err(Rule::LinkLocal));
    assert_eq!(verdict(&wide, "fd00:ec2::254"), Err(Rule::CloudMetadata));

    let link = AddressPolicy::public().allow(range("169.254.0.0/16"));
    assert_eq!(verdict(&link, "169.254.1.1"), Ok(()));
    assert_eq!(verdict(&link, "169.254.169.254"), Err(Rule::CloudMetadata));

    let loopback = AddressPolicy::public().allow(range("127.0.0.1")).allow(range("::1"));
    assert_eq!(verdict(&loopback, "127.0.0.1"), Ok(()));
    assert_eq!(verdict(&loopback, "::1"), Ok(()));
    assert_eq!(verdict(&loopback, "::ffff:127.0.0.1"), Ok(()));
    assert_eq!(verdict(&loopback, "127.0.0.2"), Err(Rule::Loopback));
}
