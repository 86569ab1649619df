//! Running other programs as somebody who is not root.

use std::{os::unix::fs::chown, path::Path, process::Command};

use crate::acmed::binary;

/// The user that `nobody` is on every system.
const NOBODY: u32 = 65534;

/// Somebody else than root.
#[derive(Clone, Copy, Debug)]
pub struct User(u32);

impl User {
    /// Somebody who is not root, if we are, and if such a user could run our programs. If we are not root, there is
    /// nobody else that we could be, nor need to.
    #[must_use]
    pub fn other_than_root() -> Option<Self> {
        let nobody = Self(NOBODY);
        let prefix = nobody.prefix();
        let (program, arguments) = prefix.split_first()?;
        let works = Command::new(program).args(arguments).arg("test").arg("-x").arg(binary()).status();
        works.is_ok_and(|status| status.success()).then_some(nobody)
    }

    /// What is put before a command, so that this user runs it.
    #[must_use]
    pub fn prefix(self) -> Vec<String> {
        let user = self.0;
        ["setpriv".into(), format!("--reuid={user}"), format!("--regid={user}"), "--clear-groups".into()]
            .into()
    }

    /// Makes a file or a directory the user's.
    ///
    /// # Panics
    ///
    /// If that is not permitted.
    pub fn give(self, path: &Path) {
        chown(path, Some(self.0), Some(self.0)).expect("root can give files away");
    }
}

/// Whether a program is missing on this machine. That is a failure where everything must be tested (`CI=true`), and
/// elsewhere is said so that it is heard.
///
/// # Panics
///
/// If it is missing and `CI=true`.
#[must_use]
pub fn missing(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    if found.is_ok_and(|output| output.status.success()) {
        return false;
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "MISSING: {program}");
    eprintln!("SKIPPED: there is no {program} on this machine");
    true
}
