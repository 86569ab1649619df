//! A client that passes `ticket-01`, over HTTP.

#![allow(
    clippy::expect_used,
    clippy::let_underscore_must_use,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

use std::{
    fs,
    process::{Child, Command},
    sync::Arc,
    time::Duration,
};

use coyote_server::jose::base64url;
use integration_tests::{
    Account, Client, Http, Key, Object, Request, Response, assert_chain_verifies, eventually, free_port,
};
use openssl::{
    pkey::{PKey, Private},
    sign::Signer,
};
use serde_json::json;
use tempfile::TempDir;

/// The program, its directory, and a client of it.
struct Company {
    client: Arc<Client>,
    approver: PKey<Private>,
    directory: TempDir,
    program: Child,
}

impl Company {
    fn open() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let approver = PKey::generate_ed25519().unwrap();
        fs::write(directory.path().join("approver.pem"), approver.public_key_to_pem().unwrap()).unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = Command::new(env!("CARGO_BIN_EXE_corporate"));
        let program = command.arg(&address).current_dir(directory.path()).spawn().unwrap();
        let url = format!("http://{address}");
        let client = eventually("the company answers", Duration::from_secs(30), || {
            let http = Http::plain(&url);
            http.try_send(&Request::new("GET", "/directory")).ok().map(|_| Client::new(http))
        });
        Self { client, approver, directory, program }
    }

    fn colleague(&self) -> Account {
        let key = Key::new();
        let contact = json!({"contact": ["mailto:me@corp.example"]});
        let url = self.client.new_account(&key, &contact).expect(201).location();
        Account { client: self.client.clone(), key, url }
    }

    /// Delivers a ticket that was approved with this key.
    fn deliver(&self, approver: &PKey<Private>, name: &str, key_authorization: &str) -> Response {
        let statement = format!("OPS-1\n{name}\n{key_authorization}");
        let mut signer = Signer::new_without_digest(approver).unwrap();
        let signature = base64url::encode(signer.sign_oneshot_to_vec(statement.as_bytes()).unwrap());
        let ticket = json!({
            "number": "OPS-1", "name": name, "keyAuthorization": key_authorization, "signature": signature
        });
        let mut request = Request::new("POST", "/tickets").with("Content-Type", "application/json");
        request.body = ticket.to_string().into_bytes();
        self.client.http.send(&request)
    }
}

impl Drop for Company {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// A new order, its authorization, and the key authorization of its challenge.
fn order(account: &Account, name: &str) -> (Object, Object, String) {
    let order = account.order(&[name]);
    let authorization = account.authorizations(&order).remove(0);
    let key_authorization = account.key_authorization(&authorization.challenge("ticket-01").text("token"));
    (order, authorization, key_authorization)
}

#[test]
fn an_approved_ticket_is_a_certificate() {
    let company = Company::open();
    let account = company.colleague();
    let (order, authorization, key_authorization) = order(&account, "www.corp.example");
    let challenge = authorization.challenge("ticket-01");
    assert_eq!(account.post(&challenge.url, &json!({})).expect(200).json()["status"], "processing");

    // The client need not have waited for it.
    let _ = company.deliver(&company.approver, "www.corp.example", &key_authorization).expect(204);

    assert_eq!(account.settled(&authorization.url).status(), "valid");
    let chain = account.certificate(&account.read(&order.url));
    assert_chain_verifies(&chain, &company.directory.path().join("ca/root.pem"), "www.corp.example");
}

#[test]
fn a_ticket_that_somebody_else_signed_or_that_is_for_another_name_or_account_is_none() {
    let company = Company::open();
    let (account, other) = (company.colleague(), company.colleague());
    let (_, authorization, key_authorization) = order(&account, "www.corp.example");
    let (.., of_other) = order(&other, "www.corp.example");

    let stranger = PKey::generate_ed25519().unwrap();
    let _ = company.deliver(&stranger, "www.corp.example", &key_authorization).expect(403);
    let _ = company.deliver(&company.approver, "mail.corp.example", &key_authorization).expect(204);
    let _ = company.deliver(&company.approver, "www.corp.example", &of_other).expect(204);

    let challenge = account.post(&authorization.challenge("ticket-01").url, &json!({})).expect(200);
    assert_eq!(challenge.json()["status"], "processing");
    let error = challenge.json()["error"]["detail"].to_string();
    assert!(error.contains("no ticket for www.corp.example"), "{error}");
}

#[test]
fn the_policy_is_the_houses() {
    let company = Company::open();
    let stranger =
        company.client.new_account(&Key::new(), &json!({"contact": ["mailto:me@elsewhere.example"]}));
    assert_eq!(stranger.problem().as_deref(), Some("invalidContact"));
    let account = company.colleague();
    for name in ["elsewhere.example", "*.corp.example", "corp.example.org"] {
        let payload = json!({"identifiers": [{"type": "dns", "value": name}]});
        let refused = account.post(&company.client.resource("newOrder"), &payload);
        assert_eq!(refused.problem().as_deref(), Some("rejectedIdentifier"), "{name}");
    }
}

#[test]
fn the_program_has_fewer_than_150_lines_of_code() {
    let sources =
        [include_str!("../src/main.rs"), include_str!("../src/policy.rs"), include_str!("../src/ticket.rs")];
    let is_code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
    assert!(sources.iter().flat_map(|source| source.lines().filter(is_code)).count() < 150);
}
