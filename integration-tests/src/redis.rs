//! A Redis server.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use crate::{eventually, free_port};

/// A Redis of its own, which keeps nothing on the disk. It ends with this value.
pub struct Redis {
    port: u16,
    folder: TempDir,
    child: Option<Child>,
}

impl Redis {
    /// Starts one; `None` if Redis is not installed, which is told, and in CI is a failure.
    #[must_use]
    pub fn start() -> Option<Self> {
        if crate::missing("redis-server") {
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary directory");
        let mut redis = Self { port: free_port(), folder, child: None };
        redis.start_again();
        Some(redis)
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends it at once; what it knew is forgotten.
    ///
    /// # Panics
    ///
    /// If it cannot be ended.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it can be killed");
            child.wait().expect("it has ended");
        }
    }

    /// Starts it again, with nothing in it.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn start_again(&mut self) {
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &self.port.to_string(), "--save", ""]);
        command.args(["--appendonly", "no", "--dir"]).arg(self.folder.path());
        self.child = Some(command.stdout(Stdio::null()).spawn().expect("redis-server can be started"));
        eventually("redis-server answers", Duration::from_secs(10), || self.ask("PING").ok());
    }

    /// Forgets everything.
    ///
    /// # Panics
    ///
    /// If it does not answer.
    pub fn flush(&self) {
        self.ask("FLUSHALL").expect("an answer");
    }

    fn ask(&self, command: &str) -> std::io::Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.write_all(format!("{command}\r\n").as_bytes())?;
        stream.read_exact(&mut [0; 5])
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}
