//! What the tests of validators share: strangers that answer, and a network on which only they are.

use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use coyote_jose::Thumbprint;
use coyote_protocol::{DnsName, Identifier, KeyAuthorization, Problem, ProblemType, Timestamp, Token};
use coyote_storage::RequestId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::trace::{Trace, TraceEvent};
use crate::validate::{
    AddressPolicy, Attempt, CaaRecord, ChallengeValidator, Network, NetworkLimits, ResolveError, Resolver,
    ValidationFailure,
};

/// The only address that the policy allows.
pub(in crate::validate) const ALLOWED: &str = "127.0.0.1";
/// One that it does not allow, and that can be listened on.
pub(in crate::validate) const DENIED: &str = "127.0.0.2";

const TOKEN: &str = "DGyRejmCefe7v4NfDGDKfA";

pub(in crate::validate) fn token() -> Token {
    Token::parse(TOKEN).unwrap()
}

pub(in crate::validate) fn key_authorization() -> KeyAuthorization {
    KeyAuthorization::new(&token(), Thumbprint::from_bytes([1; 32]))
}

/// The path that the challenge is served at.
pub(in crate::validate) fn path() -> String {
    format!("/.well-known/acme-challenge/{TOKEN}")
}

/// A server that deals with connections as a test says.
pub(in crate::validate) struct Stranger {
    pub(in crate::validate) port: u16,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Stranger {
    /// Answers the head of each request.
    pub(in crate::validate) async fn answering(
        answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        Self::answering_at(ALLOWED, 0, answer).await
    }

    pub(in crate::validate) async fn answering_at(
        address: &str,
        port: u16,
        answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        let answer = Arc::new(answer);
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let log = requests.clone();
        let mut stranger = Self::handling_at(address, port, move |mut stream| {
            let (answer, log) = (answer.clone(), log.clone());
            async move {
                let request = read_head(&mut stream).await;
                let response = answer(&request);
                log.lock().unwrap().push(request);
                // A client that does not want to read all of it is within its rights.
                let _sent = stream.write_all(&response).await;
            }
        })
        .await;
        stranger.requests = requests;
        stranger
    }

    /// Does as it likes with each connection.
    pub(in crate::validate) async fn handling<F>(handle: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::handling_at(ALLOWED, 0, handle).await
    }

    async fn handling_at<F>(
        address: &str,
        port: u16,
        handle: impl Fn(TcpStream) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let address: IpAddr = address.parse().unwrap();
        let listener = TcpListener::bind(SocketAddr::new(address, port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(handle(stream));
            }
        });
        Self { port, connections, requests: Arc::default(), task }
    }

    pub(in crate::validate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The heads of the requests that were answered.
    pub(in crate::validate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// Reads up to the empty line.
pub(in crate::validate) async fn read_head(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// DNS as a test wants it: the allowed address for every name that nothing else is said of.
#[derive(Default)]
pub(in crate::validate) struct Names {
    pub(in crate::validate) addresses: HashMap<&'static str, Vec<&'static str>>,
    pub(in crate::validate) failures: HashMap<&'static str, ResolveError>,
    /// Names that DNS never answers for.
    pub(in crate::validate) silent: Vec<&'static str>,
    /// What they have as TXT records; no other name has any.
    pub(in crate::validate) texts: HashMap<&'static str, Vec<Vec<u8>>>,
}

impl Names {
    /// What goes wrong when this name is asked for.
    async fn fail(&self, name: &str) -> Result<(), ResolveError> {
        if self.silent.contains(&name) {
            std::future::pending::<()>().await;
        }
        self.failures.get(name).map_or(Ok(()), |failure| Err(failure.clone()))
    }
}

#[async_trait]
impl Resolver for Names {
    async fn addresses(&self, name: &DnsName, _: &Trace) -> Result<Vec<IpAddr>, ResolveError> {
        self.fail(name.as_str()).await?;
        let addresses = self.addresses.get(name.as_str()).cloned().unwrap_or_else(|| vec![ALLOWED]);
        Ok(addresses.iter().map(|address| address.parse().unwrap()).collect())
    }

    async fn texts(&self, name: &str, _: &Trace) -> Result<Vec<Vec<u8>>, ResolveError> {
        self.fail(name).await?;
        self.texts.get(name).cloned().ok_or(ResolveError::NoRecords)
    }

    async fn caa(&self, _: &DnsName, _: &Trace) -> Result<Vec<CaaRecord>, ResolveError> {
        Err(ResolveError::NoRecords)
    }
}

/// Where validation takes place.
pub(in crate::validate) struct World {
    pub(in crate::validate) names: Names,
    pub(in crate::validate) limits: NetworkLimits,
    pub(in crate::validate) policy: AddressPolicy,
}

impl World {
    /// One in which challenged servers are at this port, for http-01 and for TLS.
    pub(in crate::validate) fn at(http_port: u16, tls_port: u16) -> Self {
        let attempt_deadline = Duration::from_secs(5);
        let limits = NetworkLimits { http_port, tls_port, attempt_deadline, ..NetworkLimits::default() };
        let policy = AddressPolicy::public().allow(ALLOWED.parse().unwrap());
        Self { names: Names::default(), limits, policy }
    }

    /// Has an identifier validated.
    pub(in crate::validate) async fn ask(
        self,
        validator: &dyn ChallengeValidator,
        kind: &str,
        value: &str,
    ) -> Outcome {
        let network = Network::new(Arc::new(self.names), self.policy, self.limits);
        let trace = Trace::new(RequestId::from_bytes([0; 16]), "a test");
        let identifier = Identifier::parse(kind, value).unwrap();
        let attempt = Attempt {
            account_url: "https://ca.test/acme/account/1",
            identifier: &identifier.base(),
            wildcard: identifier.is_wildcard(),
            token: &token(),
            key_authorization: &key_authorization(),
            network: &network,
            now: Timestamp::from_seconds(1_800_000_000),
            trace: &trace,
        };
        let started = Instant::now();
        let result = validator.validate(attempt).await;
        Outcome { result, trace, took: started.elapsed() }
    }
}

/// What came of it.
pub(in crate::validate) struct Outcome {
    result: Result<(), ValidationFailure>,
    pub(in crate::validate) trace: Trace,
    pub(in crate::validate) took: Duration,
}

impl Outcome {
    #[track_caller]
    pub(in crate::validate) fn expect_valid(&self) {
        if let Err(failure) = &self.result {
            panic!("expected a valid challenge, not: {failure}\n{}", self.trace);
        }
    }

    /// Expects a failure that is final, with this sentence for the client.
    #[track_caller]
    pub(in crate::validate) fn expect_definitive(&self, kind: ProblemType, detail: &str) {
        match &self.result {
            Err(ValidationFailure::Definitive(problem)) => self.expect_problem(problem, kind, detail),
            other => panic!("expected a definitive failure, not {other:?}\n{}", self.trace),
        }
    }

    /// Expects a failure that may pass, with this sentence for the client.
    #[track_caller]
    pub(in crate::validate) fn expect_transient(&self, kind: ProblemType, detail: &str) {
        match &self.result {
            Err(ValidationFailure::Transient(problem)) => self.expect_problem(problem, kind, detail),
            other => panic!("expected a transient failure, not {other:?}\n{}", self.trace),
        }
    }

    /// `PORT` in the expected sentence stands for whichever port it is.
    #[track_caller]
    fn expect_problem(&self, problem: &Problem, kind: ProblemType, detail: &str) {
        let words = problem.detail.split(' ').map(without_port);
        let told = words.collect::<Vec<_>>().join(" ");
        assert_eq!(told, detail.replace(":PORT", "").replace("PATH", &path()), "\n{}", self.trace);
        assert_eq!(problem.kind, kind, "\n{}", self.trace);
    }

    /// Expects that no connection to the address was even begun.
    #[track_caller]
    pub(in crate::validate) fn expect_not_dialled(&self, address: &str) {
        let address: IpAddr = address.parse().unwrap();
        let events = self.trace.events();
        let refused = events.iter().any(
            |timed| matches!(timed.event, TraceEvent::AddressRefused { address: refused, .. } if refused == address),
        );
        let dialled = events.iter().any(
            |timed| matches!(timed.event, TraceEvent::Connect { address: dialled } if dialled.ip() == address),
        );
        assert!(refused, "{address} should have been refused\n{}", self.trace);
        assert!(!dialled, "{address} should not have been dialled\n{}", self.trace);
    }

    /// Expects that nothing of it is told to the client.
    #[track_caller]
    pub(in crate::validate) fn expect_untold(&self, canary: &str) {
        let told = self.result.as_ref().map_err(ValidationFailure::problem);
        assert!(!format!("{told:?}").contains(canary), "{canary} is told: {told:?}");
    }
}

/// `http://a.test:12345/x` as `http://a.test/x`, and `a.test:12345` as `a.test`: test servers get their ports from
/// the system.
fn without_port(word: &str) -> String {
    let (scheme, rest) = word.split_once("://").map_or(("", word), |(scheme, rest)| (scheme, rest));
    let (authority, path) =
        rest.split_once('/').map_or((rest, ""), |(authority, _)| rest.split_at(authority.len()));
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let separator = if scheme.is_empty() { "" } else { "://" };
    format!("{scheme}{separator}{host}{path}")
}
