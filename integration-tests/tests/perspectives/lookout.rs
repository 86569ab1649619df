//! Perspectives: real ones, with a name server of their own, and one that says what it is told to.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use coyote_jose::base64url;
use integration_tests::{Authority, Credentials, Dns, Responder, program};
use openssl::{
    sha::sha256,
    ssl::{SslAcceptor, SslFiletype, SslMethod, SslStream},
};
use tempfile::TempDir;

/// An `acmed perspective`, which asks a name server of its own.
pub struct Lookout {
    pub name: String,
    pub url: String,
    pub dns: Dns,
    child: Child,
    _folder: TempDir,
}

impl Lookout {
    /// One that looks at this web server, as long as its name server does not say otherwise.
    pub fn start(authority: &Authority, name: &str, responder: &Responder) -> Self {
        let (dns, own) = (Dns::start(), authority.issue_to_server(name));
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("perspective.toml");
        let text = format!(
            "[validation]\nresolvers = [\"{}\"]\nhttp_port = {}\nallow = [\"127.0.0.1/32\"]\ntimeout = \"3s\"\n\
             [perspective]\nlisten = \"127.0.0.1:0\"\ncertificate = {:?}\nkey = {:?}\nclients = {:?}\n",
            dns.address(),
            responder.port(),
            own.certificate,
            own.key,
            authority.file()
        );
        fs::write(&config, text).expect("a configuration");
        let log = fs::File::create(folder.path().join("log")).expect("a log");
        let mut child = Command::new(program("acmed"))
            .args(["perspective", "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("acmed can be run");
        let mut line = String::new();
        let out = child.stdout.take().expect("its output");
        BufReader::new(out).read_line(&mut line).expect("a line");
        let said = || fs::read_to_string(folder.path().join("log")).unwrap_or_default();
        let url =
            line.split_whitespace().nth(1).unwrap_or_else(|| panic!("no perspective: {}", said())).to_owned();
        Self { name: name.into(), url, dns, child, _folder: folder }
    }

    /// Ends it.
    pub fn end(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it has ended");
    }
}

impl Drop for Lookout {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One whose certificate is right, and which looks at nothing.
pub struct Liar {
    port: u16,
    asked: Arc<AtomicUsize>,
}

impl Liar {
    /// One that answers this, given the hash of the task. It runs until the test process ends.
    pub fn start(authority: &Authority, says: fn(&str) -> String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let own = authority.issue_to_server(&format!("liar-{port}"));
        let mut acceptor = SslAcceptor::mozilla_modern_v5(SslMethod::tls_server()).expect("TLS");
        acceptor.set_certificate_chain_file(&own.certificate).expect("a certificate");
        acceptor.set_private_key_file(&own.key, SslFiletype::PEM).expect("a key");
        let (acceptor, asked) = (acceptor.build(), Arc::new(AtomicUsize::new(0)));
        let counting = asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counting.fetch_add(1, Ordering::Relaxed);
                // Whoever knows enough from others goes away, wherever this is.
                let Ok(mut stream) = acceptor.accept(stream) else { continue };
                let Ok(task) = body(&mut stream) else { continue };
                let body = says(&base64url::encode(sha256(&task)));
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length";
                let _ = write!(stream, "{head}: {}\r\n\r\n{body}", body.len());
                let _ = stream.shutdown();
            }
        });
        Self { port, asked }
    }

    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}/", self.port)
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

/// The body of a request.
fn body(stream: &mut SslStream<TcpStream>) -> io::Result<Vec<u8>> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a number");
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(body)
}

/// An answer, on the wire.
pub fn evidence(hash: &str, seen: &str) -> String {
    let timeline = r#"{"request":"AAAAAAAAAAAAAAAAAAAAAA","subject":"a lie","events":[],"dropped":0}"#;
    format!(r#"{{"task":"{hash}","evidence":{{"seen":{seen},"timeline":{timeline}}}}}"#)
}

/// The status that a POST of nothing in particular is answered with, if it is.
pub fn curl(url: &str, roots: &Path, own: Option<&Credentials>) -> Option<String> {
    let mut curl = Command::new("curl");
    curl.args([
        "--silent",
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_code}",
        "--data",
        "{}",
        "--cacert",
    ]);
    curl.arg(roots);
    if let Some(own) = own {
        curl.arg("--cert").arg(&own.certificate).arg("--key").arg(&own.key);
    }
    let output = curl.arg(url).output().expect("curl can be run");
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
