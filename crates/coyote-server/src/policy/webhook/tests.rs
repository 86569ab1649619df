use std::net::SocketAddr;

use coyote_protocol::Timestamp;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};

use super::{
    super::tests::{account, dns},
    *,
};

const SECRET: &[u8] = b"0123456789abcdef";

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_900_000_000)
    }
}

/// Answers one request with these bytes, and tells the request.
async fn listen(answer: &str) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, answer) = (listener.local_addr().unwrap(), answer.to_owned());
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut seen = String::new();
        while !seen.contains("\r\n\r\n") || !seen.ends_with('}') {
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer).await.unwrap();
            seen.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        seen
    });
    (address, task)
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// What comes of an answer about `a.example`, and the request.
async fn ask(answer: &str, set: fn(&mut WebhookSettings)) -> (Result<Verdict, BoxError>, String) {
    let (address, task) = listen(answer).await;
    let mut settings = WebhookSettings::new(format!("http://{address}/ask?x=1"), SECRET);
    settings.timeout = Duration::from_millis(500);
    set(&mut settings);
    let webhook = Webhook::new(settings, Arc::new(Fixed)).unwrap();
    let account = account();
    let client = Some("192.0.2.1".parse().unwrap());
    let applicant = Applicant { client, profile: Some("default"), ..Applicant::new(&account) };
    let verdict = webhook.identifier(&applicant, &dns("*.a.example")).await;
    (verdict, task.await.unwrap())
}

#[tokio::test]
async fn a_question_says_who_wants_what_and_is_signed_with_its_time() {
    let (verdict, request) = ask(&ok(r#"{"verdict": "allow", "rule": "7"}"#), |_| {}).await;
    assert_eq!(verdict.unwrap(), Verdict::allow().by("7"));

    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /ask?x=1 HTTP/1.1\r\n"), "{head}");
    let question: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(question["event"], "identifier");
    assert_eq!(question["identifier"], serde_json::json!({"type": "dns", "value": "*.a.example"}));
    assert_eq!((&question["client"], &question["profile"]), (&"192.0.2.1".into(), &"default".into()));
    assert_eq!(question["account"]["externalAccount"], "kid-1");

    let header = |name: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{name} in {head}")).to_owned()
    };
    assert_eq!(header("x-coyote-timestamp: "), "1900000000");
    let key = PKey::hmac(SECRET).unwrap();
    let mut signer = Signer::new(MessageDigest::sha256(), &key).unwrap();
    let mac = signer.sign_oneshot_to_vec(format!("1900000000.{body}").as_bytes()).unwrap();
    let mac: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(header("x-coyote-signature: "), format!("sha256={mac}"));
}

#[tokio::test]
async fn a_denial_is_told_in_its_words() {
    let (verdict, _) = ask(&ok(r#"{"verdict": "deny", "detail": "not\nyours"}"#), |_| {}).await;
    let Decision::Deny(problem) = verdict.unwrap().decision else { panic!("it is denied") };
    assert_eq!((problem.kind, &*problem.detail), (ProblemType::RejectedIdentifier, "notyours"));
}

#[tokio::test]
async fn it_vouches_only_if_it_may() {
    let answer = ok(r#"{"verdict": "already-valid"}"#);
    let (verdict, _) = ask(&answer, |_| {}).await;
    assert_eq!(verdict.unwrap().decision, Decision::Allow);
    let (verdict, _) = ask(&answer, |settings| settings.may_vouch = true).await;
    assert_eq!(verdict.unwrap().decision, Decision::AlreadyValid);
}

#[tokio::test]
async fn any_other_answer_is_no_decision() {
    let large = ok(&format!("{{\"verdict\": \"allow\", \"detail\": \"{}\"}}", "x".repeat(70_000)));
    for answer in [
        "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
        &ok("{}"),
        &ok(r#"{"verdict": "maybe"}"#),
        &ok("allow"),
        "",
        "no HTTP",
        &large,
    ] {
        assert!(ask(answer, |_| {}).await.0.is_err(), "{answer}");
    }
}

#[tokio::test]
async fn who_does_not_answer_in_time_has_not_decided() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut settings = WebhookSettings::new(url, SECRET);
    settings.timeout = Duration::from_millis(50);
    let webhook = Webhook::new(settings, Arc::new(Fixed)).unwrap();
    let error = webhook.new_account(&Applicant::new(&account())).await.unwrap_err();
    assert_eq!(error.to_string(), "the webhook took too long");
}

#[test]
fn what_others_could_answer_or_sign_is_refused() {
    let new = |url: &str, secret: &[u8]| Webhook::new(WebhookSettings::new(url, secret), Arc::new(Fixed));
    for url in ["http://hook.example", "http://localhost", "ftp://127.0.0.1", "https://u:p@hook.example", "x"]
    {
        assert!(matches!(new(url, SECRET), Err(InvalidWebhook::Url)), "{url}");
    }
    for url in ["https://hook.example/x", "http://127.0.0.1:1/", "http://[::1]:1/"] {
        assert!(new(url, SECRET).is_ok(), "{url}");
    }
    assert!(matches!(new("https://hook.example", b"short"), Err(InvalidWebhook::Secret)));
}
