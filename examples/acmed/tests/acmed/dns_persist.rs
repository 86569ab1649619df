use crate::support::Place;

const CONFIG: &str = "\
base_url = \"https://ca.example\"
[validation]
challenges = [\"dns-persist-01\"]
persist_identities = [\"ca.example\"]
";

#[test]
fn the_record_of_dns_persist_01_is_printed_as_a_line_of_a_zone_file() {
    let place = Place::new();
    place.write("acmed.toml", CONFIG);
    let account = "https://ca.example/acme/account/x";

    let line = place.run(&["dns-persist", "A.example.org", "--account", account]).expect_done().stdout();

    let expected =
        format!("_validation-persist.a.example.org. IN TXT (\"ca.example;\" \" accounturi={account}\")\n");
    assert_eq!(line, expected);
    let more = ["--wildcard", "--until", "2030-01-01T00:00:00Z"];
    let run = place.run(&[&["dns-persist", "a.example.org", "--account", account], &more[..]].concat());
    assert!(run.expect_done().stdout().contains("; policy=wildcard; persistUntil=1893456000\")"));
}

#[test]
fn a_record_for_an_account_of_another_server_or_without_a_name_for_the_ca_is_refused() {
    let place = Place::new();
    place.write("acmed.toml", CONFIG);
    let elsewhere = ["dns-persist", "a.example.org", "--account", "https://other.example/acme/account/x"];
    place.run(&elsewhere).expect_refused(&["is not one of https://ca.example"]);

    let place = Place::new();
    let nameless = ["dns-persist", "a.example.org", "--account", "http://127.0.0.1:8000/acme/account/x"];
    place.run(&nameless).expect_refused(&["persist_identities"]);
}
