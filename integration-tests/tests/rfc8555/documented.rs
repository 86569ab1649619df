//! `docs/suite.md` has the counts, and pebble's differences.

use std::{env, fmt::Write, fs, path::Path};

use crate::{
    SECTIONS,
    differences::DIFFERENCES,
    promise::Level,
    runner::{Counts, Report},
};

const BEGIN: &str = "<!-- written by the suite: COYOTE_SUITE_WRITE=1 scripts/suite -->\n";
const END: &str = "<!-- end -->";

/// Whether the documentation says what came out. With `COYOTE_SUITE_WRITE` set, it is made to.
pub(crate) fn is_up_to_date(acmed: &Report, pebble: &Report) -> bool {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/suite.md");
    let text = fs::read_to_string(&path).expect("docs/suite.md");
    let (head, rest) = text.split_once(BEGIN).expect("the beginning of the counts in docs/suite.md");
    let (_, tail) = rest.split_once(END).expect("the end of the counts in docs/suite.md");
    let wanted = format!("{head}{BEGIN}{}{END}{tail}", tables(acmed, pebble));
    if text == wanted {
        return true;
    }
    if env::var_os("COYOTE_SUITE_WRITE").is_some() {
        fs::write(&path, wanted).expect("docs/suite.md can be written");
        return true;
    }
    println!("docs/suite.md says otherwise; COYOTE_SUITE_WRITE=1 scripts/suite corrects it");
    false
}

fn tables(acmed: &Report, pebble: &Report) -> String {
    let mut text = String::from(
        "\n| section | about | MUST | SHOULD | acmed: passed | failed | n.a. | pebble: passed | failed | n.a. |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    let mut line = |section: &str, about: &str, levels: (usize, usize), (a, p): (Counts, Counts)| {
        let counts = [a.kept, a.broken, a.not_applicable, p.kept, p.broken, p.not_applicable];
        let counts: Vec<_> = counts.iter().map(usize::to_string).collect();
        let (musts, shoulds) = levels;
        let _ = writeln!(text, "| {section} | {about} | {musts} | {shoulds} | {} |", counts.join(" | "));
    };
    for (section, about) in SECTIONS {
        let counts = (acmed.counts(section), pebble.counts(section));
        line(section, about, levels(acmed, section), counts);
    }
    line("all", "", levels(acmed, ""), (acmed.total(), pebble.total()));
    text += "\n## What pebble does otherwise\n\n| section | promise | pebble |\n| --- | --- | --- |\n";
    for difference in DIFFERENCES {
        let section = pebble.broken().find(|(promise, _)| promise.text == difference.promise);
        let section = section.map(|(promise, _)| promise.section).unwrap_or_default();
        let _ = writeln!(text, "| {section} | {} | {} |", difference.promise, difference.reason);
    }
    text.push('\n');
    text
}

/// How many MUSTs and SHOULDs a section has; all have, if none is named.
fn levels(report: &Report, section: &str) -> (usize, usize) {
    let count = |level| {
        let is = |promise: &crate::Promise| {
            promise.level == level && (section.is_empty() || promise.section == section)
        };
        report.outcomes.iter().filter(|(promise, _)| is(promise)).count()
    };
    (count(Level::Must), count(Level::Should))
}
