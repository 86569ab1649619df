//! kill -9 at every step of an issuance, and what is left afterwards.
//!
//! The server is killed before, while or after it serves a request, and started again on the same data. Then the
//! client goes on as RFC 8555 lets it: it asks for the state of what it knows of, and repeats what was not
//! acknowledged. What was acknowledged must be there; in the end there must be the one certificate that was ordered.
//!
//! `COYOTE_KILL_RUNS` says how often (100 unless it is set), `COYOTE_SEED` repeats a run.

use std::{
    collections::BTreeMap,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use coyote_jose::base64url;
use integration_tests::{
    Account, Answer, Chance, Csr, Database, Gate, Key, Object, Request, Response, World,
    assert_chain_verifies, eventually, leaf, seed,
};
use serde_json::{Value, json};

/// Servers that are killed at the same time.
const WORLDS: u64 = 4;

/// At which request the server is killed.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Step {
    NewAccount,
    NewOrder,
    Challenge,
    /// As `Challenge`, while the validation waits for an answer.
    Validation,
    Finalize,
    Certificate,
}

const STEPS: [Step; 6] =
    [Step::NewAccount, Step::NewOrder, Step::Challenge, Step::Validation, Step::Finalize, Step::Certificate];

#[test]
fn after_a_kill_at_any_step_the_client_gets_exactly_the_certificate_that_it_ordered() {
    let runs = std::env::var("COYOTE_KILL_RUNS").map_or(100, |runs| runs.parse().expect("a number"));
    let seed = seed();
    println!("COYOTE_SEED={seed} COYOTE_KILL_RUNS={runs}");
    let (start, tally) = (Instant::now(), Mutex::new(Tally::default()));
    thread::scope(|scope| {
        for worker in 0..WORLDS {
            let tally = &tally;
            scope.spawn(move || {
                let mut victim = Victim::new();
                for run in (worker..runs).step_by(WORLDS as usize) {
                    let chance = Chance::new(seed.wrapping_add(run));
                    let step = STEPS[(run / WORLDS) as usize % STEPS.len()];
                    victim.run(run, step, chance, tally);
                }
                victim.require_sound();
            });
        }
    });
    println!("{} in {:?}", tally.into_inner().unwrap(), start.elapsed());
}

/// How the kills fell.
#[derive(Default)]
struct Tally(BTreeMap<Step, (u64, u64)>);

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let runs: u64 = self.0.values().map(|(acknowledged, not)| acknowledged + not).sum();
        write!(f, "{runs} kills, 0 lost, 0 double; acknowledged or not: {:?}", self.0)
    }
}

/// A server to be killed.
struct Victim {
    world: World,
    /// How long each step takes if nobody interferes, at best.
    usual: BTreeMap<Step, Duration>,
    killing: Option<(Step, Chance)>,
    acknowledged: bool,
}

impl Victim {
    /// What a dead process had begun is begun again when its lease ends: soon here.
    fn new() -> Self {
        let world = World::with(|setup| {
            setup
                .with("validation", "timeout = \"400ms\"")
                .with("limits", "issuance_time = \"400ms\"")
                .with("limits", "lease = \"400ms\"")
                .with("limits", "job_poll_interval = \"50ms\"")
        });
        let mut victim = Self { world, usual: BTreeMap::new(), killing: None, acknowledged: true };
        for n in 0..3 {
            victim.issue(&format!("undisturbed{n}.example.org"));
        }
        victim
    }

    fn run(&mut self, run: u64, step: Step, chance: Chance, tally: &Mutex<Tally>) {
        let start = Instant::now();
        self.killing = Some((step, chance));
        self.issue(&format!("run{run}.example.org"));
        println!("run {run}: {step:?}, acknowledged: {}, in {:?}", self.acknowledged, start.elapsed());
        let mut tally = tally.lock().unwrap();
        let (acknowledged, not) = tally.0.entry(step).or_default();
        *if self.acknowledged { acknowledged } else { not } += 1;
    }

    /// An issuance, with whatever comes in between, from the account to the certificate.
    fn issue(&mut self, name: &str) {
        let account = self.new_account();
        let order = self.new_order(&account, name);
        self.challenge(&account, &order);
        let order = self.finalize(&account, &order, name);
        let chain = self.certificate(&account, &order);
        assert_chain_verifies(&chain, &self.world.acmed.roots(), name);
        self.require_one_certificate(&account, &chain);
    }

    /// RFC 8555 section 7.3.1: asked again, the server answers with the account that it has.
    fn new_account(&mut self) -> Account {
        let key = Key::new();
        let client = self.world.client.clone();
        let ask =
            |payload: Value| client.signed_by_jwk(&key, &client.resource("newAccount"), &payload).request();
        let answer = self.under_fire(Step::NewAccount, &ask(json!({})));
        let url = match answer {
            Some(answer) => {
                let url = answer.expect(201).location();
                let found = client.send(&ask(json!({"onlyReturnExisting": true}))).expect(200);
                assert_eq!(found.location(), url, "the account that was acknowledged");
                url
            }
            None => client.send(&ask(json!({}))).location(),
        };
        let account = Account { client: client.clone(), key, url };
        assert_eq!(self.count("accounts", &account), 1, "one key, one account");
        account
    }

    /// RFC 8555 section 7.4. A second order is harmless, if the first was not acknowledged.
    fn new_order(&mut self, account: &Account, name: &str) -> Object {
        let identifiers = json!({"identifiers": [{"type": "dns", "value": name}]});
        let url = account.client.resource("newOrder");
        match self.under_fire(Step::NewOrder, &account.signed(&url, &identifiers).request()) {
            None => account.order(&[name]),
            Some(answer) => {
                let told = Object { url: answer.location(), json: answer.expect(201).json() };
                assert_eq!(account.read(&told.url).json, told.json, "the order that was acknowledged");
                told
            }
        }
    }

    /// RFC 8555 section 7.5.1: the client looks at the authorization, and says it again if nothing has begun.
    fn challenge(&mut self, account: &Account, order: &Object) {
        let authorization = account.authorizations(order).remove(0);
        let challenge = account.provision(&authorization, &self.world.responder);
        let (token, gate) = (challenge.text("token"), Gate::default());
        let stalls = self.kills_at(Step::Validation);
        if stalls {
            let right = Answer::text(200, account.key_authorization(&token));
            self.world.responder.answer_token(&token, Answer::after(&gate, right));
        }
        let request = account.signed(&challenge.url, &json!({})).request();
        let answer = match stalls {
            true => self.killed_at_the_gate(&request, &gate),
            false => self.under_fire(Step::Challenge, &request),
        };
        let now = account.read(&authorization.url).challenge("http-01");
        match answer.map(|answer| answer.expect(200).json()["status"].clone()) {
            Some(told) if told == "valid" => assert_eq!(now.status(), "valid", "what is valid stays valid"),
            Some(_) => assert_ne!(now.status(), "pending", "what was accepted is being done"),
            None if now.status() == "pending" => {
                let _ = account.post(&challenge.url, &json!({})).expect(200);
            }
            None => {}
        }
        let end = account.settled(&authorization.url);
        assert_eq!(end.status(), "valid", "{}", end.json);
    }

    /// RFC 8555 section 7.4: the client looks at the order, and finalizes it again if it is still ready.
    fn finalize(&mut self, account: &Account, order: &Object, name: &str) -> Object {
        let csr = Csr::new(&[name]).to_der();
        let payload = json!({"csr": base64url::encode(&csr)});
        let answer =
            self.under_fire(Step::Finalize, &account.signed(&order.text("finalize"), &payload).request());
        let now = account.read(&order.url);
        match answer.map(|answer| answer.expect(200).json()) {
            Some(told) if told["status"] == "valid" => {
                assert_eq!(now.json, told, "what is valid stays valid")
            }
            Some(_) => assert!(matches!(now.status(), "processing" | "valid"), "{}", now.json),
            None if now.status() == "ready" => {
                let _ = account.finalize(order, &csr).expect(200);
            }
            None => assert!(matches!(now.status(), "processing" | "valid"), "{}", now.json),
        }
        let end = account.settled(&order.url);
        assert_eq!(end.status(), "valid", "{}", end.json);
        end
    }

    fn certificate(&mut self, account: &Account, order: &Object) -> String {
        let url = order.text("certificate");
        let told = self.under_fire(Step::Certificate, &account.signed_bytes(&url, Vec::new()).request());
        let chain = account.post_as_get(&url).expect(200).text();
        if let Some(told) = told {
            assert_eq!(told.expect(200).text(), chain, "the same octets for ever");
        }
        chain
    }

    fn kills_at(&self, step: Step) -> bool {
        self.killing.as_ref().is_some_and(|(other, _)| *other == step)
    }

    /// Sends a request. If this is the step at which the server is killed, it is killed meanwhile, and is up again
    /// afterwards. Answers what was acknowledged.
    fn under_fire(&mut self, step: Step, request: &Request) -> Option<Response> {
        let http = self.world.client.http.clone();
        if !self.kills_at(step) {
            let start = Instant::now();
            let answer = http.send(request);
            let took = start.elapsed();
            let usual = self.usual.entry(step).or_insert(took);
            *usual = (*usual).min(took);
            self.world.client.keep_nonce(&answer);
            return Some(answer);
        }
        let (_, mut chance) = self.killing.take().expect("a kill");
        let usual = u64::try_from(self.usual[&step].as_micros()).expect("a short time");
        let delay = Duration::from_micros(chance.below(usual * 5 / 2));
        let answer = thread::scope(|scope| {
            let answer = scope.spawn(|| acknowledged(http.try_send(request)));
            thread::sleep(delay);
            self.world.acmed.kill();
            answer.join().expect("no panic")
        });
        self.revive(&mut chance, answer)
    }

    /// The same, while a validation waits for its answer.
    fn killed_at_the_gate(&mut self, request: &Request, gate: &Gate) -> Option<Response> {
        let http = self.world.client.http.clone();
        let (_, mut chance) = self.killing.take().expect("a kill");
        let delay = Duration::from_millis(chance.below(20));
        let answer = thread::scope(|scope| {
            let answer = scope.spawn(|| acknowledged(http.try_send(request)));
            assert!(gate.wait_for_arrival(Duration::from_secs(10)), "the validation begins");
            thread::sleep(delay);
            self.world.acmed.kill();
            answer.join().expect("no panic")
        });
        gate.open();
        self.revive(&mut chance, answer)
    }

    /// Starts the server again, and now and then kills it once more while it picks up its work.
    fn revive(&mut self, chance: &mut Chance, answer: Option<Response>) -> Option<Response> {
        self.world.crash();
        if chance.below(4) == 0 {
            thread::sleep(Duration::from_millis(chance.below(50)));
            self.world.crash();
        }
        self.acknowledged = answer.is_some();
        answer
    }

    /// What the database says about the account.
    fn count(&self, table: &str, account: &Account) -> usize {
        let (table, column) = if table == "accounts" { ("accounts", "id") } else { (table, "account_id") };
        let query = format!(
            "SELECT CAST(count(*) AS TEXT) AS line FROM {table}
             WHERE {column} IN (SELECT id FROM accounts WHERE thumbprint = '{}')",
            account.key.thumbprint()
        );
        self.database().text(&query).parse().expect("a number")
    }

    fn require_one_certificate(&self, account: &Account, chain: &str) {
        assert_eq!(self.count("certificates", account), 1, "one certificate");
        let serial =
            leaf(chain).serial_number().to_bn().expect("a number").to_hex_str().expect("hex").to_lowercase();
        let known = format!("SELECT CAST(count(*) AS TEXT) AS line FROM serials WHERE serial = '{serial}'");
        assert_eq!(
            self.database().text(&known),
            "1",
            "the serial {serial} was on record before it was signed"
        );
    }

    /// Afterwards, nothing is left to do, and the file is whole.
    fn require_sound(&self) {
        eventually("all jobs are done", Duration::from_secs(10), || {
            (self.database().count("jobs") == 0).then_some(())
        });
        let mut database = self.database();
        assert_eq!(database.text("SELECT integrity_check AS line FROM pragma_integrity_check"), "ok");
        let unknown = "SELECT CAST(count(*) AS TEXT) AS line FROM certificates
                       WHERE serial NOT IN (SELECT serial FROM serials)";
        assert_eq!(database.text(unknown), "0", "every serial is on record");
    }

    fn database(&self) -> Database {
        self.world.acmed.database()
    }
}

/// The answer, if one came: half an answer is none.
fn acknowledged(answer: std::io::Result<Response>) -> Option<Response> {
    let answer = answer.ok().filter(|answer| answer.status != 0)?;
    let length = answer.header("Content-Length").and_then(|length| length.parse().ok());
    (length == Some(answer.body.len())).then_some(answer)
}
