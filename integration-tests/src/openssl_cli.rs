//! Certificates, as another program than ours sees them.

use std::{io::Write, net::IpAddr, path::Path, process::Command};

use openssl::x509::X509;

/// Has `openssl verify` say that the chain leads to one of the roots, that all is as RFC 5280 wants it, and that the
/// leaf is a TLS server's with this name or IP address.
///
/// # Panics
///
/// If it says otherwise.
pub fn assert_chain_verifies(chain: &str, roots: &Path, name: &str) {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(chain.as_bytes()).expect("a file can be written");
    let option = if name.parse::<IpAddr>().is_ok() { "-verify_ip" } else { "-verify_hostname" };
    // `verify` reads the leaf from the front of the file, and the intermediates from all of it.
    let output = Command::new("openssl")
        .args(["verify", "-x509_strict", "-purpose", "sslserver", option, name, "-no-CApath"])
        .args(["-no-CAstore", "-CAfile"])
        .arg(roots)
        .arg("-untrusted")
        .args([file.path(), file.path()])
        .output()
        .expect("openssl can be run");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{chain}");
}

/// The first certificate of a chain.
///
/// # Panics
///
/// If there is none.
#[must_use]
pub fn leaf(chain: &str) -> X509 {
    X509::stack_from_pem(chain.as_bytes()).expect("PEM").into_iter().next().expect("a certificate")
}
