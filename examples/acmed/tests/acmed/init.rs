use crate::support::Place;

#[test]
fn init_writes_what_serve_starts_with() {
    let place = Place::new();
    place.run(&["init", "--dir", "ca", "--domain", "Corp.Example"]).expect_done();

    let config = place.read("ca/acmed.toml");
    assert!(config.contains("\ndomain = \"corp.example\"\n"), "{config}");
    assert!(config.contains("\n#listen = \"127.0.0.1:8000\"\n"), "defaults are there to be seen: {config}");
    let root = place.read("ca/acmed-data/ca/root.pem");
    let root = openssl::x509::X509::from_pem(root.as_bytes()).unwrap();
    let text = String::from_utf8(root.to_text().unwrap()).unwrap();
    assert!(text.contains("DNS:corp.example"), "the CA is for that domain: {text}");

    let server = place.serve(&["serve", "--config", "ca/acmed.toml", "--listen", "127.0.0.1:0"]);
    let served = server.get("/ca/root.pem");
    assert!(
        served.ends_with(&place.read("ca/acmed-data/ca/root.pem")),
        "it is the CA that was made: {served}"
    );
}

#[test]
fn init_overwrites_nothing() {
    let place = Place::new();
    place.run(&["init"]).expect_done();
    let before = (place.read("acmed.toml"), place.read("acmed-data/ca/root.pem"));

    place.run(&["init"]).expect_refused(&["there is a CA already", "--dir"]);
    assert_eq!((place.read("acmed.toml"), place.read("acmed-data/ca/root.pem")), before);

    let other = Place::new();
    other.write("acmed.toml", "# mine\n");
    other.run(&["init"]).expect_refused(&["acmed.toml is there already"]);
    assert_eq!(other.read("acmed.toml"), "# mine\n");
    assert!(!other.path().join("acmed-data/ca").exists(), "no CA without its configuration");
}

#[test]
fn a_domain_that_is_none_is_bad_usage() {
    Place::new().run(&["init", "--domain", "not a domain"]).expect_bad_usage();
}
