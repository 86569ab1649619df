//! A web server that answers http-01 challenges, rightly or wrongly.

use std::{
    collections::HashMap,
    fs,
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::Duration,
};

/// Where http-01 answers are. RFC 8555 section 8.3.
const WELL_KNOWN: &str = "/.well-known/acme-challenge/";

/// A web server on a free port of the loopback. What it was not told to answer, it answers with 404.
///
/// It runs until the test process ends.
pub struct Responder {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    answers: Mutex<HashMap<String, Answer>>,
    requests: Mutex<Vec<String>>,
    webroot: Mutex<Option<PathBuf>>,
}

/// What is done with a connection, once the head of the request is read.
#[derive(Clone)]
pub struct Answer(Arc<dyn Fn(&mut TcpStream) + Send + Sync>);

impl Answer {
    /// Something particular.
    #[must_use]
    pub fn of(answer: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Self {
        Self(Arc::new(answer))
    }

    /// These bytes, and the end of the connection.
    #[must_use]
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::of(move |stream| {
            let _ = stream.write_all(&bytes);
        })
    }

    /// A status and a body.
    #[must_use]
    pub fn text(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let head = format!(
            "HTTP/1.1 {status} Whatever\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        Self::bytes([head.into_bytes(), body].concat())
    }

    /// A redirect.
    #[must_use]
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::bytes(format!(
            "HTTP/1.1 {status} Elsewhere\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        ))
    }

    /// Nothing until the gate opens, and then this.
    #[must_use]
    pub fn after(gate: &Gate, answer: Self) -> Self {
        let gate = gate.clone();
        Self::of(move |stream| {
            gate.arrive_and_wait();
            (answer.0)(stream);
        })
    }

    /// The start of an answer, and then this, again and again, as long as it is read.
    #[must_use]
    pub fn endless(start: impl Into<Vec<u8>>, then: impl Into<Vec<u8>>, pause: Duration) -> Self {
        let (start, then) = (start.into(), then.into());
        Self::of(move |stream| {
            let mut result = stream.write_all(&start);
            while result.is_ok() {
                thread::sleep(pause);
                result = stream.write_all(&then);
            }
        })
    }
}

/// Holds answers back, until it is opened.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<GateState>, Condvar)>);

#[derive(Default)]
struct GateState {
    arrived: usize,
    open: bool,
}

impl Gate {
    /// Lets everybody through, from now on.
    pub fn open(&self) {
        self.0.0.lock().unwrap().open = true;
        self.0.1.notify_all();
    }

    /// Waits until somebody waits at the gate. Answers whether that happened in this time.
    #[must_use]
    pub fn wait_for_arrival(&self, limit: Duration) -> bool {
        let state = self.0.0.lock().unwrap();
        let (state, _) = self.0.1.wait_timeout_while(state, limit, |state| state.arrived == 0).unwrap();
        state.arrived > 0
    }

    fn arrive_and_wait(&self) {
        let mut state = self.0.0.lock().unwrap();
        state.arrived += 1;
        self.0.1.notify_all();
        let limit = Duration::from_secs(60);
        let _ = self.0.1.wait_timeout_while(state, limit, |state| !state.open).unwrap();
    }
}

impl Responder {
    /// A server on a free port.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[must_use]
    pub fn start() -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// A server at this address.
    ///
    /// # Panics
    ///
    /// If it is taken.
    #[must_use]
    pub fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared::default());
        let accepting = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = accepting.clone();
                thread::spawn(move || serve(&shared, stream));
            }
        });
        Self { port, shared }
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Answers the challenge with this token so.
    pub fn answer_token(&self, token: &str, answer: Answer) {
        self.answer(&format!("{WELL_KNOWN}{token}"), answer);
    }

    /// Answers this request target so.
    pub fn answer(&self, target: &str, answer: Answer) {
        self.shared.answers.lock().unwrap().insert(target.to_owned(), answer);
    }

    /// Answers challenges that it was not told of with the files in this directory, which are named by their tokens.
    pub fn answer_from(&self, directory: &Path) {
        *self.shared.webroot.lock().unwrap() = Some(directory.to_owned());
    }

    /// How often something with this text in its target was asked for.
    #[must_use]
    pub fn requests_for(&self, text: &str) -> usize {
        self.shared.requests.lock().unwrap().iter().filter(|target| target.contains(text)).count()
    }
}

fn serve(shared: &Shared, mut stream: TcpStream) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(30)));
    let mut reader = BufReader::new(match stream.try_clone() {
        Ok(stream) => stream,
        Err(_) => return,
    });
    let mut first = String::new();
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|count| count > 0) && line.trim() != "" {
        if first.is_empty() {
            first.clone_from(&line);
        }
        line.clear();
    }
    let target = first.split(' ').nth(1).unwrap_or_default().to_owned();
    shared.requests.lock().unwrap().push(target.clone());
    let answer = shared.answers.lock().unwrap().get(&target).cloned();
    let answer = answer.or_else(|| shared.file(&target));
    let answer = answer.unwrap_or_else(|| Answer::text(404, "there is no such thing"));
    (answer.0)(&mut stream);
}

impl Shared {
    fn file(&self, target: &str) -> Option<Answer> {
        let token = target.strip_prefix(WELL_KNOWN).filter(|token| !token.contains('/'))?;
        let path = self.webroot.lock().unwrap().as_ref()?.join(token);
        Some(Answer::text(200, fs::read(path).ok()?))
    }
}
