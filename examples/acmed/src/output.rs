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

/// Writes a line to the user. If that fails there is nobody to tell.
pub(crate) fn complain(line: &str) {
    writeln!(io::stderr().lock(), "{line}").ok();
}

/// Writes what must not be overlooked.
pub(crate) fn warn_loudly(lines: &[&str]) {
    let bar = "!".repeat(80);
    complain(&format!("{bar}\n!! {}\n{bar}", lines.join("\n!! ")));
}
