//! HTTP/1.1 over a socket, low enough to misbehave.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    sync::Arc,
    time::Duration,
};

use openssl::ssl::{SslConnector, SslMethod};
use serde_json::Value;

/// How long an answer may take. Nothing here should come near it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where requests go: `http://` or `https://`, and an authority.
#[derive(Clone)]
pub struct Http {
    base: String,
    authority: String,
    tls: Option<Arc<SslConnector>>,
}

/// A request, before it is written down.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The request target: the path, and the query if there is one.
    pub target: String,
    /// Header fields, in order. `Host`, `Connection` and `Content-Length` are added unless they are here.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code; 0 if the connection was closed without an answer.
    pub status: u16,
    /// Header fields, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

impl Http {
    /// The server of this URL, plain.
    ///
    /// # Panics
    ///
    /// If it is no `http://` URL.
    #[must_use]
    pub fn plain(url: &str) -> Self {
        let authority = url.strip_prefix("http://").expect("an http:// URL");
        let authority = authority.split('/').next().unwrap_or_default().to_owned();
        Self { base: format!("http://{authority}"), authority, tls: None }
    }

    /// The server of this URL, over TLS, where the root certificates in this file are trusted and no others.
    ///
    /// # Panics
    ///
    /// If it is no `https://` URL, or the file cannot be read.
    #[must_use]
    pub fn tls(url: &str, roots: &std::path::Path) -> Self {
        let authority = url.strip_prefix("https://").expect("an https:// URL");
        let authority = authority.split('/').next().unwrap_or_default().to_owned();
        let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
        connector.set_cert_store(openssl::x509::store::X509StoreBuilder::new().unwrap().build());
        connector.set_ca_file(roots).expect("the roots can be read");
        let tls = Some(Arc::new(connector.build()));
        Self { base: format!("https://{authority}"), authority, tls }
    }

    /// One of the servers of this URL: the one at this address, plain. It is asked as a load balancer asks.
    ///
    /// # Panics
    ///
    /// If it is no `http://` URL.
    #[must_use]
    pub fn replica(url: &str, address: &str) -> Self {
        Self { authority: address.to_owned(), ..Self::plain(url) }
    }

    /// Scheme and authority.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Whether it is HTTPS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// The request target that reaches this URL.
    ///
    /// # Panics
    ///
    /// If the URL is not one of this server.
    #[must_use]
    pub fn target(&self, url: &str) -> String {
        let target = url.strip_prefix(&self.base);
        target.unwrap_or_else(|| panic!("{url} is not a URL of {}", self.base)).to_owned()
    }

    /// Sends a request on a connection of its own.
    ///
    /// # Panics
    ///
    /// If there is no connection. A connection that is closed without an answer is status 0.
    #[must_use]
    pub fn send(&self, request: &Request) -> Response {
        self.try_send(request)
            .unwrap_or_else(|error| panic!("{} {}: {error}", request.method, request.target))
    }

    /// As [`send`](Self::send), where the server may be away.
    ///
    /// # Errors
    ///
    /// If there is no connection.
    pub fn try_send(&self, request: &Request) -> io::Result<Response> {
        let mut stream = self.connect()?;
        Ok(exchange(&mut stream, &request.to_bytes(&self.authority), request.method == "HEAD"))
    }

    /// Sends bytes as they are, and reads one answer.
    ///
    /// # Panics
    ///
    /// If there is no connection.
    #[must_use]
    pub fn send_raw(&self, bytes: &[u8]) -> Response {
        exchange(&mut self.connect().expect("a connection"), bytes, false)
    }

    /// A plain GET.
    #[must_use]
    pub fn get(&self, target: &str) -> Response {
        self.send(&Request::new("GET", target))
    }

    /// A connection, to be used as one likes.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[must_use]
    pub fn socket(&self) -> TcpStream {
        self.dial().expect("a connection")
    }

    fn dial(&self) -> io::Result<TcpStream> {
        dial(&self.authority, if self.is_tls() { 443 } else { 80 })
    }

    fn connect(&self) -> io::Result<Box<dyn Stream>> {
        let stream = self.dial()?;
        match &self.tls {
            None => Ok(Box::new(stream)),
            Some(tls) => {
                let host = self.authority.rsplit_once(':').map_or(&*self.authority, |(host, _)| host);
                let stream =
                    tls.connect(host, stream).map_err(|error| io::Error::other(error.to_string()))?;
                Ok(Box::new(stream))
            }
        }
    }
}

fn dial(authority: &str, default_port: u16) -> io::Result<TcpStream> {
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let stream = if has_port {
        TcpStream::connect(authority)?
    } else {
        TcpStream::connect((authority, default_port))?
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Request {
    /// A request without header fields and body.
    #[must_use]
    pub fn new(method: &str, target: &str) -> Self {
        Self { method: method.into(), target: target.into(), headers: Vec::new(), body: Vec::new() }
    }

    /// A POST of this body with the media type that RFC 8555 section 6.2 wants.
    #[must_use]
    pub fn post(target: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..Self::new("POST", target) }.with("Content-Type", "application/jose+json")
    }

    /// With one more header field.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Without the header fields of this name.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self
    }

    /// The request as it goes over the wire.
    #[must_use]
    pub fn to_bytes(&self, authority: &str) -> Vec<u8> {
        let has = |name: &str| self.headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !has("Host") {
            head += &format!("Host: {authority}\r\n");
        }
        if !has("Connection") {
            head += "Connection: close\r\n";
        }
        if !has("Content-Length")
            && !has("Transfer-Encoding")
            && (!self.body.is_empty() || self.method == "POST")
        {
            head += &format!("Content-Length: {}\r\n", self.body.len());
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        let mut bytes = (head + "\r\n").into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// A server may answer, and close, before it has read everything: what cannot be written is no failure.
fn exchange(stream: &mut (impl Read + Write + ?Sized), bytes: &[u8], head_only: bool) -> Response {
    let _ = stream.write_all(bytes).and_then(|()| stream.flush());
    Response::read(stream, head_only)
}

impl Response {
    /// Reads an answer.
    #[must_use]
    pub fn read(stream: &mut (impl Read + ?Sized), head_only: bool) -> Self {
        let mut bytes = Vec::new();
        let mut chunk = [0; 16384];
        loop {
            if let Some(response) = Self::parse(&bytes, head_only, false) {
                return response;
            }
            match stream.read(&mut chunk) {
                Ok(0) | Err(_) => break,
                Ok(count) => bytes.extend_from_slice(&chunk[..count]),
            }
        }
        Self::parse(&bytes, head_only, true).unwrap_or(Self { status: 0, headers: Vec::new(), body: bytes })
    }

    /// The answer at the front of these bytes, if it is all there.
    fn parse(bytes: &[u8], head_only: bool, closed: bool) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        if status == 100 {
            return Self::parse(&bytes[end + 4..], head_only, closed);
        }
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers: Vec<_> =
            headers.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
        let mut response = Self { status, headers, body: bytes[end + 4..].to_vec() };
        let complete =
            match (head_only, response.header("Content-Length"), response.header("Transfer-Encoding")) {
                (true, ..) => true,
                (_, Some(length), _) => response.body.len() >= length.parse().ok()?,
                (_, _, Some(_)) => match unchunk(&response.body) {
                    Some(body) => {
                        response.body = body;
                        true
                    }
                    None => false,
                },
                _ => false,
            };
        (complete || closed).then_some(response)
    }

    /// A header field's value; the first, if there are several.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }

    /// The `Replay-Nonce`.
    #[must_use]
    pub fn nonce(&self) -> Option<&str> {
        self.header("Replay-Nonce")
    }

    /// The `Location`.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[must_use]
    pub fn location(&self) -> String {
        self.header("Location").unwrap_or_else(|| panic!("no Location in {self}")).to_owned()
    }

    /// The targets of the links with this relation. RFC 8288 section 3; several may share a field.
    #[must_use]
    pub fn links(&self, relation: &str) -> Vec<String> {
        let values =
            self.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("Link")).map(|(_, value)| value);
        let parts = values.flat_map(|value| value.split('<').skip(1)).filter_map(|part| part.split_once('>'));
        let wanted = format!("rel={relation}");
        let has = |parameters: &str| {
            let parameters = parameters.replace([' ', '"'], "");
            parameters.split([';', ',']).any(|parameter| parameter == wanted)
        };
        parts.filter(|(_, rest)| has(rest)).map(|(target, _)| target.to_owned()).collect()
    }

    /// The media type of the body, without its parameters, in small letters.
    #[must_use]
    pub fn media_type(&self) -> String {
        let value = self.header("Content-Type").unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// The body as JSON; null if it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The problem's type, without the namespace of ACME; `None` if this is not a problem document.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        if self.header("Content-Type") != Some("application/problem+json") {
            return None;
        }
        let kind = self.json()["type"].as_str()?.to_owned();
        Some(kind.strip_prefix("urn:ietf:params:acme:error:").map(str::to_owned).unwrap_or(kind))
    }

    /// Holds the answer to a status.
    ///
    /// # Panics
    ///
    /// If it has another.
    #[track_caller]
    #[must_use]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "expected {status}, got {self}");
        self
    }

    /// Holds the answer to a problem.
    ///
    /// # Panics
    ///
    /// If it is another, or none.
    #[track_caller]
    pub fn expect_problem(&self, status: u16, kind: &str) {
        assert_eq!((self.status, self.problem().as_deref()), (status, Some(kind)), "got {self}");
    }
}

impl std::fmt::Display for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "status {}, headers {:?}, body {}", self.status, self.headers, self.text())
    }
}

fn unchunk(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).ok()?.trim(), 16).ok()?;
        bytes = &bytes[end + 2..];
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(bytes.get(..size)?);
        bytes = bytes.get(size + 2..)?;
    }
}
