use serde_json::Value;

use crate::support::{Place, Run};

const CONFIG: &str = "\
listen = \"127.0.0.1:0\"
base_url = \"https://ca.example/pki\"
[directory]
external_account_required = true
";

fn json(run: Run) -> Value {
    serde_json::from_str(&run.expect_done().stdout()).unwrap()
}

/// The word after this label, or option.
fn after<'a>(text: &'a str, label: &str) -> &'a str {
    let mut words = text.split_whitespace().skip_while(|word| *word != label).skip(1);
    words.next().unwrap_or_else(|| panic!("nothing after {label}: {text}"))
}

#[test]
fn keys_are_made_listed_and_revoked_beside_a_running_server() {
    let place = Place::new();
    place.write("acmed.toml", CONFIG);
    let server = place.serve(&["serve"]);

    let grant = ["--comment", "web team", "--accounts", "2", "--domain", "Corp.Example", "--expires", "30d"];
    let created = json(place.run(&[&["eab", "create", "--json"], &grant[..]].concat()));
    let kid = created["kid"].as_str().unwrap();
    assert_eq!(created["secret"].as_str().unwrap().len(), 43, "256 bits in base64url without padding");
    assert_eq!(created["directory"], "https://ca.example/pki/directory");

    let listed = json(place.run(&["eab", "list", "--json"]));
    let listed = &listed[0];
    for (name, value) in [
        ("kid", Value::from(kid)),
        ("state", "usable".into()),
        ("comment", "web team".into()),
        ("accounts", 0.into()),
        ("most_accounts", 2.into()),
        ("domains", vec!["corp.example"].into()),
        ("expires", created["expires"].clone()),
        ("revoked", Value::Null),
    ] {
        assert_eq!(listed[name], value, "{name}");
    }
    assert!(created["expires"].as_str().unwrap() > created["created"].as_str().unwrap());

    let revoked = place.run(&["eab", "revoke", kid]).expect_done().stdout();
    assert_eq!(revoked, format!("{kid} is revoked: it opens no further account; it opened none\n"));
    let table = place.run(&["eab", "list"]).expect_done().stdout();
    let row = table.lines().nth(1).unwrap();
    assert!(row.starts_with(&format!("{kid}  revoked  0 of 2 ")) && row.ends_with("  web team"), "{table}");
    assert_eq!(server.stop("TERM").0, Some(0));
}

#[test]
fn what_a_client_needs_is_printed_once() {
    let place = Place::new();
    place.write("acmed.toml", CONFIG);
    place.run(&["init", "--dir", "other"]).expect_done();
    let of_other = ["--data-dir", "other/acmed-data", "--base-url", "https://ca.example"];

    let printed = place.run(&[&["eab", "create"], &of_other[..]].concat()).expect_done().stdout();

    let (kid, secret) = (after(&printed, "kid"), after(&printed, "secret"));
    let directory = "https://ca.example/directory";
    assert_eq!(after(&printed, "directory"), directory);
    for (line, options) in [
        ("certbot register ", [format!("--eab-kid {kid}"), format!("--eab-hmac-key {secret}")]),
        ("lego ", [format!("--eab --kid {kid}"), format!("--hmac {secret}")]),
        ("acme.sh --register-account ", [format!("--eab-kid {kid}"), format!("--eab-hmac-key {secret}")]),
    ] {
        let line = printed.lines().find(|printed| printed.starts_with(line)).expect(line);
        assert!(line.contains(&format!("--server {directory} ")), "{line}");
        assert!(options.iter().all(|option| line.contains(option)), "{line}");
    }
    assert!(printed.contains(&format!("\n\t\tdir {directory}\n\t\teab {kid} {secret}\n")), "{printed}");

    for arguments in [&["eab", "list"][..], &["eab", "list", "--json"], &["eab", "revoke", kid, "--json"]] {
        let later = place.run(&[arguments, &of_other].concat()).expect_done();
        assert!(later.stdout().contains(kid), "{arguments:?}");
        assert!(!later.stdout().contains(secret), "{arguments:?} shows the secret");
        assert!(!later.stderr().contains(secret), "{arguments:?} shows the secret");
    }
}

#[test]
fn that_a_key_is_not_needed_is_said() {
    let place = Place::new();
    place.run(&["init"]).expect_done();
    let said = |place: &Place| place.run(&["eab", "create"]).expect_done().stderr();
    assert!(said(&place).contains("external_account_required"));
    place.write("acmed.toml", CONFIG);
    assert_eq!(said(&place), "");
}

#[test]
fn keys_of_servers_that_are_not_there_are_refused() {
    let place = Place::new();
    for command in [&["eab", "create"][..], &["eab", "list"], &["eab", "revoke", "kid"]] {
        place.run(command).expect_refused(&["no database acmed-data/acmed.db", "--config", "--data-dir"]);
    }
    assert!(!place.path().join("acmed-data").exists(), "nothing was made");
    place.run(&["init"]).expect_done();
    place.run(&["eab", "list"]).expect_refused(&["no database"]);
    place.run(&["eab", "create", "--storage", "memory:"]).expect_refused(&["memory:", "alone"]);
    place.run(&["eab", "list", "--config", "nope.toml"]).expect_refused(&["nope.toml cannot be read"]);
}

#[test]
fn keys_that_make_no_sense_are_refused() {
    let place = Place::new();
    place.run(&["init"]).expect_done();
    for option in [
        &["--accounts", "0"][..],
        &["--expires", "tomorrow"],
        &["--domain", "not a name"],
        &["--comment", "two\nlines"],
        &["--domain", "*.corp.example"],
    ] {
        place.run(&[&["eab", "create"], option].concat()).expect_bad_usage();
    }
    place.run(&["eab"]).expect_bad_usage();
    place.run(&["eab", "revoke"]).expect_bad_usage();
    for over in ["2020-01-01T00:00:00Z", "0s"] {
        place.run(&["eab", "create", "--expires", over]).expect_refused(&["is over", "--expires"]);
    }
    place.run(&["eab", "create"]).expect_done();
    place.run(&["eab", "revoke", "nope"]).expect_refused(&["no key \"nope\"", "acmed eab list"]);
}

#[test]
fn who_made_a_key_is_on_record() {
    let place = Place::new();
    place.run(&["init"]).expect_done();
    for (user, arguments) in [(Some("alice"), &[][..]), (None, &[]), (Some("alice"), &["--operator", "bob"])]
    {
        let mut command = place.command(&[&["eab", "create"], arguments].concat());
        match user {
            Some(user) => command.env("USER", user),
            None => command.env_remove("USER"),
        };
        assert!(command.output().unwrap().status.success());
    }
    let database = std::fs::read(place.path().join("acmed-data/acmed.db")).unwrap();
    let database = String::from_utf8_lossy(&database);
    for operator in ["alice", "acmed", "bob"] {
        assert!(database.contains(&format!("{{\"operator\":\"{operator}\"}}")), "{operator}");
    }
}
