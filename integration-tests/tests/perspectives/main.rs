//! Validation from several places: `acmed perspective` processes that see the world each in its own way.

mod lookout;

use std::time::Duration;

use integration_tests::{
    Account, Acmed, Authority, Csr, Dns, DnsAnswer, Object, Responder, Setup, eventually,
};

use serde_json::json;

use crate::lookout::{Liar, Lookout};

/// Where nobody is.
const NOWHERE: DnsAnswer = DnsAnswer::NoSuchName;

/// A server, and the perspectives that have to agree with it.
struct Stage {
    authority: Authority,
    dns: Dns,
    responder: Responder,
    lookouts: Vec<Lookout>,
}

impl Stage {
    /// With so many perspectives.
    fn new(lookouts: usize) -> Self {
        let (authority, dns, responder) = (Authority::new(), Dns::start(), Responder::start());
        let lookouts = (0..lookouts)
            .map(|number| Lookout::start(&authority, &format!("place-{number}"), &responder))
            .collect();
        Self { authority, dns, responder, lookouts }
    }

    /// The server, which asks these as well, and these others.
    fn serve(&self, others: &[(&str, String)], set_up: impl FnOnce(Setup) -> Setup) -> Acmed {
        let own = self.authority.issue_to_client("acmed");
        let places = self.lookouts.iter().map(|lookout| (lookout.name.as_str(), lookout.url.clone()));
        let setup = Setup::new(&self.dns, &self.responder)
            .with("limits", "validation_attempts = 1")
            .with("limits", "issuance_attempts = 1")
            .with("validation", "timeout = \"3s\"");
        let setup = places.chain(others.iter().cloned()).fold(set_up(setup), |setup, (name, url)| {
            let place = format!(
                "[[validation.perspective]]\nname = {name:?}\nregion = \"a test\"\nurl = {url:?}\nroots = {:?}\n\
                 certificate = {:?}\nkey = {:?}",
                self.authority.file(),
                own.certificate,
                own.key
            );
            setup.with("validation", &place)
        });
        Acmed::serve(&setup)
    }

    /// What becomes of the authorization of a name whose owner answers rightly.
    fn prove(&self, account: &Account, name: &str) -> Object {
        self.prove_order(account, &account.order(&[name]))
    }

    fn prove_order(&self, account: &Account, order: &Object) -> Object {
        let authorization = account.authorizations(order).remove(0);
        let challenge = account.provision(&authorization, &self.responder);
        let _ = account.post(&challenge.url, &json!({})).expect(200);
        account.settled(&authorization.url)
    }
}

/// That what was asked is wrong.
fn no(hash: &str) -> String {
    let problem = r#"{"wrong":{"type":"urn:ietf:params:acme:error:unauthorized","detail":"it says no"}}"#;
    lookout::evidence(hash, problem)
}

/// What `acmed why` says of a name.
fn why(acmed: &Acmed, name: &str) -> String {
    acmed.beside(&["why", name])
}

fn require(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.contains(line), "there is no {line:?} in\n{text}");
    }
}

#[test]
fn what_all_see_is_valid_and_the_trace_has_what_each_has_seen() {
    let stage = Stage::new(3);
    let acmed = stage.serve(&[], |setup| setup);
    let account = acmed.client().account();

    assert_eq!(stage.prove(&account, "a.example.org").status(), "valid");

    let seen = why(&acmed, "a.example.org");
    require(&seen, &["others see the same, 0 do not, 2 are needed: it holds", "(a test): sees the same"]);
    let asked = stage.lookouts.iter().filter(|lookout| {
        seen.contains(&format!("elsewhere  {}, after", lookout.name))
            && seen.contains("response   status 200")
    });
    assert!(asked.count() >= 2, "{seen}");
}

#[test]
fn one_of_three_that_lies_changes_nothing() {
    let stage = Stage::new(2);
    let liar = Liar::start(&stage.authority, no);
    let acmed = stage.serve(&[("liar", liar.url())], |setup| setup);
    let account = acmed.client().account();

    for number in 0..3 {
        let name = format!("n{number}.example.org");
        assert_eq!(stage.prove(&account, &name).status(), "valid", "{}", why(&acmed, &name));
    }
    eventually("the liar is asked each time", Duration::from_secs(10), || (liar.asked() >= 3).then_some(()));
}

#[test]
fn two_of_three_that_lie_refuse_and_the_trace_says_who_saw_what() {
    let stage = Stage::new(1);
    let liars = [Liar::start(&stage.authority, no), Liar::start(&stage.authority, no)];
    let acmed = stage.serve(&[("liar-1", liars[0].url()), ("liar-2", liars[1].url())], |setup| setup);
    let account = acmed.client().account();

    let authorization = stage.prove(&account, "a.example.org");

    assert_eq!(authorization.status(), "invalid");
    let error = &authorization.challenge("http-01").json["error"];
    assert_eq!(error["type"], "urn:ietf:params:acme:error:unauthorized");
    require(
        &error["detail"].to_string(),
        &["2 of 3 other perspectives do not see what this server sees: it says no"],
    );
    require(
        &why(&acmed, "a.example.org"),
        &[
            "response   status 200",
            "liar-1 (a test): sees otherwise: unauthorized: it says no",
            "liar-2 (a test): sees otherwise: unauthorized: it says no",
            "2 do not, 2 are needed: it does not hold",
        ],
    );
}

#[test]
fn a_profile_that_others_are_not_asked_about_is_for_those_names_only_that_it_says() {
    let stage = Stage::new(0);
    let liars = [Liar::start(&stage.authority, no), Liar::start(&stage.authority, no)];
    let mut acmed = stage.serve(&[("liar-1", liars[0].url()), ("liar-2", liars[1].url())], |setup| {
        let alone = "perspectives = false\nuser_agent = \"inside\"";
        setup
            .with("profiles.inside", "allowed_names = [\"corp.test\"]")
            .with("profiles.inside.validation", alone)
            .with("profiles.outside.validation", "perspectives = true\nuser_agent = \"outside\"")
    });
    let account = acmed.client().account();
    let order = |name: &str, profile: &str| {
        let payload = json!({"identifiers": [{"type": "dns", "value": name}], "profile": profile});
        account.post(&account.client.resource("newOrder"), &payload)
    };
    let prove = |name: &str, profile: &str| {
        let answer = order(name, profile).expect(201);
        let order = Object { url: answer.location(), json: answer.json() };
        stage.prove_order(&account, &order).status().to_owned()
    };

    assert_eq!(prove("db.corp.test", "inside"), "valid");
    let proved = order("db.corp.test", "inside").expect(201);
    assert_eq!(proved.json()["status"], "ready", "it serves again");
    assert_eq!(liars.iter().map(Liar::asked).sum::<usize>(), 0, "they cannot see the inside");
    order("bank.example.org", "inside").expect_problem(400, "rejectedIdentifier");
    assert_eq!(prove("bank.example.org", "outside"), "invalid", "others are asked");

    acmed.configure(|config| config.replace("perspectives = false", "perspectives = true"));
    acmed.restart();
    account.client.forget_nonces();
    assert_eq!(
        order("db.corp.test", "inside").expect(201).json()["status"],
        "pending",
        "what was seen alone"
    );
    let proved = Object { url: proved.location(), json: proved.json() };
    account.finalize(&proved, &Csr::new(&["db.corp.test"]).to_der()).expect_problem(403, "unauthorized");
}

#[test]
fn a_server_that_serves_https_with_a_certificate_of_its_own_starts_while_all_others_are_away() {
    let mut stage = Stage::new(2);
    stage.lookouts.iter_mut().for_each(Lookout::end);
    let acmed = stage.serve(&[], |setup| {
        setup
            .with_tls()
            .with("directory", "caa_identities = [\"ca.example\"]")
            .with("validation", "caa = true")
    });
    drop(acmed.client());
}

#[test]
fn two_of_three_that_see_otherwise_are_believed_and_the_trace_says_who_saw_what() {
    let stage = Stage::new(3);
    let acmed = stage.serve(&[], |setup| setup);
    let account = acmed.client().account();
    // Whoever diverts the traffic here can prove anything to this server and to one of the others.
    for lookout in &stage.lookouts[1..] {
        lookout.dns.answer("bank.example.org", NOWHERE);
    }

    let authorization = stage.prove(&account, "bank.example.org");

    assert_eq!(authorization.status(), "invalid");
    let told = authorization.challenge("http-01").json["error"]["detail"].to_string();
    require(&told, &["2 of 3 other perspectives do not see what this server sees", "(trace "]);
    let seen = why(&acmed, "bank.example.org");
    require(
        &seen,
        &[
            "place-1 (a test): sees otherwise: dns:",
            "place-2 (a test): sees otherwise: dns:",
            "elsewhere  place-1, after",
            "failed: the name does not exist",
            "do not, 2 are needed: it does not hold",
        ],
    );
}

#[test]
fn two_of_three_that_lie_get_nobody_a_certificate_that_is_not_seen_from_here() {
    let stage = Stage::new(1);
    let yes = |hash: &str| lookout::evidence(hash, r#""same""#);
    let liars = [Liar::start(&stage.authority, yes), Liar::start(&stage.authority, yes)];
    let acmed = stage.serve(&[("liar-1", liars[0].url()), ("liar-2", liars[1].url())], |setup| setup);
    let account = acmed.client().account();
    stage.dns.answer("a.example.org", NOWHERE);

    assert_eq!(stage.prove(&account, "a.example.org").status(), "invalid");
    assert_eq!(
        liars.iter().map(Liar::asked).sum::<usize>(),
        0,
        "what is not seen from here is not asked for elsewhere"
    );
}

#[test]
fn an_answer_to_another_task_is_none() {
    let stage = Stage::new(0);
    let stale = |_: &str| lookout::evidence("Zm9yIGFub3RoZXIgdGFzaw", r#""same""#);
    let liars = [Liar::start(&stage.authority, stale), Liar::start(&stage.authority, stale)];
    let acmed = stage.serve(&[("liar-1", liars[0].url()), ("liar-2", liars[1].url())], |setup| setup);
    let account = acmed.client().account();

    assert_eq!(stage.prove(&account, "a.example.org").status(), "invalid");
    require(&why(&acmed, "a.example.org"), &["could not look: it answers to another task"]);
}

#[test]
fn one_that_is_gone_is_missed_and_two_are_too_many() {
    let mut stage = Stage::new(3);
    let acmed = stage.serve(&[], |setup| setup);
    let account = acmed.client().account();

    stage.lookouts[0].end();
    assert_eq!(stage.prove(&account, "a.example.org").status(), "valid", "{}", why(&acmed, "a.example.org"));

    stage.lookouts[1].end();
    let authorization = stage.prove(&account, "b.example.org");
    assert_eq!(authorization.status(), "invalid");
    let error = &authorization.challenge("http-01").json["error"];
    assert_eq!(
        error["type"], "urn:ietf:params:acme:error:serverInternal",
        "no fault of the client's: {error}"
    );
    require(
        &why(&acmed, "b.example.org"),
        &["place-0 (a test): could not look:", "place-1 (a test): could not look:"],
    );
}

#[test]
fn a_perspective_answers_nobody_whose_certificate_is_not_vouched_for() {
    let stage = Stage::new(1);
    let (url, roots) = (&stage.lookouts[0].url, stage.authority.file());
    let strangers = Authority::new();
    let stranger = strangers.issue("stranger");
    let own = stage.authority.issue_to_client("acmed");

    assert_eq!(lookout::curl(url, &roots, None), None, "without a certificate");
    assert_eq!(lookout::curl(url, &roots, Some(&stranger)), None, "with a stranger's");
    let other = stage.authority.issue_to_server("place-1");
    assert_eq!(lookout::curl(url, &roots, Some(&other)), None, "with another perspective's");
    assert_eq!(lookout::curl(url, &roots, Some(&own)).as_deref(), Some("400"), "what is no task is refused");
}

#[test]
fn caa_records_that_others_see_count_at_the_signature_as_well() {
    let stage = Stage::new(2);
    let acmed = stage.serve(&[], |setup| {
        setup.with("directory", "caa_identities = [\"ca.example\"]").with("validation", "caa = true")
    });
    let account = acmed.client().account();
    let order = account.order(&["a.example.org"]);
    let authorization = account.authorizations(&order).remove(0);
    let challenge = account.provision(&authorization, &stage.responder);
    let _ = account.post(&challenge.url, &json!({})).expect(200);
    assert_eq!(account.settled(&authorization.url).status(), "valid");
    // From now on they cannot look up anything.
    for lookout in &stage.lookouts {
        lookout.dns.answer("a.example.org", DnsAnswer::ServerFailure);
    }

    let csr = Csr::new(&["a.example.org"]).to_der();
    let _ = account.finalize(&order, &csr);
    let ended = eventually("the order ends", Duration::from_secs(60), || {
        let order = account.read(&order.url);
        (order.status() != "processing").then_some(order)
    });

    assert_eq!(ended.status(), "invalid");
    require(
        &ended.json["error"]["detail"].to_string(),
        &["2 of 2 other perspectives do not see what this server sees"],
    );
    require(&why(&acmed, &order.url), &["elsewhere  place-0, after", "CAA: failed", "it does not hold"]);
}
