//! From an account to a certificate, as RFC 8555 section 7 tells it.

use std::{collections::BTreeSet, thread, time::Duration};

use integration_tests::{
    Account, Answer, Csr, Gate, Key, Object, Request, Response, World, assert_chain_verifies, eventually,
    leaf,
};
use serde_json::json;

/// RFC 8555 section 7.4.
#[test]
fn a_certificate_for_several_names_verifies_against_the_served_root() {
    let world = World::new();
    let account = world.client.account();
    let names = ["one.example.org", "two.example.org", "three.example.org"];

    let chain = account.issue(&names, &world.responder);

    let roots = world.acmed.roots();
    for name in names {
        assert_chain_verifies(&chain, &roots, name);
    }
    let issued = leaf(&chain).subject_alt_names().expect("names");
    let issued: BTreeSet<_> = issued.iter().filter_map(|name| name.dnsname().map(str::to_owned)).collect();
    assert_eq!(issued, names.map(str::to_owned).into(), "the names of the order, and no other");
}

/// RFC 8555 sections 6.2 and 7.3: every algorithm that the server says it supports.
#[test]
fn an_account_can_have_a_key_of_any_supported_kind() {
    let world = World::new();
    for alg in ["ES256", "ES384", "ES512", "RS256", "PS256", "EdDSA"] {
        let account = world.client.account_of(Key::generate(alg));
        assert_eq!(account.read(&account.url).status(), "valid", "{alg}");
    }
}

/// RFC 8555 sections 7.1.3 to 7.1.6, step by step.
#[test]
fn an_order_goes_from_pending_by_ready_to_valid() {
    let world = World::new();
    let account = world.client.account();

    let order = account.order(&["a.example.org", "b.example.org"]);
    assert_eq!(order.status(), "pending");
    assert_eq!(order.names(), ["a.example.org", "b.example.org"]);
    assert_eq!(order.json["certificate"], json!(null), "nothing is promised yet");
    assert!(order.json["expires"].is_string());
    for (authorization, name) in account.authorizations(&order).iter().zip(order.names()) {
        assert_eq!(
            (authorization.status(), &authorization.json["identifier"]["value"]),
            ("pending", &json!(name))
        );
        assert_eq!(authorization.challenge("http-01").status(), "pending");
    }

    account.validate(&order, &world.responder);
    for authorization in account.authorizations(&order) {
        assert_eq!(authorization.status(), "valid");
        assert!(authorization.challenge("http-01").json["validated"].is_string());
    }
    let order = account.read(&order.url);
    assert_eq!(order.status(), "ready");

    let answer =
        account.finalize(&order, &Csr::new(&["a.example.org", "b.example.org"]).to_der()).expect(200);
    assert_eq!(answer.location(), order.url, "some clients poll by it");
    let order = account.settled(&order.url);
    assert_eq!(order.status(), "valid");
    let certificate = account.post_as_get(&order.text("certificate")).expect(200);
    assert_eq!(certificate.header("Content-Type"), Some("application/pem-certificate-chain"));
}

/// The server waits a moment before it answers, so that clients need not.
#[test]
fn the_first_answer_has_the_result_when_that_comes_soon() {
    let world = World::with(|setup| setup.with("validation", "linger = \"5s\""));
    let account = world.client.account();
    let order = account.order(&["quick.example.org"]);
    let authorization = &account.authorizations(&order)[0];
    let challenge = account.provision(authorization, &world.responder);

    let answer = account.post(&challenge.url, &json!({})).expect(200);
    assert_eq!(answer.json()["status"], "valid", "{answer}");
    assert_eq!(answer.links("up"), [authorization.url.as_str()], "RFC 8555 section 7.5.1");

    let order = account.read(&order.url);
    let answer = account.finalize(&order, &Csr::new(&["quick.example.org"]).to_der()).expect(200);
    assert_eq!(answer.json()["status"], "valid", "{answer}");
    assert!(answer.json()["certificate"].is_string(), "{answer}");
}

/// RFC 8555 section 7.5.1. Some clients cannot read a date there.
#[test]
fn what_takes_longer_is_processing_and_says_in_seconds_when_to_ask_again() {
    let world = World::with(|setup| setup.with("validation", "linger = \"50ms\""));
    let account = world.client.account();
    let order = account.order(&["slow.example.org"]);
    let authorization = &account.authorizations(&order)[0];
    let challenge = account.provision(authorization, &world.responder);
    let (gate, token) = (Gate::default(), challenge.text("token"));
    let right = Answer::text(200, account.key_authorization(&token));
    world.responder.answer_token(&token, Answer::after(&gate, right));

    let answers = [
        account.post(&challenge.url, &json!({})).expect(200),
        account.post(&challenge.url, &json!({})).expect(200),
        account.post_as_get(&challenge.url).expect(200),
        account.post_as_get(&authorization.url).expect(200),
    ];

    for answer in &answers {
        let seconds = answer.header("Retry-After").unwrap_or_else(|| panic!("no Retry-After in {answer}"));
        assert!(seconds.parse::<u64>().is_ok_and(|seconds| seconds > 0), "{seconds}");
    }
    assert_eq!(answers[0].json()["status"], "processing");
    gate.open();
    assert_eq!(account.settled(&authorization.url).status(), "valid");
    assert_eq!(
        world.responder.requests_for(&token),
        1,
        "a challenge that is answered twice is validated once"
    );
}

/// RFC 8555 sections 6.5 and 7.1: also when it is an error.
#[test]
fn every_answer_to_a_post_brings_a_nonce_and_leads_to_the_directory() {
    let world = World::new();
    let account = world.client.account();
    let order = account.ready_order(&["a.example.org"], &world.responder);
    let csr = |csr: &[u8]| json!({"csr": coyote_jose::base64url::encode(csr)});
    let good = csr(&Csr::new(&["a.example.org"]).to_der());
    let bad_nonce = account.signed(&order.url, &json!({})).with("nonce", "AAAA").request();
    let requests = [
        ("an order", account.signed_bytes(&order.url, Vec::new()).request()),
        ("finalize with rubbish", account.signed(&order.text("finalize"), &csr(b"rubbish")).request()),
        ("finalize", account.signed(&order.text("finalize"), &good).request()),
        ("an unknown resource", account.signed_bytes(&format!("{}/x", order.url), Vec::new()).request()),
        ("no JWS", Request::post("/acme/new-order", "hello")),
        ("a wrong method", Request { method: "PUT".into(), ..bad_nonce.clone() }),
        ("a bad nonce", bad_nonce),
    ];
    let directory = world.acmed.base_url().to_owned() + "/directory";
    for (what, request) in &requests {
        let answer = world.client.http.send(request);
        assert_eq!(answer.links("index"), [directory.as_str()], "{what}: {answer}");
        if request.method == "POST" {
            let nonce = answer.nonce().unwrap_or_else(|| panic!("{what} brings no nonce: {answer}"));
            let again = account.signed_bytes(&account.url, Vec::new()).with("nonce", nonce);
            let _ = world.client.http.send(&again.request()).expect(200);
        }
        if answer.status >= 400 {
            assert_eq!(answer.header("Content-Type"), Some("application/problem+json"), "{what}");
            assert_eq!(answer.json()["status"], answer.status, "{what}");
        }
    }
}

/// RFC 8555 section 6.5.
#[test]
fn a_nonce_is_good_once() {
    let world = World::new();
    let account = world.client.account();
    let request = account.signed_bytes(&account.url, Vec::new()).request();

    let _ = world.client.http.send(&request).expect(200);
    let replay = world.client.http.send(&request);

    replay.expect_problem(400, "badNonce");
    let again =
        account.signed_bytes(&account.url, Vec::new()).with("nonce", replay.nonce().expect("a nonce"));
    let _ = world.client.http.send(&again.request()).expect(200);
}

/// RFC 8555 section 7.2.
#[test]
fn a_nonce_can_be_had_for_the_asking_and_is_never_cached() {
    let world = World::new();
    let target = world.client.http.target(&world.client.resource("newNonce"));
    let (head, get) =
        (world.client.http.send(&Request::new("HEAD", &target)), world.client.http.get(&target));
    assert_eq!((head.status, get.status), (200, 204));
    for answer in [&head, &get] {
        assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    }
    assert_ne!(head.nonce().expect("a nonce"), get.nonce().expect("a nonce"));
}

/// Clients take the first challenge that they know, and remember where it was.
#[test]
fn authorizations_and_challenges_are_in_the_same_order_at_each_reading() {
    let world = World::new();
    let account = world.client.account();
    let order = account.order(&["c.example.org", "a.example.org", "b.example.org"]);
    let reading = || {
        let order = account.read(&order.url);
        let challenges: Vec<_> =
            account.authorizations(&order).iter().map(|a| a.json["challenges"].clone()).collect();
        (order.json, challenges)
    };
    assert_eq!(reading(), reading());
    assert_eq!(order.names(), ["c.example.org", "a.example.org", "b.example.org"], "as they were asked for");
}

/// RFC 8555 section 6.3.
#[test]
fn nothing_but_the_directory_the_roots_and_nonces_can_be_read_by_get() {
    let world = World::new();
    let account = world.client.account();
    let order = account.order(&["a.example.org"]);
    let authorization = &order.list("authorizations")[0];
    for url in [&account.url, &order.url, authorization, &world.client.resource("newAccount")] {
        world.client.http.get(&world.client.http.target(url)).expect_problem(405, "malformed");
    }
    for target in ["/directory", "/", "/ca/root.pem"] {
        let _ = world.client.http.get(target).expect(200);
    }
}

/// RFC 8555 section 7.3.1.
#[test]
fn only_return_existing_finds_an_account_and_makes_none() {
    let world = World::new();
    let (key, wanted) = (Key::new(), json!({"onlyReturnExisting": true}));
    world.client.new_account(&key, &wanted).expect_problem(400, "accountDoesNotExist");
    world.client.new_account(&key, &wanted).expect_problem(400, "accountDoesNotExist");
    let account = world.client.account_of(key.clone());

    let found = world.client.new_account(&key, &wanted).expect(200);

    assert_eq!(found.location(), account.url);
    assert_eq!(world.acmed.database().count("accounts"), 1);
}

/// RFC 8555 sections 7.3.2 and 7.3.6.
#[test]
fn an_account_changes_its_contacts_until_it_is_deactivated() {
    let world = World::new();
    let account = world.client.account();

    let _ = account.post(&account.url, &json!({"contact": ["mailto:a@example.org"]})).expect(200);
    assert_eq!(account.read(&account.url).json["contact"], json!(["mailto:a@example.org"]));

    let answer = account.post(&account.url, &json!({"status": "deactivated"})).expect(200);
    assert_eq!(answer.json()["status"], "deactivated");
    account.post_as_get(&account.url).expect_problem(401, "unauthorized");
    world.client.new_account(&account.key, &json!({})).expect_problem(401, "unauthorized");
}

/// RFC 8555 section 7.1.2.1.
#[test]
fn an_account_lists_all_its_orders() {
    let world = World::new();
    let account = world.client.account();
    let _ = world.client.account().order(&["other.example.org"]);
    let made: BTreeSet<_> = (0..103).map(|n| account.order(&[&format!("n{n}.example.org")]).url).collect();

    let mut listed = BTreeSet::new();
    let mut page = Some(account.read(&account.url).text("orders"));
    while let Some(url) = page {
        let answer = account.post_as_get(&url).expect(200);
        listed.extend(Object { url, json: answer.json() }.list("orders"));
        page = answer.links("next").pop();
    }

    assert_eq!(listed, made);
}

/// RFC 8555 sections 7.1.6 and 7.5.2.
#[test]
fn an_order_is_invalid_once_an_authorization_of_it_is_deactivated() {
    let world = World::new();
    let account = world.client.account();
    let order = account.ready_order(&["a.example.org", "b.example.org"], &world.responder);

    let authorization = &order.list("authorizations")[1];
    let answer = account.post(authorization, &json!({"status": "deactivated"})).expect(200);

    assert_eq!(answer.json()["status"], "deactivated");
    assert_eq!(account.read(&order.url).status(), "invalid");
    account
        .finalize(&order, &Csr::new(&["a.example.org", "b.example.org"]).to_der())
        .expect_problem(403, "orderNotReady");
}

/// What is told once is told for ever: also to a client that comes back after a crash.
#[test]
fn a_certificate_is_the_same_octets_at_each_reading() {
    let mut world = World::new();
    let account = world.client.account();
    let order = account.ready_order(&["a.example.org"], &world.responder);
    let first = account.certificate(&order);
    let url = account.read(&order.url).text("certificate");

    assert_eq!(account.post_as_get(&url).expect(200).text(), first);
    world.crash();
    assert_eq!(account.post_as_get(&url).expect(200).text(), first);
}

/// RFC 8555 section 7.3.1: one key, one account, whoever comes first.
#[test]
fn one_key_has_one_account_however_many_ask_at_once() {
    let world = World::new();
    for _ in 0..5 {
        let before = world.acmed.database().count("accounts");
        let key = Key::new();
        let answers =
            at_once(50, || world.client.new_account(&key, &json!({"contact": ["mailto:a@example.org"]})));

        let created = answers.iter().filter(|answer| answer.status == 201).count();
        let found = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!((created, found), (1, 49));
        let urls: BTreeSet<_> = answers.iter().map(Response::location).collect();
        assert_eq!(urls.len(), 1, "{urls:?}");
        assert_eq!(world.acmed.database().count("accounts"), before + 1);
    }
}

/// At most one certificate for an order, whatever the client does.
#[test]
fn however_often_an_order_is_finalized_at_once_there_is_one_certificate() {
    let world = World::new();
    let account = world.client.account();
    for round in 0..rounds() {
        let name = format!("round{round}.example.org");
        let order = account.ready_order(&[&name], &world.responder);
        let csrs: Vec<_> = (0..8).map(|_| Csr::new(&[&name]).to_der()).collect();
        let next = std::sync::atomic::AtomicUsize::new(0);
        let answers = at_once(8, || {
            let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            account.finalize(&order, &csrs[at])
        });

        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1, "one of them is first");
        for answer in answers.iter().filter(|answer| answer.status != 200) {
            answer.expect_problem(403, "orderNotReady");
        }
        assert_eq!(account.settled(&order.url).status(), "valid");
        assert_eq!(world.acmed.database().count("certificates"), round + 1);
        assert_eq!(world.acmed.database().count("serials"), round + 1, "no serial was spent in vain");
    }
}

/// RFC 8555 section 7.5.1: said twice, it is done once.
#[test]
fn however_often_a_challenge_is_answered_at_once_it_is_validated_once() {
    let world = World::new();
    let account = world.client.account();
    for round in 0..rounds() {
        let order = account.order(&[&format!("round{round}.example.org")]);
        let challenge = account.provision(&account.authorizations(&order)[0], &world.responder);

        let answers = at_once(8, || account.post(&challenge.url, &json!({})));

        for answer in answers {
            let status = answer.expect(200).json()["status"].clone();
            assert!(status == "processing" || status == "valid", "{status}");
        }
        eventually("the order is ready", Duration::from_secs(10), || {
            (account.read(&order.url).status() == "ready").then_some(())
        });
        assert_eq!(world.responder.requests_for(&challenge.text("token")), 1);
    }
}

/// The accounts of others are nobody's business, and so is what hangs off them.
#[test]
fn what_is_another_accounts_looks_like_what_is_not_there() {
    let world = World::new();
    let (owner, other) = (world.client.account(), world.client.account());
    let order = owner.ready_order(&["a.example.org"], &world.responder);
    let unknown = &order.url[..order.url.len() - 22];
    let reads = |account: &Account, url: &str| {
        let answer = account.post_as_get(url);
        (answer.status, answer.problem(), answer.json()["detail"].clone())
    };
    assert_eq!(reads(&other, &order.url), reads(&other, &format!("{unknown}AAAAAAAAAAAAAAAAAAAAAA")));
    assert_eq!(reads(&other, &order.url).0, 403);
    assert_eq!(owner.read(&order.url).status(), "ready");
}

/// How often a promise is put to the test: `COYOTE_ROUNDS`, or 25.
fn rounds() -> usize {
    std::env::var("COYOTE_ROUNDS").map_or(25, |rounds| rounds.parse().expect("COYOTE_ROUNDS is a number"))
}

/// Runs something in this many threads at the same time.
fn at_once<T: Send>(count: usize, work: impl Fn() -> T + Sync) -> Vec<T> {
    let barrier = std::sync::Barrier::new(count);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    work()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    })
}
