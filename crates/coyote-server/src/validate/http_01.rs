//! http-01: the key authorization is served at a well-known URL of the name. RFC 8555 section 8.3.

use std::time::Duration;

use async_trait::async_trait;
use coyote_protocol::{ChallengeType, Identifier, KeyAuthorization, ProblemType};
use tokio::time::Instant;

use super::told::{in_words, no_connection};
use super::{Attempt, ChallengeValidator, Host, Network, ValidationFailure};
use crate::trace::{Excerpt, Trace, TraceEvent};

mod exchange;
mod hop;

pub(super) use exchange::while_driven;
use exchange::{Answer, ExchangeError, exchange};
use hop::{Hop, InvalidRedirect};

/// Validates http-01 challenges, for DNS names and for IP addresses (RFC 8738 section 4), never for wildcards.
///
/// It asks `http://NAME/.well-known/acme-challenge/TOKEN` and follows redirects (301, 302, 307 and 308) to http
/// and https URLs on the two ports that validation uses. Each hop is resolved and checked anew. Certificates of
/// https hops are not verified, since it is for getting one that people redirect; TLS is 1.2 or later.
#[derive(Clone, Copy, Debug, Default)]
pub struct Http01;

#[async_trait]
impl ChallengeValidator for Http01 {
    fn challenge_type(&self) -> ChallengeType {
        ChallengeType::HTTP_01
    }

    fn offers(&self, identifier: &Identifier) -> bool {
        matches!(identifier, Identifier::Dns(_) | Identifier::Ip(_))
    }

    async fn validate(&self, attempt: Attempt<'_>) -> Result<(), ValidationFailure> {
        let host = match attempt.identifier {
            Identifier::Dns(name) if !attempt.wildcard => Host::Name(name.clone()),
            Identifier::Ip(address) => Host::Address(*address),
            Identifier::Dns(_) | Identifier::Wildcard(_) => {
                let detail = "http-01 does not prove control of a wildcard";
                return Err(ValidationFailure::definitive(ProblemType::Unauthorized, detail));
            }
        };
        let Attempt { network, trace, .. } = attempt;
        let first = Hop::first(host, network.limits().http_port, attempt.token);
        let (last, answer) = follow(first, network, trace).await?;
        check(&last, &answer, attempt.key_authorization)
    }
}

/// Asks, and asks where the answer points to, until one does not.
async fn follow(mut hop: Hop, network: &Network, trace: &Trace) -> Result<(Hop, Answer), ValidationFailure> {
    let limits = network.limits();
    let deadline = Instant::now() + limits.attempt_deadline;
    let mut asked = Vec::new();
    loop {
        let answer = tokio::time::timeout_at(deadline, ask(&hop, network, trace))
            .await
            .unwrap_or_else(|_| Err(too_late(&hop, limits.attempt_deadline)))?;
        if !matches!(answer.status, 301 | 302 | 307 | 308) {
            return Ok((hop, answer));
        }
        asked.push(hop.url());
        let next = redirect(&hop, &answer, network, trace).map_err(|error| bad_redirect(&hop, error))?;
        if asked.contains(&next.url()) {
            return Err(bad_redirect(&hop, InvalidRedirect::Loop));
        }
        if asked.len() > limits.max_redirects {
            return Err(bad_redirect(&hop, InvalidRedirect::TooMany(limits.max_redirects)));
        }
        hop = next;
    }
}

fn redirect(hop: &Hop, answer: &Answer, network: &Network, trace: &Trace) -> Result<Hop, InvalidRedirect> {
    let location = answer.location.as_deref().ok_or(InvalidRedirect::NoLocation)?;
    let (from, to) = (Excerpt::new(hop.url()), Excerpt::new(String::from_utf8_lossy(location)));
    trace.record(TraceEvent::Redirect { from, to });
    let location = std::str::from_utf8(location).map_err(|_| InvalidRedirect::NoUrl)?;
    hop.follow(location, network.limits())
}

async fn ask(hop: &Hop, network: &Network, trace: &Trace) -> Result<Answer, ValidationFailure> {
    let stream = network
        .connect(hop.host(), hop.port(), trace)
        .await
        .map_err(|error| no_connection(hop.host(), &hop.provenance(), hop.port(), &error))?;
    exchange(hop, stream, network.limits(), trace).await.map_err(|error| no_answer(hop, error))
}

/// Whether the answer is the one that was asked for.
fn check(hop: &Hop, answer: &Answer, expected: &KeyAuthorization) -> Result<(), ValidationFailure> {
    let wrong = |what: &str| {
        ValidationFailure::definitive(ProblemType::IncorrectResponse, format!("{hop} answered with {what}"))
    };
    match answer.status {
        200 => {}
        status @ 500..=599 => {
            let detail = format!("{hop} answered with status {status} instead of 200");
            return Err(ValidationFailure::transient(ProblemType::IncorrectResponse, detail));
        }
        status => return Err(wrong(&format!("status {status} instead of 200"))),
    }
    let Some(body) = &answer.body else {
        return Err(wrong("more than a key authorization"));
    };
    let body = body.trim_ascii_end();
    if body == expected.as_str().as_bytes() {
        return Ok(());
    }
    Err(wrong(guess(body, expected)))
}

/// What is wrong with the body, in the words of a fixed list: nothing of it is repeated.
fn guess(body: &[u8], expected: &KeyAuthorization) -> &'static str {
    let expected = expected.as_str().as_bytes();
    let token = expected.split(|byte| *byte == b'.').next().unwrap_or_default();
    let is_of_token = body.strip_prefix(token).is_some_and(|rest| rest.starts_with(b"."));
    if body.is_empty() {
        "an empty body"
    } else if body == token {
        "the token alone, without the thumbprint of the account key"
    } else if is_of_token && body.len() == expected.len() {
        "the key authorization of another account key"
    } else if body.windows(expected.len()).any(|part| part == expected) {
        "more than the key authorization"
    } else {
        "something else than the key authorization"
    }
}

fn too_late(hop: &Hop, deadline: Duration) -> ValidationFailure {
    let detail = format!("{hop} did not answer within {} of the first request", in_words(deadline));
    ValidationFailure::transient(ProblemType::Connection, detail)
}

fn bad_redirect(hop: &Hop, error: InvalidRedirect) -> ValidationFailure {
    ValidationFailure::definitive(ProblemType::Connection, format!("{hop} redirects {error}"))
}

fn no_answer(hop: &Hop, error: ExchangeError) -> ValidationFailure {
    let definitive = |kind, what| ValidationFailure::definitive(kind, format!("{hop} {what}"));
    match error {
        ExchangeError::Tls => {
            definitive(ProblemType::Tls, "could not be asked: the TLS handshake (1.2 or later) failed")
        }
        ExchangeError::NotHttp => definitive(
            ProblemType::Connection,
            "answered with something that is not HTTP/1.1, or with too many or too long header fields",
        ),
        ExchangeError::Unaskable => definitive(ProblemType::Connection, "is not a URL that can be asked for"),
        ExchangeError::Broken => ValidationFailure::transient(
            ProblemType::Connection,
            format!("{hop} closed the connection before the answer was complete"),
        ),
    }
}

#[cfg(test)]
mod tests;
