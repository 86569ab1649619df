//! How far a copy is: a bar on a terminal, lines elsewhere.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal, Write},
};

use coyote_server::{
    Clock, SystemClock,
    protocol::Timestamp,
    storage::{RecordKind, archive::Copied},
};

use crate::output::complain;

/// How wide a bar is.
const WIDTH: u64 = 30;

/// The least time between two states of a bar, in milliseconds.
const PACE: u128 = 100;

/// What is shown of one copy.
pub(super) struct Progress {
    copy: u32,
    expected: BTreeMap<RecordKind, u64>,
    current: Option<Copied>,
    shown: Option<Timestamp>,
    is_terminal: bool,
    is_quiet: bool,
}

impl Progress {
    /// Of the copy with this number.
    pub(super) fn new(copy: u32, is_quiet: bool) -> Self {
        let is_terminal = io::stderr().is_terminal() && !is_quiet;
        Self { copy, expected: BTreeMap::new(), current: None, shown: None, is_terminal, is_quiet }
    }

    /// So many records of a kind are to be copied.
    pub(super) fn expect(&mut self, kind: RecordKind, records: u64) {
        self.expected.insert(kind, records);
    }

    /// So far it is.
    pub(super) fn show(&mut self, copied: &Copied) {
        if self.current.is_some_and(|current| current.kind != copied.kind) {
            self.end();
        }
        self.current = Some(*copied);
        let now = SystemClock.now();
        let is_due = self.shown.is_none_or(|shown| now.since(shown).as_millis() >= PACE);
        if self.is_terminal && is_due {
            self.shown = Some(now);
            write!(io::stderr().lock(), "\r{}", bar(copied, self.expected_of(copied.kind))).ok();
        }
    }

    /// The kind that was copied is done.
    pub(super) fn end(&mut self) {
        let Some(done) = self.current.take() else { return };
        if self.is_terminal {
            write!(io::stderr().lock(), "\r{}\n", bar(&done, self.expected_of(done.kind))).ok();
        } else if !self.is_quiet {
            complain(&format!("acmed: copy {}: {}", self.copy, line(&done)));
        }
        self.shown = None;
    }

    fn expected_of(&self, kind: RecordKind) -> u64 {
        self.expected.get(&kind).copied().unwrap_or_default()
    }
}

fn bar(copied: &Copied, expected: u64) -> String {
    let expected = expected.max(copied.records).max(1);
    let done = copied.records.max(u64::from(copied.records == 0) * expected);
    let full = (done * WIDTH / expected) as usize;
    let empty = WIDTH as usize - full;
    format!("{:>21} [{}{}] {}", copied.kind.plural(), "#".repeat(full), " ".repeat(empty), counts(copied))
}

fn line(copied: &Copied) -> String {
    format!("{}: {}", copied.kind.plural(), counts(copied))
}

fn counts(Copied { records, stored, removed, waiting, .. }: &Copied) -> String {
    let mut counts = format!("{records} compared, {stored} stored");
    for (number, what) in [(removed, "removed"), (waiting, "left for the next copy")] {
        if *number > 0 {
            counts.push_str(&format!(", {number} {what}"));
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copied(records: u64, stored: u64) -> Copied {
        Copied { kind: RecordKind::Order, records, stored, removed: 0, waiting: 0 }
    }

    #[test]
    fn a_bar_is_as_full_as_records_are_compared_and_never_fuller() {
        let bars = [(10, 30), (30, 30), (40, 30), (0, 0)].map(|(done, of)| bar(&copied(done, 1), of));
        let full = bars.each_ref().map(|bar| bar.matches('#').count());
        assert_eq!(full, [10, 30, 30, 30]);
        assert!(bars.iter().all(|bar| bar.contains("orders [") && bar.ends_with(" compared, 1 stored")));
    }
}
