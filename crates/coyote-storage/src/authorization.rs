//! Authorizations. RFC 8555 sections 7.1.4 and 7.5.

use async_trait::async_trait;
use coyote_protocol::{AuthorizationStatus, ChallengeStatus, ChallengeType, Identifier, Problem, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    AccountId, AuthorizationId, Cause, Challenge, ChallengeId, Conflict, Lease, LeaseTerms, Result,
    StorageError, Verdict, Work,
};

/// An account's right to have certificates for one identifier, or its chance to earn that right.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Authorization {
    /// Its id, which its URL is made of.
    pub id: AuthorizationId,
    /// The account that it belongs to.
    pub account: AccountId,
    /// What it is for; a wildcard where the order asked for one.
    pub identifier: Identifier,
    /// When it was made.
    #[serde(with = "crate::millis")]
    pub created: Timestamp,
    /// Until when it can be earned; once it is, until when it holds.
    #[serde(with = "crate::millis")]
    pub expires: Timestamp,
    /// The ways to earn it, in the order in which they are offered, always the same.
    pub challenges: Vec<Challenge>,
    /// When its account gave it up. RFC 8555 7.5.2.
    #[serde(with = "crate::millis::option", default)]
    pub deactivated: Option<Timestamp>,
    /// When the server took it back.
    #[serde(with = "crate::millis::option", default)]
    pub revoked: Option<Timestamp>,
}

/// What [`AuthorizationStore::begin_validation`] needs to know.
#[derive(Clone, Debug)]
pub struct BeginValidation {
    /// The account that asks, and must own the authorization.
    pub account: AccountId,
    /// The authorization.
    pub authorization: AuthorizationId,
    /// The challenge that is ready to be looked at.
    pub challenge: ChallengeId,
    /// A lease on the job for the caller, who then starts at once; `None` leaves the job to whoever claims it.
    pub lease: Option<LeaseTerms>,
}

/// What became of a request to validate.
#[derive(Debug)]
#[must_use]
pub struct ValidationBegun {
    /// The authorization as it is now.
    pub authorization: Authorization,
    /// The caller's lease. `None` if none was asked for, or if the challenge was under way or done before.
    pub lease: Option<Lease>,
}

/// How the validation of a challenge ended.
#[derive(Clone, Debug, PartialEq)]
pub enum ValidationOutcome {
    /// Control was proved, and the authorization holds until then.
    Valid {
        /// The authorization's new `expires`.
        expires: Timestamp,
    },
    /// It was not: this is what the client is told.
    Invalid(Problem),
}

impl Authorization {
    /// How many for one identifier are to be chosen from by who would use one again.
    pub const MAX_REUSABLE: usize = 8;

    /// The authorization's status. RFC 8555 section 7.1.6.
    pub fn status(&self, now: Timestamp) -> AuthorizationStatus {
        if self.revoked.is_some() {
            return AuthorizationStatus::Revoked;
        }
        if self.deactivated.is_some() {
            return AuthorizationStatus::Deactivated;
        }
        let ended = |status| self.challenges.iter().any(|challenge| challenge.status() == status);
        if ended(ChallengeStatus::Valid) {
            return if now < self.expires {
                AuthorizationStatus::Valid
            } else {
                AuthorizationStatus::Expired
            };
        }
        if ended(ChallengeStatus::Invalid) || now >= self.expires {
            return AuthorizationStatus::Invalid;
        }
        AuthorizationStatus::Pending
    }

    /// Whether its time is over: to be earned, or to hold.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        now >= self.expires
    }

    /// The challenge of that id.
    pub fn challenge(&self, id: &ChallengeId) -> Option<&Challenge> {
        self.challenges.iter().find(|challenge| challenge.id == *id)
    }

    /// The way in which it was earned, if it was.
    pub fn validated_by(&self) -> Option<&ChallengeType> {
        let valid = self.challenges.iter().find(|challenge| challenge.status() == ChallengeStatus::Valid)?;
        Some(&valid.kind)
    }

    /// Moves a challenge to `processing`. RFC 8555 section 7.5.1.
    ///
    /// `true` if it moved; `false` if it was `processing` or `valid` before, for a client may ask twice.
    pub fn begin_validation(&mut self, id: &ChallengeId, now: Timestamp) -> Result<bool> {
        let status = self.status(now);
        let Some(challenge) = self.challenges.iter_mut().find(|challenge| challenge.id == *id) else {
            return Err(StorageError::NotFound);
        };
        match (challenge.status(), status) {
            (ChallengeStatus::Processing, AuthorizationStatus::Pending)
            | (ChallengeStatus::Valid, AuthorizationStatus::Valid) => Ok(false),
            (ChallengeStatus::Pending, AuthorizationStatus::Pending) => {
                challenge.began = Some(now);
                Ok(true)
            }
            (_, status) => Err(Conflict::AuthorizationNotPending(status).into()),
        }
    }

    /// Remembers that an attempt failed and will be repeated. RFC 8555 section 8.2.
    ///
    /// `false` if nobody waits for this challenge any more.
    pub fn retry_validation(&mut self, id: &ChallengeId, problem: Problem, now: Timestamp) -> bool {
        let undecided = self.status(now) == AuthorizationStatus::Pending;
        match self.challenges.iter_mut().find(|challenge| challenge.id == *id) {
            Some(challenge) if undecided && challenge.status() == ChallengeStatus::Processing => {
                challenge.record_error(problem);
                true
            }
            _ => false,
        }
    }

    /// Ends a challenge, and with it the authorization. RFC 8555 section 7.1.6.
    ///
    /// `false` if the authorization was decided meanwhile (by another challenge, by its owner or by time): then
    /// nothing changes.
    pub fn finish_validation(
        &mut self,
        id: &ChallengeId,
        outcome: ValidationOutcome,
        now: Timestamp,
    ) -> bool {
        let undecided = self.status(now) == AuthorizationStatus::Pending;
        let Some(challenge) = self.challenges.iter_mut().find(|challenge| challenge.id == *id) else {
            return false;
        };
        if !undecided || challenge.status() != ChallengeStatus::Processing {
            return false;
        }
        match outcome {
            ValidationOutcome::Valid { expires } => {
                challenge.verdict = Some(Verdict::Valid { at: now });
                self.expires = expires;
            }
            ValidationOutcome::Invalid(problem) => {
                challenge.record_error(problem);
                challenge.verdict = Some(Verdict::Invalid { at: now });
            }
        }
        true
    }

    /// The work that the server owes it: challenges that began, and that somebody still waits for.
    pub fn owed(&self, now: Timestamp) -> Vec<Work> {
        if self.status(now) != AuthorizationStatus::Pending {
            return Vec::new();
        }
        let begun =
            self.challenges.iter().filter(|challenge| challenge.status() == ChallengeStatus::Processing);
        begun.map(|challenge| Work::validation(self, challenge.id)).collect()
    }

    /// Gives it up. RFC 8555 section 7.5.2.
    pub fn deactivate(&mut self, now: Timestamp) -> Result<(), Conflict> {
        match self.status(now) {
            AuthorizationStatus::Pending | AuthorizationStatus::Valid => {
                self.deactivated = Some(now);
                Ok(())
            }
            status => Err(Conflict::AuthorizationFinal(status)),
        }
    }
}

/// Authorizations and their challenges. Each method is one transaction: it happens entirely, or, on any error
/// but [`Unavailable`](crate::StorageError::Unavailable), not at all.
#[async_trait]
pub trait AuthorizationStore: Send + Sync + 'static {
    /// The authorization with this id, if it belongs to this account.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::StorageError::NotFound), for an unknown id and for somebody else's alike.
    async fn authorization(&self, account: &AccountId, id: &AuthorizationId) -> Result<Authorization>;

    /// Stores a new authorization that no order asked for. RFC 8555 section 7.4.1.
    ///
    /// # Errors
    ///
    /// [`Conflict::AccountNotValid`], also for an account that does not exist; [`Conflict::TooManyOpen`] if the account
    /// has `most_alone` authorizations of no order that have not [expired](Authorization::has_expired), whatever became of
    /// them: else who gives up what they asked for could ask without end; [`Conflict::IdInUse`].
    async fn create_authorization(
        &self,
        authorization: Authorization,
        most_alone: u32,
        cause: &Cause,
    ) -> Result<()>;

    /// The account's authorizations for these very identifiers that are `valid` at `until`, at most
    /// [`Authorization::MAX_REUSABLE`] each, one identifier after the other: those that hold longest, in that order, the smaller id first where two are equal.
    /// There are several, as not each may serve whoever asks: it says how it was proved, and through which network.
    async fn reusable_authorizations(
        &self,
        account: &AccountId,
        identifiers: &[Identifier],
        until: Timestamp,
    ) -> Result<Vec<Authorization>>;

    /// Moves a challenge to `processing` by [`Authorization::begin_validation`], and stores the job that
    /// validates it, due now. Of any number of concurrent calls for one challenge, one is answered with the lease.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::StorageError::NotFound), also for somebody else's;
    /// [`Conflict::AuthorizationNotPending`]; [`Conflict::AccountNotValid`].
    async fn begin_validation(&self, begin: BeginValidation, cause: &Cause) -> Result<ValidationBegun>;

    /// Remembers a failed attempt by [`Authorization::retry_validation`], and gives the job back, due at `due`.
    /// If nobody waits for the challenge any more, the job ends instead.
    ///
    /// # Errors
    ///
    /// [`LeaseLost`](crate::StorageError::LeaseLost): then nothing is written.
    async fn retry_validation(
        &self,
        lease: Lease,
        problem: Problem,
        due: Timestamp,
        cause: &Cause,
    ) -> Result<Authorization>;

    /// Ends a challenge by [`Authorization::finish_validation`], and the job with it.
    ///
    /// # Errors
    ///
    /// [`LeaseLost`](crate::StorageError::LeaseLost): then nothing is written.
    async fn finish_validation(
        &self,
        lease: Lease,
        outcome: ValidationOutcome,
        cause: &Cause,
    ) -> Result<Authorization>;

    /// Gives an authorization up by [`Authorization::deactivate`].
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::StorageError::NotFound), also for somebody else's; [`Conflict::AuthorizationFinal`].
    async fn deactivate_authorization(
        &self,
        account: &AccountId,
        id: &AuthorizationId,
        cause: &Cause,
    ) -> Result<Authorization>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{EXPIRES, NOW, authorization, earn, fail, problem};

    type Facts<'a> = &'a [&'a dyn Fn(&mut Authorization)];

    /// RFC 8555 section 7.1.6.
    #[test]
    fn the_status_follows_from_the_facts() {
        let gives_up = |it: &mut Authorization| it.deactivated = Some(NOW);
        let takes_back = |it: &mut Authorization| it.revoked = Some(NOW);
        let begins = |it: &mut Authorization| it.challenges[0].began = Some(NOW);
        let table: [(&str, Timestamp, Facts<'_>, AuthorizationStatus); 11] = [
            ("new", NOW, &[], AuthorizationStatus::Pending),
            ("being validated", NOW, &[&begins], AuthorizationStatus::Pending),
            ("earned", NOW, &[&earn], AuthorizationStatus::Valid),
            ("failed", NOW, &[&fail], AuthorizationStatus::Invalid),
            ("never earned in time", EXPIRES, &[], AuthorizationStatus::Invalid),
            ("still being validated when time is up", EXPIRES, &[&begins], AuthorizationStatus::Invalid),
            ("earned, and lapsed", EXPIRES, &[&earn], AuthorizationStatus::Expired),
            ("given up", NOW, &[&gives_up], AuthorizationStatus::Deactivated),
            ("earned, and given up", NOW, &[&earn, &gives_up], AuthorizationStatus::Deactivated),
            ("given up, and lapsed", EXPIRES, &[&gives_up], AuthorizationStatus::Deactivated),
            ("earned, and taken back", NOW, &[&earn, &takes_back], AuthorizationStatus::Revoked),
        ];
        for (what, now, facts, expected) in table {
            let mut authorization = authorization(1, "a.test");
            facts.iter().for_each(|fact| fact(&mut authorization));
            assert_eq!(authorization.status(now), expected, "{what}");
        }
    }

    #[test]
    fn a_challenge_begins_once_and_may_be_begun_again() {
        let mut authorization = authorization(1, "a.test");
        let id = authorization.challenges[0].id;
        assert!(authorization.begin_validation(&id, NOW).unwrap());
        let begun = authorization.clone();
        assert!(!authorization.begin_validation(&id, EXPIRES - std::time::Duration::from_secs(1)).unwrap());
        assert_eq!(authorization, begun);
        assert_eq!(authorization.owed(NOW), [Work::validation(&authorization, id)]);
        assert_eq!(authorization.owed(EXPIRES), [], "nobody waits for it any more");
    }

    #[test]
    fn an_unknown_challenge_is_not_found() {
        let mut authorization = authorization(1, "a.test");
        let unknown = ChallengeId::from_bytes([9; 16]);
        assert!(matches!(authorization.begin_validation(&unknown, NOW), Err(StorageError::NotFound)));
        assert!(!authorization.retry_validation(&unknown, problem("no"), NOW));
        assert!(!authorization.finish_validation(&unknown, ValidationOutcome::Invalid(problem("no")), NOW));
    }

    #[test]
    fn a_challenge_that_never_began_cannot_end() {
        let mut authorization = authorization(1, "a.test");
        let (before, id) = (authorization.clone(), authorization.challenges[0].id);
        assert!(!authorization.retry_validation(&id, problem("no"), NOW));
        assert!(!authorization.finish_validation(&id, ValidationOutcome::Valid { expires: EXPIRES }, NOW));
        assert_eq!(authorization, before);
    }

    #[test]
    fn an_authorization_holds_as_long_as_its_validation_says() {
        let mut authorization = authorization(1, "a.test");
        let id = authorization.challenges[1].id;
        let expires = EXPIRES + std::time::Duration::from_secs(1_000);
        authorization.begin_validation(&id, NOW).unwrap();
        assert!(authorization.finish_validation(&id, ValidationOutcome::Valid { expires }, NOW));
        assert_eq!(authorization.status(EXPIRES), AuthorizationStatus::Valid);
        assert_eq!(authorization.status(expires), AuthorizationStatus::Expired);
        assert_eq!(authorization.validated_by(), Some(&ChallengeType::DNS_01));
    }

    #[test]
    fn only_what_is_pending_or_valid_can_be_given_up() {
        for (fact, given_up) in [
            (None, Ok(())),
            (Some(earn as fn(&mut Authorization)), Ok(())),
            (Some(fail), Err(Conflict::AuthorizationFinal(AuthorizationStatus::Invalid))),
        ] {
            let mut authorization = authorization(1, "a.test");
            fact.inspect(|fact| fact(&mut authorization));
            assert_eq!(authorization.deactivate(NOW), given_up);
        }
    }
}
