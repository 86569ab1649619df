//! Private Redis servers, each in a directory of its own, ended with the value.

use std::fs::File;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::{Client, FromRedisValue, RedisResult, cmd};
use tempfile::TempDir;

/// A running redis-server.
pub(crate) struct Server {
    process: Child,
    port: u16,
    directory: TempDir,
    arguments: Vec<String>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    pub(crate) fn with(arguments: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let arguments: Vec<_> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        for _ in 0..5 {
            let port = free_port();
            let mut process = spawn(directory.path(), port, &arguments);
            if ready(&mut process, port) {
                return Self { process, port, directory, arguments };
            }
            end(&mut process);
        }
        panic!("no redis-server came up in {}", directory.path().display());
    }

    /// A sentinel that watches one master, under the name "main".
    pub(crate) fn sentinel(master: &Self) -> Self {
        let directory = TempDir::new().unwrap();
        let port = free_port();
        let file = directory.path().join("sentinel.conf");
        let rules = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {} 1\n\
             sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n",
            master.port
        );
        std::fs::write(&file, rules).unwrap();
        let arguments = vec![file.display().to_string(), "--sentinel".to_owned()];
        let mut process = launch(directory.path(), &arguments);
        assert!(ready(&mut process, port), "no sentinel came up");
        Self { process, port, directory, arguments }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// What it answers to a command.
    pub(crate) fn tell<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_tell(words).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    pub(crate) fn try_tell<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        let mut connection = Client::open(self.url())?.get_connection_with_timeout(Duration::from_secs(5))?;
        let mut command = cmd(words[0]);
        for word in &words[1..] {
            command.arg(*word);
        }
        command.query(&mut connection)
    }

    /// A line of INFO.
    pub(crate) fn info(&self, section: &str, name: &str) -> String {
        let text: String = self.tell(&["INFO", section]);
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
        line.unwrap_or_else(|| panic!("INFO {section} has no {name}")).to_owned()
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.tell(&["KEYS", "*"])
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        end(&mut self.process);
    }

    /// Again, on the same port and in the same directory.
    pub(crate) fn start_again(&mut self) {
        self.process = spawn(self.directory.path(), self.port, &self.arguments);
        assert!(ready(&mut self.process, self.port), "redis-server did not come up again");
    }

    /// Takes its connections and answers nothing.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.process.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.process);
    }
}

/// Waits for what takes a moment.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(20), "still not so: {what}");
        pause();
    }
}

fn spawn(directory: &Path, port: u16, arguments: &[String]) -> Child {
    let port = port.to_string();
    let mut all: Vec<_> = ["--port", &port, "--bind", "127.0.0.1", "--save", ""].map(str::to_owned).to_vec();
    all.extend_from_slice(arguments);
    launch(directory, &all)
}

fn launch(directory: &Path, arguments: &[String]) -> Child {
    let log = File::create(directory.join("log")).unwrap();
    let mut command = Command::new("redis-server");
    command.args(arguments).current_dir(directory).stdin(Stdio::null()).stdout(log).stderr(Stdio::null());
    command.spawn().unwrap_or_else(|error| missing(&error))
}

fn ready(process: &mut Child, port: u16) -> bool {
    let client = Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(10) && process.try_wait().unwrap().is_none() {
        if let Ok(mut connection) = client.get_connection() {
            // One that asks for a password is ready, too.
            let answer: RedisResult<String> = cmd("PING").query(&mut connection);
            if answer.as_ref().is_ok_and(|answer| answer == "PONG")
                || answer.is_err_and(|error| error.code() == Some("NOAUTH"))
            {
                return true;
            }
        }
        pause();
    }
    false
}

fn end(process: &mut Child) {
    let _ended = process.kill();
    process.wait().unwrap();
}

/// One whose port for the bus of a cluster, 10000 further, is free, too.
pub(crate) fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        if port <= 55_535 && TcpListener::bind(("127.0.0.1", port + 10_000)).is_ok() {
            return port;
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "a test waits for a process")]
fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

/// A failure in CI. Elsewhere none of these tests says that it has passed: all of them end here.
#[allow(clippy::disallowed_methods, reason = "a test asks where it is run")]
fn missing(error: &std::io::Error) -> ! {
    let text = format!("redis-server cannot be started: {error} (Debian package redis-server)");
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{text}");
    // The test harness does not capture this.
    let told =
        std::io::stderr().write_all(format!("\nSKIPPED: the tests with a real Redis. {text}\n").as_bytes());
    told.unwrap();
    std::process::exit(0)
}
