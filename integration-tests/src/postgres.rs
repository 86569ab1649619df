//! A PostgreSQL server, as `scripts/postgres` starts it.

use std::{
    io::{BufRead, BufReader},
    os::unix::fs::MetadataExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

/// A server of its own, with nothing in it. It ends with this value.
pub struct Postgres {
    url: String,
    data: String,
    /// Ends, and takes the server with it, when its standard input does.
    keeper: Child,
}

impl Postgres {
    /// Starts one; `None` if PostgreSQL is not installed, which is told, and in CI is a failure.
    ///
    /// # Panics
    ///
    /// If it does not start.
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::start_by(Command::new(script()))
    }

    /// Starts one whose database, though not its log, is on a disk of so many MiB, where only the server and who looks
    /// [inside](Self::small_disk) see what is; `None` where nobody lets us make one, too.
    ///
    /// # Panics
    ///
    /// If it does not start.
    #[must_use]
    pub fn start_on_a_small_disk(size: u32) -> Option<Self> {
        let allowed =
            Command::new("unshare").args(["--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).output();
        if !allowed.is_ok_and(|output| output.status.success()) {
            eprintln!("SKIPPED: disks of one's own are not allowed here");
            return None;
        }
        let mount =
            format!("mount -t tmpfs -o size={size}m tmpfs /mnt && mkdir /mnt/table && exec \"$0\" \"$@\"");
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &mount]).arg(script());
        let mut postgres = Self::start_by(command)?;
        let table = postgres.small_disk().join("table");
        let owner = std::fs::metadata(&postgres.data).expect("the server's folder");
        std::os::unix::fs::chown(table, Some(owner.uid()), Some(owner.gid())).expect("a folder can be given");
        let _ = postgres.query("CREATE TABLESPACE small LOCATION '/mnt/table'");
        let _ = postgres.query("CREATE DATABASE small TABLESPACE small");
        let (server, _) = postgres.url.rsplit_once('/').expect("a database");
        postgres.url = format!("{server}/small");
        Some(postgres)
    }

    /// The disk of [`start_on_a_small_disk`](Self::start_on_a_small_disk), as the server sees it.
    #[must_use]
    pub fn small_disk(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root", self.keeper.id())).join("mnt")
    }

    fn start_by(mut command: Command) -> Option<Self> {
        if crate::missing("psql") {
            return None;
        }
        let told = "echo \"$COYOTE_TEST_POSTGRES_URL $COYOTE_TEST_POSTGRES_DATA\"; exec cat";
        let command = command.args(["run", "sh", "-c", told]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut keeper = command.spawn().expect("scripts/postgres can be run");
        let mut line = String::new();
        let output = keeper.stdout.take().expect("its output");
        BufReader::new(output).read_line(&mut line).expect("a line");
        let (url, data) = line.trim().split_once(' ').expect("PostgreSQL starts");
        Some(Self { url: url.into(), data: data.into(), keeper })
    }

    /// The URL of its database.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Ends it at once, as a crash would.
    pub fn stop(&self) {
        self.run("stop");
    }

    /// Starts it again.
    pub fn start_again(&self) {
        self.run("start");
    }

    /// Has a second server follow it, without which it commits nothing from now on, and answers the URL of both, for those who
    /// want the one that takes writes.
    #[must_use]
    pub fn with_standby(&self) -> String {
        let port = self.run("standby");
        let (server, database) = self.url.rsplit_once('/').expect("a database");
        format!("{server},127.0.0.1:{}/{database}?target_session_attrs=read-write", port.trim())
    }

    /// Has the second take its place.
    pub fn promote_standby(&self) {
        self.run("promote");
    }

    fn run(&self, what: &str) -> String {
        let mut command = Command::new(script());
        let done = command.arg(what).env("COYOTE_TEST_POSTGRES_DATA", &self.data).output();
        let done = done.expect("scripts/postgres can be run");
        let complaint = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "scripts/postgres {what}: {complaint}");
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    /// Runs statements, and answers the rows: what is in their columns, with `|` between.
    ///
    /// # Panics
    ///
    /// If one fails.
    #[must_use]
    pub fn query(&self, statements: &str) -> Vec<String> {
        let mut command = Command::new("psql");
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", &self.url, "-c", statements]);
        let output = command.output().expect("psql can be run");
        assert!(output.status.success(), "{statements}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }

    /// What a query answers that has one row and one column, a number.
    ///
    /// # Panics
    ///
    /// If it answers something else.
    #[must_use]
    pub fn number(&self, query: &str) -> u64 {
        let rows = self.query(query);
        rows.first().and_then(|row| row.parse().ok()).unwrap_or_else(|| panic!("{query}: {rows:?}"))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        self.keeper.wait().ok();
    }
}

fn script() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../scripts/postgres")
}
