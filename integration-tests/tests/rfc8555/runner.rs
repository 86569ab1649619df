//! Runs promises one after the other, and counts by section.

use std::{
    any::Any,
    cell::RefCell,
    panic::{self, AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use integration_tests::Request;

use crate::{
    SECTIONS,
    promise::{NotApplicable, Promise},
    server::Server,
};

/// What came of a promise.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Kept,
    /// It was not, and how that showed.
    Broken(String),
    /// It could not be asked, and why.
    NotApplicable(String),
}

/// What came of all of them, in their order.
pub(crate) struct Report {
    pub(crate) outcomes: Vec<(&'static Promise, Outcome)>,
}

/// How many promises of a section were kept, broken and not applicable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) kept: usize,
    pub(crate) broken: usize,
    pub(crate) not_applicable: usize,
}

thread_local! {
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs these promises with a server.
///
/// # Panics
///
/// If the server does not answer any more.
pub(crate) fn run(server: &Server, promises: &[&'static Promise]) -> Report {
    let before = panic::take_hook();
    panic::set_hook(Box::new(|panic| PANIC.with(|last| *last.borrow_mut() = Some(panic.to_string()))));
    let mut outcomes = Vec::new();
    let mut lost = false;
    for &promise in promises {
        let started = Instant::now();
        let outcome = try_promise(server, promise);
        if std::env::var_os("COYOTE_SUITE_VERBOSE").is_some() {
            eprintln!("{:>6} ms  {}  {}", started.elapsed().as_millis(), promise.section, promise.text);
        }
        lost = matches!(outcome, Outcome::Broken(_)) && !answers(server);
        outcomes.push((promise, outcome));
        if lost {
            break;
        }
    }
    panic::set_hook(before);
    if lost {
        let last = outcomes.last().map(|(promise, _)| promise.text).unwrap_or_default();
        panic!("the server does not answer any more, after: {last}");
    }
    Report { outcomes }
}

fn try_promise(server: &Server, promise: &Promise) -> Outcome {
    match catch_unwind(AssertUnwindSafe(|| (promise.test)(server))) {
        Ok(()) => Outcome::Kept,
        Err(panic) => match panic.downcast::<NotApplicable>() {
            Ok(reason) => Outcome::NotApplicable(reason.0),
            Err(panic) => Outcome::Broken(reason(&*panic)),
        },
    }
}

/// What the panic said, with the place in the source.
fn reason(panic: &(dyn Any + Send)) -> String {
    let text = || {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked").to_owned()
    };
    PANIC.with(|last| last.borrow_mut().take()).unwrap_or_else(text)
}

fn answers(server: &Server) -> bool {
    let http = &server.client.http;
    let answer = http.try_send(&Request::new("GET", &http.target(&server.client.directory_url)));
    answer.is_ok_and(|answer| answer.status == 200)
}

impl Report {
    /// What came of the promises of a section.
    pub(crate) fn counts(&self, section: &str) -> Counts {
        self.count(|promise| promise.section == section)
    }

    /// What came of all promises.
    pub(crate) fn total(&self) -> Counts {
        self.count(|_| true)
    }

    fn count(&self, which: impl Fn(&Promise) -> bool) -> Counts {
        let mut counts = Counts::default();
        for (_, outcome) in self.outcomes.iter().filter(|(promise, _)| which(promise)) {
            match outcome {
                Outcome::Kept => counts.kept += 1,
                Outcome::Broken(_) => counts.broken += 1,
                Outcome::NotApplicable(_) => counts.not_applicable += 1,
            }
        }
        counts
    }

    /// The promises that were broken.
    pub(crate) fn broken(&self) -> impl Iterator<Item = (&'static Promise, &str)> {
        self.outcomes.iter().filter_map(|(promise, outcome)| match outcome {
            Outcome::Broken(reason) => Some((*promise, &**reason)),
            _ => None,
        })
    }

    /// Prints the counts, and after them what was not kept or not asked, and why. What was known before (`known` has a
    /// reason for it) is said in a line.
    pub(crate) fn print(&self, server: &str, known: impl Fn(&Promise) -> Option<&'static str>) {
        println!("\n{server}\n\n{:<10}{:<40}{:>7}{:>8}{:>6}", "section", "about", "passed", "failed", "n.a.");
        let line = |section: &str, about: &str, counts: Counts| {
            let Counts { kept, broken, not_applicable } = counts;
            println!("{section:<10}{about:<40}{kept:>7}{broken:>8}{not_applicable:>6}");
        };
        for (section, about) in SECTIONS {
            let counts = self.counts(section);
            if counts != Counts::default() {
                line(section, about, counts);
            }
        }
        line("all", "", self.total());
        println!();
        for (promise, outcome) in &self.outcomes {
            let Promise { section, level, text, .. } = promise;
            match outcome {
                Outcome::Kept => {}
                Outcome::Broken(_) if known(promise).is_some() => {
                    let reason = known(promise).unwrap_or_default();
                    println!("differs {section}, {}: {text}\n        {reason}", level.word());
                }
                Outcome::Broken(reason) => {
                    println!("FAILED  {section}, {}: {text}\n        {}", level.word(), shortened(reason));
                }
                Outcome::NotApplicable(reason) => {
                    println!("n.a.    {section}, {}: {text}\n        {reason}", level.word());
                }
            }
        }
    }
}

fn shortened(text: &str) -> String {
    const MOST: usize = 1500;
    let text = text.replace('\n', "\n        ");
    if text.len() <= MOST { text } else { text.chars().take(MOST).collect::<String>() + "…" }
}
