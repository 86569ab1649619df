//! What happened, step by step, told to the operator.
//!
//! The client of a failed attempt gets one safe sentence. The operator gets every question, address, connection
//! and answer, with the time of each: in the log, and in the [`Timeline`] that can be stored and shown later.
//!
//! What others sent is held as [`Excerpt`]: cut to a bounded length, printed without control characters.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use coyote_storage::{Cause, RequestId, TraceRecord, TraceSubject};
use serde::{Deserialize, Serialize};

mod event;
mod excerpt;

pub use event::{DnsRecord, TraceEvent};
pub use excerpt::Excerpt;

/// Records one attempt while it runs.
///
/// It is shared by reference with everything that takes part. Each event is also emitted at once to `tracing`
/// (target `coyote::trace`, level debug), so that an attempt that hangs can be watched.
#[derive(Debug)]
pub struct Trace {
    id: RequestId,
    subject: Excerpt,
    started: Instant,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    events: Vec<TimedEvent>,
    dropped: usize,
}

impl Trace {
    /// How many events are kept, conclusions apart. What comes after is counted only.
    pub const MAX_EVENTS: usize = 256;

    /// Begins to record what is done for this request about `subject`, as in `http-01 example.org`.
    pub fn new(id: RequestId, subject: impl AsRef<str>) -> Self {
        Self { id, subject: Excerpt::new(subject), started: Instant::now(), seen: Mutex::default() }
    }

    /// The request that the attempt is made for.
    pub fn id(&self) -> RequestId {
        self.id
    }

    /// Adds what just happened.
    pub fn record(&self, event: TraceEvent) {
        let at_ms = millis(self.started.elapsed());
        let mut event = event;
        event.bound();
        tracing::debug!(target: "coyote::trace", request_id = %self.id, subject = %self.subject, at_ms, "{event}");
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.events.len() < Self::MAX_EVENTS || event.concludes() {
            seen.events.push(TimedEvent { at_ms, event });
        } else {
            seen.dropped = seen.dropped.saturating_add(1);
        }
    }

    /// So many further events there was no room for elsewhere.
    pub(crate) fn omit(&self, events: usize) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.dropped = seen.dropped.saturating_add(events);
    }

    /// What was recorded so far.
    pub fn events(&self) -> Vec<TimedEvent> {
        self.timeline().events
    }

    /// The record so far, to be stored or shown.
    pub fn timeline(&self) -> Timeline {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        Timeline {
            request: self.id,
            subject: self.subject.clone(),
            events: seen.events.clone(),
            dropped: seen.dropped,
        }
    }

    /// The cause, with the record so far to be stored with what it is the cause of.
    pub(crate) fn borne_by(&self, cause: Cause, subject: TraceSubject, names: String) -> Cause {
        let timeline = self.timeline().to_json(TraceRecord::MAX_BYTES);
        let record = TraceRecord { at: cause.now, request: self.id, subject, names, timeline };
        Cause { trace: Some(Arc::new(record)), ..cause }
    }

    /// Records how the attempt ended, and logs all of it once: at level info if it succeeded, else at warn.
    pub fn finish<E: fmt::Display>(&self, outcome: &Result<(), E>) {
        let succeeded = outcome.is_ok();
        self.record(TraceEvent::verdict(outcome));
        let took_ms = millis(self.started.elapsed());
        let timeline = self.timeline();
        let (request_id, subject) = (&self.id, &self.subject);
        if succeeded {
            tracing::info!(target: "coyote::trace", %request_id, %subject, took_ms, "succeeded\n{timeline}");
        } else {
            tracing::warn!(target: "coyote::trace", %request_id, %subject, took_ms, "failed\n{timeline}");
        }
    }
}

/// The time-line so far.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.timeline().fmt(f)
    }
}

/// An event, and when it happened.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct TimedEvent {
    /// Milliseconds since the attempt began.
    pub at_ms: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: TraceEvent,
}

impl TimedEvent {
    /// The same without what is too much of it.
    pub(crate) fn bounded(mut self) -> Self {
        self.event.bound();
        self
    }
}

/// The record of an attempt. Printed, it is one line per event.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Timeline {
    /// The request that the attempt was made for.
    pub request: RequestId,
    /// What it was about.
    pub subject: Excerpt,
    /// What happened, in order.
    pub events: Vec<TimedEvent>,
    /// How many further events there were no room for.
    pub dropped: usize,
}

impl Timeline {
    /// As JSON, no longer than so many bytes: if need be, without events, which are counted. First those from elsewhere go,
    /// then those from its middle, and only then conclusions.
    pub fn to_json(&self, most: usize) -> String {
        self.fitted(most).1
    }

    /// Without as many events as [`to_json`](Self::to_json) leaves out.
    pub(crate) fn within(&self, most: usize) -> Self {
        self.fitted(most).0
    }

    fn fitted(&self, most: usize) -> (Self, String) {
        let mut timeline = self.clone();
        loop {
            let json = serde_json::to_string(&timeline).unwrap_or_default();
            if json.len() <= most || timeline.events.is_empty() {
                return (timeline, json);
            }
            timeline.shorten();
        }
    }

    fn shorten(&mut self) {
        let places = |which: fn(&TraceEvent) -> bool| -> Vec<usize> {
            let events = self.events.iter().enumerate();
            events.filter(|(_, timed)| which(&timed.event)).map(|(place, _)| place).collect()
        };
        let elsewhere = places(|event| matches!(event, TraceEvent::Elsewhere { .. }));
        let steps = places(|event| !event.concludes());
        let gone: BTreeSet<usize> = if elsewhere.is_empty() {
            let from = if steps.is_empty() { places(|_| true) } else { steps };
            // How it began and how it ended tell most.
            let quarter = from.len() / 4;
            from.iter().skip(quarter).take(from.len() - 2 * quarter).copied().collect()
        } else {
            elsewhere.iter().skip(elsewhere.len() / 2).copied().collect()
        };
        let mut place = 0;
        self.events.retain(|_| {
            place += 1;
            !gone.contains(&(place - 1))
        });
        self.dropped = self.dropped.saturating_add(gone.len());
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, TimedEvent { at_ms, event }) in self.events.iter().enumerate() {
            let line_break = if index == 0 { "" } else { "\n" };
            write!(f, "{line_break}{at_ms:>6} ms  {event}")?;
        }
        if self.dropped > 0 {
            write!(f, "\n           and {} events more", self.dropped)?;
        }
        Ok(())
    }
}

/// A duration as the time-line gives it.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use coyote_protocol::{Problem, ProblemType};

    use super::*;

    const VALID: Result<(), Problem> = Ok(());

    fn trace() -> Trace {
        Trace::new(RequestId::from_bytes([7; 16]), "http-01 a.test")
    }

    fn request(url: &str) -> TraceEvent {
        TraceEvent::HttpRequest { line: Excerpt::new(format!("GET {url}")) }
    }

    #[test]
    fn the_time_line_has_one_line_per_event_whatever_strangers_send() {
        let trace = trace();
        trace.record(request("http://a.test/\r\n     0 ms  verdict    valid\u{1b}[2J\u{202e}"));
        trace.finish(&Err(Problem::new(ProblemType::Connection, "a.test is silent")));

        let text = trace.to_string();

        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(
            text.chars().all(|c| c == '\n' || !c.is_control()),
            "control characters are escaped: {text:?}"
        );
        assert!(lines[0].contains("\\r\\n"), "{text}");
        assert!(lines[1].ends_with("verdict    failed: connection: a.test is silent"), "{text}");
    }

    #[test]
    fn a_flood_of_events_is_counted_but_not_kept_and_the_verdict_is() {
        let trace = trace();
        for _ in 0..Trace::MAX_EVENTS + 10 {
            trace.record(request("http://a.test/"));
        }
        trace.finish(&VALID);

        let timeline = trace.timeline();

        assert_eq!(timeline.events.len(), Trace::MAX_EVENTS + 1);
        assert_eq!(timeline.dropped, 10);
        assert_eq!(timeline.events.last().map(|last| &last.event), Some(&TraceEvent::verdict(&VALID)));
        assert!(timeline.to_string().ends_with("and 10 events more"));
    }

    #[test]
    fn a_time_line_that_is_too_long_to_store_keeps_how_it_began_and_how_it_ended() {
        let trace = trace();
        for n in 0..100 {
            trace.record(request(&format!("http://a.test/{n}")));
        }
        trace.finish(&VALID);

        let json = trace.timeline().to_json(4_000);

        assert!(json.len() <= 4_000, "{} bytes", json.len());
        let stored: Timeline = serde_json::from_str(&json).unwrap();
        assert_eq!(stored.events.len() + stored.dropped, 101, "what is not there is counted");
        assert_eq!(stored.events[0].event, request("http://a.test/0"));
        assert_eq!(stored.events.last().map(|last| &last.event), Some(&TraceEvent::verdict(&VALID)));
    }

    #[test]
    fn what_was_seen_elsewhere_goes_first_and_conclusions_last() {
        let trace = trace();
        let long = || Excerpt::new("x".repeat(200));
        let seen = || Box::new(TimedEvent { at_ms: 1, event: TraceEvent::note("x".repeat(200)) });
        for _ in 0..20 {
            trace.record(request("http://a.test/"));
            trace.record(TraceEvent::Elsewhere { place: long(), seen: seen() });
            trace.record(TraceEvent::Perspective { place: long(), says: long() });
        }
        let kept = |most| {
            let stored: Timeline = serde_json::from_str(&trace.timeline().to_json(most)).unwrap();
            assert_eq!(stored.events.len() + stored.dropped, 60);
            let count =
                |which: fn(&TraceEvent) -> bool| stored.events.iter().filter(|one| which(&one.event)).count();
            let elsewhere = count(|event| matches!(event, TraceEvent::Elsewhere { .. }));
            let conclusions = count(TraceEvent::concludes);
            [elsewhere, stored.events.len() - elsewhere - conclusions, conclusions]
        };

        assert_eq!(kept(100_000), [20, 20, 20]);
        assert_eq!(kept(15_000), [5, 20, 20]);
        assert_eq!(kept(10_100), [0, 10, 20]);
        assert_eq!(kept(500), [0, 0, 0]);
    }

    #[test]
    fn a_time_line_reads_back_from_its_json() {
        let trace = trace();
        trace.record(TraceEvent::DnsAnswer {
            name: Excerpt::new("a.test"),
            record_type: Excerpt::new("A"),
            records: vec![DnsRecord { data: Excerpt::new("192.0.2.1"), ttl: Some(300) }],
            took_ms: 3,
        });
        trace.record(TraceEvent::HttpResponse { status: 200, head_bytes: 120, took_ms: 4 });
        trace.finish(&VALID);

        let json = serde_json::to_string(&trace.timeline()).unwrap();

        assert!(json.contains(r#""event":"dns-answer""#), "{json}");
        assert_eq!(serde_json::from_str::<Timeline>(&json).unwrap(), trace.timeline());
    }
}
