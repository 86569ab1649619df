//! What is promised, and how a test says that it cannot be asked.

use std::panic::resume_unwind;

use crate::server::Server;

/// A sentence of a standard that concerns a server, and the test of it.
pub(crate) struct Promise {
    /// The section of RFC 8555, or the document of an extension.
    pub(crate) section: &'static str,
    pub(crate) level: Level,
    /// The sentence, as something that holds.
    pub(crate) text: &'static str,
    /// Panics if it does not hold.
    pub(crate) test: fn(&Server),
}

/// How binding a sentence is. What the RFC states as a fact about a server ("the server responds with…") binds as a
/// MUST does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Must,
    Should,
}

impl Level {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
        }
    }
}

pub(crate) const fn must(section: &'static str, text: &'static str, test: fn(&Server)) -> Promise {
    Promise { section, level: Level::Must, text, test }
}

pub(crate) const fn should(section: &'static str, text: &'static str, test: fn(&Server)) -> Promise {
    Promise { section, level: Level::Should, text, test }
}

/// Why something cannot be asked of this server.
pub(crate) struct NotApplicable(pub(crate) String);

/// Ends a test that cannot be made with this server.
pub(crate) fn not_applicable(reason: impl Into<String>) -> ! {
    resume_unwind(Box::new(NotApplicable(reason.into())))
}
