//! Another ACME server, to test the tests: Debian's `pebble`.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::json;
use tempfile::TempDir;

use crate::{Dns, Http, Request, eventually, free_port};

/// How long a start may take.
const START: Duration = Duration::from_secs(30);

/// A running pebble, over HTTPS, that keeps nothing. It ends with this value.
///
/// It is told to be quick and regular: not to sleep before it validates, to take every good nonce, and to have every
/// name proved anew.
pub struct Pebble {
    directory: TempDir,
    port: u16,
    child: Child,
}

impl Pebble {
    /// A server that looks up names here, and validates on these ports.
    ///
    /// With a key for external accounts, which is its identifier and its secret in base64url, accounts need it.
    ///
    /// # Panics
    ///
    /// If it does not start.
    #[must_use]
    pub fn start(dns: &Dns, http_port: u16, tls_port: u16, external_account: Option<(&str, &str)>) -> Self {
        let directory = tempfile::Builder::new().prefix("pebble-").tempdir().expect("a temporary directory");
        certify(&directory);
        let port = free_port();
        let mut config = json!({
            "listenAddress": SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            "managementListenAddress": SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())),
            "certificate": directory.path().join("certificate.pem"),
            "privateKey": directory.path().join("key.pem"),
            "httpPort": http_port,
            "tlsPort": tls_port,
        });
        if let Some((kid, secret)) = external_account {
            config["externalAccountBindingRequired"] = true.into();
            config["externalAccountMACKeys"] = json!({kid: secret});
        }
        let file = directory.path().join("config.json");
        fs::write(&file, json!({"pebble": config}).to_string()).expect("a file can be written");
        let log = File::create(directory.path().join("log")).expect("a file");
        let mut command = Command::new("pebble");
        command.arg("-config").arg(file).args(["-dnsserver", &dns.address().to_string()]);
        command
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_WFE_NONCEREJECT", "0")
            .env("PEBBLE_AUTHZREUSE", "0");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file")).stderr(log);
        let child = command.spawn().expect("pebble can be started");
        let mut pebble = Self { directory, port, child };
        pebble.wait_until_it_answers();
        pebble
    }

    fn wait_until_it_answers(&mut self) {
        let (http, directory) = (self.http(), self.directory_url());
        eventually("pebble answers", START, || {
            assert!(self.child.try_wait().expect("its state").is_none(), "pebble has ended:\n{}", self.log());
            let answer = http.try_send(&Request::new("GET", &http.target(&directory)));
            answer.is_ok_and(|answer| answer.status == 200).then_some(())
        });
    }

    /// The URL of its directory.
    #[must_use]
    pub fn directory_url(&self) -> String {
        format!("https://localhost:{}/dir", self.port)
    }

    /// The transport to it.
    #[must_use]
    pub fn http(&self) -> Http {
        Http::tls(&self.directory_url(), &self.root())
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// The certificate that it serves HTTPS with, which nobody else has signed.
    fn root(&self) -> PathBuf {
        self.directory.path().join("certificate.pem")
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes a certificate for `localhost`, and its key.
fn certify(directory: &TempDir) {
    let line = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
                -addext subjectAltName=DNS:localhost -keyout key.pem -out certificate.pem";
    let mut command = Command::new("openssl");
    let output = command.args(line.split_whitespace()).current_dir(directory.path()).output();
    let output = output.expect("openssl can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
