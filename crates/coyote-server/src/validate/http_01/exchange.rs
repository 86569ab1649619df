//! One request and its answer.

use std::future::Future;
use std::pin::pin;
use std::time::Instant;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

use super::hop::Hop;
use crate::trace::{Excerpt, Trace, TraceEvent, millis};
use crate::validate::tls::{Hello, handshake};
use crate::validate::{Host, NetworkLimits};

/// hyper refuses to work with a smaller buffer.
const MIN_BUFFER: usize = 8192;

/// What of an answer matters.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The `Location`, if there is exactly one.
    pub(super) location: Option<Vec<u8>>,
    /// The body of an answer with status 200, if it is within the limit.
    pub(super) body: Option<Vec<u8>>,
}

/// Why there is no answer. What exactly went wrong is in the trace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ExchangeError {
    Tls,
    /// What came is not an HTTP response, or its head is over the limit: hyper does not tell clients which.
    NotHttp,
    /// The URL is one that HTTP cannot express.
    Unaskable,
    /// The connection ended early.
    Broken,
}

/// Asks for the URL over a connection to its host, which is closed afterwards.
pub(super) async fn exchange(
    hop: &Hop,
    stream: TcpStream,
    limits: &NetworkLimits,
    trace: &Trace,
) -> Result<Answer, ExchangeError> {
    if hop.is_https() {
        let stream = secure(hop.host(), stream, trace).await?;
        converse(hop, stream, limits, trace).await
    } else {
        converse(hop, stream, limits, trace).await
    }
}

async fn secure(
    host: &Host,
    stream: TcpStream,
    trace: &Trace,
) -> Result<SslStream<TcpStream>, ExchangeError> {
    let server_name = match host {
        Host::Name(name) => Some(name.as_str()),
        Host::Address(_) => None,
    };
    let hello = Hello { server_name, protocol: None };
    handshake(hello, stream, trace).await.map_err(|_| ExchangeError::Tls)
}

async fn converse<S>(
    hop: &Hop,
    stream: S,
    limits: &NetworkLimits,
    trace: &Trace,
) -> Result<Answer, ExchangeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    trace.record(TraceEvent::HttpRequest { line: Excerpt::new(format!("GET {}", hop.url())) });
    let started = Instant::now();
    let request = request(hop, limits).map_err(|error| {
        trace.record(TraceEvent::HttpFailed { reason: Excerpt::new(error.to_string()), took_ms: 0 });
        ExchangeError::Unaskable
    })?;
    let outcome = send(request, stream, limits, trace, started).await;
    outcome.map_err(|error| {
        let took_ms = millis(started.elapsed());
        trace.record(TraceEvent::HttpFailed { reason: Excerpt::new(chain(&error)), took_ms });
        classify(&error)
    })
}

fn request(hop: &Hop, limits: &NetworkLimits) -> Result<Request<Empty<Bytes>>, hyper::http::Error> {
    Request::get(hop.path_and_query())
        .header(header::HOST, hop.authority())
        .header(header::USER_AGENT, limits.user_agent.as_str())
        .header(header::ACCEPT, "*/*")
        .header(header::ACCEPT_ENCODING, "identity")
        .header(header::CONNECTION, "close")
        .body(Empty::new())
}

async fn send<S>(
    request: Request<Empty<Bytes>>,
    stream: S,
    limits: &NetworkLimits,
    trace: &Trace,
    started: Instant,
) -> Result<Answer, hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) = http1::Builder::new()
        .max_header_size(limits.max_response_head)
        .max_buf_size(limits.max_response_head.max(MIN_BUFFER))
        .handshake(TokioIo::new(stream))
        .await?;
    let answer = async {
        let response = sender.send_request(request).await?;
        trace.record(TraceEvent::HttpResponse {
            status: response.status().as_u16(),
            head_bytes: head_bytes(&response),
            took_ms: millis(started.elapsed()),
        });
        read(response, limits.max_response_body, trace).await
    };
    while_driven(connection, answer).await
}

/// Waits for the answer, while the connection moves the bytes. It ends with the answer: dropped, it is closed.
pub(in crate::validate) async fn while_driven<T>(
    connection: impl Future,
    answer: impl Future<Output = T>,
) -> T {
    let (mut connection, mut answer) = (pin!(connection), pin!(answer));
    tokio::select! {
        answer = &mut answer => answer,
        // What was received is still to be read; an error of the connection is an error of the answer.
        _ = &mut connection => answer.await,
    }
}

async fn read(response: Response<Incoming>, limit: usize, trace: &Trace) -> Result<Answer, hyper::Error> {
    let status = response.status().as_u16();
    let mut locations = response.headers().get_all(header::LOCATION).iter();
    let location = match (locations.next(), locations.next()) {
        (Some(only), None) => Some(only.as_bytes().to_vec()),
        _ => None,
    };
    let body = if status == 200 { read_body(response.into_body(), limit, trace).await? } else { None };
    Ok(Answer { status, location, body })
}

/// The body, unless it is longer than the limit: then the rest is left unread.
async fn read_body(mut body: Incoming, limit: usize, trace: &Trace) -> Result<Option<Vec<u8>>, hyper::Error> {
    let mut bytes = Vec::new();
    let limit_u64 = u64::try_from(limit).unwrap_or(u64::MAX);
    let mut complete = body.size_hint().lower() <= limit_u64;
    while complete && let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        complete = bytes.len() + data.len() <= limit;
        bytes.extend(data.iter().take(limit - bytes.len()));
    }
    trace.record(TraceEvent::HttpBody { bytes: bytes.len(), complete });
    Ok(complete.then_some(bytes))
}

/// The size of the head, as far as it can be told when it has been parsed.
fn head_bytes(response: &Response<Incoming>) -> usize {
    let fields: usize = response
        .headers()
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len())
        .sum();
    "HTTP/1.1 200 OK\r\n\r\n".len() + fields
}

fn classify(error: &hyper::Error) -> ExchangeError {
    if error.is_parse() { ExchangeError::NotHttp } else { ExchangeError::Broken }
}

/// The error and its causes, for the operator.
fn chain(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
