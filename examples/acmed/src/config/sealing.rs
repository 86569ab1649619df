//! `[sealing]`: where the keys are that what is secret is sealed under.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use coyote_server::storage::sealing::{KeyRing, Sealing};

use super::section::section;
use crate::failure::Failure;

section! {
    /// Sealing: contacts, CSRs, certificates, and keys are encrypted in the database, so that a copy of it shows none of
    /// them. Once a key is set here the server does not start without it: lose it, and they are lost.
    SealingSection {
        /// The file with the keys, for the server's eyes only, and not to be copied where the database is copied. A key a
        /// line, the current one last: `acmed sealing new-key --append FILE` adds one. Older ones stay until
        /// `acmed sealing status` says that nothing is under them any more.
        keys: Option<PathBuf> = None, as in "\"sealing.keys\"";
        /// Or a command that prints such a file: a program and its arguments, run at each start, without a shell.
        command: Option<Vec<String>> = None, as in "[\"/usr/local/bin/print-sealing-keys\"]";
    }
}

impl SealingSection {
    pub(super) fn below(self, directory: &Path) -> Self {
        Self { keys: self.keys.map(|path| directory.join(path)), ..self }
    }

    /// Refuses what cannot be meant, without running a command.
    pub(super) fn check(&self) -> Result<(), Failure> {
        match (&self.keys, &self.command) {
            (Some(_), Some(_)) => Err(Failure::new(
                "[sealing] names both a file of keys and a command that prints them; remove one",
            )),
            (Some(path), None) => read(path).map(|_| ()),
            (None, Some(command)) if command.is_empty() => {
                Err(Failure::new("the command in [sealing] is empty; write its program and arguments"))
            }
            (None, _) => Ok(()),
        }
    }

    /// How cells are sealed. It reads the file, or runs the command.
    pub(crate) fn sealing(&self) -> Result<Sealing, Failure> {
        self.check()?;
        match (&self.keys, &self.command) {
            (Some(path), _) => Ok(Sealing::with(read(path)?)),
            (None, Some(command)) => Ok(Sealing::with(ask(command)?)),
            (None, None) => Ok(Sealing::none()),
        }
    }
}

fn read(path: &Path) -> Result<KeyRing, Failure> {
    let place = path.display();
    let text = fs::read_to_string(path).map_err(|error| {
        Failure::because(format!("the sealing keys in {place} cannot be read"))(error)
            .hint("`acmed sealing new-key --append FILE` makes the first")
    })?;
    warn_of_readers(path);
    text.parse().map_err(Failure::because(format!("the sealing keys in {place} are not understood")))
}

fn ask(command: &[String]) -> Result<KeyRing, Failure> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(Failure::new("the command in [sealing] is empty"));
    };
    let mut process = Command::new(program);
    let process = process.args(arguments).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = process
        .output()
        .map_err(Failure::because(format!("{program}, which prints the sealing keys, cannot be run")))?;
    if !output.status.success() {
        return Err(Failure::new(format!(
            "{program}, which prints the sealing keys, failed: {}",
            output.status
        )));
    }
    let printed = String::from_utf8(output.stdout)
        .map_err(|_| Failure::new(format!("what {program} prints as sealing keys is not text")))?;
    printed
        .parse()
        .map_err(Failure::because(format!("what {program} prints as sealing keys is not understood")))
}

#[cfg(unix)]
fn warn_of_readers(path: &Path) {
    use std::os::unix::fs::PermissionsExt;

    if fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0) {
        let path = path.display();
        tracing::warn!("others may read the sealing keys in {path}; chmod 600 {path} keeps them out");
    }
}

#[cfg(not(unix))]
fn warn_of_readers(_: &Path) {}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(words: &[&str]) -> SealingSection {
        SealingSection { command: Some(words.iter().map(|word| (*word).to_owned()).collect()), keys: None }
    }

    #[test]
    fn keys_come_from_a_file_or_from_what_a_command_prints() {
        let directory = tempfile::tempdir().unwrap();
        let key = "0f".repeat(32);
        fs::write(directory.path().join("keys"), format!("{key} ours\n")).unwrap();
        let file = SealingSection { keys: Some("keys".into()), command: None }.below(directory.path());
        let id = |section: &SealingSection| section.sealing().unwrap().ring().unwrap().current().id();
        assert_eq!(id(&file), id(&command(&["echo", &key])));
        assert!(SealingSection::default().sealing().unwrap().ring().is_none());
    }

    #[test]
    fn keys_that_cannot_be_had_are_refused_and_not_shown() {
        let key = "0f".repeat(32) + "0";
        let both = SealingSection { keys: Some("keys".into()), ..command(&["echo"]) };
        let missing = SealingSection { keys: Some("/nowhere/keys".into()), command: None };
        for (section, told) in [
            (both, "both"),
            (missing, "/nowhere/keys cannot be read"),
            (command(&[]), "empty"),
            (command(&["/nowhere/program"]), "/nowhere/program"),
            (command(&["false"]), "failed"),
            (command(&["true"]), "no key"),
            (command(&["echo", &key]), "line 1"),
        ] {
            let failure = section.sealing().unwrap_err().to_string();
            assert!(failure.contains(told) && !failure.contains("0f0f"), "{failure}");
        }
    }
}
