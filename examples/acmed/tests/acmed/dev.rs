use std::net::TcpListener;

use openssl::hash::MessageDigest;

use crate::support::Place;

const DEV: &[&str] = &["dev", "--listen", "127.0.0.1:0"];

#[test]
fn dev_serves_before_it_prints_what_a_client_needs() {
    let place = Place::new();
    let server = place.serve(DEV);

    let directory = server.get("/directory");
    assert!(directory.starts_with("HTTP/1.1 200 "), "{directory}");
    assert!(directory.contains(&format!("\"newNonce\":\"http://{}/", server.address())), "{directory}");
    assert_eq!(
        server.get("/").split("\r\n\r\n").nth(1),
        directory.split("\r\n\r\n").nth(1),
        "at the root as well"
    );

    let root = place.path().join("acmed-data/ca/root.pem");
    assert_eq!(server.line(), format!("root         {}", root.display()));
    let digest = place.root().digest(MessageDigest::sha256()).unwrap();
    let digest = digest.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":");
    assert_eq!(server.line(), format!("SHA-256      {digest}"));
    let certbot =
        (0..5).map(|_| server.line()).find(|line| line.starts_with("certbot ")).expect("the certbot line");
    assert!(certbot.contains(&format!("--server {}", server.directory)), "{certbot}");
    assert!(certbot.contains("--http-01-port 5002"), "{certbot}");

    let (status, said) = server.stop("TERM");
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("NOT FOR PRODUCTION"), "{said}");
}

#[test]
fn dev_keeps_its_ca_between_runs() {
    let place = Place::new();
    let first = place.serve(DEV).get("/ca/root.pem");
    let second = place.serve(DEV).get("/ca/root.pem");
    assert!(first.contains("BEGIN CERTIFICATE"), "{first}");
    assert_eq!(first.split("\r\n\r\n").nth(1), second.split("\r\n\r\n").nth(1));
}

#[test]
fn accepting_any_challenge_is_said_loudly() {
    let place = Place::new();
    let server = place.serve(&["dev", "--listen", "127.0.0.1:0", "--danger-accept-any-challenge"]);
    let (_, said) = server.stop("INT");
    assert!(said.contains("EVERY CHALLENGE IS FOUND MET WITHOUT LOOKING"), "{said}");
}

#[test]
fn a_data_directory_that_is_in_use_is_refused() {
    let place = Place::new();
    let _server = place.serve(DEV);
    place.run(DEV).expect_refused(&["another acmed is using the data directory", "--data-dir"]);
}

#[test]
fn a_port_that_is_in_use_is_refused() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    Place::new().run(&["dev", "--listen", &address]).expect_refused(&[
        "cannot listen on",
        &address,
        "--listen",
    ]);
}

#[test]
fn a_data_directory_that_cannot_be_made_is_refused() {
    let place = Place::new();
    place.write("file", "");
    place.run(&["dev", "--data-dir", "file/data"]).expect_refused(&[
        "file/data",
        "cannot be made",
        "--data-dir",
    ]);
}
