//! Names proved in real DNS: Knot has the zones, Unbound resolves and validates.

use std::{fs, os::unix::fs::PermissionsExt, process::Command, time::Duration};

use integration_tests::{
    Account, Knot, Object, Setup, Unbound, World, assert_chain_verifies, eventually, missing,
};
use openssl::sha::sha256;
use serde_json::json;

/// Whether the servers are not there.
fn no_servers() -> bool {
    ["knotd", "knsupdate", "kdig", "unbound"].iter().any(|program| missing(program))
}

/// A server that proves names by dns-01, and asks these.
fn world(resolvers: &[String], set_up: impl FnOnce(Setup) -> Setup) -> World {
    World::with(|setup| {
        let setup = setup
            .replacing("validation", "resolvers", &format!("{resolvers:?}"))
            .replacing("validation", "challenges", "[\"dns-01\", \"dns-account-01\", \"dns-persist-01\"]")
            .with("validation", "persist_identities = [\"ca.test\"]")
            .with("limits", "validation_backoff = \"200ms\"")
            .with("limits", "validation_attempts = 2");
        set_up(setup)
    })
}

/// What is to be the text, and the authorization, for a new order.
fn challenged(account: &Account, name: &str) -> (String, Object) {
    let order = account.order(&[name]);
    let authorization = account.authorizations(&order).remove(0);
    let right = account.key_authorization(&authorization.challenge("dns-01").text("token"));
    (coyote_jose::base64url::encode(sha256(right.as_bytes())), authorization)
}

/// The end of a validation.
fn verdict(account: &Account, authorization: &Object, kind: &str) -> Object {
    let _ = account.post(&authorization.challenge(kind).url, &json!({})).expect(200);
    account.settled(&authorization.url)
}

#[test]
fn certbot_and_lego_prove_names_and_wildcards_by_updates() {
    if no_servers() || missing("certbot") || missing("lego") {
        return;
    }
    let knot = Knot::start(&["example.test"]);
    let unbound = Unbound::start(&[("example.test", &knot)], &[]);
    let world = world(&[unbound.address()], |setup| setup);
    let (directory, server) = (world.acmed.path("client"), world.acmed.base_url().to_owned() + "/directory");
    fs::create_dir(&directory).expect("a directory");
    let (home, address) = (directory.display().to_string(), knot.address());
    let port = address.rsplit(':').next().expect("a port");
    let run = |line: &str| {
        let output = Command::new("sh").args(["-ec", line]).current_dir(&directory).output().expect("sh");
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&said));
    };

    let hook = directory.join("hook");
    let script = format!(
        "#!/bin/sh\n( echo server 127.0.0.1 {port}; echo zone example.test.; \
         echo \"update add _acme-challenge.$CERTBOT_DOMAIN. 0 TXT $CERTBOT_VALIDATION\"; echo send ) | knsupdate\n"
    );
    fs::write(&hook, script).expect("a script");
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).expect("a program");
    run(&format!(
        "certbot certonly -n --agree-tos -m you@example.com --manual --preferred-challenges dns \
         --manual-auth-hook ./hook --server {server} --config-dir {home}/c --work-dir {home}/w --logs-dir {home}/l \
         -d a.example.test -d '*.a.example.test'"
    ));
    let chain = fs::read_to_string(directory.join("c/live/a.example.test/fullchain.pem")).expect("a chain");
    assert_chain_verifies(&chain, &world.acmed.roots(), "any.a.example.test");

    run(&format!(
        "RFC2136_NAMESERVER={address} RFC2136_POLLING_INTERVAL=1 RFC2136_SEQUENCE_INTERVAL=1 lego --server {server} \
         --accept-tos --email you@example.com --path lego --dns rfc2136 --dns.resolvers {} --dns.disable-cp \
         -d b.example.test -d '*.b.example.test' run",
        unbound.address()
    ));
    let chain = fs::read_to_string(directory.join("lego/certificates/b.example.test.crt")).expect("a chain");
    assert_chain_verifies(&chain, &world.acmed.roots(), "any.b.example.test");
}

#[test]
fn a_zone_has_name_servers_of_its_own_and_the_others_do_not_know_what_they_say() {
    if no_servers() {
        return;
    }
    let (outside, inside) = (Knot::start(&["example.test"]), Knot::start(&["example.test"]));
    let unbound = Unbound::start(&[("example.test", &outside)], &[]);
    let zone = format!("name = \"corp.example.test\"\nresolvers = [\"{}\"]", inside.address());
    let world = world(&[unbound.address()], |setup| setup.with("[validation.zone]", &zone));
    let account = world.client.account();

    let (text, authorization) = challenged(&account, "a.corp.example.test");
    inside.add("example.test", &format!("_acme-challenge.a.corp.example.test. 0 TXT {text}"));
    assert_eq!(verdict(&account, &authorization, "dns-01").status(), "valid");

    let (text, authorization) = challenged(&account, "a.example.test");
    inside.add("example.test", &format!("_acme-challenge.a.example.test. 0 TXT {text}"));
    let end = verdict(&account, &authorization, "dns-01");
    assert_eq!(end.status(), "invalid", "this name is not of the zone: {}", end.json);
}

#[test]
fn a_challenge_that_is_delegated_to_another_zone_is_found_there() {
    if no_servers() {
        return;
    }
    let (knot, other) = (Knot::start(&["example.test"]), Knot::start(&["keys.test"]));
    let unbound = Unbound::start(&[("example.test", &knot), ("keys.test", &other)], &[]);
    let world = world(&[unbound.address()], |setup| setup);
    let account = world.client.account();
    let (text, authorization) = challenged(&account, "a.example.test");
    knot.add("example.test", "_acme-challenge.a.example.test. 0 CNAME a.keys.test.");
    other.add("keys.test", &format!("a.keys.test. 0 TXT {text}"));
    assert_eq!(verdict(&account, &authorization, "dns-01").status(), "valid");
    let log = eventually("the log shows the way", Duration::from_secs(5), || {
        Some(world.acmed.log()).filter(|log| log.contains("verdict    valid"))
    });
    assert!(log.contains("alias of a.keys.test."), "{log}");
}

#[test]
fn the_right_text_is_found_among_more_than_fit_into_a_datagram() {
    if no_servers() {
        return;
    }
    let knot = Knot::start(&["example.test"]);
    let unbound = Unbound::start(&[("example.test", &knot)], &[]);
    for resolver in [knot.address(), unbound.address()] {
        let world = world(&[resolver], |setup| setup);
        let account = world.client.account();
        let name = format!("n{}.example.test", world.responder.port());
        let (text, authorization) = challenged(&account, &name);
        for at in 0..60 {
            knot.add("example.test", &format!("_acme-challenge.{name}. 0 TXT {}{at}", "x".repeat(40)));
        }
        knot.add("example.test", &format!("_acme-challenge.{name}. 0 TXT {text}"));
        assert_eq!(verdict(&account, &authorization, "dns-01").status(), "valid");
    }
}

#[test]
fn where_dnssec_is_required_only_what_is_signed_and_right_proves_a_name_also_over_tls() {
    if no_servers() {
        return;
    }
    let (knot, liar) = (Knot::start(&["+signed.test", "plain.test"]), Knot::start(&["+forged.test"]));
    let other = Knot::start(&["+forged.test"]);
    let keys = [knot.key("signed.test"), other.key("forged.test")];
    let zones = [("signed.test", &knot), ("plain.test", &knot), ("forged.test", &liar)];
    let unbound = Unbound::start(&zones, &keys);
    for resolver in [unbound.address(), unbound.tls()] {
        let world = world(&[resolver], |setup| {
            setup
                .with("validation", "dnssec = \"require\"")
                .with("validation", &format!("resolver_roots = {:?}", unbound.certificate()))
        });
        let account = world.client.account();
        for (zone, server, expected) in [
            ("signed.test", &knot, "valid"),
            ("plain.test", &knot, "invalid"),
            ("forged.test", &liar, "invalid"),
        ] {
            let name = format!("n{}.{zone}", world.responder.port());
            let (text, authorization) = challenged(&account, &name);
            server.add(zone, &format!("_acme-challenge.{name}. 0 TXT {text}"));
            let end = verdict(&account, &authorization, "dns-01");
            assert_eq!(end.status(), expected, "{}", end.json);
            if expected == "invalid" {
                let kind = &end.challenge("dns-01").json["error"]["type"];
                assert_eq!(kind, "urn:ietf:params:acme:error:dns", "{}", end.json);
            }
        }
    }
}

#[test]
fn names_are_proved_at_the_label_of_the_account_and_by_a_record_that_stays() {
    if no_servers() {
        return;
    }
    let knot = Knot::start(&["example.test"]);
    let world = world(&[knot.address()], |setup| setup);
    let account = world.client.account();

    let (text, authorization) = challenged(&account, "a.example.test");
    let label: String = base32(&sha256(account.url.as_bytes())[..10]);
    knot.add("example.test", &format!("_{label}._acme-challenge.a.example.test. 0 TXT {text}"));
    assert_eq!(verdict(&account, &authorization, "dns-account-01").status(), "valid");

    let (_, authorization) = challenged(&account, "*.b.example.test");
    let challenge = authorization.challenge("dns-persist-01");
    assert_eq!(challenge.json["issuer-domain-names"], json!(["ca.test"]));
    assert_eq!(challenge.json["accounturi"], json!(account.url));
    assert_eq!(challenge.json["token"], json!(null), "nothing is new about it");
    let arguments = ["dns-persist", "b.example.test", "--account", &account.url, "--wildcard"];
    let line = world.acmed.beside(&arguments);
    let (owner, strings) = line.split_once(" IN TXT ").expect("a record");
    knot.add("example.test", &format!("{owner} 0 TXT {}", strings.trim().trim_matches(['(', ')'])));
    assert_eq!(verdict(&account, &authorization, "dns-persist-01").status(), "valid");

    let stranger = world.client.account_of(integration_tests::Key::new());
    let (_, authorization) = challenged(&stranger, "b.example.test");
    let end = verdict(&stranger, &authorization, "dns-persist-01");
    assert_eq!(end.status(), "invalid", "the record is another account's: {}", end.json);
    let log = eventually("the log shows what was found", Duration::from_secs(5), || {
        Some(world.acmed.log()).filter(|log| log.contains("does not name this account"))
    });
    assert!(log.contains("accounturi="), "{log}");
}

/// RFC 4648 section 6, in lower case; of 10 bytes.
fn base32(bytes: &[u8]) -> String {
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let digit = |at: usize| {
        let value = usize::from_str_radix(&bits[at..at + 5], 2).expect("five bits");
        char::from(b"abcdefghijklmnopqrstuvwxyz234567"[value])
    };
    (0..bits.len()).step_by(5).map(digit).collect()
}
