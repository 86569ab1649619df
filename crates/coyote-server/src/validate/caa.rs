//! CAA: which CAs may issue for a name, as whoever holds it says in DNS. RFC 8659, RFC 8657.
//!
//! The records that count are those of the name itself, or else of the closest name above it that has some. What
//! cannot be read and what cannot be looked up is never a permission.

use std::collections::{BTreeMap, BTreeSet};

use coyote_protocol::{ChallengeType, DnsName, Identifier, Problem, ProblemType, Subproblem};
use futures_util::{StreamExt, stream};

use super::told::no_lookup;
use super::{ResolveError, Resolver, ValidationFailure};
use crate::trace::{Excerpt, Trace, TraceEvent};

pub(super) mod property;

use property::{Issue, Unsatisfied};

/// Names that are asked for at the same time.
const AT_ONCE: usize = 16;

/// A CAA record. RFC 8659 section 4.1.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CaaRecord {
    /// Whether a CA that does not understand the tag must not issue.
    pub critical: bool,
    /// What it is about: `issue`, `issuewild`, `iodef` and others, in any case.
    pub tag: String,
    /// What it says, as it is in DNS.
    pub value: Vec<u8>,
}

impl CaaRecord {
    fn has_tag(&self, tag: &str) -> bool {
        self.tag.eq_ignore_ascii_case(tag)
    }
}

/// What is to be issued, as far as CAA records can tell it from something else.
#[derive(Clone, Debug)]
pub struct CaaSubject<'a> {
    /// The name; for an address there are no such records.
    pub identifier: &'a Identifier,
    /// The URL of the account that asks.
    pub account_url: &'a str,
    /// How control was proved.
    pub method: &'a ChallengeType,
}

/// Looks at CAA records, for a CA that goes by certain names in them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Caa {
    issuers: Vec<DnsName>,
}

impl Caa {
    /// For a CA that goes by these names. `None` if there are none: then no record could ever permit anything.
    pub fn new(issuers: impl IntoIterator<Item = DnsName>) -> Option<Self> {
        let issuers: Vec<_> = issuers.into_iter().collect();
        (!issuers.is_empty()).then_some(Self { issuers })
    }

    /// The names that the CA goes by.
    pub fn issuers(&self) -> &[DnsName] {
        &self.issuers
    }

    /// Whether CAA records permit all of this. Each name is asked for once, whatever number of subjects are at or
    /// below it; nothing is remembered for the next time.
    ///
    /// # Errors
    ///
    /// Definitive `caa`, with a subproblem for each name that is refused; else transient `dns` if there is one that
    /// cannot be looked up.
    pub async fn check(
        &self,
        subjects: &[CaaSubject<'_>],
        resolver: &dyn Resolver,
        trace: &Trace,
    ) -> Result<(), ValidationFailure> {
        let names = subjects.iter().filter_map(|subject| name(subject.identifier)).cloned();
        let answers = climb(names.collect(), resolver, trace).await;
        let (mut refused, mut unknown) = (Vec::new(), None);
        for subject in subjects {
            let Some(name) = name(subject.identifier) else { continue };
            match answers.relevant(name) {
                Relevant::Records(at, records) => {
                    if let Err(why) = self.judge(subject, at, records, trace) {
                        let detail = format!("the CAA records of {at} do not let this CA issue: {why}");
                        let part = Subproblem::new(ProblemType::Caa, detail);
                        refused.push(part.with_identifier(subject.identifier));
                    }
                }
                Relevant::Nothing => tell(trace, subject, None, "there are no records: any CA may issue"),
                Relevant::Unknown(at, error) => {
                    tell(trace, subject, Some(at), "it cannot be looked up: nobody may issue");
                    unknown = Some(no_lookup(&format!("the CAA records of {at}"), error));
                }
            }
        }
        match (refused.is_empty(), unknown) {
            (true, None) => Ok(()),
            (true, Some(failure)) => Err(failure),
            (false, _) => Err(ValidationFailure::Definitive(refusal(refused))),
        }
    }

    /// What the records say, also to the operator.
    fn judge(
        &self,
        subject: &CaaSubject<'_>,
        at: &DnsName,
        records: &[CaaRecord],
        trace: &Trace,
    ) -> Result<(), Unsatisfied> {
        let verdict = self.permits(subject, records);
        match &verdict {
            Ok(()) => tell(trace, subject, Some(at), "this CA may issue"),
            Err(why) => {
                tell(trace, subject, Some(at), &format!("this CA may not issue: {why}"));
                for record in records.iter().filter(|record| record.has_tag("iodef")) {
                    let to = String::from_utf8_lossy(&record.value);
                    let note = format!("{at} wants reports of this at {to}; none is sent");
                    trace.record(TraceEvent::note(note));
                }
            }
        }
        verdict
    }

    /// RFC 8659 section 4.
    fn permits(&self, subject: &CaaSubject<'_>, records: &[CaaRecord]) -> Result<(), Unsatisfied> {
        let known =
            |record: &CaaRecord| ["issue", "issuewild", "iodef"].iter().any(|tag| record.has_tag(tag));
        if records.iter().any(|record| record.critical && !known(record)) {
            return Err(Unsatisfied::NotUnderstood);
        }
        let is_wild =
            subject.identifier.is_wildcard() && records.iter().any(|record| record.has_tag("issuewild"));
        let tag = if is_wild { "issuewild" } else { "issue" };
        let mut verdict = Ok(());
        for record in records.iter().filter(|record| record.has_tag(tag)) {
            match self.satisfies(subject, &record.value) {
                Ok(()) => return Ok(()),
                // Of several, the one that comes closest to a permission is the one to tell of.
                Err(why) => verdict = Err(verdict.err().map_or(why, |other: Unsatisfied| other.max(why))),
            }
        }
        verdict
    }

    fn satisfies(&self, subject: &CaaSubject<'_>, value: &[u8]) -> Result<(), Unsatisfied> {
        let issue = Issue::parse(value).ok_or(Unsatisfied::Malformed)?;
        let is_ours = |name: &str| self.issuers.iter().any(|ours| ours.as_str().eq_ignore_ascii_case(name));
        if !issue.issuer.is_some_and(is_ours) {
            return Err(Unsatisfied::OtherIssuer);
        }
        issue.require_account(subject.account_url)?;
        issue.require_method(subject.method.as_str())
    }
}

/// The name whose records, or whose parents', count.
fn name(identifier: &Identifier) -> Option<&DnsName> {
    match identifier {
        Identifier::Dns(name) | Identifier::Wildcard(name) => Some(name),
        Identifier::Ip(_) => None,
    }
}

/// What DNS says about each name that was asked for: no records, or some, or nothing.
struct Answers(BTreeMap<DnsName, Result<Vec<CaaRecord>, ResolveError>>);

/// Asks for these names, then for the parents of those that have no records, and so on.
async fn climb(names: BTreeSet<DnsName>, resolver: &dyn Resolver, trace: &Trace) -> Answers {
    let mut answers = BTreeMap::new();
    let mut next = names;
    while !next.is_empty() {
        let questions: Vec<_> = next.into_iter().map(|name| ask(name, resolver, trace)).collect();
        let asked: Vec<_> = stream::iter(questions).buffer_unordered(AT_ONCE).collect().await;
        let empty = asked.iter().filter(|(_, answer)| answer.as_ref().is_ok_and(Vec::is_empty));
        let parents: Vec<_> = empty.filter_map(|(name, _)| name.parent()).collect();
        answers.extend(asked);
        next = parents.into_iter().filter(|parent| !answers.contains_key(parent)).collect();
    }
    Answers(answers)
}

async fn ask(
    name: DnsName,
    resolver: &dyn Resolver,
    trace: &Trace,
) -> (DnsName, Result<Vec<CaaRecord>, ResolveError>) {
    let answer = match resolver.caa(&name, trace).await {
        Err(ResolveError::NoRecords | ResolveError::NoSuchName) => Ok(Vec::new()),
        other => other,
    };
    (name, answer)
}

/// The relevant records of a name. RFC 8659 section 3.
enum Relevant<'a> {
    /// These, of this name.
    Records(&'a DnsName, &'a [CaaRecord]),
    /// None, up to the top.
    Nothing,
    /// They cannot be known, because this name's are not.
    Unknown(&'a DnsName, &'a ResolveError),
}

impl Answers {
    fn relevant(&self, name: &DnsName) -> Relevant<'_> {
        let mut next = Some(name.clone());
        while let Some(name) = next {
            match self.0.get_key_value(&name) {
                Some((_, Ok(records))) if records.is_empty() => next = name.parent(),
                Some((at, Ok(records))) => return Relevant::Records(at, records),
                Some((at, Err(error))) => return Relevant::Unknown(at, error),
                None => return Relevant::Nothing,
            }
        }
        Relevant::Nothing
    }
}

fn tell(trace: &Trace, subject: &CaaSubject<'_>, at: Option<&DnsName>, says: &str) {
    let name = Excerpt::new(subject.identifier.to_string());
    let at = at.map(|at| Excerpt::new(at.as_str()));
    trace.record(TraceEvent::Caa { name, at, says: Excerpt::new(says) });
}

fn refusal(refused: Vec<Subproblem>) -> Problem {
    let detail = match refused.as_slice() {
        [only] => only.detail.clone(),
        several => format!("CAA records do not let this CA issue for {} of the names", several.len()),
    };
    Problem::of_subproblems(detail, refused)
}

#[cfg(test)]
mod tests;
