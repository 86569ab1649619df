//! Looking from several places on the network.
//!
//! Whoever diverts the traffic near this server, or answers for its name servers, can prove anything to it. To those who
//! look from elsewhere, over other ways, the name is still what it is. So a proof that was seen from here counts once enough
//! [`Perspective`]s have seen it as well, each with its own resolver, and so does the permission of CAA records. What was
//! not seen from here is not asked for elsewhere.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use coyote_protocol::{ChallengeType, DnsName, Identifier, Problem, ProblemType, Token};
use coyote_storage::{BoxError, RequestId};
use futures_util::{StreamExt, stream::FuturesUnordered};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::ValidationFailure;
use crate::trace::{Excerpt, TimedEvent, Timeline, Trace, TraceEvent};

mod remote;
mod vantage;

pub use remote::{InvalidRemote, RemotePerspective, RemoteSettings, answer};
pub use vantage::Vantage;

/// Steps that are kept of all perspectives, and their length in bytes as JSON. Each has its part, so that none can push
/// out what others saw.
const MOST_STEPS: usize = 160;
const LONGEST_STEPS: usize = 40 * 1024;
/// Steps that one says it has left out, as far as that is believed.
const MOST_COUNTED: usize = 10_000;
/// Bytes of the steps that one sends.
const LONGEST_TIMELINE: usize = 16 * 1024;
/// How much longer than looking the way to a perspective and back may take.
const WAY: Duration = Duration::from_secs(1);
/// Characters of what a perspective says that a client is told.
const LONGEST_DETAIL: usize = 300;

/// A place on the network from which somebody else looks.
#[async_trait]
pub trait Perspective: Send + Sync + 'static {
    /// What it is called. No two have the same name.
    fn name(&self) -> &str;

    /// Where it is, for people. Default: nobody says.
    fn region(&self) -> Option<&str> {
        None
    }

    /// Whether it can look for answers to challenges of this type.
    fn offers(&self, kind: &ChallengeType) -> bool;

    /// Looks. The caller bounds the time that it may take.
    ///
    /// # Errors
    ///
    /// If it could not look. That counts as not having seen the same.
    async fn look(&self, task: &Task) -> Result<Evidence, BoxError>;
}

/// What is to be looked at.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Task {
    /// The attempt that it is a part of. It is random: no two attempts have the same task.
    pub request: RequestId,
    /// The challenge whose answer is to be looked for, if there is one.
    pub challenge: Option<ChallengeTask>,
    /// What CAA records are to permit, if they are looked at.
    pub caa: Option<CaaTask>,
}

/// A challenge, as an [`Attempt`](super::Attempt) has it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChallengeTask {
    /// The challenge type.
    pub kind: ChallengeType,
    /// The name to be proved; of a wildcard the name without `*.`.
    pub identifier: Identifier,
    /// Whether the proof is to cover all names one label below the identifier.
    pub wildcard: bool,
    /// The URL of the account that asks.
    pub account_url: String,
    /// The challenge's token.
    pub token: Token,
    /// The thumbprint of the account's key. RFC 7638.
    pub thumbprint: String,
}

/// What CAA records are to permit.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CaaTask {
    /// The names that the CA goes by.
    pub issuers: Vec<DnsName>,
    /// What it is to issue.
    pub subjects: Vec<CaaQuestion>,
}

/// A [`CaaSubject`](super::CaaSubject) that can be sent.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CaaQuestion {
    /// The name.
    pub identifier: Identifier,
    /// The URL of the account that asks.
    pub account_url: String,
    /// How control was proved.
    pub method: ChallengeType,
}

/// What a perspective has seen.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// What that comes to.
    pub seen: Seen,
    /// Step by step.
    pub timeline: Timeline,
}

/// What a perspective comes to.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Seen {
    /// All that was to be seen.
    Same,
    /// Something that is wrong.
    Wrong(Problem),
    /// Nothing, now.
    Nothing(Problem),
}

impl From<Result<(), ValidationFailure>> for Seen {
    fn from(result: Result<(), ValidationFailure>) -> Self {
        match result {
            Ok(()) => Self::Same,
            Err(ValidationFailure::Definitive(problem)) => Self::Wrong(problem),
            Err(ValidationFailure::Transient(problem)) => Self::Nothing(problem),
        }
    }
}

/// The other perspectives, and how many of them have to see what this server sees.
#[derive(Clone, Default)]
pub struct Perspectives {
    places: Vec<Arc<dyn Perspective>>,
    quorum: usize,
}

/// That many perspectives cannot be had.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a quorum of {quorum} is none of {places} perspectives: it is 1 to {places}")]
pub struct InvalidQuorum {
    /// How many were to see the same.
    pub quorum: usize,
    /// How many there are.
    pub places: usize,
}

impl Perspectives {
    /// These. Up to one all have to see the same; of two to five, all but one; of more, all but two: as the CA/Browser Forum's
    /// Baseline Requirements have it (section 3.2.2.9).
    pub fn new(places: impl IntoIterator<Item = Arc<dyn Perspective>>) -> Self {
        let places: Vec<_> = places.into_iter().collect();
        let quorum = match places.len() {
            few @ 0..=1 => few,
            several @ 2..=5 => several - 1,
            many => many - 2,
        };
        Self { places, quorum }
    }

    /// As many as this have to see the same.
    ///
    /// # Errors
    ///
    /// If it is none, or more than there are.
    pub fn with_quorum(self, quorum: usize) -> Result<Self, InvalidQuorum> {
        let places = self.places.len();
        if (1..=places).contains(&quorum) {
            Ok(Self { quorum, ..self })
        } else {
            Err(InvalidQuorum { quorum, places })
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// A name that two of them have.
    pub(crate) fn twice(&self) -> Option<&str> {
        let names = || self.places.iter().map(|place| place.name());
        names()
            .enumerate()
            .find(|(at, name)| names().skip(at + 1).any(|other| other == *name))
            .map(|(_, name)| name)
    }

    /// Whether there are none, so that what this server sees counts.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether enough others see what was seen from here. It ends as soon as that is known. One that does not answer in time
    /// has not seen it; it has `patience` for each of what it is asked, and a second for the way. A challenge type that none of them offers is looked at from here alone.
    ///
    /// # Errors
    ///
    /// Definitive if so many have seen something wrong that the rest cannot make up for it, else transient.
    pub(crate) async fn corroborate(
        &self,
        mut task: Task,
        patience: Duration,
        trace: &Trace,
    ) -> Result<(), ValidationFailure> {
        if self.is_empty() {
            return Ok(());
        }
        if let Some(challenge) = &task.challenge
            && !self.places.iter().any(|place| place.offers(&challenge.kind))
        {
            let alone =
                format!("no other perspective offers {}: it was looked at from here alone", challenge.kind);
            trace.record(TraceEvent::Quorum { says: Excerpt::new(alone) });
            task.challenge = None;
        }
        if task.challenge.is_none() && task.caa.is_none() {
            return Ok(());
        }
        let parts = u32::from(task.challenge.is_some()) + u32::from(task.caa.is_some());
        let patience = patience * parts + WAY;
        let mut looks: FuturesUnordered<_> =
            self.places.iter().map(|place| look(&**place, &task, patience)).collect();
        let mut count = Count { places: self.len(), quorum: self.quorum, same: 0, differing: Vec::new() };
        while !count.is_decided()
            && let Some((place, looked)) = looks.next().await
        {
            count.add(place, looked, trace);
        }
        drop(looks);
        count.verdict(trace)
    }
}

impl fmt::Debug for Perspectives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.places.iter().map(|place| place.name()).collect();
        f.debug_struct("Perspectives").field("places", &names).field("quorum", &self.quorum).finish()
    }
}

async fn look<'a>(
    place: &'a dyn Perspective,
    task: &Task,
    patience: Duration,
) -> (&'a dyn Perspective, Result<Evidence, BoxError>) {
    if let Some(challenge) = &task.challenge
        && !place.offers(&challenge.kind)
    {
        return (place, Err(format!("it does not offer {}", challenge.kind).into()));
    }
    let looked = timeout(patience, place.look(task)).await;
    (place, looked.unwrap_or_else(|_| Err("it did not answer in time".into())))
}

/// Who has seen what, so far.
struct Count {
    places: usize,
    quorum: usize,
    same: usize,
    /// What those who have not seen the same say; nothing, if they could not look.
    differing: Vec<Option<ValidationFailure>>,
}

impl Count {
    fn add(&mut self, place: &dyn Perspective, looked: Result<Evidence, BoxError>, trace: &Trace) {
        let name = Excerpt::new(match place.region() {
            Some(region) => format!("{} ({region})", place.name()),
            None => place.name().to_owned(),
        });
        let (says, differs) = match looked {
            Ok(Evidence { seen, timeline }) => {
                self.record_steps(place, timeline, trace);
                match seen {
                    Seen::Same => ("sees the same".to_owned(), None),
                    Seen::Wrong(problem) => (
                        format!("sees otherwise: {problem}"),
                        Some(Some(ValidationFailure::Definitive(problem))),
                    ),
                    Seen::Nothing(problem) => (
                        format!("sees nothing: {problem}"),
                        Some(Some(ValidationFailure::Transient(problem))),
                    ),
                }
            }
            Err(error) => (format!("could not look: {error}"), Some(None)),
        };
        trace.record(TraceEvent::Perspective { place: name, says: Excerpt::new(says) });
        match differs {
            None => self.same += 1,
            Some(what) => self.differing.push(what),
        }
    }

    fn record_steps(&self, place: &dyn Perspective, timeline: Timeline, trace: &Trace) {
        let (mut steps, mut room) = (MOST_STEPS / self.places, LONGEST_STEPS / self.places);
        trace.omit(timeline.dropped.min(MOST_COUNTED));
        // One that hands on what others say is no other perspective.
        let is_own = |step: &TimedEvent| !matches!(step.event, TraceEvent::Elsewhere { .. });
        for step in timeline.events.into_iter().filter(is_own).map(TimedEvent::bounded) {
            let length = serde_json::to_string(&step).map_or(usize::MAX, |json| json.len());
            if steps == 0 || length > room {
                trace.omit(1);
                continue;
            }
            (steps, room) = (steps - 1, room - length);
            let place = Excerpt::new(place.name());
            trace.record(TraceEvent::Elsewhere { place, seen: Box::new(step) });
        }
    }

    /// How many can be missed.
    fn spare(&self) -> usize {
        self.places - self.quorum
    }

    fn is_decided(&self) -> bool {
        self.same >= self.quorum || self.differing.len() > self.spare()
    }

    fn verdict(self, trace: &Trace) -> Result<(), ValidationFailure> {
        let Self { places, quorum, same, .. } = self;
        let holds = same >= quorum;
        let (differ, end) = (self.differing.len(), if holds { "it holds" } else { "it does not hold" });
        let says =
            format!("{same} of {places} others see the same, {differ} do not, {quorum} are needed: {end}");
        trace.record(TraceEvent::Quorum { says: Excerpt::new(says) });
        if holds { Ok(()) } else { Err(self.refusal()) }
    }

    /// What the client is told: in the words of the first that has seen something.
    fn refusal(self) -> ValidationFailure {
        let (differ, places, spare) = (self.differing.len(), self.places, self.spare());
        // The kind and the sentence, and nothing else that it may have sent.
        let told = |problem: &Problem| {
            let detail: String =
                problem.detail.chars().filter(|c| is_harmless(*c)).take(LONGEST_DETAIL).collect();
            let detail =
                format!("{differ} of {places} other perspectives do not see what this server sees: {detail}");
            Problem::new(kind_of_validation(problem.kind), detail)
        };
        let wrong = |failure: &&ValidationFailure| matches!(failure, ValidationFailure::Definitive(_));
        let seen: Vec<_> = self.differing.iter().flatten().collect();
        let definitive: Vec<_> = seen.iter().copied().filter(wrong).collect();
        match (definitive.first(), seen.first()) {
            (Some(first), _) if definitive.len() > spare => {
                ValidationFailure::Definitive(told(first.problem()))
            }
            (_, Some(first)) if seen.len() > spare => ValidationFailure::Transient(told(first.problem())),
            // No fault of the client's.
            _ => {
                let detail = "too few of the other perspectives could look at it";
                ValidationFailure::transient(ProblemType::ServerInternal, detail)
            }
        }
    }
}

/// Neither a control character nor one that changes the direction of what follows.
fn is_harmless(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What a validation can come to; a perspective has no word on the rest. RFC 8555 section 8.2 and 6.7.
fn kind_of_validation(kind: ProblemType) -> ProblemType {
    use ProblemType::{Caa, Connection, Dns, IncorrectResponse, ServerInternal, Tls, Unauthorized};
    match kind {
        Caa | Connection | Dns | IncorrectResponse | ServerInternal | Tls => kind,
        _ => Unauthorized,
    }
}

#[cfg(test)]
mod tests;
