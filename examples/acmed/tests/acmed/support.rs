//! Running acmed, and talking to it.

use std::{
    cell::RefCell,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use openssl::ssl::{SslConnector, SslMethod};
use openssl::x509::X509;
use tempfile::TempDir;

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A directory to run in, with acmed's own environment variables out of the way.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_acmed"));
        command.current_dir(self.path()).args(arguments);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ACMED_"))
        {
            command.env_remove(name);
        }
        command
    }

    /// Runs acmed to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        Run(self.command(arguments).stdin(Stdio::null()).output().unwrap())
    }

    /// Starts acmed, and waits until it says that it serves.
    pub(crate) fn serve(&self, arguments: &[&str]) -> Server {
        Server::start(self.command(arguments))
    }

    /// The root certificate that clients are to trust.
    pub(crate) fn root(&self) -> X509 {
        X509::from_pem(self.read("acmed-data/ca/root.pem").as_bytes()).unwrap()
    }
}

/// How a run ended.
pub(crate) struct Run(Output);

impl Run {
    pub(crate) fn stdout(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).unwrap()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8(self.0.stderr.clone()).unwrap()
    }

    pub(crate) fn expect_done(self) -> Self {
        assert_eq!(self.0.status.code(), Some(0), "{}", self.stderr());
        self
    }

    /// That it was refused: exit status 1, and the last line on stderr says this.
    pub(crate) fn expect_refused(self, parts: &[&str]) -> Self {
        let stderr = self.stderr();
        assert_eq!(self.0.status.code(), Some(1), "{stderr}");
        let last = stderr.lines().last().unwrap_or_default();
        assert!(last.starts_with("acmed: "), "{stderr}");
        for part in parts {
            assert!(last.contains(part), "{part:?} is not in: {last}");
        }
        self
    }

    pub(crate) fn expect_bad_usage(self) -> Self {
        assert_eq!(self.0.status.code(), Some(2), "{}", self.stderr());
        self
    }
}

/// A running acmed. It is killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
    heard: RefCell<String>,
    /// The URL of its directory.
    pub(crate) directory: String,
}

impl Server {
    /// Starts it, and waits until it says that it serves.
    pub(crate) fn start(command: Command) -> Self {
        let mut server = Self::start_silent(command);
        let Ok(first) = server.stdout.recv_timeout(PATIENCE) else {
            panic!("acmed did not start: {}", server.stop("KILL").1);
        };
        server.directory = first.split_whitespace().last().unwrap().to_owned();
        assert!(first.starts_with("directory ") && server.directory.ends_with("/directory"), "{first}");
        server
    }

    /// Starts it. It is not waited for.
    pub(crate) fn start_silent(mut command: Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = lines(child.stdout.take().unwrap());
        let stderr = lines(child.stderr.take().unwrap());
        Self { child, stdout, stderr, heard: RefCell::default(), directory: String::new() }
    }

    /// The next line that it prints.
    pub(crate) fn line(&self) -> String {
        self.stdout.recv_timeout(PATIENCE).expect("another line")
    }

    /// Waits for this to be said on stderr.
    pub(crate) fn hear(&self, text: &str) {
        let mut heard = self.heard.borrow_mut();
        loop {
            let Ok(line) = self.stderr.recv_timeout(PATIENCE) else {
                panic!("{text:?} is never said: {heard}")
            };
            heard.push_str(&line);
            heard.push('\n');
            if line.contains(text) {
                return;
            }
        }
    }

    /// The host and port that it is at.
    pub(crate) fn address(&self) -> &str {
        self.directory.split('/').nth(2).unwrap()
    }

    /// What `GET` of that path is answered with.
    pub(crate) fn get(&self, path: &str) -> String {
        let stream = TcpStream::connect(self.address()).unwrap();
        request(stream, self.address(), path)
    }

    /// The same, over TLS by somebody who trusts this root; and the certificate that was shown.
    pub(crate) fn get_tls(&self, path: &str, root: &X509) -> (String, X509) {
        let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
        connector.cert_store_mut().add_cert(root.clone()).unwrap();
        let host = self.address().split(':').next().unwrap();
        let stream = TcpStream::connect(self.address()).unwrap();
        let stream = connector.build().connect(host, stream).unwrap();
        let certificate = stream.ssl().peer_certificate().unwrap();
        (request(stream, self.address(), path), certificate)
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Asks it to stop. Its exit status, and all that it said on stderr.
    pub(crate) fn stop(self, signal: &str) -> (Option<i32>, String) {
        self.signal(signal);
        self.wait()
    }

    /// Waits until it ends: its exit status, and all that it said on stderr.
    pub(crate) fn wait(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().unwrap();
        let rest: Vec<_> = self.stderr.iter().collect();
        (status.code(), self.heard.take() + &rest.join("\n"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    let stream = BufReader::new(stream);
    thread::spawn(move || stream.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    lines
}

fn request(mut stream: impl Read + Write, host: &str, path: &str) -> String {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok(); // a TLS peer that just closes is an error to OpenSSL
    String::from_utf8(answer).unwrap()
}
