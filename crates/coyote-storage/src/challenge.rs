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
    /// The name of the network through which the answer is looked for, where that is not the server's usual one. What was
    /// proved there says nothing about the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{NOW, authorization, problem};

    /// RFC 8555 section 7.1.6.
    #[test]
    fn the_status_follows_from_the_facts() {
        let (began, valid, invalid) =
            (Some(NOW), Some(Verdict::Valid { at: NOW }), Some(Verdict::Invalid { at: NOW }));
        for (began, verdict, status, validated) in [
            (None, None, ChallengeStatus::Pending, None),
            (began, None, ChallengeStatus::Processing, None),
            (began, valid, ChallengeStatus::Valid, Some(NOW)),
            (began, invalid, ChallengeStatus::Invalid, None),
        ] {
            let challenge = Challenge { began, verdict, ..authorization(1, "a.test").challenges.remove(0) };
            assert_eq!((challenge.status(), challenge.validated()), (status, validated));
        }
    }

    #[test]
    fn the_oldest_errors_are_forgotten_first() {
        let mut challenge = authorization(1, "a.test").challenges.remove(0);
        let errors: Vec<_> = (0..20).map(|attempt| problem(&attempt.to_string())).collect();
        for (attempt, error) in errors.iter().enumerate() {
            challenge.record_error(error.clone());
            assert_eq!(
                challenge.errors,
                errors[(attempt + 1).saturating_sub(Challenge::ERRORS_KEPT)..=attempt]
            );
        }
    }

    #[test]
    fn a_challenge_reads_back_from_its_json() {
        let mut challenge = authorization(1, "a.test").challenges.remove(0);
        for _ in 0..2 {
            let json = serde_json::to_string(&challenge).unwrap();
            assert_eq!(serde_json::from_str::<Challenge>(&json).unwrap(), challenge, "{json}");
            challenge.began = Some(NOW);
            challenge.verdict = Some(Verdict::Invalid { at: NOW });
            challenge.record_error(problem("no"));
        }
    }
}
