//! HTTPS, with a certificate of the server's own CA.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::Duration,
};

use integration_tests::{
    Client, Http, Key, Request, World, assert_chain_verifies, eventually, missing, program,
};
use serde_json::json;

/// RFC 8555 section 6.1.
#[test]
fn an_issuance_over_https_works_for_whoever_trusts_the_root() {
    let world = World::with(|setup| setup.with_tls());
    let account = world.client.account();

    let chain = account.issue(&["a.example.org"], &world.responder);

    assert_chain_verifies(&chain, &world.acmed.root(), "a.example.org");
    for (name, url) in world.client.directory.as_object().expect("an object") {
        assert!(url.as_str().is_none_or(|url| url.starts_with("https://localhost:")), "{name}: {url}");
    }
}

/// The catalogue's T21, where it matters.
#[test]
fn a_header_does_not_make_https_http() {
    let world = World::with(|setup| setup.with_tls());
    for (name, value) in
        [("X-Forwarded-Proto", "http"), ("Forwarded", "proto=http"), ("Host", "evil.example")]
    {
        let answer = world.client.http.send(&Request::new("GET", "/directory").with(name, value)).expect(200);
        assert_eq!(answer.json(), world.client.directory, "{name}");
    }
}

/// Go's and Node's clients speak it where they can.
#[test]
fn http_2_is_spoken_to_clients_that_offer_it() {
    if missing("curl") {
        return;
    }
    let world = World::with(|setup| setup.with_tls());
    let root = world.acmed.root();
    let url = world.acmed.base_url().to_owned() + "/directory";
    for (option, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let said = curl(&[option, "--cacert", root.to_str().expect("UTF-8"), &url]).expect("an answer");
        assert_eq!(said, version);
    }
    assert!(curl(&[&url]).is_err(), "who does not trust the root does not get far");
}

/// The example, which has nothing to configure but its name. It always listens on the same port.
#[test]
fn acmed_tls_serves_its_directory_over_https_with_the_ca_that_it_writes_down() {
    if std::net::TcpListener::bind("127.0.0.1:8443").is_err() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "something else listens on port 8443");
        eprintln!("SKIPPED: acmed-tls needs port 8443, where something else listens");
        return;
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let log = fs::File::create(directory.path().join("log")).expect("a file");
    let mut command = Command::new(program("acmed-tls"));
    command.current_dir(directory.path()).env("HOSTNAME", "localhost").stdin(Stdio::null());
    command.stdout(log.try_clone().expect("a file")).stderr(log);
    let mut running = Running(command.spawn().expect("acmed-tls can be started"));
    let root = directory.path().join("ca.pem");

    let http = eventually("acmed-tls answers", Duration::from_secs(30), || {
        assert!(running.0.try_wait().expect("its state").is_none(), "acmed-tls has ended");
        let http = root.exists().then(|| Http::tls("https://localhost:8443", &root))?;
        http.try_send(&Request::new("GET", "/directory")).ok().map(|_| http)
    });

    assert!(directory.path().join("ca.key").exists());
    let client = Client::new(http);
    let account = client.account_of(Key::new());
    let order = account.order(&["a.example.org"]);
    assert_eq!(order.status(), "pending");
    assert!(order.url.starts_with("https://localhost:8443/"), "{}", order.url);
    let found = client.new_account(&account.key, &json!({"onlyReturnExisting": true})).expect(200);
    assert_eq!(found.location(), account.url);

    if missing("certbot") {
        return;
    }
    let line = "certbot certonly --standalone --http-01-port 5002 --http-01-address 127.0.0.1 \
                --server https://localhost:8443/directory --agree-tos -m you@example.com -n \
                --config-dir certbot --work-dir certbot --logs-dir certbot -d hello.test";
    let mut certbot = Command::new("sh");
    certbot.args(["-c", line]).current_dir(directory.path()).env("REQUESTS_CA_BUNDLE", "ca.pem");
    let output = certbot.output().expect("a shell can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let chain = directory.path().join("certbot/live/hello.test/fullchain.pem");
    let chain = fs::read_to_string(chain).expect("certbot has a certificate");
    assert_chain_verifies(&chain, &root, "hello.test");
}

/// A process that ends with this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The HTTP version that curl gets an answer in, or what it says instead.
fn curl(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("curl")
        .args(["-sS", "-o", "/dev/null", "-w", "%{http_version}", "--noproxy", "*"])
        .args(arguments)
        .output()
        .expect("curl can be run");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}
