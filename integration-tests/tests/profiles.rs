//! Profiles whose names are proved in a way of their own: other name servers, another port.

use integration_tests::{Account, Answer, Csr, Dns, DnsAnswer, Object, Responder, World, leaf};
use serde_json::{Value, json};

/// Two views of the world: the usual one, and that of the profile "inside", where this name server and this web server are.
struct Stage {
    world: World,
    dns: Dns,
    responder: Responder,
    account: Account,
}

impl Stage {
    fn new() -> Self {
        let (dns, responder) = (Dns::start(), Responder::start());
        let own = format!("resolvers = [\"{}\"]\nhttp_port = {}", dns.address(), responder.port());
        let world = World::with(|setup| {
            setup
                .with("profiles.inside", "description = \"for the inside\"")
                .with("profiles.inside.validation", &own)
                .with("limits", "validation_attempts = 1")
        });
        let account = world.client.account();
        Self { world, dns, responder, account }
    }

    fn order(&self, name: &str, profile: Option<&str>) -> Object {
        let mut payload = json!({"identifiers": [{"type": "dns", "value": name}]});
        if let Some(profile) = profile {
            payload["profile"] = Value::from(profile);
        }
        let answer = self.account.post(&self.world.client.resource("newOrder"), &payload).expect(201);
        Object { url: answer.location(), json: answer.json() }
    }

    /// What becomes of the order's authorization if the answer is at this web server.
    fn prove(&self, order: &Object, at: &Responder) -> String {
        let authorization = self.account.authorizations(order).remove(0);
        let challenge = authorization.challenge("http-01");
        let token = challenge.text("token");
        at.answer_token(&token, Answer::text(200, self.account.key_authorization(&token)));
        let _ = self.account.post(&challenge.url, &json!({})).expect(200);
        self.account.settled(&authorization.url).status().to_owned()
    }
}

#[test]
fn a_profile_s_names_are_looked_for_where_the_profile_says() {
    let stage = Stage::new();
    stage.world.dns.answer("db.corp.test", DnsAnswer::NoSuchName);
    stage.dns.answer("www.example.org", DnsAnswer::NoSuchName);

    assert_eq!(stage.prove(&stage.order("db.corp.test", Some("inside")), &stage.responder), "valid");
    assert_eq!(stage.prove(&stage.order("www.example.org", None), &stage.world.responder), "valid");
    assert_eq!(stage.prove(&stage.order("db.corp.test", None), &stage.responder), "invalid");
    assert_eq!(
        stage.prove(&stage.order("www.example.org", Some("inside")), &stage.world.responder),
        "invalid"
    );
}

#[test]
fn what_was_proved_for_one_profile_serves_no_order_of_another_that_is_validated_otherwise() {
    let stage = Stage::new();
    for (first, at, other) in
        [(Some("inside"), &stage.responder, None), (None, &stage.world.responder, Some("inside"))]
    {
        let name = format!("{}.example.org", first.unwrap_or("usual"));
        assert_eq!(stage.prove(&stage.order(&name, first), at), "valid");
        let again = stage.order(&name, first);
        assert_eq!(again.status(), "ready", "for the same profile it serves again");
        let elsewhere = stage.order(&name, other);
        assert_eq!(elsewhere.status(), "pending", "for {other:?} it has to be proved anew");
    }
}

#[test]
fn what_was_proved_through_another_network_does_not_hide_what_was_proved_through_the_right_one() {
    let stage = Stage::new();
    let ways = [(None, &stage.world.responder), (Some("inside"), &stage.responder)];
    for (profile, at) in ways {
        assert_eq!(stage.prove(&stage.order("both.example.org", profile), at), "valid");
    }
    for (profile, _) in ways {
        assert_eq!(stage.order("both.example.org", profile).status(), "ready", "{profile:?}");
    }
}

#[test]
fn an_order_whose_profile_is_validated_otherwise_by_now_is_not_finalized() {
    let mut stage = Stage::new();
    let order = stage.order("db.corp.test", Some("inside"));
    assert_eq!(stage.prove(&order, &stage.responder), "valid");
    stage
        .world
        .acmed
        .configure(|config| config.replace("[profiles.inside.validation]", "[profiles.other.validation]"));
    stage.world.crash();

    let csr = coyote_jose::base64url::encode(Csr::new(&["db.corp.test"]).to_der());
    let refused = stage.account.post(&order.text("finalize"), &json!({ "csr": csr }));
    refused.expect_problem(403, "unauthorized");
    assert_eq!(stage.account.read(&order.url).status(), "ready", "nothing has changed");
}

#[test]
fn what_was_proved_through_another_network_gives_nobody_the_right_to_revoke() {
    let stage = Stage::new();
    let name = "both.example.org";
    let order = stage.order(name, None);
    assert_eq!(stage.prove(&order, &stage.world.responder), "valid");
    let chain = stage.account.certificate(&order);
    let der = coyote_jose::base64url::encode(leaf(&chain).to_der().expect("DER"));

    let other = Stage { account: stage.world.client.account(), ..stage };
    let revoke =
        || other.account.post(&other.world.client.resource("revokeCert"), &json!({ "certificate": der }));
    assert_eq!(other.prove(&other.order(name, Some("inside")), &other.responder), "valid");
    revoke().expect_problem(403, "unauthorized");
    assert_eq!(other.prove(&other.order(name, None), &other.world.responder), "valid");
    let _ = revoke().expect(200);
}

#[test]
fn what_was_begun_through_a_network_that_is_gone_ends() {
    let mut stage = Stage::new();
    let order = stage.order("db.corp.test", Some("inside"));
    stage
        .world
        .acmed
        .configure(|config| config.replace("[profiles.inside.validation]", "[profiles.other.validation]"));
    stage.world.crash();

    assert_eq!(stage.prove(&order, &stage.responder), "invalid");
    let why = stage.world.acmed.beside(&["why", "db.corp.test"]);
    assert!(why.contains("the profile is not validated as it was any more"), "{why}");
}

/// A running `tinyproxy`, which ends with this value.
struct Proxy(std::process::Child, tempfile::TempDir);

impl Proxy {
    /// One that connects to this port alone, by the system's names.
    fn start(port: u16, allowed: u16) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("tinyproxy.conf");
        let log = folder.path().join("log");
        let config = format!(
            "Port {port}\nListen 127.0.0.1\nTimeout 10\nAllow 127.0.0.1\nConnectPort {allowed}\nMaxClients 10\nLogFile {log:?}\n"
        );
        std::fs::write(&file, config).expect("a configuration");
        let mut command = std::process::Command::new("tinyproxy");
        let child = command.arg("-d").arg("-c").arg(&file).stdout(std::process::Stdio::null()).spawn();
        integration_tests::eventually("tinyproxy answers", std::time::Duration::from_secs(10), || {
            std::net::TcpStream::connect(("127.0.0.1", port)).ok().map(drop)
        });
        Self(child.expect("tinyproxy can be run"), folder)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.1.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_proxy_connects_where_it_may_and_the_trace_says_so_where_it_may_not() {
    if integration_tests::missing("tinyproxy") {
        return;
    }
    let port = integration_tests::free_port();
    let world = World::with(|setup| {
        setup
            .with("validation", &format!("proxy = \"127.0.0.1:{port}\""))
            .with("limits", "validation_attempts = 1")
    });
    let account = world.client.account();
    // `localhost` is the one name that the proxy knows of.
    let prove = || {
        let order = account.order(&["localhost"]);
        let authorization = account.authorizations(&order).remove(0);
        let challenge = account.provision(&authorization, &world.responder);
        let _ = account.post(&challenge.url, &json!({})).expect(200);
        account.settled(&authorization.url).status().to_owned()
    };

    let strict = Proxy::start(port, 443);
    assert_eq!(prove(), "invalid");
    let why = world.acmed.beside(&["why", "localhost"]);
    assert!(
        why.contains("CONNECT localhost:") && why.contains("the proxy does not connect: HTTP/1.1 403"),
        "{why}"
    );
    drop(strict);

    let proxy = Proxy::start(port, world.responder.port());
    assert_eq!(prove(), "valid", "{}", world.acmed.log());
    assert!(proxy.log().contains("CONNECT localhost"), "{}", proxy.log());
}
