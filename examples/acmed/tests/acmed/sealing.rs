use std::fs;

use serde_json::Value;

use crate::support::{Place, Run};

const CONFIG: &str = "\
listen = \"127.0.0.1:0\"
[sealing]
keys = \"keys\"
";

fn json(run: Run) -> Value {
    serde_json::from_str(&run.expect_done().stdout()).unwrap()
}

fn add_key(place: &Place) -> String {
    let said = place.run(&["sealing", "new-key", "--append", "keys"]).expect_done().stdout();
    said.split_whitespace().next().unwrap().to_owned()
}

/// Whether the file of the database, and what is beside it, has these bytes somewhere.
fn is_found(place: &Place, bytes: &[u8]) -> bool {
    let files = fs::read_dir(place.path().join("acmed-data")).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.is_file()).map(|path| fs::read(path).unwrap());
    files.collect::<Vec<_>>().iter().any(|file| file.windows(bytes.len()).any(|part| part == bytes))
}

#[test]
fn a_server_that_is_sealed_late_keeps_nothing_plain_and_takes_another_key() {
    let place = Place::new();
    place.run(&["init"]).expect_done();
    place.run(&["eab", "create", "--comment", "whom it is for"]).expect_done();
    assert!(is_found(&place, b"whom it is for"));
    let count = |key: Option<&str>| {
        let status = json(place.run(&["sealing", "status", "--json"]));
        let kept =
            status.as_array().unwrap().iter().find(|kept| kept["key"].as_str() == key).unwrap().clone();
        kept["cells"].as_object().unwrap().values().map(|cells| cells.as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!(count(None), 3, "comment and secret of the key, and the key of the nonces");

    place.write("acmed.toml", CONFIG);
    place.run(&["eab", "list"]).expect_refused(&["keys cannot be read", "new-key --append"]);
    let first = add_key(&place);
    let server = place.serve(&["serve"]);
    place.run(&["sealing", "rotate"]).expect_done();
    assert_eq!((count(None), count(Some(&first))), (0, 3));
    assert_eq!(server.stop("TERM").0, Some(0));
    assert!(!is_found(&place, b"whom it is for"));

    let second = add_key(&place);
    let server = place.serve(&["serve"]); // sweeps as it starts
    place.run(&["sealing", "rotate"]).expect_done();
    assert_eq!((count(Some(&first)), count(Some(&second))), (0, 3));
    assert_eq!(server.stop("TERM").0, Some(0));
    let status = place.run(&["sealing", "status"]).expect_done().stdout();
    assert!(status.contains("an older key, which can be removed"), "{status}");
    let newest = place.read("keys").lines().last().unwrap().to_owned();
    place.write("keys", &newest);
    let listed = json(place.run(&["eab", "list", "--json"]));
    assert_eq!(listed[0]["comment"], "whom it is for");
}

#[test]
fn a_server_does_not_start_with_other_keys_than_those_in_use() {
    let place = Place::new();
    place.run(&["init"]).expect_done();
    place.write("acmed.toml", CONFIG);
    let first = add_key(&place);
    assert_eq!(place.serve(&["serve"]).stop("TERM").0, Some(0));

    let right = place.read("keys");
    place.write("keys", "");
    add_key(&place);
    for command in [&["serve"][..], &["eab", "list"], &["sealing", "rotate"]] {
        place.run(command).expect_refused(&[&first, "not in the key ring", "put that key back"]);
    }
    place.write("acmed.toml", "listen = \"127.0.0.1:0\"");
    place.run(&["serve"]).expect_refused(&[&first, "there is no key ring", "[sealing]"]);
    place.write("acmed.toml", CONFIG);
    place.write("keys", &right);
    assert_eq!(place.serve(&["serve"]).stop("TERM").0, Some(0));
}

#[test]
fn a_new_key_is_one_line_and_a_file_of_keys_is_its_owners_only() {
    let place = Place::new();
    let line = place.run(&["sealing", "new-key"]).expect_done().stdout();
    assert_eq!(line.lines().count(), 1);
    assert_eq!(line.split_whitespace().next().unwrap().len(), 64);
    add_key(&place);
    place.run(&["sealing", "rotate"]).expect_refused(&["no sealing keys", "[sealing]"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(place.path().join("keys")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn what_is_in_the_database_is_counted_beside_a_running_server_and_nothing_is_made() {
    let place = Place::new();
    place.run(&["db", "stats"]).expect_refused(&["no database", "--data-dir"]);
    assert!(!place.path().join("acmed-data").exists(), "nothing was made");
    place.run(&["init"]).expect_done();
    place.run(&["db", "stats"]).expect_refused(&["no database"]);
    place.write("acmed.toml", "listen = \"127.0.0.1:0\"");
    let server = place.serve(&["serve"]);
    place.run(&["eab", "create"]).expect_done();

    let stats = json(place.run(&["db", "stats", "--json"]));
    let keys = stats["rows"].as_array().unwrap().iter().find(|row| row["table"] == "external_account_keys");
    let keys = keys.unwrap();
    assert_eq!((&keys["rows"], &keys["state"]), (&1.into(), &"not revoked".into()));
    assert!(keys["oldest"].as_str().unwrap().starts_with("20"), "{keys}");
    assert!(stats["size"]["bytes"].as_u64().unwrap() > 50_000, "{stats}");
    let text = place.run(&["db", "stats"]).expect_done().stdout();
    assert!(text.contains("external_account_keys      not revoked"), "{text}");
    assert_eq!(server.stop("TERM").0, Some(0));
    place.run(&["db", "stats", "--storage", "memory:"]).expect_refused(&["memory:", "alone"]);
}
