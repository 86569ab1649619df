//! What must never decide about real certificates.

use async_trait::async_trait;
use coyote_protocol::{ChallengeType, Identifier};

use super::{Attempt, ChallengeValidator, ValidationFailure};
use crate::trace::TraceEvent;

/// **Dangerous.** Takes the place of a challenge type and finds every challenge met, without looking.
///
/// Whoever can reach a server with this gets certificates for any name that its policy lets through. It is for
/// demonstrations and load tests, with a CA that nothing trusts.
#[derive(Clone, Debug)]
pub struct AcceptAnyChallenge {
    challenge_type: ChallengeType,
}

impl AcceptAnyChallenge {
    /// Stands for this challenge type. It is offered for what the type itself could prove, as far as that goes:
    /// wildcards with dns-01 only, addresses with any other type.
    pub fn new(challenge_type: ChallengeType) -> Self {
        Self { challenge_type }
    }
}

#[async_trait]
impl ChallengeValidator for AcceptAnyChallenge {
    fn challenge_type(&self) -> ChallengeType {
        self.challenge_type.clone()
    }

    fn offers(&self, identifier: &Identifier) -> bool {
        let is_dns_01 = self.challenge_type == ChallengeType::DNS_01;
        match identifier {
            Identifier::Dns(_) => true,
            Identifier::Wildcard(_) => is_dns_01,
            Identifier::Ip(_) => !is_dns_01,
        }
    }

    async fn validate(&self, attempt: Attempt<'_>) -> Result<(), ValidationFailure> {
        attempt.trace.record(TraceEvent::note("accepted without looking: AcceptAnyChallenge is in use"));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_are_offered_for_dns_01_only() {
        let wildcard = Identifier::parse("dns", "*.a.test").unwrap();
        let name = Identifier::parse("dns", "a.test").unwrap();
        let address = Identifier::parse("ip", "192.0.2.1").unwrap();
        for (challenge_type, expected) in [
            (ChallengeType::DNS_01, [true, true, false]),
            (ChallengeType::HTTP_01, [true, false, true]),
            (ChallengeType::TLS_ALPN_01, [true, false, true]),
        ] {
            let any = AcceptAnyChallenge::new(challenge_type.clone());
            let offers = [&name, &wildcard, &address].map(|identifier| any.offers(identifier));
            assert_eq!(offers, expected, "{challenge_type}");
            assert_eq!(any.challenge_type(), challenge_type);
        }
    }
}
