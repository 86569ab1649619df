//! The operations of RFC 8555, one file for each resource.

use std::time::Duration;

use coyote_protocol::{Nonce, Problem, ProblemType, Timestamp};
use coyote_storage::{Actor, Cause, RequestId};

use crate::{
    acme::Acme,
    error::{Error, Result},
    reply::{Reply, Response},
    url::path,
};

mod account;
mod authorization;
mod certificate;
mod challenge;
mod directory;
pub(crate) mod external_account;
mod key_change;
mod nonce;
mod order;
pub(crate) mod own_certificate;
mod renewal_info;
pub(crate) mod request;
mod revocation;
pub(crate) mod would_issue;

impl Acme {
    /// Makes an operation's result an answer: a problem document for an error, which is logged here and only here (of an
    /// outage not each time), with `Link rel="index"` and a fresh nonce. RFC 8555 sections 6.5 and 7.1.
    ///
    /// `with_nonce` is for POST. If there is no nonce to be had the answer goes out without: the client asks for one.
    pub async fn respond(&self, result: Result<Reply>, with_nonce: bool) -> Response {
        let reply = result.unwrap_or_else(|error| self.explain(&error));
        if !with_nonce {
            return self.index(reply, None);
        }
        let now = self.clock.now();
        let nonce = self.nonces.issue(now).await.inspect_err(|error| {
            if let Some(unsaid) = self.no_nonces.complain(now) {
                tracing::warn!(error = %chain(error), unsaid, "no fresh nonce for an answer");
            }
        });
        self.index(reply, nonce.ok())
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
                let reply = Reply::problem(problem);
                match (problem.kind, &self.meta.terms_of_service) {
                    (ProblemType::UserActionRequired, Some(terms)) => {
                        reply.with_link(terms.clone(), "terms-of-service")
                    }
                    // What is open ends by itself, but nobody knows when.
                    (ProblemType::RateLimited, _) => {
                        let reply = reply.with_retry_after(Some(Duration::from_secs(60)));
                        match self.rate_limiter.help() {
                            Some(help) => reply.with_link(help.to_owned(), "help"),
                            None => reply,
                        }
                    }
                    _ => reply,
                }
            }
            Error::Elsewhere { problem, location } => {
                tracing::info!(problem = %problem.kind, detail = %problem.detail, "refused");
                Reply::problem(problem).with_location(location.clone())
            }
            Error::RateLimited(limited) => {
                tracing::info!(detail = %limited.problem.detail, "rate limited");
                let reply = Reply::problem(&limited.problem)
                    .with_retry_after(Some(limited.retry_after))
                    .with_rate_limit(Some(limited.fields.clone()));
                match &limited.help {
                    Some(help) => reply.with_link(help.clone(), "help"),
                    None => reply,
                }
            }
            Error::Unavailable { .. } => {
                if let Some(unsaid) = self.unavailable.complain(self.clock.now()) {
                    tracing::error!(error = %chain(error), unsaid, "unavailable");
                }
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
        Ok(Cause { now, request, actor: Actor::Server, client: None, trace: None })
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
