//! A client that asks again, as real ones do, and another replica each time.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use coyote_jose::base64url;
use integration_tests::{
    Answer, Csr, DIRECTORY, Http, Key, Object, Replicas, Request, Responder, Response, Signed, leaf,
};
use openssl::pkey::{PKey, Private};
use serde_json::{Value, json};

use crate::tally::Tally;

/// How long it asks again.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it waits before it tries another replica.
const ANOTHER: Duration = Duration::from_millis(50);
/// How long it waits for what is under way, if it is not told.
const POLL: Duration = Duration::from_millis(250);
/// Of so many requests, one is sent again as it is, to another replica, and one has a nonce that was made up.
const ABUSED: usize = 50;

/// A client and its account.
pub struct Patient {
    pub(crate) replicas: Vec<Http>,
    directory: Value,
    responder: Arc<Responder>,
    pub(crate) key: Key,
    certificate_key: PKey<Private>,
    pub(crate) account: String,
    turn: AtomicUsize,
    nonces: Mutex<Vec<String>>,
    pub(crate) tally: Arc<Tally>,
}

/// A certificate that a client has.
pub struct Certified {
    /// Its serial, as the store writes it.
    pub serial: String,
    /// It, and what it hangs on: PEM.
    pub chain: String,
}

impl Patient {
    /// A client with a new account.
    pub fn new(replicas: &Replicas, number: u64, tally: &Arc<Tally>) -> Self {
        let https: Vec<_> = replicas.members.iter().map(integration_tests::Acmed::http).collect();
        let mut patient = Self {
            directory: https[0].get(DIRECTORY).expect(200).json(),
            replicas: https,
            responder: replicas.responder.clone(),
            key: Key::new(),
            certificate_key: Key::new().private().clone(),
            account: String::new(),
            turn: AtomicUsize::new(usize::try_from(number).expect("a few")),
            nonces: Mutex::default(),
            tally: tally.clone(),
        };
        let answer = patient.post(&patient.resource("newAccount"), Some(&json!({}))).expect("an account");
        patient.account = answer.location();
        patient
    }

    /// From the name to the chain.
    pub fn issue(&self, number: u64) -> Result<Certified, String> {
        let name = format!("n{number}.example.org");
        let payload = json!({"identifiers": [{"type": "dns", "value": name}]});
        let answer = self.post(&self.resource("newOrder"), Some(&payload))?.expect(201);
        self.tally.begin();
        let order = Object { url: answer.location(), json: answer.json() };
        for authorization in order.list("authorizations") {
            self.validate(&authorization)?;
        }
        let order = self.finalize(&order, &name)?;
        let chain = self.post(&order.text("certificate"), None)?.expect(200).body;
        let again = self.post(&order.text("certificate"), None)?.expect(200).body;
        if chain != again {
            return Err("I15: another replica has another certificate".into());
        }
        self.check(&String::from_utf8_lossy(&chain), &name)
    }

    fn validate(&self, url: &str) -> Result<(), String> {
        let challenge = self.read(url)?.challenge("http-01");
        let token = challenge.text("token");
        let right = format!("{token}.{}", self.key.thumbprint());
        self.responder.answer_token(&token, Answer::text(200, right));
        // Said again, because the answer was lost, it may come too late: then there is an end already.
        let _ = self.post(&challenge.url, Some(&json!({})))?;
        let end = self.settled(url)?;
        if end.status() == "valid" { Ok(()) } else { Err(format!("an authorization ended so: {}", end.json)) }
    }

    fn finalize(&self, order: &Object, name: &str) -> Result<Object, String> {
        let csr = Csr::with_key(&[name], &self.certificate_key).to_der();
        let answer = self.post(&order.text("finalize"), Some(&json!({"csr": base64url::encode(&csr)})))?;
        // Of a repetition: the first has begun it.
        if answer.status != 200 && answer.problem().as_deref() != Some("orderNotReady") {
            return Err(format!("finalize: {answer}"));
        }
        let end = self.settled(&order.url)?;
        if end.status() == "valid" { Ok(end) } else { Err(format!("the order ended so: {}", end.json)) }
    }

    /// I09: what was ordered, for the key of the request.
    fn check(&self, chain: &str, name: &str) -> Result<Certified, String> {
        let certificate = leaf(chain);
        let names = certificate.subject_alt_names().ok_or("I09: no names")?;
        let names: Vec<_> = names.iter().filter_map(|name| name.dnsname()).collect();
        if names != [name] || !certificate.public_key().expect("a key").public_eq(&self.certificate_key) {
            return Err(format!("I09: a certificate for {names:?}"));
        }
        let serial = certificate.serial_number().to_bn().expect("a number").to_vec();
        let serial = serial.iter().map(|octet| format!("{octet:02x}")).collect();
        Ok(Certified { serial, chain: chain.into() })
    }

    fn read(&self, url: &str) -> Result<Object, String> {
        let answer = self.post(url, None)?;
        if answer.status != 200 {
            return Err(format!("{url}: {answer}"));
        }
        Ok(Object { url: url.into(), json: answer.json() })
    }

    fn settled(&self, url: &str) -> Result<Object, String> {
        let end = Instant::now() + PATIENCE;
        loop {
            let object = self.read(url)?;
            if !["pending", "processing", "ready"].contains(&object.status()) {
                return Ok(object);
            }
            if Instant::now() > end {
                return Err(format!("I24: {url} does not settle: {}", object.json));
            }
            thread::sleep(POLL);
        }
    }

    /// Posts a payload, or reads, until there is an answer that is neither "not now" nor "another nonce".
    pub(crate) fn post(&self, url: &str, payload: Option<&Value>) -> Result<Response, String> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let (http, another) = (self.replica(), self.replica());
            let Some(nonce) = self.nonce(http) else { continue };
            let request = self.signed(http, &nonce, url, payload);
            let Some(answer) = self.send(http, &request) else { continue };
            match (answer.status, answer.problem().as_deref()) {
                (500, _) => return Err(format!("I22: {url}: {answer}")),
                (_, Some("badNonce")) => {
                    self.tally.bad_nonce.fetch_add(1, Ordering::Relaxed);
                }
                _ => {
                    if self.turn.load(Ordering::Relaxed).is_multiple_of(ABUSED) {
                        self.replay(another, &request);
                        self.forge(another);
                    }
                    return Ok(answer);
                }
            }
        }
        Err(format!("{url}: no answer in {PATIENCE:?}"))
    }

    pub(crate) fn signed(&self, http: &Http, nonce: &str, url: &str, payload: Option<&Value>) -> Request {
        self.to_be_signed(http, nonce, url, payload).request()
    }

    pub(crate) fn to_be_signed(
        &self,
        http: &Http,
        nonce: &str,
        url: &str,
        payload: Option<&Value>,
    ) -> Signed {
        let mut protected = json!({"alg": self.key.alg, "nonce": nonce, "url": url});
        let (member, who) = if self.account.is_empty() {
            ("jwk", self.key.jwk.clone())
        } else {
            ("kid", json!(self.account))
        };
        protected[member] = who;
        let payload = payload.map(|payload| payload.to_string().into_bytes()).unwrap_or_default();
        Signed { target: http.target(url), protected, payload, key: self.key.clone() }
    }

    /// Sends a request once. `None` if it is to be sent again after what was waited already.
    pub(crate) fn send(&self, http: &Http, request: &Request) -> Option<Response> {
        self.tally.ask();
        let answer = match http.try_send(request) {
            Err(_) => {
                self.tally.refused.fetch_add(1, Ordering::Relaxed);
                thread::sleep(ANOTHER);
                return None;
            }
            Ok(answer) if !is_whole(&answer, request) => {
                self.tally.lost.fetch_add(1, Ordering::Relaxed);
                thread::sleep(ANOTHER);
                return None;
            }
            Ok(answer) => answer,
        };
        if let Some(nonce) = answer.nonce() {
            self.nonces.lock().unwrap().push(nonce.to_owned());
        }
        if answer.status != 503 {
            return Some(answer);
        }
        self.tally.unavailable.fetch_add(1, Ordering::Relaxed);
        match answer.header("Retry-After").and_then(|wait| wait.parse().ok()) {
            Some(wait) => thread::sleep(Duration::from_secs(wait)),
            None => self.tally.fail(format!("a 503 without Retry-After: {answer}")),
        }
        None
    }

    pub(crate) fn nonce(&self, http: &Http) -> Option<String> {
        if let Some(nonce) = self.nonces.lock().unwrap().pop() {
            return Some(nonce);
        }
        let answer = self.send(http, &Request::new("HEAD", &http.target(&self.resource("newNonce"))))?;
        if answer.status >= 500 {
            self.tally.fail(format!("newNonce: {answer}"));
        }
        self.nonces.lock().unwrap().pop()
    }

    /// The next replica: no two requests in a row go to the same.
    fn replica(&self) -> &Http {
        &self.replicas[self.turn.fetch_add(1, Ordering::Relaxed) % self.replicas.len()]
    }

    pub(crate) fn resource(&self, name: &str) -> String {
        self.directory[name].as_str().expect("a URL").to_owned()
    }
}

/// Half an answer is none.
fn is_whole(answer: &Response, request: &Request) -> bool {
    let headers: BTreeMap<_, _> =
        answer.headers.iter().map(|(name, value)| (name.to_lowercase(), value)).collect();
    let length = headers.get("content-length").and_then(|length| length.parse().ok());
    answer.status != 0
        && (request.method == "HEAD" || length.is_none_or(|length: usize| answer.body.len() >= length))
}
