//! Results go to stdout, complaints to stderr.

use std::io::{self, ErrorKind, Write};

use crate::failure::Failure;

/// Writes a result. That nobody reads it any more is no failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::because("the result could not be written")(error))
        }
        _ => Ok(()),
    }
}

/// Writes a result as JSON.
pub(crate) fn print_json(result: &impl serde::Serialize) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(result);
    print(&(json.map_err(Failure::because("the result could not be written"))? + "\n"))
}

/// Writes a line to the user. If that fails there is nobody to tell.
pub(crate) fn complain(line: &str) {
    writeln!(io::stderr().lock(), "{line}").ok();
}

/// Writes what must not be overlooked.
pub(crate) fn warn_loudly(lines: &[&str]) {
    let bar = "!".repeat(80);
    complain(&format!("{bar}\n!! {}\n{bar}", lines.join("\n!! ")));
}

/// As one word to a shell.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+=:,@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_to_a_shell() {
        assert_eq!(quoted("/home/me/acmed-data"), "/home/me/acmed-data");
        assert_eq!(quoted("/home/my files"), "'/home/my files'");
        assert_eq!(quoted("it's; $HOME"), r"'it'\''s; $HOME'");
    }
}
