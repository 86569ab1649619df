//! `acmed why`: for each way in which a validation can fail, the cause that a person would find with dig, curl and
//! `openssl s_client`. `docs/why.md` lists them.

use std::{fs, path::Path, thread, time::Duration};

use integration_tests::{
    Account, Answer, ChallengeCertificate, DnsAnswer, Object, TlsAnswer, TlsResponder, World, dns_name,
};
use openssl::ssl::SslVersion;
use serde_json::{Value, json};

/// The world of these failures, which is not patient.
struct Stage {
    world: World,
    tls: TlsResponder,
    account: Account,
}

/// A failure: what brings it about, and what is said of it, in this order.
struct Case {
    title: &'static str,
    by: &'static str,
    set: fn(&Stage, &str, &Object),
    said: &'static [&'static str],
}

const CASES: &[Case] = &[
    Case {
        title: "The name does not exist",
        by: "http-01",
        set: |stage, name, _| stage.world.dns.answer(name, DnsAnswer::NoSuchName),
        said: &["A?", "failed: the name does not exist"],
    },
    Case {
        title: "The name has no address",
        by: "http-01",
        set: |stage, name, _| stage.world.dns.answer(name, DnsAnswer::Addresses(Vec::new())),
        said: &["A?", "A: no records", "neither an A nor an AAAA record"],
    },
    Case {
        title: "The name server fails",
        by: "http-01",
        set: |stage, name, _| stage.world.dns.answer(name, DnsAnswer::ServerFailure),
        said: &["A?", "failed: the name server answered SERVFAIL"],
    },
    Case {
        title: "The name server is silent",
        by: "http-01",
        set: |stage, name, _| stage.world.dns.answer(name, DnsAnswer::Silence),
        said: &["A?", "A: failed: no name server answered in time"],
    },
    Case {
        title: "The address is of the inside",
        by: "http-01",
        set: |stage, name, _| stage.world.dns.answer(name, DnsAnswer::Addresses(vec![[10, 0, 0, 1].into()])),
        said: &["A: 10.0.0.1", "refused    10.0.0.1:"],
    },
    Case {
        title: "The address is where a cloud keeps its secrets",
        by: "http-01",
        set: |stage, name, _| {
            stage.world.dns.answer(name, DnsAnswer::Addresses(vec![[169, 254, 169, 254].into()]));
        },
        said: &["A: 169.254.169.254", "refused    169.254.169.254:"],
    },
    Case {
        title: "Nothing is there: status 404",
        by: "http-01",
        set: |stage, _, challenge| serve(stage, challenge, Answer::text(404, "no")),
        said: &["connected  127.0.0.1:", "request    GET http://", "response   status 404"],
    },
    Case {
        title: "The site wants a password: status 401",
        by: "http-01",
        set: |stage, _, challenge| serve(stage, challenge, Answer::text(401, "who are you?")),
        said: &["request    GET http://", "response   status 401"],
    },
    Case {
        title: "The body is something else",
        by: "http-01",
        set: |stage, _, challenge| serve(stage, challenge, Answer::text(200, "It works!")),
        said: &["response   status 200", "body of 9 bytes", "something else than the key authorization"],
    },
    Case {
        title: "The body is empty",
        by: "http-01",
        set: |stage, _, challenge| serve(stage, challenge, Answer::text(200, "")),
        said: &["response   status 200", "an empty body"],
    },
    Case {
        title: "The body does not end",
        by: "http-01",
        set: |stage, _, challenge| serve(stage, challenge, Answer::text(200, "x".repeat(100_000))),
        said: &["response   status 200", "body of more than"],
    },
    Case {
        title: "It leads to an address of the inside",
        by: "http-01",
        set: |stage, _, challenge| {
            let inside = format!("http://10.0.0.1:{}/", stage.world.responder.port());
            serve(stage, challenge, Answer::redirect(302, &inside));
        },
        said: &["response   status 302", "redirect   http://", "to http://10.0.0.1", "refused    10.0.0.1:"],
    },
    Case {
        title: "It leads in a circle",
        by: "http-01",
        set: |stage, name, challenge| {
            let port = stage.world.responder.port();
            let token = challenge.text("token");
            let itself = format!("http://{name}:{port}/.well-known/acme-challenge/{token}");
            serve(stage, challenge, Answer::redirect(301, &itself));
        },
        said: &["redirect   http://", "redirects to a URL that redirected here"],
    },
    Case {
        title: "It leads to a port that is not of the web",
        by: "http-01",
        set: |stage, name, challenge| {
            serve(stage, challenge, Answer::redirect(302, &format!("http://{name}:22/")));
        },
        said: &["response   status 302", ":22/", "redirects to port 22, where validation does not go"],
    },
    Case {
        title: "What answers does not speak HTTP",
        by: "http-01",
        set: |stage, _, challenge| serve(stage, challenge, Answer::bytes("SSH-2.0-OpenSSH_9.2p1\r\n")),
        said: &["connected  127.0.0.1:", "request    GET http://", "response   failed:"],
    },
    Case {
        title: "The server accepts and says nothing",
        by: "http-01",
        set: |stage, _, challenge| {
            serve(stage, challenge, Answer::of(|_| thread::sleep(Duration::from_secs(4))));
        },
        said: &["connected  127.0.0.1:", "request    GET http://", "did not answer within 2 seconds"],
    },
    Case {
        title: "There is no TXT record",
        by: "dns-01",
        set: |stage, name, _| stage.world.dns.answer(&owner(name), DnsAnswer::NoSuchName),
        said: &["_acme-challenge.", "TXT?", "failed: the name does not exist"],
    },
    Case {
        title: "The TXT record is of the last time",
        by: "dns-01",
        set: |stage, name, _| stage.world.dns.answer(&owner(name), texts("an-old-value")),
        said: &["TXT: an-old-value", "should say", "not the digest of the key authorization"],
    },
    Case {
        title: "The TXT record has the key authorization instead of its digest",
        by: "dns-01",
        set: |stage, name, challenge| {
            let right = stage.account.key_authorization(&challenge.text("token"));
            stage.world.dns.answer(&owner(name), texts(&right));
        },
        said: &["TXT:", "there is one with the key authorization itself"],
    },
    Case {
        title: "The TXT record has quotation marks in it",
        by: "dns-01",
        set: |stage, name, challenge| {
            let right = stage.account.key_authorization(&challenge.text("token"));
            let digest = coyote_jose::base64url::encode(openssl::sha::sha256(right.as_bytes()));
            stage.world.dns.answer(&owner(name), texts(&format!("\"{digest}\"")));
        },
        said: &["TXT:", "more than the digest, such as padding, white space or quotation marks"],
    },
    Case {
        title: "The TLS server knows no acme-tls/1",
        by: "tls-alpn-01",
        set: |stage, name, challenge| {
            let right = stage.account.key_authorization(&challenge.text("token"));
            let certificate = ChallengeCertificate::new(&dns_name(name.as_bytes()), &right);
            let answer = TlsAnswer::with(&certificate, |context| {
                context.set_alpn_select_callback(|_, _| Err(openssl::ssl::AlpnError::NOACK));
            });
            stage.tls.answer(name, answer);
        },
        said: &["tls        handshake as", "ALPN none", "did not agree to speak acme-tls/1"],
    },
    Case {
        title: "The TLS server shows the certificate of another challenge",
        by: "tls-alpn-01",
        set: |stage, name, _| {
            let certificate = ChallengeCertificate::new(&dns_name(name.as_bytes()), "another");
            stage.tls.answer(name, TlsAnswer::showing(&certificate));
        },
        said: &[
            "shown      certificate",
            "the acmeIdentifier should be",
            "is not the digest of the key authorization",
        ],
    },
    Case {
        title: "The TLS server is too old",
        by: "tls-alpn-01",
        set: |stage, name, challenge| {
            let right = stage.account.key_authorization(&challenge.text("token"));
            let certificate = ChallengeCertificate::new(&dns_name(name.as_bytes()), &right);
            let answer = TlsAnswer::with(&certificate, |context| {
                context.set_min_proto_version(Some(SslVersion::TLS1)).expect("TLS 1.0");
                context.set_max_proto_version(Some(SslVersion::TLS1_1)).expect("TLS 1.1");
            });
            stage.tls.answer(name, answer);
        },
        said: &["tls        handshake as", "tls        failed:", "protocol version"],
    },
];

fn serve(stage: &Stage, challenge: &Object, answer: Answer) {
    stage.world.responder.answer_token(&challenge.text("token"), answer);
}

fn owner(name: &str) -> String {
    format!("_acme-challenge.{name}")
}

fn texts(value: &str) -> DnsAnswer {
    DnsAnswer::Texts(vec![value.to_owned()])
}

impl Stage {
    fn new() -> Self {
        let tls = TlsResponder::start();
        let world = World::with(|setup| {
            setup
                .replacing("validation", "challenges", "[\"http-01\", \"dns-01\", \"tls-alpn-01\"]")
                .with("validation", &format!("tls_port = {}", tls.port()))
                .with("validation", "timeout = \"2s\"")
                .with("limits", "validation_attempts = 1")
        });
        let account = world.client.account();
        Self { world, tls, account }
    }

    /// Has a name fail, and answers its order, and the challenge as it ended.
    fn fail(&self, name: &str, case: &Case) -> (Object, Object) {
        let order = self.account.order(&[name]);
        let authorization = self.account.authorizations(&order).remove(0);
        let challenge = authorization.challenge(case.by);
        (case.set)(self, name, &challenge);
        let answer = self.account.post(&challenge.url, &json!({})).expect(200);
        drop(answer);
        let end = self.account.settled(&authorization.url);
        assert_eq!(end.status(), "invalid", "{}: {}", case.title, end.json);
        (order, end.challenge(case.by))
    }
}

#[test]
fn why_names_the_cause_of_each_failure() {
    let stage = Stage::new();
    for (number, case) in CASES.iter().enumerate() {
        let name = format!("case{number}.example.org");
        let (order, challenge) = stage.fail(&name, case);

        let why = stage.world.acmed.beside(&["why", &order.url]);

        let mut rest = why.as_str();
        for said in case.said {
            let at = rest.find(said);
            let at =
                at.unwrap_or_else(|| panic!("{}: {said:?} is not said, or too early:\n{why}", case.title));
            rest = &rest[at + said.len()..];
        }
        let detail = challenge.json["error"]["detail"].as_str().unwrap_or_default();
        assert!(detail.lines().count() == 1, "the client is told one sentence: {detail}");
        let trace = detail.split_once("(trace ").and_then(|(_, rest)| rest.strip_suffix(')'));
        let trace = trace.unwrap_or_else(|| panic!("{}: the client is told no trace: {detail}", case.title));
        for asked in [trace, &name, &challenge.url] {
            assert_eq!(stage.world.acmed.beside(&["why", asked]), why, "{}, asked for {asked}", case.title);
        }
    }
}

#[test]
fn why_shows_what_led_to_a_certificate_as_well() {
    let stage = Stage::new();
    let name = "fine.example.org";
    let order = stage.account.ready_order(&[name], &stage.world.responder);
    let chain = stage.account.certificate(&order);
    assert!(chain.contains("BEGIN CERTIFICATE"));

    let why: Value = serde_json::from_str(&stage.world.acmed.beside(&["why", &order.url, "--json"])).unwrap();

    let kinds: Vec<_> = why.as_array().unwrap().iter().map(|seen| seen["order"].is_string()).collect();
    assert_eq!(kinds, [false, true], "the validation, then the issuance: {why}");
    let issuance = why[1]["timeline"]["events"].to_string();
    assert!(issuance.contains("proved by http-01") && issuance.contains("serial"), "{issuance}");
}

#[test]
fn why_says_what_to_do_where_nothing_is_known() {
    let stage = Stage::new();
    // Ids are random, and some begin with what options begin with.
    let output = stage.world.acmed.run_beside(&["why", "-bwrd4Sq5ig48l98lTPStQ", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let output = stage.world.acmed.run_beside(&["why", "nobody.example.org"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("no attempt is on record"), "{said}");
}

/// And nothing else.
#[test]
fn the_documentation_lists_the_failures_that_are_tested() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/why.md");
    let docs = fs::read_to_string(docs).unwrap();
    let listed: Vec<_> =
        docs.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next()).skip(2).collect();
    let tested: Vec<_> = CASES.iter().map(|case| case.title).collect();
    assert_eq!(listed, tested, "docs/why.md lists the cases of this test, in their order");
}
