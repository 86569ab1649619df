//! One request of a case, and what came of it.

use std::fmt;

use integration_tests::{Object, Request, Response};

use crate::room::Room;

/// A request that is ready to be sent.
pub(crate) struct Probe<'r> {
    /// Which variant of the case it is.
    pub(crate) what: String,
    pub(crate) act: Box<dyn FnOnce() -> Observed + 'r>,
    /// Answers that are right for this variant, beyond those of the case.
    pub(crate) also: Vec<Accepted>,
    pub(crate) may_write: bool,
    pub(crate) then: Box<dyn FnOnce(&Observed) + 'r>,
}

/// What came of it.
pub(crate) enum Observed {
    /// An answer to a request.
    Answer { response: Response, is_post: bool },
    /// The end of a validation: the challenge.
    Verdict(Object),
}

/// An answer that is right; any problem if it has no type.
#[derive(Clone)]
pub(crate) struct Accepted {
    pub(crate) status: u16,
    pub(crate) kind: Option<String>,
}

impl<'r> Probe<'r> {
    /// Whatever this does.
    pub(crate) fn of(what: impl Into<String>, act: impl FnOnce() -> Observed + 'r) -> Self {
        Self {
            what: what.into(),
            act: Box::new(act),
            also: Vec::new(),
            may_write: false,
            then: Box::new(|_| ()),
        }
    }

    /// A request.
    pub(crate) fn send(room: &'r Room, what: impl Into<String>, request: Request) -> Self {
        Self::of(what, move || {
            let is_post = request.method == "POST";
            Observed::Answer { response: room.world.client.http.send(&request), is_post }
        })
    }

    /// Bytes.
    pub(crate) fn raw(room: &'r Room, what: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self::of(what, move || Observed::answer(room.world.client.http.send_raw(&bytes)))
    }

    /// This is a right answer as well.
    pub(crate) fn also(mut self, status: u16, kind: &str) -> Self {
        self.also.push(Accepted { status, kind: (!kind.is_empty()).then(|| kind.to_owned()) });
        self
    }

    /// This variant may change the store.
    pub(crate) fn may_write(self) -> Self {
        Self { may_write: true, ..self }
    }

    /// What else has to be so afterwards.
    pub(crate) fn then(self, check: impl FnOnce(&Observed) + 'r) -> Self {
        Self { then: Box::new(check), ..self }
    }
}

impl Observed {
    /// The answer to something else than a POST.
    pub(crate) fn answer(response: Response) -> Self {
        Self::Answer { response, is_post: false }
    }

    /// The answer to a POST.
    pub(crate) fn posted(response: Response) -> Self {
        Self::Answer { response, is_post: true }
    }

    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Answer { response, .. } => response.status,
            Self::Verdict(_) => 200,
        }
    }

    fn kind(&self) -> Option<String> {
        match self {
            Self::Answer { response, .. } => response.problem(),
            Self::Verdict(challenge) => {
                let kind = challenge.json["error"]["type"].as_str()?;
                Some(kind.trim_start_matches("urn:ietf:params:acme:error:").to_owned())
            }
        }
    }

    /// The answer.
    pub(crate) fn response(&self) -> &Response {
        match self {
            Self::Answer { response, .. } => response,
            Self::Verdict(challenge) => panic!("a verdict: {}", challenge.json),
        }
    }
}

impl Accepted {
    pub(crate) fn matches(&self, observed: &Observed) -> bool {
        self.status == observed.status() && (self.kind.is_none() || self.kind == observed.kind())
    }
}

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer { response, .. } => {
                let text: String = response.text().chars().take(400).collect();
                write!(f, "status {} {text}", response.status)
            }
            Self::Verdict(challenge) => write!(f, "challenge {}", challenge.json),
        }
    }
}
