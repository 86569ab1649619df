//! What an operator says about who may have what.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

use integration_tests::{Account, Key, Response, World, assert_chain_verifies};
use serde_json::{Value, json};

const OUTSIDE: &str = "198.51.100.7";

fn ask(account: &Account, name: &str) -> Response {
    let payload = json!({"identifiers": [{"type": "dns", "value": name}]});
    account.post(&account.client.resource("newOrder"), &payload)
}

#[test]
fn what_is_trusted_is_issued_without_a_look() {
    let world = World::with(|setup| {
        setup
            .with("policy.trust.machines", "clients = [\"127.0.0.0/8\"]")
            .with("policy.trust.machines", "names = [\"corp.example\"]")
    });
    let account = world.client.account();
    let order = account.order(&["*.corp.example"]);
    assert_eq!(order.status(), "ready");
    let authorization = account.authorizations(&order).remove(0);
    assert_eq!((authorization.status(), authorization.challenge("by-policy").status()), ("valid", "valid"));

    let chain = account.certificate(&order);
    assert_chain_verifies(&chain, &world.acmed.roots(), "www.corp.example");
    assert_eq!(account.order(&["elsewhere.example"]).status(), "pending");
}

#[test]
fn a_client_is_who_a_trusted_proxy_says_it_is() {
    let world = World::with(|setup| {
        setup
            .with("policy", &format!("denied_clients = [\"{OUTSIDE}\"]"))
            .with("http", "trusted_proxies = [\"127.0.0.1\"]")
    });
    let join = |forwarded: &str| {
        let url = world.client.resource("newAccount");
        let signed = world.client.signed_by_jwk(&Key::new(), &url, &json!({}));
        world.client.send(&signed.request().with("X-Forwarded-For", forwarded))
    };
    for denied in [OUTSIDE, &format!("192.0.2.1, {OUTSIDE}"), &format!("{OUTSIDE}, 127.0.0.1")] {
        assert_eq!(join(denied).expect(403).problem().as_deref(), Some("unauthorized"), "{denied}");
    }
    for allowed in ["192.0.2.1", &format!("{OUTSIDE}, 192.0.2.1")] {
        let _ = join(allowed).expect(201);
    }
}

/// Answers each question with what this makes of it, as long as the test runs.
fn webhook(decide: fn(&Value) -> Option<Value>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || listener.incoming().flatten().for_each(|stream| answer(stream, decide)));
    address
}

fn answer(mut stream: TcpStream, decide: fn(&Value) -> Option<Value>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
    let answer = match decide(&serde_json::from_slice(&body).expect("JSON")) {
        Some(answer) => {
            let answer = answer.to_string();
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{answer}", answer.len())
        }
        None => "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n".to_owned(),
    };
    let _ = stream.write_all(answer.as_bytes());
}

#[test]
fn a_program_elsewhere_decides_and_while_it_cannot_nothing_is_issued() {
    let address = webhook(|question| match question["identifier"]["value"].as_str() {
        Some("denied.example") => Some(json!({"verdict": "deny", "detail": "not on a Friday", "rule": "7"})),
        Some("broken.example") => None,
        _ => Some(json!({"verdict": "allow"})),
    });
    let secret = tempfile::NamedTempFile::new().expect("a file");
    fs::write(secret.path(), "0123456789abcdef\n").expect("a secret");
    let world = World::with(|setup| {
        setup
            .with("policy.webhook", &format!("url = \"http://{address}/acme\""))
            .with("policy.webhook", &format!("secret_file = {:?}", secret.path()))
    });
    let account = world.client.account();
    let _ = account.issue(&["allowed.example"], &world.responder);

    let denied = ask(&account, "denied.example").expect(400);
    assert_eq!(denied.problem().as_deref(), Some("rejectedIdentifier"));
    assert!(denied.text().contains("not on a Friday"), "{denied}");

    let undecided = ask(&account, "broken.example").expect(503);
    assert_eq!(undecided.problem().as_deref(), Some("serverInternal"));
    assert!(undecided.header("Retry-After").is_some(), "{undecided}");
    assert!(!undecided.text().contains("webhook"), "{undecided}");
    assert!(world.acmed.log().contains("the webhook answered 500"), "{}", world.acmed.log());
}

#[test]
fn what_would_come_of_an_order_is_said_while_the_server_runs_and_nothing_is_changed() {
    let world = World::with(|setup| {
        setup
            .with("policy", "denied_names = [\"evil.example\"]")
            .with("rate_limits", "orders_per_account = \"2/1h\"")
    });
    let account = world.client.account();
    let _ = account.ready_order(&["proved.example"], &world.responder);
    let before = world.acmed.database().dump();
    let run = |names: &[&str]| {
        let arguments = [&["would-issue"], names, &["--account", &account.url, "--json"]].concat();
        let output = world.acmed.run_beside(&arguments);
        let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        (output.status.code(), json)
    };

    let (status, would) = run(&["proved.example", "New.example", "192.0.2.1"]);
    assert_eq!((status, &would["wouldIssue"]), (Some(0), &json!(true)), "{would}");
    assert_eq!(would["identifiers"][0]["reused"]["method"], "http-01");
    assert_eq!(would["identifiers"][1]["identifier"], json!({"type": "dns", "value": "new.example"}));
    assert_eq!(would["identifiers"][1]["challenges"], json!(["http-01"]));
    assert_eq!(would["identifiers"][2]["identifier"]["type"], "ip");

    let (status, would) = run(&["sub.EVIL.example", "a b"]);
    assert_eq!((status, &would["wouldIssue"]), (Some(1), &json!(false)), "{would}");
    assert_eq!(would["identifiers"][0]["rule"], "denied: evil.example");
    assert_eq!(would["identifiers"][0]["objections"][0]["by"], "policy");
    assert_eq!(would["identifiers"][1]["objections"][0]["by"], "syntax");

    assert_eq!(world.acmed.database().dump(), before);
    let _ = account.order(&["counted.example"]);
    let (status, would) = run(&["proved.example"]);
    assert_eq!((status, &would["objections"][0]["by"]), (Some(1), &json!("rate-limit")), "{would}");

    let text = world.acmed.run_beside(&["would-issue", "a.example", "--account", &account.url]);
    assert_eq!(text.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&text.stderr).lines().count(), 1);
    let unknown = ["would-issue", "a.example", "--account", "AAAAAAAAAAAAAAAAAAAAAA"];
    assert_eq!(world.acmed.run_beside(&unknown).status.code(), Some(1));
    assert_eq!(world.acmed.run_beside(&["would-issue", "a.example"]).status.code(), Some(2));
}
