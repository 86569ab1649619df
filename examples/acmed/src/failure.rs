//! What the user is told when something cannot be done: one line, with what to do.

use std::{error::Error, fmt};

/// Why acmed did not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(line: impl Into<String>) -> Self {
        Self(line.into())
    }

    /// Says what could not be done, then the error and all that is behind it.
    pub(crate) fn because<E: Error>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        let mut line = what.into();
        move |error| {
            let mut next: Option<&dyn Error> = Some(&error);
            while let Some(error) = next {
                line.push_str(": ");
                line.push_str(&error.to_string());
                next = error.source();
            }
            Self(line)
        }
    }

    /// The same, with what to do.
    pub(crate) fn hint(self, hint: &str) -> Self {
        Self(format!("{}; {hint}", self.0))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An error of a library may have more than one line.
        let mut lines = self.0.lines().map(str::trim).filter(|line| !line.is_empty());
        f.write_str(lines.next().unwrap_or_default())?;
        lines.try_for_each(|line| write!(f, " {line}"))
    }
}
