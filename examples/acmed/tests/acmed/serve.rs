use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
};

use openssl::{
    asn1::Asn1Time,
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkey::PKey,
    x509::{X509, X509Builder, extension::SubjectAlternativeName},
};

use crate::support::{Place, Server};

#[test]
fn serve_works_from_flags_alone_and_says_that_it_made_a_ca() {
    let place = Place::new();
    let server = place.serve(&["serve", "--listen", "127.0.0.1:0"]);

    assert!(server.get("/directory").starts_with("HTTP/1.1 200 "));
    assert!(server.get("/health/live").ends_with("live\n"));
    assert!(server.get("/health/ready").ends_with("ready\n"));
    assert!(server.get("/nothing").starts_with("HTTP/1.1 404 "));

    let (status, said) = server.stop("INT");
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("a new one was made") && said.contains("acmed-data/ca/root.pem"), "{said}");
}

#[test]
fn what_is_configured_about_the_server_is_in_the_directory() {
    let place = Place::new();
    place.write(
        "acmed.toml",
        "\
listen = \"127.0.0.1:0\"
storage = \"memory:\"
[directory]
terms_of_service = \"https://ca.example/terms\"
website = \"https://ca.example\"
caa_identities = [\"CA.example\"]
external_account_required = true
",
    );
    let answer = place.serve(&["serve"]).get("/directory");
    for member in [
        "\"termsOfService\":\"https://ca.example/terms\"",
        "\"website\":\"https://ca.example\"",
        "\"caaIdentities\":[\"ca.example\"]",
        "\"externalAccountRequired\":true",
    ] {
        assert!(answer.contains(member), "{member}: {answer}");
    }
}

#[cfg(unix)]
#[test]
fn keys_and_data_are_their_owners_only() {
    use std::os::unix::fs::PermissionsExt;

    let place = Place::new();
    let _server = place.serve(&["serve", "--listen", "127.0.0.1:0"]);
    for (name, mode) in [
        ("acmed-data", 0o700),
        ("acmed-data/acmed.db", 0o600),
        ("acmed-data/ca/root.key", 0o600),
        ("acmed-data/ca/intermediate.key", 0o600),
    ] {
        let found = std::fs::metadata(place.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{name} has {found:o}");
    }
}

#[test]
fn the_base_path_is_where_everything_is() {
    let place = Place::new();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap(); // nobody else takes it so soon again
    let base = format!("http://{free}/pki");
    let server =
        place.serve(&["serve", "--listen", &free.to_string(), "--base-url", &base, "--storage", "memory:"]);
    for path in ["/pki/directory", "/pki", "/pki/", "/pki/health/ready"] {
        assert!(server.get(path).starts_with("HTTP/1.1 200 "), "{path}");
    }
    assert!(server.get("/directory").starts_with("HTTP/1.1 404 "));
}

#[test]
fn jobs_and_http_can_be_two_processes_over_one_database() {
    let place = Place::new();
    let http = place.serve(&["serve", "--listen", "127.0.0.1:0", "--no-worker"]);
    place.run(&["serve", "--no-worker", "--listen", "127.0.0.1:0"]).expect_refused(&["another acmed"]);
    let worker = Server::start_silent(place.command(&["serve", "--worker-only"]));
    worker.hear("the root's SHA-256");
    assert_eq!(worker.stop("TERM").0, Some(0));
    assert_eq!(http.stop("TERM").0, Some(0));
}

#[test]
fn https_with_a_certificate_of_the_own_ca_is_served_and_kept() {
    let place = Place::new();
    place.write("acmed.toml", "listen = \"127.0.0.1:0\"\ntls = \"own\"\n");
    let serial = || {
        let server = place.serve(&["serve"]);
        let (answer, certificate) = server.get_tls("/directory", &place.root());
        assert!(answer.contains(&format!("\"newNonce\":\"https://{}/", server.address())), "{answer}");
        certificate.serial_number().to_bn().unwrap().to_hex_str().unwrap().to_string()
    };
    assert_eq!(serial(), serial(), "the certificate is kept while it is good");
}

#[test]
fn tls_certificates_are_read_again_at_sighup() {
    let place = Place::new();
    let first = place_certificate(&place);
    place.write(
        "acmed.toml",
        "listen = \"127.0.0.1:0\"\nstorage = \"memory:\"\ntls = { certificate = \"tls.pem\", key = \"tls.key\" }\n",
    );
    let server = place.serve(&["serve"]);
    server.get_tls("/health/live", &first);

    let second = place_certificate(&place);
    server.signal("HUP");
    server.hear("the TLS certificate was reloaded");
    server.get_tls("/health/live", &second);

    place.write("tls.pem", "junk");
    server.signal("HUP");
    server.hear("tls.pem is not a certificate");
    server.get_tls("/health/live", &second);
}

#[test]
fn without_tls_a_sighup_changes_nothing() {
    let place = Place::new();
    let server = place.serve(&["serve", "--listen", "127.0.0.1:0", "--storage", "memory:"]);
    server.signal("HUP");
    server.hear("nothing to reload");
    assert!(server.get("/health/live").ends_with("live\n"));
}

#[test]
fn a_request_under_way_is_answered_before_the_server_stops() {
    let place = Place::new();
    let server = place.serve(&["serve", "--listen", "127.0.0.1:0", "--storage", "memory:"]);
    let mut client = half_a_request(&server);

    server.signal("TERM");
    server.hear("stopping");
    client.write_all(b"}").unwrap();

    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(server.wait().0, Some(0));
}

#[test]
fn a_second_signal_stops_at_once() {
    let place = Place::new();
    let server = place.serve(&["serve", "--listen", "127.0.0.1:0", "--storage", "memory:"]);
    let _client = half_a_request(&server);

    server.signal("TERM");
    server.hear("stopping");
    let (status, said) = server.stop("TERM");

    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("stopped at once"), "{said}");
}

/// A request of which the last byte, a `}`, is still to be sent.
fn half_a_request(server: &Server) -> TcpStream {
    let mut client = TcpStream::connect(server.address()).unwrap();
    let head = "POST /acme/new-account HTTP/1.1\r\nHost: x\r\nContent-Type: application/jose+json\r\n";
    write!(client, "{head}Connection: close\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n").unwrap();
    // When it is asked for the body, the server has begun to serve the request.
    let mut go_on = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
    client.read_exact(&mut go_on).unwrap();
    client.write_all(b"{").unwrap();
    client
}

/// Writes a new certificate for 127.0.0.1 and its key to `tls.pem` and `tls.key`.
fn place_certificate(place: &Place) -> X509 {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(2).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
    let name =
        SubjectAlternativeName::new().ip("127.0.0.1").critical().build(&builder.x509v3_context(None, None));
    builder.append_extension(name.unwrap()).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    let certificate = builder.build();
    place.write("tls.pem", std::str::from_utf8(&certificate.to_pem().unwrap()).unwrap());
    place.write("tls.key", std::str::from_utf8(&key.private_key_to_pem_pkcs8().unwrap()).unwrap());
    certificate
}
