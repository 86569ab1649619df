//! Challenges. RFC 8555 sections 7.1.5 and 8.

use coyote_protocol::{ChallengeStatus, ChallengeType, Problem, Timestamp, Token};
use serde::{Deserialize, Serialize};

use crate::ChallengeId;

/// One way to prove control of an authorization's identifier, and what came of trying.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Challenge {
    /// Its id within the authorization, which its URL ends with.
    pub id: ChallengeId,
    /// How it is to be answered.
    #[serde(rename = "type")]
    pub kind: ChallengeType,
    /// The random value that the answer contains. RFC 8555 8.1.
    pub token: Token,
    /// When the client said that the answer is in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<Timestamp>,
    /// How it ended, once it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Why attempts failed, oldest first; the last [`Challenge::ERRORS_KEPT`] of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Problem>,
}

/// How a challenge ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// Control was proved.
    Valid {
        /// When.
        at: Timestamp,
    },
    /// It was not, and will not be tried again. The reason is the last of the errors.
    Invalid {
        /// When.
        at: Timestamp,
    },
}

impl Challenge {
    /// How many failed attempts a challenge remembers.
    pub const ERRORS_KEPT: usize = 8;

    /// The challenge's status. RFC 8555 section 7.1.6.
    pub fn status(&self) -> ChallengeStatus {
        match (&self.verdict, self.began) {
            (Some(Verdict::Valid { .. }), _) => ChallengeStatus::Valid,
            (Some(Verdict::Invalid { .. }), _) => ChallengeStatus::Invalid,
            (None, Some(_)) => ChallengeStatus::Processing,
            (None, None) => ChallengeStatus::Pending,
        }
    }

    /// When control was proved, if it was.
    pub fn validated(&self) -> Option<Timestamp> {
        match self.verdict {
            Some(Verdict::Valid { at }) => Some(at),
            _ => None,
        }
    }

    /// Remembers why an attempt failed. RFC 8555 section 8.2: the client is shown each failure.
    pub(crate) fn record_error(&mut self, problem: Problem) {
        if self.errors.len() >= Self::ERRORS_KEPT {
            self.errors.remove(0);
        }
        self.errors.push(problem);
    }
}
