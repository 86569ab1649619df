//! `rediss://`.

use std::path::Path;
use std::process::Command;

use coyote_storage_redis::{ConnectError, RedisOptions, RedisStore};

use super::server::{Server, free_port};
use super::{consume, issue};

const PORT: &str = "COYOTE_TEST_TLS_PORT";

#[test]
fn by_tls_a_server_is_trusted_if_its_certificate_is() {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
    make_certificate(&certificate, &key);
    let port = free_port();
    let _server = Server::with(&[
        "--tls-port",
        &port.to_string(),
        "--tls-auth-clients",
        "no",
        "--tls-cert-file",
        certificate.to_str().unwrap(),
        "--tls-key-file",
        key.to_str().unwrap(),
        "--tls-ca-cert-file",
        certificate.to_str().unwrap(),
    ]);

    let refused = connect(port).unwrap_err();
    assert!(matches!(refused, ConnectError::Unavailable(_)), "{refused:?}");

    // Whom OpenSSL trusts is in the environment, which is another process's.
    let mut trusting = Command::new(std::env::current_exe().unwrap());
    trusting.args(["--exact", "tls::a_process_that_trusts_the_certificate", "--ignored"]);
    let output = trusting.env("SSL_CERT_FILE", &certificate).env(PORT, port.to_string()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}

#[tokio::test]
#[ignore = "it is run by the test above, with another environment"]
#[allow(clippy::disallowed_methods, reason = "a test is told by another")]
async fn a_process_that_trusts_the_certificate() {
    let store = connect(std::env::var(PORT).unwrap().parse().unwrap()).unwrap();
    let nonce = issue(&store).await;
    assert!(consume(&store, &nonce).await);
    assert!(!consume(&store, &nonce).await);
}

fn connect(port: u16) -> Result<RedisStore, ConnectError> {
    RedisStore::connect(&format!("rediss://127.0.0.1:{port}"), RedisOptions::default())
}

fn make_certificate(certificate: &Path, key: &Path) {
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]);
    openssl.args(["-subj", "/CN=redis", "-addext", "subjectAltName=IP:127.0.0.1", "-out"]);
    let output = openssl.arg(certificate).arg("-keyout").arg(key).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
