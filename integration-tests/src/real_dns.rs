//! Name servers that other people wrote: Knot as an authority that takes updates and signs, Unbound as a resolver that
//! validates.

use std::{
    fs,
    io::Write,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use openssl::{
    asn1::Asn1Time,
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkey::PKey,
    x509::{X509, X509NameBuilder, extension::SubjectAlternativeName},
};
use tempfile::TempDir;

use crate::{eventually, free_port};

/// One at a time: between the look for a free port and its use, another could take it.
static STARTING: Mutex<()> = Mutex::new(());

/// How long a server may take to start.
const START: Duration = Duration::from_secs(20);

/// A running `knotd`, with empty zones in which anybody may change anything. It ends with this value.
pub struct Knot {
    directory: TempDir,
    port: u16,
    child: Child,
}

impl Knot {
    /// One for these zones; for those that begin with `+`, signed.
    ///
    /// # Panics
    ///
    /// If it does not start.
    #[must_use]
    pub fn start(zones: &[&str]) -> Self {
        let directory = tempfile::Builder::new().prefix("knot-").tempdir().expect("a temporary directory");
        let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        let (path, port) = (directory.path().display().to_string(), free_port());
        let mut config = format!(
            "server:\n  rundir: \"{path}\"\n  listen: 127.0.0.1@{port}\n\
             database:\n  storage: \"{path}/db\"\n\
             log:\n - target: stderr\n   any: warning\n\
             acl:\n - id: anybody\n   address: 127.0.0.0/8\n   action: update\n\
             template:\n - id: default\n   storage: \"{path}\"\n   file: \"%s.zone\"\n   acl: anybody\n\
             zone:\n"
        );
        for zone in zones {
            let (zone, signing) = zone.strip_prefix('+').map_or((*zone, "off"), |zone| (zone, "on"));
            config += &format!(" - domain: {zone}\n   dnssec-signing: {signing}\n");
            let records = format!(
                "$ORIGIN {zone}.\n$TTL 0\n@ SOA ns host 1 3600 600 86400 0\n@ NS ns\nns A 127.0.0.1\n"
            );
            fs::write(directory.path().join(format!("{zone}.zone")), records).expect("a zone can be written");
        }
        fs::create_dir(directory.path().join("db")).expect("a directory");
        let file = directory.path().join("knot.conf");
        fs::write(&file, config).expect("a configuration can be written");
        let child = start("knotd", &["-c", &file.display().to_string()], &directory);
        let knot = Self { directory, port, child };
        for zone in zones {
            knot.wait_for(zone.trim_start_matches('+'));
        }
        knot
    }

    /// Where it is, over UDP and TCP.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Adds a record: `name ttl type data`.
    ///
    /// # Panics
    ///
    /// If the server does not take it.
    pub fn add(&self, zone: &str, record: &str) {
        let update = format!("server 127.0.0.1 {}\nzone {zone}.\nupdate add {record}\nsend\n", self.port);
        let mut child =
            Command::new("knsupdate").stdin(Stdio::piped()).spawn().expect("knsupdate can be run");
        child.stdin.take().expect("its input").write_all(update.as_bytes()).expect("it reads");
        assert!(child.wait().expect("it ends").success(), "{record} is not taken");
    }

    /// The key that a signed zone is to be trusted by, as a record.
    ///
    /// # Panics
    ///
    /// If it has none.
    #[must_use]
    pub fn key(&self, zone: &str) -> String {
        eventually("the zone is signed", START, || {
            let keys = self.ask(zone, "DNSKEY");
            let key = keys.lines().find(|line| line.starts_with("257 "))?.to_owned();
            Some(format!("{zone}. IN DNSKEY {key}"))
        })
    }

    fn ask(&self, name: &str, kind: &str) -> String {
        let port = self.port.to_string();
        let arguments = ["@127.0.0.1", "-p", &port, "+short", "+time=1", "+retry=0", name, kind];
        let output = Command::new("kdig").args(arguments).output().expect("kdig can be run");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn wait_for(&self, zone: &str) {
        eventually("knotd answers", START, || (!self.ask(zone, "SOA").trim().is_empty()).then_some(()));
    }
}

impl Drop for Knot {
    fn drop(&mut self) {
        end("knotd", &mut self.child, &self.directory);
    }
}

/// A running `unbound` that keeps nothing. It ends with this value.
pub struct Unbound {
    directory: TempDir,
    port: u16,
    tls_port: u16,
    child: Child,
}

impl Unbound {
    /// One that asks these servers for these zones, and trusts these keys.
    ///
    /// # Panics
    ///
    /// If it does not start.
    #[must_use]
    pub fn start(zones: &[(&str, &Knot)], keys: &[String]) -> Self {
        let directory = tempfile::Builder::new().prefix("unbound-").tempdir().expect("a temporary directory");
        let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        let (path, port, tls_port) = (directory.path().display().to_string(), free_port(), free_port());
        let (key, certificate) = identity();
        fs::write(directory.path().join("key.pem"), key).expect("a key can be written");
        fs::write(directory.path().join("certificate.pem"), certificate)
            .expect("a certificate can be written");
        let mut config = format!(
            "server:\n  directory: \"{path}\"\n  chroot: \"\"\n  username: \"\"\n  pidfile: \"{path}/pid\"\n\
             \x20 interface: 127.0.0.1@{port}\n  interface: 127.0.0.1@{tls_port}\n  tls-port: {tls_port}\n\
             \x20 tls-service-key: \"{path}/key.pem\"\n  tls-service-pem: \"{path}/certificate.pem\"\n\
             \x20 access-control: 127.0.0.0/8 allow\n  do-ip6: no\n  do-not-query-localhost: no\n\
             \x20 use-syslog: no\n  logfile: \"\"\n  module-config: \"validator iterator\"\n\
             \x20 cache-max-ttl: 0\n  cache-max-negative-ttl: 0\n  local-zone: \"test.\" nodefault\n"
        );
        for key in keys {
            config += &format!("  trust-anchor: \"{key}\"\n");
        }
        config += "remote-control:\n  control-enable: no\n";
        for (zone, knot) in zones {
            config += &format!("stub-zone:\n  name: \"{zone}\"\n  stub-addr: 127.0.0.1@{}\n", knot.port);
        }
        let file = directory.path().join("unbound.conf");
        fs::write(&file, config).expect("a configuration can be written");
        let child = start("unbound", &["-d", "-c", &file.display().to_string()], &directory);
        let unbound = Self { directory, port, tls_port, child };
        eventually("unbound answers", START, || {
            std::net::TcpStream::connect(("127.0.0.1", unbound.port)).ok().map(drop)
        });
        unbound
    }

    /// Where it is, over UDP and TCP.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where it is over TLS, as acmed has it.
    #[must_use]
    pub fn tls(&self) -> String {
        format!("tls://127.0.0.1:{}#dns.test", self.tls_port)
    }

    /// The certificate that vouches for it over TLS.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.directory.path().join("certificate.pem")
    }
}

impl Drop for Unbound {
    fn drop(&mut self) {
        end("unbound", &mut self.child, &self.directory);
    }
}

fn start(program: &str, arguments: &[&str], directory: &TempDir) -> Child {
    let log = fs::File::create(directory.path().join("log")).expect("a log can be written");
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.spawn().unwrap_or_else(|error| panic!("{program} can be run: {error}"))
}

fn end(program: &str, child: &mut Child, directory: &TempDir) {
    let _ = child.kill();
    let _ = child.wait();
    if std::thread::panicking() {
        let log = fs::read_to_string(directory.path().join("log")).unwrap_or_default();
        eprintln!("what {program} says:\n{log}");
    }
}

/// A key and a certificate for dns.test that vouches for itself, as PEM.
fn identity() -> (Vec<u8>, Vec<u8>) {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("a curve");
    let key = PKey::from_ec_key(EcKey::generate(&group).expect("a key")).expect("a key");
    let mut name = X509NameBuilder::new().expect("a name");
    name.append_entry_by_text("CN", "dns.test").expect("a name");
    let (name, mut builder) = (name.build(), X509::builder().expect("a certificate"));
    builder.set_version(2).expect("a version");
    builder.set_subject_name(&name).expect("a subject");
    builder.set_issuer_name(&name).expect("an issuer");
    builder.set_pubkey(&key).expect("a key");
    builder.set_not_before(&Asn1Time::days_from_now(0).expect("a time")).expect("a time");
    builder.set_not_after(&Asn1Time::days_from_now(1).expect("a time")).expect("a time");
    let names = SubjectAlternativeName::new().dns("dns.test").build(&builder.x509v3_context(None, None));
    builder.append_extension(names.expect("names")).expect("names");
    builder.sign(&key, MessageDigest::sha256()).expect("a signature");
    let certificate = builder.build().to_pem().expect("PEM");
    (key.private_key_to_pem_pkcs8().expect("PEM"), certificate)
}
