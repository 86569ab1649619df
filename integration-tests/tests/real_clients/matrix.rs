//! Which client can do what, and whether it could.

use std::{
    any::Any,
    collections::BTreeMap,
    env,
    panic::{self, AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use crate::place;

/// Clients that run at the same time. They wait more than they work.
const AT_ONCE: usize = 4;

macro_rules! features {
    ($($feature:ident $text:literal,)+) => {
        /// What a client can do with a server.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Feature { $(#[doc = $text] $feature,)+ }

        impl Feature {
            const ALL: &[Self] = &[$(Self::$feature,)+];

            fn name(self) -> &'static str {
                match self { $(Self::$feature => $text,)+ }
            }
        }
    };
}

features! {
    Http01 "http-01",
    TlsAlpn01 "tls-alpn-01",
    Wildcard "dns-01, wildcard",
    Address "IP address",
    Renew "renew",
    Revoke "revoke",
    Rollover "new account key",
    Deactivate "deactivate account",
    ExternalAccount "EAB",
    Profile "profile",
    RenewalInfo "ARI",
}

/// A client, and its part of the matrix.
pub struct Client {
    /// What it is called.
    pub name: &'static str,
    /// The commands that must be there.
    pub needs: &'static [&'static str],
    /// What it cannot do, with the reason. Everything else must be among its steps.
    pub cannot: &'static [(&'static str, &'static [Feature])],
    /// Runs its steps.
    pub run: fn(&Report),
}

#[derive(Clone, Debug)]
enum Outcome {
    Passed,
    NotApplicable(&'static str),
    Failed(String),
}

impl Outcome {
    fn word(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::NotApplicable(_) => "n.a.",
            Self::Failed(_) => "FAILED",
        }
    }
}

/// Where the steps of a client are noted down.
pub struct Report {
    outcomes: Mutex<BTreeMap<Feature, Outcome>>,
}

impl Report {
    /// Runs a step that shows a feature. A step that panics has failed; the others are run all the same. What several
    /// steps show, all of them must.
    pub fn step(&self, feature: Feature, step: impl FnOnce()) {
        let outcome = match catch_unwind(AssertUnwindSafe(step)) {
            Ok(()) => Outcome::Passed,
            Err(panic) => Outcome::Failed(reason(&*panic)),
        };
        let mut outcomes = self.outcomes.lock().unwrap();
        if !matches!(outcomes.get(&feature), Some(Outcome::Failed(_))) {
            outcomes.insert(feature, outcome);
        }
    }
}

fn reason(panic: &(dyn Any + Send)) -> String {
    let text =
        panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked").to_owned()
}

impl Client {
    /// Runs it; `None` if it is not on this machine, and need not be.
    fn outcomes(&self) -> Option<BTreeMap<Feature, Outcome>> {
        let report = Report { outcomes: Mutex::default() };
        let whole = catch_unwind(AssertUnwindSafe(|| {
            let here = self.needs.iter().all(|program| !missing(program));
            if here {
                (self.run)(&report);
            }
            here
        }));
        let broken = match whole {
            Ok(false) => return None,
            Ok(true) => "no step shows it".to_owned(),
            Err(panic) => reason(&*panic),
        };
        let mut outcomes = report.outcomes.into_inner().unwrap();
        for (reason, features) in self.cannot {
            for feature in *features {
                let shown = outcomes.insert(*feature, Outcome::NotApplicable(reason));
                assert!(shown.is_none(), "{}: a step shows that it can do this: {feature:?}", self.name);
            }
        }
        for feature in Feature::ALL {
            outcomes.entry(*feature).or_insert_with(|| Outcome::Failed(broken.clone()));
        }
        Some(outcomes)
    }
}

/// Whether a program, or a file of [tools](place::tools), is not there: see [`integration_tests::missing`].
fn missing(program: &str) -> bool {
    if !program.contains('/') {
        return integration_tests::missing(program);
    }
    let missing = !place::tools().join(program).exists();
    assert!(!missing || env::var("CI").as_deref() != Ok("true"), "MISSING: {program}");
    missing
}

/// Runs the clients, prints the matrix, and answers whether nothing has failed.
pub fn run(clients: &[&Client]) -> bool {
    // The backtrace to a client that says no is of no use.
    panic::set_hook(Box::new(|info| {
        let name = thread::current().name().unwrap_or_default().to_owned();
        eprintln!("{name}: FAILED: {info}");
    }));
    let next = AtomicUsize::new(0);
    let rows = Mutex::new(BTreeMap::new());
    let work = || {
        while let Some((at, client)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, clients.get(at)?)))
        {
            let started = Instant::now();
            // A thread of its own, so that panics bear the client's name.
            let outcomes = thread::scope(|scope| {
                let run =
                    thread::Builder::new().name(client.name.into()).spawn_scoped(scope, || client.outcomes());
                run.expect("a thread").join().expect("panics were caught")
            });
            println!("{}: {:.1} s", client.name, started.elapsed().as_secs_f32());
            rows.lock().unwrap().insert(at, (client.name, outcomes));
        }
    };
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(work);
        }
    });
    print(&rows.into_inner().unwrap().into_values().collect::<Vec<_>>())
}

/// Prints the matrix, and why things are as they are. Answers whether nothing has failed.
fn print(rows: &[(&str, Option<BTreeMap<Feature, Outcome>>)]) -> bool {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let line = |name: &str, cells: &dyn Fn(Feature) -> &'static str| {
        let cell =
            |feature: &Feature| format!("{:1$}", cells(*feature), feature.name().len().max("passed".len()));
        println!("{name:width$} | {}", Feature::ALL.iter().map(cell).collect::<Vec<_>>().join(" | "));
    };
    println!();
    line("", &Feature::name);
    for (name, outcomes) in rows {
        match outcomes {
            Some(outcomes) => line(name, &|feature| outcomes[&feature].word()),
            None => println!("{name:width$} | SKIPPED: it is not on this machine"),
        }
    }
    println!();
    let all =
        || rows.iter().flat_map(|(name, outcomes)| outcomes.iter().map(move |outcomes| (name, outcomes)));
    for (name, outcomes) in all() {
        notes(outcomes).iter().for_each(|note| println!("{name}, {note}"));
    }
    !all().flat_map(|(_, outcomes)| outcomes.values()).any(|outcome| matches!(outcome, Outcome::Failed(_)))
}

/// Why there is something else than success: each reason once, with the features that it is one for.
fn notes(outcomes: &BTreeMap<Feature, Outcome>) -> Vec<String> {
    let mut features = BTreeMap::<_, Vec<_>>::new();
    for (feature, outcome) in outcomes {
        let reason = match outcome {
            Outcome::Passed => continue,
            Outcome::NotApplicable(reason) => (*reason).to_owned(),
            Outcome::Failed(reason) => beginning(reason),
        };
        features.entry((outcome.word(), reason)).or_default().push(feature.name());
    }
    let note = |((word, reason), features): ((&str, String), Vec<&str>)| {
        format!("{}: {word}: {reason}", features.join(", "))
    };
    features.into_iter().map(note).collect()
}

/// The whole was printed when it happened.
fn beginning(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("; ").chars().take(300).collect()
}
