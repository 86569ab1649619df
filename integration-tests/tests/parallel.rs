//! What is promised to one is given to one, however many ask at once.
//!
//! `COYOTE_ROUNDS` says how often each promise is put to the test (20 unless it is set).

use std::{collections::BTreeSet, io::Write, sync::Barrier, thread, time::Instant};

use coyote_jose::{Algorithm, base64url, sign_mac};
use integration_tests::{Account, Client, Key, Request, Response, Setup, World, leaf};
use openssl::x509::X509;
use serde_json::{Value, json};

/// RFC 8555 section 6.5.
#[test]
fn a_nonce_is_good_for_one_of_a_hundred_requests() {
    let world = World::with(roomy);
    let account = world.client.account();
    rounds("100 requests with one nonce", |round| {
        let payload = json!({"identifiers": [{"type": "dns", "value": format!("n{round}.example.org")}]});
        let request = account.signed(&world.client.resource("newOrder"), &payload).request();
        let answers = at_once(&world, &vec![request; 100]);
        let _ = the_one(&answers, 201, 400, "badNonce");
        assert_eq!(world.acmed.database().count("orders"), round + 1);
    });
}

/// RFC 8555 section 7.3.5.
#[test]
fn an_account_gets_one_of_ten_keys_and_no_other_works() {
    let world = World::new();
    let mut account = world.client.account();
    rounds("10 changes of one account's key", |_| {
        let keys: Vec<_> = (0..10).map(|_| Key::new()).collect();
        let requests: Vec<_> = keys.iter().map(|new| change(&account, new)).collect();
        let answers = at_once(&world, &requests);
        let good: Vec<_> = (0..keys.len()).filter(|at| answers[*at].status == 200).collect();
        let [winner] = good[..] else { panic!("one of them is first, not {good:?}") };
        for answer in answers.iter().filter(|answer| answer.status != 200) {
            // It came before the change, or after.
            assert!([400, 401, 403, 409].contains(&answer.status), "{answer}");
            assert!(answer.problem().is_some(), "{answer}");
        }
        for (at, key) in keys.iter().chain([&account.key]).enumerate() {
            let with = Account { key: key.clone(), ..account.clone() };
            assert_eq!(with.post_as_get(&account.url).status == 200, at == winner, "key {at}, not {winner}");
        }
        account.key = keys[winner].clone();
    });
    assert_eq!(world.acmed.database().count("accounts"), 1);
}

/// RFC 8555 section 7.6.
#[test]
fn a_certificate_is_revoked_by_one_of_fifty_for_the_reason_that_it_was_told() {
    let world = World::with(roomy);
    let account = world.client.account();
    account.validate(&account.order(&["a.example.org"]), &world.responder);
    rounds("50 revocations of one certificate", |_| {
        let certificate = leaf(&account.certificate(&account.order(&["a.example.org"])));
        let text = base64url::encode(certificate.to_der().expect("DER"));
        let reasons = [0, 1, 3, 4, 5];
        let revoke = |at: usize| {
            let payload = json!({"certificate": text, "reason": reasons[at % reasons.len()]});
            account.signed(&world.client.resource("revokeCert"), &payload).request()
        };
        let answers = at_once(&world, &(0..50).map(revoke).collect::<Vec<_>>());
        let winner = the_one(&answers, 200, 400, "alreadyRevoked");
        assert_eq!(recorded_reason(&world, &certificate), reasons[winner % reasons.len()]);
    });
}

/// RFC 9773 section 5.
#[test]
fn a_certificate_is_replaced_by_one_of_twenty_orders() {
    let world = World::with(roomy);
    let account = world.client.account();
    account.validate(&account.order(&["a.example.org"]), &world.responder);
    rounds("20 orders that replace one certificate", |_| {
        let certificate = leaf(&account.certificate(&account.order(&["a.example.org"])));
        let payload = json!({
            "identifiers": [{"type": "dns", "value": "a.example.org"}],
            "replaces": Client::certificate_id(&certificate),
        });
        let request = |_| account.signed(&world.client.resource("newOrder"), &payload).request();
        let answers = at_once(&world, &(0..20).map(request).collect::<Vec<_>>());
        let _ = the_one(&answers, 201, 409, "alreadyReplaced");
    });
}

/// RFC 8555 section 6.6.
#[test]
fn no_more_orders_are_open_than_may_be() {
    let world = World::with(|setup| setup.with("limits", "open_orders = 5"));
    rounds("20 orders where 5 may be open", |round| require_five(&world, round));
}

/// RFC 8555 section 7.3.4.
#[test]
fn a_key_for_one_external_account_opens_one_for_twenty_who_have_it() {
    let world = World::new();
    let url = world.client.resource("newAccount");
    rounds("20 accounts by a key for one", |round| {
        let made = world.acmed.beside(&["eab", "create", "--json", "--accounts", "1"]);
        let made: Value = serde_json::from_str(&made).expect("JSON");
        let text = |name: &str| made[name].as_str().expect("a text");
        let secret = base64url::decode(text("secret")).expect("base64url");
        let join = |_| {
            let key = Key::new();
            let jwk = key.jwk.to_string();
            let binding = sign_mac(Algorithm::HS256, &secret, text("kid"), &url, jwk.as_bytes());
            let binding: Value = serde_json::from_str(&binding.expect("a MAC")).expect("JSON");
            let payload = json!({"externalAccountBinding": binding});
            world.client.signed_by_jwk(&key, &url, &payload).request()
        };
        let answers = at_once(&world, &(0..20).map(join).collect::<Vec<_>>());
        let _ = the_one(&answers, 201, 403, "unauthorized");
        assert_eq!(world.acmed.database().count("accounts"), round + 1);
    });
}

/// RFC 8555 section 6.6.
#[test]
fn a_quota_is_good_for_what_it_says_however_many_take_from_it() {
    let world = World::with(|setup| setup.with("rate_limits", "orders_per_account = \"5/1h\""));
    rounds("20 orders of which 5 are allowed", |round| require_five(&world, round));
}

/// RFC 8555 section 7.5.2.
#[test]
fn an_authorization_that_is_given_up_while_it_is_used_again_makes_no_order_fail_and_none_ready() {
    let world = World::with(roomy);
    let account = world.client.account();
    let payload = json!({"identifiers": [{"type": "dns", "value": "a.example.org"}]});
    rounds("10 orders while their authorization is given up", |_| {
        let held = account.order(&["a.example.org"]);
        account.validate(&held, &world.responder);
        let order = |_| account.signed(&world.client.resource("newOrder"), &payload).request();
        let mut requests: Vec<_> = (0..10).map(order).collect();
        let authorization = &held.list("authorizations")[0];
        requests.insert(5, account.signed(authorization, &json!({"status": "deactivated"})).request());

        for (at, answer) in at_once(&world, &requests).into_iter().enumerate() {
            if at == 5 {
                let _ = answer.expect(200);
            } else {
                let status = account.read(&answer.expect(201).location()).status().to_owned();
                assert!(["pending", "invalid"].contains(&&*status), "{status}");
            }
        }
    });
}

/// Of 20 orders of a new account, asked for at once, it gets 5.
fn require_five(world: &World, round: usize) {
    let account = world.client.account();
    let order = |n| {
        let name = format!("n{n}.r{round}.example.org");
        let payload = json!({"identifiers": [{"type": "dns", "value": name}]});
        account.signed(&world.client.resource("newOrder"), &payload).request()
    };
    let answers = at_once(world, &(0..20).map(order).collect::<Vec<_>>());
    let (good, bad): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
    assert_eq!(good.len(), 5);
    for answer in bad {
        answer.expect_problem(429, "rateLimited");
    }
}

/// Rounds are not to be held up by limits that are not theirs.
fn roomy(setup: Setup) -> Setup {
    setup.with("limits", "open_orders = 1_000_000")
}

/// Plays all rounds, and says how long they took.
fn rounds(what: &str, mut round: impl FnMut(usize)) {
    let count = std::env::var("COYOTE_ROUNDS").map_or(20, |count| count.parse().expect("a number"));
    let begun = Instant::now();
    (0..count).for_each(&mut round);
    println!("{what}: {count} rounds in {:.1?}", begun.elapsed());
}

/// Sends each request on a connection that is open already, all at the same moment.
fn at_once(world: &World, requests: &[Request]) -> Vec<Response> {
    let (http, barrier) = (world.acmed.http(), Barrier::new(requests.len()));
    let send = |request: &Request| {
        let bytes = request.to_bytes(http.base().trim_start_matches("http://"));
        let mut socket = http.socket();
        barrier.wait();
        socket.write_all(&bytes).expect("it can be sent");
        Response::read(&mut socket, false)
    };
    let answers: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = requests.iter().map(|request| scope.spawn(|| send(request))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    for answer in &answers {
        world.client.keep_nonce(answer);
    }
    answers
}

/// Which of the answers is the good one; there is one, and the others are this problem.
fn the_one(answers: &[Response], good: u16, bad: u16, problem: &str) -> usize {
    let winners: BTreeSet<_> = (0..answers.len()).filter(|at| answers[*at].status == good).collect();
    for answer in answers.iter().filter(|answer| answer.status != good) {
        answer.expect_problem(bad, problem);
    }
    assert_eq!(winners.len(), 1, "of {} answers, these are good: {winners:?}", answers.len());
    winners.into_iter().next().expect("one")
}

/// The request by which an account gets this key.
fn change(account: &Account, new: &Key) -> Request {
    let url = account.client.resource("keyChange");
    let payload: Value = json!({"account": account.url, "oldKey": account.key.jwk});
    let inner = account.client.signed_by_jwk(new, &url, &payload).without("nonce").flattened();
    account.signed(&url, &inner).request()
}

fn recorded_reason(world: &World, certificate: &X509) -> u8 {
    let serial = certificate.serial_number().to_bn().expect("a number").to_hex_str().expect("hex");
    let query = format!(
        "SELECT CAST(revocation_reason AS TEXT) AS line FROM certificates WHERE serial = '{}'",
        serial.to_ascii_lowercase()
    );
    world.acmed.database().text(&query).parse().expect("a number")
}
