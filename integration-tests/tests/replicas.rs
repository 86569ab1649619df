//! Several acmed over one PostgreSQL and one Redis: any of them takes any request, and what goes away comes back.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use coyote_jose::base64url;
use integration_tests::{
    Account, Acmed, Answer, Client, Csr, Gate, Object, Postgres, Replicas, Request, Response, Setup,
    assert_chain_verifies, eventually, free_port, leaf, missing, program,
};
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);

/// The same account, at another replica.
fn at(account: &Account, client: &std::sync::Arc<Client>) -> Account {
    Account { client: client.clone(), ..account.clone() }
}

fn ready(acmed: &Acmed) -> u16 {
    acmed.http().try_send(&Request::new("GET", "/health/ready")).map_or(0, |answer| answer.status)
}

/// Held to a 503 that says when to come back.
fn refused_for_now(answer: &Response) {
    answer.expect_problem(503, "serverInternal");
    let wait = answer.header("Retry-After").and_then(|wait| wait.parse::<u64>().ok());
    assert!(wait.is_some_and(|wait| (1..=30).contains(&wait)), "{answer}");
}

fn order_at(account: &Account, name: &str) -> Response {
    let payload = json!({"identifiers": [{"type": "dns", "value": name}]});
    account.post(&account.client.resource("newOrder"), &payload)
}

#[test]
fn an_account_of_one_replica_orders_at_the_next_with_a_nonce_of_the_first_and_gets_its_certificate_from_any()
{
    let Some(replicas) = Replicas::start(&[&[], &[], &[]], |setup| setup) else { return };
    let clients: Vec<_> = (0..3).map(|member| replicas.client(member)).collect();
    let account = clients[0].account();

    let nonce = clients[0].http.send(&Request::new("HEAD", "/acme/new-nonce"));
    clients[1].keep_nonce(&nonce);
    let order = at(&account, &clients[1]).order(&["a.example.org"]);
    at(&account, &clients[2]).validate(&order, &replicas.responder);
    let chain = at(&account, &clients[0]).certificate(&order);

    assert_chain_verifies(&chain, &replicas.members[1].roots(), "a.example.org");
    let order = account.read(&order.url);
    for client in &clients {
        let again = at(&account, client).post_as_get(&order.text("certificate")).expect(200);
        assert_eq!(again.text(), chain, "the same octets from each");
    }
    let certificate = base64url::encode(leaf(&chain).to_der().expect("DER"));
    let revoke = |client| {
        let account = at(&account, client);
        account.post(&account.client.resource("revokeCert"), &json!({"certificate": certificate}))
    };
    let _ = revoke(&clients[1]).expect(200);
    revoke(&clients[2]).expect_problem(400, "alreadyRevoked");
}

#[test]
fn what_a_killed_replica_was_validating_another_ends() {
    let set_up = |setup: Setup| setup.with("limits", "lease = \"1s\"");
    let Some(mut replicas) = Replicas::start(&[&[], &[]], set_up) else { return };
    let (there, here) = (replicas.client(0), replicas.client(1));
    let account = there.account();
    let order = account.order(&["a.example.org"]);
    let authorization = account.authorizations(&order).remove(0);
    let challenge = account.provision(&authorization, &replicas.responder);
    let (token, gate) = (challenge.text("token"), Gate::default());
    let right = Answer::text(200, account.key_authorization(&token));
    replicas.responder.answer_token(&token, Answer::after(&gate, right));

    let begun = account.post(&challenge.url, &json!({})).expect(200);
    assert_eq!(begun.json()["status"], "processing");
    assert!(gate.wait_for_arrival(10 * SECOND), "it looks");
    replicas.members[0].kill();
    gate.open();

    let account = at(&account, &here);
    assert_eq!(account.settled(&authorization.url).status(), "valid");
    let chain = account.certificate(&order);
    assert_chain_verifies(&chain, &replicas.members[1].roots(), "a.example.org");
}

/// Nobody looks at the queue in the time that this takes.
#[test]
fn a_replica_without_a_worker_and_one_that_is_nothing_else_wake_each_other() {
    let set_up = |setup: Setup| {
        setup.with("limits", "job_poll_interval = \"120s\"").with("validation", "linger = \"20s\"")
    };
    let Some(replicas) = Replicas::start(&[&["--no-worker"], &["--worker-only"]], set_up) else { return };
    let account = replicas.client(0).account();
    eventually("both listen", 20 * SECOND, || {
        let listening = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN coyote_wakes%'";
        (replicas.postgres.number(listening) == 2).then_some(())
    });
    let order = account.order(&["a.example.org"]);
    let authorization = account.authorizations(&order).remove(0);
    let challenge = account.provision(&authorization, &replicas.responder);
    let token = challenge.text("token");
    replicas.responder.answer_token(&token, Answer::bytes("")); // nobody's answer: it is tried again

    let began = Instant::now();
    let begun = account.post(&challenge.url, &json!({})).expect(200);
    assert_eq!(begun.json()["status"], "processing", "left to the worker");
    let _ = account.provision(&authorization, &replicas.responder);
    let end = account.read(&authorization.url);

    assert_eq!(end.status(), "valid", "the answer has waited for the worker: {}", end.json);
    assert!(began.elapsed() < 15 * SECOND, "{:?}", began.elapsed());
    assert!(replicas.members[1].log().contains("taking over a job"), "the worker has done it");
}

#[test]
fn while_postgresql_is_away_clients_are_asked_to_come_back_and_then_all_goes_on() {
    let Some(replicas) = Replicas::start(&[&[], &[]], |setup| setup) else { return };
    let account = replicas.client(0).account();
    let pending = account.order(&["a.example.org"]);
    replicas.postgres.stop();

    for member in [0, 1] {
        let account = at(&account, &replicas.client(member));
        for _ in 0..20 {
            refused_for_now(&order_at(&account, "b.example.org"));
        }
        let acmed = &replicas.members[member];
        assert_eq!(ready(acmed), 503);
        assert_eq!(acmed.http().get("/health/live").status, 200);
        let complaints = acmed.log().lines().filter(|line| line.contains("unavailable error=")).count();
        assert!((1..=2).contains(&complaints), "{complaints} lines for 20 requests:\n{}", acmed.log());
    }
    replicas.postgres.start_again();
    let back = Instant::now();

    for member in [0, 1] {
        eventually("it is ready again", 5 * SECOND, || {
            (ready(&replicas.members[member]) == 200).then_some(())
        });
        println!("ready again {:?} after PostgreSQL", back.elapsed());
        let account = at(&account, &replicas.client(member));
        account.validate(&pending, &replicas.responder);
        let _ = account.issue(&[&format!("c{member}.example.org")], &replicas.responder);
    }
    let _ = account.certificate(&pending);
}

#[test]
fn a_lock_that_somebody_holds_is_not_waited_for_without_end() {
    let Some(replicas) = Replicas::start(&[&[]], |setup| setup) else { return };
    let account = replicas.client(0).account();
    let _ = account.order(&["a.example.org"]);
    thread::scope(|scope| {
        let lock = "BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(7); COMMIT";
        let holder = scope.spawn(|| replicas.postgres.query(lock));
        eventually("the lock is held", 5 * SECOND, || {
            let held = "SELECT count(*) FROM pg_locks WHERE granted AND mode = 'AccessExclusiveLock'
                        AND relation = 'orders'::regclass";
            (replicas.postgres.number(held) == 1).then_some(())
        });
        refused_for_now(&order_at(&account, "b.example.org"));
        let _ = holder.join().expect("no panic");
    });
    let _ = account.issue(&["c.example.org"], &replicas.responder);
}

#[test]
fn while_redis_is_away_no_nonce_is_taken_and_what_it_forgot_is_refused_afterwards() {
    let Some(mut replicas) = Replicas::start(&[&[], &[]], |setup| setup) else { return };
    let client = replicas.client(0);
    let account = client.account();
    let used = account.signed(
        &client.resource("newOrder"),
        &json!({"identifiers": [
        {"type": "dns", "value": "a.example.org"}]}),
    );
    let _ = client.send(&used.request()).expect(201);

    replicas.redis.flush();
    let replayed = replicas.client(1).send(&used.request());
    replayed.expect_problem(400, "badNonce");
    client.forget_nonces();
    let mut told = order_at(&account, "b.example.org");
    if told.status != 201 {
        told.expect_problem(400, "badNonce"); // this one has not noticed before; once it is
        told = order_at(&account, "b.example.org");
    }
    let _ = told.expect(201);

    let kept = account.signed(&client.resource("newOrder"), &json!({"identifiers": []}));
    replicas.redis.stop();
    refused_for_now(&client.send(&kept.request()));
    assert_eq!(replicas.postgres.number("SELECT count(*) FROM orders"), 2);
    replicas.redis.start_again();
    client.forget_nonces();
    eventually("nonces are taken again", 10 * SECOND, || {
        (order_at(&account, "c.example.org").status == 201).then_some(())
    });
    client.send(&used.request()).expect_problem(400, "badNonce");
    let _ = account.issue(&["c.example.org"], &replicas.responder);
}

#[test]
fn a_replica_that_stops_says_so_first_serves_on_and_ends_what_it_has_begun() {
    let Some(mut replicas) = Replicas::start(&[&[], &[]], |setup| setup.with("http", "drain = \"3s\""))
    else {
        return;
    };
    let account = replicas.client(0).account();
    let order = account.ready_order(&["a.example.org"], &replicas.responder);
    assert_eq!(ready(&replicas.members[0]), 200);
    replicas.members[0].ask_to_stop();
    eventually("it says that it stops", 2 * SECOND, || (ready(&replicas.members[0]) == 503).then_some(()));
    assert_eq!(ready(&replicas.members[1]), 200);

    let csr = Csr::new(&["a.example.org"]).to_der();
    let _ = account.finalize(&order, &csr).expect(200);

    eventually("it ends", 20 * SECOND, || (!replicas.members[0].is_running()).then_some(()));
    let order: Object = at(&account, &replicas.client(1)).settled(&order.url);
    assert_eq!(order.status(), "valid");
}

#[test]
fn a_database_that_is_not_there_or_is_a_later_version_s_is_refused_in_one_line() {
    let Some(postgres) = Postgres::start() else { return };
    let place = tempfile::tempdir().expect("a temporary directory");
    assert!(starts(&postgres, place.path()).is_ok(), "it makes its schema");
    let _ = postgres.query("INSERT INTO schema_migrations (version) VALUES ('29990101000000')");
    let told = starts(&postgres, place.path()).expect_err("a later schema");
    assert!(told.contains("schema version 29990101000000"), "{told}");
    postgres.stop();
    let told = starts(&postgres, place.path()).expect_err("no server");
    assert!(told.contains("the database cannot be opened"), "{told}");
    assert_eq!(told.trim().lines().filter(|line| line.contains("error")).count(), 1, "{told}");
}

/// Each of these is a mistake that the schema itself does not refuse.
#[test]
fn scripts_check_invariants_finds_nothing_in_a_sound_database_and_what_is_wrong_in_another() {
    let Some(replicas) = Replicas::start(&[&[]], |setup| setup) else { return };
    let account = replicas.client(0).account();
    let _ = account.issue(&["a.example.org"], &replicas.responder);
    let check = || {
        let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/check-invariants"));
        let output =
            command.arg(replicas.postgres.url()).output().expect("scripts/check-invariants can be run");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    assert_eq!(check(), (Some(0), "no invariant is broken\n".into()));
    for (damage, invariant) in [
        ("DELETE FROM serials", "I10"),
        ("UPDATE authorizations SET deactivated = 1", "I08"),
        ("UPDATE orders SET certificate_id = NULL", "I07"),
        ("UPDATE authorizations SET validated = NULL", "I06"),
        (
            "INSERT INTO audit (at, request, actor, client, subject, event)
             SELECT at, request, actor, client, subject, event FROM audit",
            "I12",
        ),
    ] {
        let _ = replicas.postgres.query(damage);
        let (code, told) = check();
        assert!(code == Some(1) && told.contains(invariant), "{damage}: {told}");
    }
}

/// What `scripts/replicas` is for; all of it is gone afterwards.
#[test]
fn certbot_gets_certificates_through_a_balancer_also_when_a_replica_is_dead() {
    if missing("certbot") || missing("haproxy") || missing("redis-server") || missing("psql") {
        return;
    }
    let place = tempfile::tempdir().expect("a temporary directory");
    let (balancer, http) = (free_port(), free_port());
    let certbot = format!(
        "certbot certonly --standalone --http-01-port {http} --http-01-address 127.0.0.1 --server $COYOTE_DIRECTORY \
         --agree-tos --register-unsafely-without-email -n --config-dir . --work-dir . --logs-dir ."
    );
    let told = format!(
        "set -e; {certbot} -d one.test; set -- $COYOTE_REPLICAS; kill -9 $2; {certbot} -d two.test; \
         for name in one two; do openssl x509 -noout -subject -in live/$name.test/cert.pem; done"
    );
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/replicas"));
    command.args(["run", "sh", "-c", &told]).current_dir(place.path()).env("ACMED_BIN", program("acmed"));
    command.env("COYOTE_PORT", balancer.to_string()).env("COYOTE_HTTP_PORT", http.to_string());
    let output =
        command.env_remove("COYOTE_TEST_POSTGRES_URL").output().expect("scripts/replicas can be run");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}\n{}", String::from_utf8_lossy(&output.stdout));
}

/// Whether acmed comes up on this database; if not, what it says.
fn starts(postgres: &Postgres, data: &Path) -> Result<(), String> {
    let (out, log) = (data.join("out"), data.join("log"));
    let create = |path| fs::File::create(path).expect("a file can be made");
    let mut command = Command::new(program("acmed"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--storage", postgres.url(), "--data-dir"]).arg(data);
    command.current_dir(data).stdin(Stdio::null()).stdout(create(&out)).stderr(create(&log));
    let mut child = command.spawn().expect("acmed can be started");
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let ended = eventually("acmed starts, or ends", 30 * SECOND, || {
        let ended = child.try_wait().expect("its state");
        (ended.is_some() || read(&out).contains("directory")).then_some(ended)
    });
    child.kill().ok();
    child.wait().expect("it has ended");
    match ended {
        Some(status) => {
            assert_eq!(status.code(), Some(1));
            Err(read(&log))
        }
        None => Ok(()),
    }
}
