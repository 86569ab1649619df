//! A web server that other people wrote.

use std::{
    fs,
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use crate::eventually;

/// A running `nginx` that serves the files of a directory below `/.well-known/acme-challenge/`, and nothing else. It ends
/// with this value.
pub struct Nginx {
    _directory: TempDir,
    child: Child,
}

impl Nginx {
    /// One on this port of the loopback.
    ///
    /// # Panics
    ///
    /// If it does not start.
    #[must_use]
    pub fn serve(files: &Path, port: u16) -> Self {
        let directory = tempfile::Builder::new().prefix("nginx-").tempdir().expect("a temporary directory");
        let (path, files) = (directory.path().display().to_string(), files.display());
        // Its workers would give up being root, and could not read the files of the test any more.
        let user = if fs::metadata("/proc/self").is_ok_and(|own| is_root(&own)) { "user root;" } else { "" };
        let places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("  {kind}_temp_path {path}/{kind};\n"))
            .concat();
        let config = format!(
            "daemon off;\n{user}\nworker_processes 1;\npid {path}/pid;\nerror_log {path}/error.log;\n\
             events {{ worker_connections 256; }}\n\
             http {{\n{places}  access_log off;\n  server {{\n    listen 127.0.0.1:{port};\n\
             \x20   location /.well-known/acme-challenge/ {{ alias {files}/; }}\n\
             \x20   location / {{ return 404; }}\n  }}\n}}\n"
        );
        let file = directory.path().join("nginx.conf");
        fs::write(&file, config).expect("a configuration can be written");
        let log = fs::File::create(directory.path().join("log")).expect("a log can be written");
        let mut command = Command::new("nginx");
        command.arg("-c").arg(&file).arg("-e").arg(directory.path().join("error.log"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().expect("nginx can be run");
        let nginx = Self { _directory: directory, child };
        eventually("nginx answers", Duration::from_secs(20), || {
            TcpStream::connect(("127.0.0.1", port)).ok().map(drop)
        });
        nginx
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM, so that its workers end as well.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

fn is_root(own: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    own.uid() == 0
}
