//! Where a client runs.

use std::{
    collections::BTreeSet,
    env, fs,
    fs::Permissions,
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{self, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU16, Ordering},
    },
};

use integration_tests::{Knot, Nginx, Setup, User, World, assert_chain_verifies, leaf};
use serde_json::Value;
use tempfile::TempDir;

use crate::horizon;

/// How long a script may take, in seconds. None comes near it.
const PATIENCE: &str = "100";

/// Adds and takes back a TXT record, by a dynamic update. RFC 2136.
const TXT: &str = r#"#!/bin/sh
# add NAME VALUE, or del NAME
case $1 in
add) change="add $2. 0 TXT \"$3\"" ;;
*) change="del $2. TXT" ;;
esac
printf 'server %s %s\nzone test.\nupdate %s\nsend\n' "${DNS%:*}" "${DNS##*:}" "$change" | knsupdate
"#;

/// Who is asked for names that are not of the zone inside.
static OUTSIDE: OnceLock<String> = OnceLock::new();

/// Has servers ask this one for everything outside.
pub fn look_outside(address: String) {
    OUTSIDE.set(address).expect("it is said once");
}

/// A server, and a home for a client of it. Nothing outside is touched.
pub struct Place {
    world: World,
    inside: Knot,
    _web: Option<Nginx>,
    home: TempDir,
    http_port: u16,
    tls_port: u16,
}

impl Place {
    /// Where the client answers http-01 itself, on the port `$HTTP`.
    pub fn standalone(set_up: impl FnOnce(Setup) -> Setup) -> Self {
        Self::with(false, set_up)
    }

    /// Where nginx answers http-01 with the files in `$WEBROOT`.
    pub fn webroot(set_up: impl FnOnce(Setup) -> Setup) -> Self {
        Self::with(true, set_up)
    }

    fn with(webroot: bool, set_up: impl FnOnce(Setup) -> Setup) -> Self {
        let (http_port, tls_port) = (quiet_port(), quiet_port());
        let inside = horizon::inside();
        let outside = OUTSIDE.get().expect("somebody to ask");
        let world = World::with(|setup| {
            let setup = setup
                .replacing("validation", "challenges", r#"["http-01", "dns-01", "tls-alpn-01"]"#)
                .replacing("validation", "tls_port", &tls_port.to_string())
                .replacing("validation", "http_port", &http_port.to_string());
            set_up(horizon::split(setup, &inside, outside))
        });
        let home = tempfile::Builder::new().prefix("client-").tempdir().expect("a temporary directory");
        let files = home.path().join("webroot");
        fs::create_dir_all(&files).expect("a directory");
        let web = webroot.then(|| Nginx::serve(&files, http_port));
        let place = Self { world, inside, _web: web, home, http_port, tls_port };
        fs::copy(place.world.acmed.root(), place.path("root.pem")).expect("a root");
        place.write_script("txt", TXT);
        place
    }

    /// Something in the client's home, which is the directory that scripts run in.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Writes a file into the client's home.
    pub fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).expect("a file can be written");
    }

    /// Writes a program into the client's home.
    pub fn write_script(&self, name: &str, content: &str) {
        self.write(name, content);
        fs::set_permissions(self.path(name), Permissions::from_mode(0o755)).expect("a program");
    }

    /// Has another name answer for this one.
    pub fn delegate(&self, name: &str, to: &str) {
        self.inside.add("test", &format!("{name}. 0 CNAME {to}."));
    }

    /// Runs a script in a shell, and answers what it prints. See [`command`](Self::command).
    ///
    /// # Panics
    ///
    /// If it fails.
    pub fn run(&self, script: &str) -> String {
        let output = self.command(script).output().expect("a shell can be run");
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        let last = [&stdout, &stderr].into_iter().filter_map(|said| said.trim().lines().last());
        let last = last.collect::<Vec<_>>().join(" / ");
        let log = self.world.acmed.log();
        assert!(output.status.success(), "{}: {last}\n{script}\n{stdout}\n{stderr}\n{log}", output.status);
        stdout
    }

    /// What sets `$KID` and `$MAC` to a new key for external account binding.
    pub fn external_account(&self) -> String {
        let printed = self.world.acmed.beside(&["eab", "create", "--json"]);
        let key: Value = serde_json::from_str(&printed).expect("JSON");
        let text = |member: &str| key[member].as_str().expect("text").to_owned();
        format!("export KID={} MAC={};", text("kid"), text("secret"))
    }

    /// Runs a script while a server runs, whose process is `$server`.
    pub fn run_beside(&self, server: &str, script: &str) -> String {
        self.run(&format!(
            "{server} >server.log 2>&1 & server=$!
             trap 'kill $server || true; wait; cat server.log >&2' EXIT
             {script}"
        ))
    }

    /// A script that waits until the server of a [`run_beside`](Self::run_beside) serves this site, on `$TLS`, with a
    /// certificate of the CA's, and writes its chain to `chain.pem`.
    pub fn handshake(site: &str) -> String {
        let address = site.parse::<Ipv4Addr>().is_ok();
        let name = if address { "-noservername".to_owned() } else { format!("-servername {site}") };
        format!(
            "until openssl s_client -connect 127.0.0.1:$TLS {name} -CAfile $ROOT -verify_return_error -showcerts \
               </dev/null >handshake 2>/dev/null
             do kill -0 $server; sleep 0.1; done
             sed -n '/BEGIN CERT/,/END CERT/p' handshake >chain.pem"
        )
    }

    /// Gives everything in the client's home to somebody.
    pub fn give(&self, user: User) {
        user.give(&self.path(""));
        for entry in fs::read_dir(self.path("")).expect("a directory").flatten() {
            user.give(&entry.path());
        }
    }

    /// A script, where `$ACME` is the server's directory, `$ROOT` the certificate to trust, `$HTTP` and `$TLS` are the
    /// ports that challenges are met on, `$WEBROOT` has the files that http-01 is answered with, `$TXT` is a program that
    /// adds and takes back TXT records (`$TXT add NAME VALUE`, `$TXT del NAME`), `$DNS` the name server that has them, and `$TOOLS` are the [`tools`].
    pub fn command(&self, script: &str) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", PATIENCE, "bash", "-euc", script]).current_dir(self.path(""));
        for variable in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            command.env_remove(variable);
        }
        command
            .env("HOME", self.path(""))
            .env("ACME", self.world.acmed.base_url().to_owned() + "/directory")
            .env("ROOT", self.path("root.pem"))
            .env("HTTP", self.http_port.to_string())
            .env("TLS", self.tls_port.to_string())
            .env("WEBROOT", self.path("webroot"))
            .env("TXT", self.path("txt"))
            .env("TOOLS", tools())
            .env("DNS", self.inside.address())
            .stdin(Stdio::null());
        command
    }

    /// The chain in a file. It leads to the server's root, and is for exactly these names. Answers its serial number.
    pub fn certificate(&self, file: &str, names: &[&str]) -> String {
        let path = self.path(file);
        let chain = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for name in names {
            assert_chain_verifies(&chain, &self.world.acmed.root(), &name.replace('*', "any"));
        }
        assert_eq!(names_in(&chain), names.iter().map(|&name| name.to_owned()).collect());
        leaf(&chain).serial_number().to_bn().expect("a number").to_string()
    }

    /// Sees that this challenge is what proved this name.
    pub fn assert_proved(&self, challenge: &str, name: &str) {
        let log = self.world.acmed.log();
        assert!(log.contains(&format!("subject={challenge} {name} ")), "no {challenge} of {name} in\n{log}");
    }

    /// For how many days a certificate in a file is valid, from its beginning to its end.
    pub fn validity(&self, file: &str) -> i32 {
        let leaf = leaf(&fs::read_to_string(self.path(file)).expect("a certificate"));
        leaf.not_before().diff(leaf.not_after()).expect("a time").days
    }

    /// How many certificates the server has revoked.
    pub fn revocations(&self) -> usize {
        self.world.acmed.database().count("certificates WHERE revoked IS NOT NULL")
    }

    /// How many orders have said which certificate they replace. RFC 9773 section 5.
    pub fn replacements(&self) -> usize {
        self.world.acmed.database().count("orders WHERE replaces IS NOT NULL")
    }
}

/// A server that opens no account without a key.
pub fn needs_external_account(setup: Setup) -> Setup {
    setup.with("directory", "external_account_required = true")
}

/// A server whose certificates are so old when they are new that it is time to renew them, by whatever reckoning.
pub fn is_always_time_to_renew(setup: Setup) -> Setup {
    setup.with("profiles.default", "validity = \"672s\"").with("profiles.default", "backdate = \"10m\"")
}

/// Where `scripts/test` puts what comes from no system package: in the target directory.
pub fn tools() -> PathBuf {
    let test = env::current_exe().expect("the path of this test");
    test.ancestors().nth(3).expect("the target directory").join("real-clients")
}

fn names_in(chain: &str) -> BTreeSet<String> {
    let names = leaf(chain).subject_alt_names().expect("names");
    let address = |bytes: &[u8]| <[u8; 4]>::try_from(bytes).map(|octets| Ipv4Addr::from(octets).to_string());
    names
        .iter()
        .filter_map(|name| name.dnsname().map(str::to_owned).or_else(|| address(name.ipaddress()?).ok()))
        .collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A port of the loopback that is below those that the system gives to outgoing connections, so that none of them can be
/// in the way when the client gets to listen there.
fn quiet_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(process::id() % 200).expect("small") * 100;
    loop {
        let port = 10_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
