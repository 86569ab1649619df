//! The operations of RFC 8555, one file for each resource.

use coyote_protocol::{Nonce, Problem, ProblemType, Timestamp};
use coyote_storage::{Actor, Cause, RequestId};

use crate::{
    acme::Acme,
    error::{Error, Result},
    reply::{Body, Reply, Response},
    url::path,
};

mod account;
mod authorization;
mod certificate;
mod challenge;
mod directory;
mod key_change;
mod nonce;
mod order;
pub(crate) mod own_certificate;
pub(crate) mod request;
mod revocation;

impl Acme {
    /// Makes an operation's result an answer: a problem document for an error, which is logged here and only here,
    /// with `Link rel="index"` and a fresh nonce. RFC 8555 sections 6.5 and 7.1.
    ///
    /// `with_nonce` is for POST and newNonce.
    pub async fn respond(&self, result: Result<Reply>, with_nonce: bool) -> Response {
        let reply = result.unwrap_or_else(|error| self.explain(&error));
        let nonce = if with_nonce {
            self.nonces.issue(self.clock.now()).await
        } else {
            return self.index(reply, None);
        };
        match nonce {
            Ok(nonce) => self.index(reply, Some(nonce)),
            Err(error) if reply.status < 400 && reply.body == Body::Empty => {
                // Without its nonce, the answer to newNonce is none.
                self.index(self.explain(&error.into()), None)
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), "no fresh nonce for an answer");
                self.index(reply, None)
            }
        }
    }

    fn index(&self, reply: Reply, nonce: Option<Nonce>) -> Response {
        let reply = reply.with_link(self.urls.at(path::DIRECTORY), "index");
        Response { reply, nonce }
    }

    fn explain(&self, error: &Error) -> Reply {
        use ProblemType::ServerInternal;
        match error {
            Error::Problem(problem) => {
                tracing::info!(problem = %problem.kind, detail = %problem.detail, "refused");
                let terms = self.meta.terms_of_service.clone();
                match terms.filter(|_| problem.kind == ProblemType::UserActionRequired) {
                    Some(terms) => Reply::problem(problem).with_link(terms, "terms-of-service"),
                    None => Reply::problem(problem),
                }
            }
            Error::Elsewhere { problem, location } => {
                tracing::info!(problem = %problem.kind, detail = %problem.detail, "refused");
                Reply::problem(problem).with_location(location.clone())
            }
            Error::Unavailable { .. } => {
                tracing::error!(error = %chain(error), "unavailable");
                let problem = Problem::new(ServerInternal, "the server is not available at the moment");
                Reply::problem(&problem.with_status(503))
                    .with_retry_after(Some(self.limits.unavailable_retry))
            }
            Error::Internal { .. } => {
                tracing::error!(error = %chain(error), "failed");
                Reply::problem(&Problem::new(ServerInternal, "the server failed; its operator can tell why"))
            }
        }
    }

    /// Why something is written that the server does by itself.
    pub(crate) fn own_cause(&self, now: Timestamp) -> Result<Cause> {
        let request = RequestId::from_bytes(self.entropy.bytes()?);
        Ok(Cause { now, request, actor: Actor::Server, client: None })
    }
}

/// An error and its sources, as one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        line.push_str(": ");
        line.push_str(&error.to_string());
        source = error.source();
    }
    line
}
