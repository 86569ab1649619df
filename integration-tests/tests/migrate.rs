//! A server moves from SQLite to PostgreSQL, and its clients notice nothing but a pause.

use std::{
    env, fs,
    process::{Child, Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use integration_tests::{Account, Csr, World, leaf, missing};
use serde_json::{Value, json};

/// A database on the server that `scripts/postgres` has started, or nothing, which is told.
fn new_database() -> Option<String> {
    static MADE: AtomicU64 = AtomicU64::new(0);
    let Ok(server) = env::var("COYOTE_TEST_POSTGRES_URL") else {
        assert_ne!(env::var("CI").as_deref(), Ok("true"), "COYOTE_TEST_POSTGRES_URL is not set");
        eprintln!("SKIPPED: COYOTE_TEST_POSTGRES_URL is not set; try scripts/postgres run cargo test …");
        return None;
    };
    let name = format!("migrate_{}_{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
    query(&server, &format!("CREATE DATABASE {name}"));
    Some(format!("{}/{name}", server.rsplit_once('/').unwrap().0))
}

/// What psql answers.
fn query(database: &str, statement: &str) -> String {
    let output = Command::new("psql").args(["-XAtc", statement, database]).output().expect("psql can be run");
    assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// What a client has to find again.
struct Issued {
    account: usize,
    order: String,
    certificate: String,
    chain: String,
}

/// One issuance, by a client that gives up wherever the server cannot.
fn issue(world: &World, account: &Account, number: usize, name: &str) -> Option<Issued> {
    let order = account.post(&world.client.resource("newOrder"), &identifiers(name));
    if order.status != 201 {
        return None;
    }
    let (url, order) = (order.location(), order.json());
    let authorization = read(account, order["authorizations"][0].as_str()?)?;
    let challenges = authorization["challenges"].as_array()?;
    let challenge = challenges.iter().find(|challenge| challenge["type"] == "http-01")?;
    let token = challenge["token"].as_str()?;
    let answer = integration_tests::Answer::text(200, account.key_authorization(token));
    world.responder.answer_token(token, answer);
    if account.post(challenge["url"].as_str()?, &json!({})).status != 200 {
        return None;
    }
    wait(account, order["authorizations"][0].as_str()?)?;
    let csr = coyote_jose::base64url::encode(Csr::new(&[name]).to_der());
    if account.post(order["finalize"].as_str()?, &json!({ "csr": csr })).status != 200 {
        return None;
    }
    let certificate = wait(account, &url)?["certificate"].as_str()?.to_owned();
    let chain = account.post_as_get(&certificate);
    (chain.status == 200).then(|| Issued { account: number, order: url, certificate, chain: chain.text() })
}

fn identifiers(name: &str) -> Value {
    json!({ "identifiers": [{ "type": "dns", "value": name }] })
}

fn read(account: &Account, url: &str) -> Option<Value> {
    let answer = account.post_as_get(url);
    (answer.status == 200).then(|| answer.json())
}

/// Reads until it is valid, or cannot become so: where a storage is closed, nothing does.
fn wait(account: &Account, url: &str) -> Option<Value> {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let object = read(account, url).filter(|_| Instant::now() < end)?;
        match object["status"].as_str()? {
            "valid" => return Some(object),
            "pending" | "processing" | "ready" => thread::sleep(Duration::from_millis(20)),
            _ => return None,
        }
    }
}

fn certbot(world: &World, arguments: &str) {
    let home = world.acmed.path("certbot").display().to_string();
    let server = format!("--server {}/directory", world.acmed.base_url());
    let line = format!(
        "certbot -n {arguments} {server} --config-dir {home} --work-dir {home} --logs-dir {home} 2>&1"
    );
    let output = Command::new("bash").args(["-c", &line]).output().expect("a shell");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{line}\n{said}\n{}", world.acmed.log());
}

fn serial_of_certbot(world: &World) -> String {
    let chain = fs::read_to_string(world.acmed.path("certbot/live/moved.test/fullchain.pem")).unwrap();
    leaf(&chain).serial_number().to_bn().unwrap().to_string()
}

fn use_storage(world: &mut World, url: &str) {
    world.acmed.configure(|config| {
        let rest: Vec<_> = config.lines().filter(|line| !line.starts_with("storage")).collect();
        format!("storage = {url:?}\n{}", rest.join("\n"))
    });
    world.crash();
}

/// The last line of a command that is refused.
fn refused(world: &World, arguments: &[&str]) -> String {
    let output = world.acmed.command(arguments).output().expect("acmed can be run");
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned()
}

#[test]
fn a_server_moves_to_postgresql_under_load_and_accounts_orders_and_certificates_stay_what_they_are() {
    let Some(database) = new_database() else { return };
    let mut world = World::new();
    let accounts: Vec<_> = (0..4).map(|_| world.client.account()).collect();
    let with_certbot = !missing("certbot");
    if with_certbot {
        let webroot = world.acmed.path("webroot");
        fs::create_dir_all(&webroot).unwrap();
        world.responder.answer_from(&webroot.join(".well-known/acme-challenge"));
        let webroot = webroot.display();
        certbot(
            &world,
            &format!("certonly --webroot -w {webroot} --agree-tos -m a@example.com -d moved.test"),
        );
        certbot(&world, "renew --force-renewal --no-random-sleep-on-renew");
    }
    let before = with_certbot.then(|| serial_of_certbot(&world));

    let (issued, given_up, stop) = (Mutex::new(Vec::new()), AtomicU64::new(0), AtomicBool::new(false));
    let report: Value = thread::scope(|scope| {
        for (number, account) in accounts.iter().enumerate() {
            let (world, issued, given_up, stop) = (&world, &issued, &given_up, &stop);
            scope.spawn(move || {
                for round in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    match issue(world, account, number, &format!("r{round}.a{number}.test")) {
                        Some(one) => issued.lock().unwrap().push(one),
                        None => drop(given_up.fetch_add(1, Ordering::Relaxed)),
                    }
                }
            });
        }
        while issued.lock().unwrap().len() < 100 {
            thread::sleep(Duration::from_millis(50));
        }
        let report = world.acmed.beside(&["migrate", "--to", &database, "--json"]);
        thread::sleep(Duration::from_millis(300));
        stop.store(true, Ordering::Relaxed);
        serde_json::from_str(&report).unwrap()
    });
    let issued = issued.into_inner().unwrap();
    println!("{} issued, {} given up while closed; {report}", issued.len(), given_up.into_inner());
    assert!(
        refused(&world, &["serve"]).contains("another acmed"),
        "the old one still runs, and takes nothing"
    );
    assert!(world.acmed.beside(&["migrate", "--to", &database]).contains("already"));

    use_storage(&mut world, &database);
    for (number, account) in accounts.iter().enumerate() {
        let existing = json!({ "onlyReturnExisting": true });
        assert_eq!(world.client.new_account(&account.key, &existing).expect(200).location(), account.url);
        let name = format!("after.a{number}.test");
        assert!(issue(&world, account, number, &name).is_some(), "a client goes on as before");
    }
    for Issued { account, order, certificate, chain } in &issued {
        let account = &accounts[*account];
        assert_eq!(account.read(order).text("certificate"), *certificate);
        assert_eq!(account.post_as_get(certificate).expect(200).text(), *chain);
    }
    if let Some(before) = before {
        certbot(&world, "renew --force-renewal --no-random-sleep-on-renew");
        assert_ne!(serial_of_certbot(&world), before);
    }
    let moved = report["records"].as_array().unwrap();
    assert!(moved.iter().all(|kind| kind["waiting"] == 0) && moved[3]["records"].as_u64().unwrap() >= 100);

    assert!(world.acmed.stop());
    world.acmed.configure(|config| config.replace("storage = ", "# storage = "));
    let refusal = refused(&world, &["serve", "--listen", "127.0.0.1:0"]);
    assert!(refusal.contains("everything has moved to postgres://"), "{refusal}");
    let refusal = refused(&world, &["eab", "create"]);
    assert!(refusal.contains("everything has moved to postgres://"), "{refusal}");
    let refusal = refused(&world, &["migrate", "--to", &database, "--undo"]);
    assert!(refusal.contains("would be lost"), "{refusal}");
}

#[test]
fn a_move_that_is_killed_again_and_again_goes_on_and_can_be_taken_back() {
    let Some(database) = new_database() else { return };
    let mut world = World::new();
    let account = world.client.account();
    let issued: Vec<_> =
        (0..150).map(|number| issue(&world, &account, 0, &format!("n{number}.test")).unwrap()).collect();
    let migrate = || -> Child {
        let mut command = world.acmed.command(&["migrate", "--to", &database]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("acmed can be run")
    };

    let (mut kills, mut patience) = (0, Duration::from_millis(20));
    let longest = Instant::now();
    loop {
        let mut child = migrate();
        let started = Instant::now();
        while started.elapsed() < patience && child.try_wait().unwrap().is_none() {
            thread::sleep(Duration::from_millis(1));
        }
        if child.try_wait().unwrap().is_some_and(|status| status.success()) {
            break;
        }
        child.kill().ok();
        child.wait().unwrap();
        kills += 1;
        patience += Duration::from_millis(15);
        assert!(longest.elapsed() < Duration::from_secs(120), "it never ends");
    }
    println!("{kills} kills, then it was done");
    assert!(kills > 2);
    let orders = query(&database, "SELECT count(*) FROM orders WHERE certificate_id IS NOT NULL");
    assert_eq!(orders, "150");
    assert_eq!(query(&database, "SELECT count(*) FROM certificates"), "150");
    assert!(issue(&world, &account, 0, "closed.test").is_none(), "the server takes nothing any more");
    let readiness = world.acmed.http().get("/health/ready");
    assert_eq!((readiness.status, readiness.text()), (503, "the store takes nothing\n".into()));
    assert!(world.acmed.log().contains("not ready error=\"everything has moved to postgres://"));

    let told = world.acmed.beside(&["migrate", "--to", &database, "--undo"]);
    assert!(told.contains("is in service again"), "{told}");
    assert!(issue(&world, &account, 0, "open.test").is_some(), "the server that runs goes on");
    let told = world.acmed.beside(&["migrate", "--to", &database]);
    assert!(told.contains("151 certificates"), "{told}");

    use_storage(&mut world, &database);
    for Issued { order, certificate, chain, .. } in &issued {
        assert_eq!(account.read(order).text("certificate"), *certificate);
        assert_eq!(account.post_as_get(certificate).expect(200).text(), *chain);
    }
}

/// Whether it is in service, as its own row says.
fn serves(standing: &str) -> bool {
    standing.is_empty() || standing.contains("inService")
}

#[test]
fn moves_at_the_same_time_and_back_leave_one_storage_in_service_and_nothing_is_lost() {
    let Some(database) = new_database() else { return };
    let mut world = World::new();
    let account = world.client.account();
    let mut issued: Vec<_> =
        (0..60).map(|number| issue(&world, &account, 0, &format!("n{number}.test")).unwrap()).collect();
    let run = |more: &[&str]| -> Child {
        let mut command = world.acmed.command(&[&["migrate", "--to", &database], more].concat());
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("acmed can be run")
    };
    let source = || world.acmed.database().text(STANDING_OF_SQLITE);
    let target =
        || query(&database, "SELECT convert_from(value, 'UTF8') FROM settings WHERE name = 'standing'");
    run(&[]).wait().unwrap(); // so that there are tables to ask
    let mut done = [0; 3];
    for round in 0..12 {
        let mut runs = [run(&[]), run(&["--undo"]), run(&[])];
        while runs.iter_mut().any(|run| run.try_wait().unwrap().is_none()) {
            // The source's twice: between the two it has not been elsewhere and back.
            let (before, there, after) = (source(), target(), source());
            let both = before == after && serves(&before) && serves(&there);
            assert!(!both, "round {round}: both are in service: {before} and {there}");
        }
        for (done, run) in done.iter_mut().zip(&mut runs) {
            *done += u32::from(run.wait().unwrap().success());
        }
        assert!(!(serves(&source()) && serves(&target())), "round {round}: both are in service");
        if serves(&source()) {
            issued.push(issue(&world, &account, 0, &format!("r{round}.test")).expect("it is in service"));
        }
    }
    println!("{done:?} of 12 moves, ways back and further moves went through");
    assert!(done.iter().sum::<u32>() > 3, "{done:?}");

    let _ = world.acmed.run_beside(&["migrate", "--to", &database, "--undo"]);
    let told = world.acmed.beside(&["migrate", "--to", &database]);
    assert!(told.contains(&format!("{} certificates", issued.len())), "{told}");
    use_storage(&mut world, &database);
    for Issued { order, certificate, chain, .. } in &issued {
        assert_eq!(account.read(order).text("certificate"), *certificate);
        assert_eq!(account.post_as_get(certificate).expect(200).text(), *chain);
    }
}

/// A line, empty if nobody has ever said anything.
const STANDING_OF_SQLITE: &str =
    "SELECT coalesce(max(CAST(value AS TEXT)), '') AS line FROM settings WHERE name = 'standing'";

#[test]
fn a_target_that_is_lost_is_given_up_only_if_that_is_said() {
    let Some(database) = new_database() else { return };
    let world = World::new();
    let account = world.client.account();
    issue(&world, &account, 0, "before.test").unwrap();
    let _ = world.acmed.beside(&["migrate", "--to", &database]);
    assert!(issue(&world, &account, 0, "closed.test").is_none(), "the server takes nothing any more");
    let (server, name) = database.rsplit_once('/').unwrap();
    query(&format!("{server}/postgres"), &format!("DROP DATABASE {name} WITH (FORCE)"));

    let refusal = refused(&world, &["migrate", "--to", &database, "--undo"]);
    assert!(refusal.contains("cannot be opened"), "{refusal}");
    let refusal =
        refused(&world, &["migrate", "--to", "postgres://127.0.0.1/other", "--undo", "--target-is-lost"]);
    assert!(refusal.contains("not to postgres://127.0.0.1/other"), "{refusal}");
    let output = world.acmed.run_beside(&["migrate", "--to", &database, "--undo", "--target-is-lost"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("What was written there is lost"), "{said}");
    assert!(issue(&world, &account, 0, "after.test").is_some());
}
