//! The program under test, as a process.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    fs,
    fs::{File, OpenOptions},
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, OnceLock},
    time::Duration,
};

use tempfile::TempDir;

use crate::{Client, DIRECTORY, Database, Dns, Http, Request, Responder, User, eventually};

/// How long a start may take.
const START: Duration = Duration::from_secs(30);

/// How a server is to be set up: what `serve` reads from its configuration.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    sections: BTreeMap<&'static str, Vec<String>>,
    environment: Vec<(String, String)>,
    tls: bool,
}

impl Setup {
    /// A server that looks up names here, and validates there: loopback may be dialled.
    #[must_use]
    pub fn new(dns: &Dns, responder: &Responder) -> Self {
        Self::default()
            .with("validation", &format!("resolvers = [\"{}\"]", dns.address()))
            .with("validation", &format!("http_port = {}", responder.port()))
            .with("validation", "challenges = [\"http-01\"]")
            .with("validation", "allow = [\"127.0.0.1/32\"]")
    }

    /// With a line of configuration in this section.
    #[must_use]
    pub fn with(mut self, section: &'static str, line: &str) -> Self {
        self.sections.entry(section).or_default().push(line.to_owned());
        self
    }

    /// With this value for a key that has one already.
    #[must_use]
    pub fn replacing(mut self, section: &'static str, key: &str, value: &str) -> Self {
        let lines = self.sections.entry(section).or_default();
        lines.retain(|line| !line.starts_with(key));
        self.with(section, &format!("{key} = {value}"))
    }

    /// Served over HTTPS, as `localhost`, with a certificate of the server's own CA.
    #[must_use]
    pub fn with_tls(self) -> Self {
        Self { tls: true, ..self.with("", "tls = \"own\"") }
    }

    /// With an environment variable.
    #[must_use]
    pub fn with_environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    fn to_toml(&self) -> String {
        let section = |(name, lines): (&&str, &Vec<String>)| {
            let head = if name.is_empty() { String::new() } else { format!("[{name}]\n") };
            format!("{head}{}\n", lines.join("\n"))
        };
        self.sections.iter().map(section).collect()
    }
}

/// A running server, and all it has written. It ends with this value.
pub struct Acmed {
    directory: TempDir,
    base_url: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    /// What starts it as another user.
    prefix: Vec<String>,
    tls: bool,
    /// What clients see, if that is not where it listens.
    known_as: Option<String>,
    listen: String,
    child: Option<Child>,
}

impl Acmed {
    /// `acmed serve` with this configuration.
    #[must_use]
    pub fn serve(setup: &Setup) -> Self {
        let mut acmed = Self::prepare();
        let config = acmed.path("acmed.toml");
        fs::write(&config, setup.to_toml()).expect("the configuration can be written");
        acmed.environment = setup.environment.clone();
        acmed.tls = setup.tls;
        acmed.begin(&["serve", "--config", config.to_str().expect("a UTF-8 path")]);
        acmed
    }

    /// The same with these arguments, as one of the replicas that clients know by this URL.
    #[must_use]
    pub fn replica(setup: &Setup, url: &str, arguments: &[&str]) -> Self {
        let mut acmed = Self::prepare();
        let config = acmed.path("acmed.toml");
        fs::write(&config, setup.to_toml()).expect("the configuration can be written");
        acmed.environment = setup.environment.clone();
        acmed.known_as = Some(url.to_owned());
        let config = config.to_str().expect("a UTF-8 path").to_owned();
        acmed.begin(&[&["serve", "--config", &config], arguments].concat());
        acmed
    }

    /// `acmed serve` whose data is on a disk of so many MiB; `None` where the kernel does not let us make one. Only the
    /// server, and who looks [inside](Self::inside), sees what is on it.
    #[must_use]
    pub fn serve_on_a_small_disk(setup: &Setup, size: u32) -> Option<Self> {
        let apart = ["--mount", "--map-root-user"];
        let allowed =
            Command::new("unshare").args(apart).args(["mount", "-t", "tmpfs", "tmpfs", "/mnt"]).output();
        if !allowed.is_ok_and(|output| output.status.success()) {
            eprintln!("SKIPPED: disks of one's own are not allowed here");
            return None;
        }
        let mut acmed = Self::prepare();
        let (config, data) = (acmed.path("acmed.toml"), acmed.data().display().to_string());
        fs::write(&config, setup.to_toml()).expect("the configuration can be written");
        fs::create_dir(&data).expect("a directory");
        let mount = format!("mount -t tmpfs -o size={size}m,mode=700 tmpfs '{data}' && exec \"$0\" \"$@\"");
        acmed.prefix = ["unshare", apart[0], apart[1], "sh", "-c", &mount].map(str::to_owned).into();
        acmed.begin(&["serve", "--config", config.to_str().expect("a UTF-8 path")]);
        Some(acmed)
    }

    /// A file in the data directory, as the server sees it.
    #[must_use]
    pub fn inside(&self, name: &str) -> PathBuf {
        let data = self.data().join(name);
        Path::new(&format!("/proc/{}/root", self.pid()))
            .join(data.strip_prefix("/").expect("an absolute path"))
    }

    /// `acmed dev` with these arguments.
    #[must_use]
    pub fn dev(arguments: &[&str]) -> Self {
        Self::dev_as(None, arguments)
    }

    /// `acmed dev` with these arguments, run by this user.
    #[must_use]
    pub fn dev_as(user: Option<&User>, arguments: &[&str]) -> Self {
        let mut acmed = Self::prepare();
        if let Some(user) = user {
            user.give(acmed.directory.path());
            acmed.prefix = user.prefix();
        }
        acmed.begin(&[&["dev"], arguments].concat());
        acmed
    }

    fn prepare() -> Self {
        let directory = tempfile::Builder::new().prefix("acmed-").tempdir().expect("a temporary directory");
        let (base_url, arguments, environment, prefix) = (String::new(), Vec::new(), Vec::new(), Vec::new());
        let (known_as, listen) = (None, String::new());
        Self {
            directory,
            base_url,
            arguments,
            environment,
            prefix,
            tls: false,
            known_as,
            listen,
            child: None,
        }
    }

    /// Another process may take the port between our look and the server's: then the next is tried.
    fn begin(&mut self, arguments: &[&str]) {
        for _ in 0..5 {
            let port = free_port();
            let listen = format!("127.0.0.1:{port}");
            let own = if self.tls { format!("https://localhost:{port}") } else { format!("http://{listen}") };
            self.base_url = self.known_as.clone().unwrap_or(own);
            self.listen.clone_from(&listen);
            let data = self.data().display().to_string();
            let common = ["--listen", &listen, "--base-url", &self.base_url, "--data-dir", &data];
            self.arguments = arguments.iter().chain(&common).map(|&argument| argument.to_owned()).collect();
            self.spawn();
            if self.wait_until_it_answers() {
                return;
            }
        }
        panic!("acmed does not start:\n{}", self.log());
    }

    fn spawn(&mut self) {
        let mut line = self.prefix.iter().map(OsString::from).chain([binary().into()]);
        let mut command = Command::new(line.next().expect("a program"));
        command.args(line).args(&self.arguments).current_dir(self.directory.path());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(self.append("stdout")).stderr(self.append("stderr"));
        self.child = Some(command.spawn().expect("acmed can be started"));
    }

    /// Whether it answers; not if it ends instead.
    fn wait_until_it_answers(&mut self) -> bool {
        if self.arguments.iter().any(|argument| argument == "--worker-only") {
            return self.is_running(); // it listens nowhere
        }
        eventually("acmed answers or ends", START, || {
            if !self.is_running() {
                return Some(false);
            }
            let http = (!self.tls || self.root().exists()).then(|| self.http())?;
            let answer = http.try_send(&Request::new("GET", DIRECTORY));
            answer.is_ok_and(|answer| answer.status == 200).then_some(true)
        })
    }

    /// Ends it as a power failure would, but for the disk: SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it can be killed");
            child.wait().expect("it has ended");
        }
    }

    /// Asks it to end (SIGTERM), and waits until it has. Answers whether it says that all went well.
    #[must_use]
    pub fn stop(&mut self) -> bool {
        self.ask_to_stop();
        let mut child = self.child.take().expect("a process");
        let status = eventually("acmed stops", START, || child.try_wait().expect("its state"));
        status.success()
    }

    /// Starts it again, on the same data and the same port.
    pub fn restart(&mut self) {
        self.kill();
        self.spawn();
        assert!(self.wait_until_it_answers(), "acmed does not start again:\n{}", self.log());
    }

    /// Runs another command of acmed's on the data of this server, and answers what it prints.
    ///
    /// # Panics
    ///
    /// If the command fails.
    #[must_use]
    pub fn beside(&self, arguments: &[&str]) -> String {
        let output = self.run_beside(arguments);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "acmed {}: {complaint}", arguments.join(" "));
        String::from_utf8(output.stdout).expect("text")
    }

    /// The same, however the command ends.
    #[must_use]
    pub fn run_beside(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("acmed can be run")
    }

    /// Another command of acmed's on the data of this server.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).arg("--data-dir").arg(self.data()).args(["--base-url", &self.base_url]);
        let config = self.path("acmed.toml");
        if config.exists() {
            command.arg("--config").arg(config);
        }
        command
    }

    /// Changes its configuration, for the next start.
    ///
    /// # Panics
    ///
    /// If it has none.
    pub fn configure(&self, change: impl FnOnce(String) -> String) {
        let config = self.path("acmed.toml");
        let text = fs::read_to_string(&config).expect("a configuration");
        fs::write(config, change(text)).expect("the configuration can be written");
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("a process").id()
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().is_ok_and(|status| status.is_none()))
    }

    /// How much memory it has, in bytes.
    #[must_use]
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() * 1024
    }

    /// The transport to it.
    #[must_use]
    pub fn http(&self) -> Http {
        match &self.known_as {
            Some(url) => Http::replica(url, &self.listen),
            None if self.tls => Http::tls(&self.base_url, &self.root()),
            None => Http::plain(&self.base_url),
        }
    }

    /// The root certificate of its CA, as it keeps it.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.data().join("ca/root.pem")
    }

    /// A client of it.
    #[must_use]
    pub fn client(&self) -> Arc<Client> {
        Client::new(self.http())
    }

    /// Where it listens: address and port.
    #[must_use]
    pub fn listen(&self) -> &str {
        &self.listen
    }

    /// Asks it to end (SIGTERM).
    ///
    /// # Panics
    ///
    /// If it does not run.
    pub fn ask_to_stop(&self) {
        let asked = Command::new("kill").args(["-TERM", &self.pid().to_string()]).status();
        assert!(asked.expect("kill can be run").success());
    }

    /// The base URL.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Its data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// Its database.
    #[must_use]
    pub fn database(&self) -> Database {
        Database::open(&self.data().join("acmed.db"))
    }

    /// A file in the directory that it runs in.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The root certificates that it serves, in a file.
    #[must_use]
    pub fn roots(&self) -> PathBuf {
        let path = self.path("roots.pem");
        fs::write(&path, self.http().get("/ca/root.pem").expect(200).body).expect("a file can be written");
        path
    }

    /// What it has logged, over all its starts.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("stderr")).unwrap_or_default()
    }

    /// What it has printed.
    #[must_use]
    pub fn stdout(&self) -> String {
        fs::read_to_string(self.path("stdout")).unwrap_or_default()
    }

    fn append(&self, name: &str) -> File {
        OpenOptions::new().create(true).append(true).open(self.path(name)).expect("a file can be opened")
    }
}

impl Drop for Acmed {
    fn drop(&mut self) {
        self.kill();
        let log = self.log();
        let tail: Vec<_> = log.lines().rev().take(40).collect();
        let tail = tail.into_iter().rev().collect::<Vec<_>>().join("\n");
        if std::thread::panicking() {
            eprintln!("the end of acmed's log:\n{tail}");
        } else {
            assert!(!log.contains("panicked at"), "acmed has panicked:\n{log}");
        }
    }
}

/// A port of the loopback that nobody listened on a moment ago.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// The program: `ACMED_BIN`, or the one in the target directory that this test was built into. `scripts/test` builds
/// it beforehand; where nobody has, it is built now.
pub(crate) fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match env::var_os("ACMED_BIN") {
        Some(path) => path.into(),
        None => program("acmed"),
    })
}

/// One of this repository's programs.
///
/// # Panics
///
/// If it is not there and cannot be built.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let test = env::current_exe().expect("the path of this test");
    let profile = test.ancestors().nth(2).expect("the target directory");
    let path = profile.join(name);
    if !path.exists() {
        let mut build = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        build.args(["build", "-p", name]).current_dir(env!("CARGO_MANIFEST_DIR"));
        if profile.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().expect("cargo can be run").success(), "{name} cannot be built");
    }
    path
}
