//! Clients that other people wrote.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use integration_tests::{Acmed, User, World, assert_chain_verifies, free_port, leaf, missing};

/// The README's promise: `acmed dev` prints a line, the line is pasted into another shell, and there is a certificate.
/// All of it without root.
#[test]
fn certbot_gets_renews_and_revokes_a_certificate_by_the_line_that_dev_prints() {
    if missing("certbot") {
        return;
    }
    let user = User::other_than_root();
    let acmed = Acmed::dev_as(user.as_ref(), &["--http-port", &free_port().to_string()]);
    let stdout = acmed.stdout();
    let line = stdout.lines().find(|line| line.starts_with("certbot ")).expect("dev prints a certbot line");
    let certbot = Certbot { acmed: &acmed, user, directories: directories(line), trusting: None };

    certbot.run(line);
    let first = certbot.certificate("hello.test");
    assert_chain_verifies(&first, &acmed.root(), "hello.test");
    assert_chain_verifies(&first, &acmed.roots(), "hello.test");

    certbot.run("certbot renew --force-renewal --no-random-sleep-on-renew -n");
    let second = certbot.certificate("hello.test");
    assert_chain_verifies(&second, &acmed.root(), "hello.test");
    let serial = |chain: &str| leaf(chain).serial_number().to_bn().expect("a number");
    assert_ne!(serial(&first), serial(&second), "a renewed certificate is another");

    let several = line.replace("-d hello.test", "-d a.test -d b.test -d c.test --key-type rsa");
    certbot.run(&several);
    for name in ["a.test", "b.test", "c.test"] {
        assert_chain_verifies(&certbot.certificate("a.test"), &acmed.root(), name);
    }

    let server = acmed.base_url().to_owned() + "/directory";
    let path = certbot.path("a.test");
    let revoke =
        format!("certbot revoke -n --reason superseded --server {server} --cert-path {}", path.display());
    certbot.run(&revoke);
    certbot.run(&format!("certbot update_account -n -m other@example.com --server {server}"));
    certbot.run(&format!("certbot unregister -n --server {server}"));
    let revoked = "SELECT CAST(count(*) AS TEXT) AS line FROM certificates WHERE revoked IS NOT NULL";
    assert_eq!(acmed.database().text(revoked), "1");
    assert_eq!(acmed.database().count("certificates"), 3, "one for each that was asked for");
}

/// The same over HTTPS, with a certificate of the server's own.
#[test]
fn certbot_gets_a_certificate_over_https_when_it_trusts_the_servers_root() {
    if missing("certbot") {
        return;
    }
    // The responder's port becomes certbot's, which answers itself.
    let port = free_port();
    let world = World::with(|setup| setup.with_tls().replacing("validation", "http_port", &port.to_string()));
    let home = world.acmed.path("certbot").display().to_string();
    let directories = format!("--config-dir {home} --work-dir {home} --logs-dir {home}");
    let trusting = Some(world.acmed.root());
    let certbot = Certbot { acmed: &world.acmed, user: None, directories: directories.clone(), trusting };

    let server = world.acmed.base_url().to_owned() + "/directory";
    certbot.run(&format!(
        "certbot certonly --standalone --http-01-port {port} --http-01-address 127.0.0.1 --server {server} \
         --agree-tos -m you@example.com -n {directories} -d tls.example.org"
    ));

    assert_chain_verifies(&certbot.certificate("tls.example.org"), &world.acmed.root(), "tls.example.org");
}

/// RFC 8555 section 7.3.4, by the line that `acmed eab create` prints.
#[test]
fn certbot_registers_with_the_line_that_goes_with_a_key_and_not_without() {
    if missing("certbot") {
        return;
    }
    let port = free_port();
    let world = World::with(|setup| {
        setup.with("directory", "external_account_required = true").replacing(
            "validation",
            "http_port",
            &port.to_string(),
        )
    });
    let home = world.acmed.path("certbot").display().to_string();
    let directories = format!("--config-dir {home} --work-dir {home} --logs-dir {home}");
    let certbot = Certbot { acmed: &world.acmed, user: None, directories, trusting: None };
    let server = world.acmed.base_url().to_owned() + "/directory";
    let register = format!("certbot register --server {server} --agree-tos -m you@example.com -n");
    let certonly = format!(
        "certbot certonly --standalone --http-01-port {port} --http-01-address 127.0.0.1 --server {server} -n -d"
    );

    certbot.refused(&register);
    certbot.refused(&format!("{register} --eab-kid nobody --eab-hmac-key c2VjcmV0"));
    assert_eq!(world.acmed.database().count("accounts"), 0);

    let printed = world.acmed.beside(&["eab", "create", "--accounts", "1", "--domain", "example.org"]);
    let line = printed.lines().find(|line| line.starts_with("certbot ")).expect("a line for certbot");
    certbot.run(line);
    certbot.run(&format!("{certonly} eab.example.org"));
    assert_chain_verifies(&certbot.certificate("eab.example.org"), &world.acmed.root(), "eab.example.org");
    certbot.refused(&format!("{certonly} eab.example.com"));
    // This certbot trips over its own feet when it is to say so.
    assert!(world.acmed.log().contains("was not granted eab.example.com"), "{}", world.acmed.log());

    certbot.run(&format!("certbot unregister -n --server {server}"));
    certbot.refused(line);
    assert_eq!(world.acmed.database().count("accounts"), 1, "the key opened as many as it may");
}

/// certbot, and where it keeps what it has.
struct Certbot<'a> {
    acmed: &'a Acmed,
    user: Option<User>,
    directories: String,
    trusting: Option<PathBuf>,
}

impl Certbot<'_> {
    /// Runs a line in a shell, as somebody would who pastes it. What says nothing of directories is told them.
    fn run(&self, line: &str) {
        let (success, said) = self.output(line);
        assert!(success, "{line}\n{said}\n{}", self.acmed.log());
    }

    /// That certbot cannot do it.
    fn refused(&self, line: &str) {
        let (success, said) = self.output(line);
        assert!(!success, "{line}\n{said}");
    }

    /// Whether it went well, and what was said.
    fn output(&self, line: &str) -> (bool, String) {
        let told = line.contains("--config-dir");
        let line = if told { line.to_owned() } else { format!("{line} {}", self.directories) };
        let prefix = self.user.map(User::prefix).unwrap_or_default();
        let shell = ["sh".to_owned(), "-c".to_owned(), line.clone()];
        let mut words = prefix.iter().chain(&shell);
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words).current_dir(self.acmed.path(""));
        if let Some(roots) = &self.trusting {
            command.env("REQUESTS_CA_BUNDLE", roots);
        }
        let output = command.output().expect("a shell can be run");
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.success(), said.into_owned())
    }

    /// Where the chain is that it has for this name.
    fn path(&self, name: &str) -> PathBuf {
        let config = self.directories.split(' ').nth(1).expect("a directory");
        Path::new(config).join("live").join(name).join("fullchain.pem")
    }

    fn certificate(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("certbot has a certificate")
    }
}

/// The part of the line that says where things are kept.
fn directories(line: &str) -> String {
    let words: Vec<_> = line.split(' ').collect();
    let value = |option: &str| {
        let at =
            words.iter().position(|word| *word == option).unwrap_or_else(|| panic!("no {option} in {line}"));
        format!("{option} {}", words[at + 1])
    };
    ["--config-dir", "--work-dir", "--logs-dir"].map(value).join(" ")
}
