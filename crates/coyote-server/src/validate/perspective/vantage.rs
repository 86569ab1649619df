//! Looking from here, for somebody elsewhere.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use coyote_protocol::{ChallengeType, KeyAuthorization, ProblemType};
use coyote_storage::BoxError;
use tokio::time::timeout;

use super::{CaaTask, ChallengeTask, Evidence, LONGEST_TIMELINE, Perspective, Seen, Task};
use crate::{
    clock::Clock,
    trace::Trace,
    validate::{Attempt, Caa, CaaSubject, ChallengeValidator, Network, ValidationFailure},
};

/// How much longer than it should a validator may take.
const GRACE: Duration = Duration::from_secs(1);

/// A perspective that is a network of this process: what a program that is asked from afar looks through, or a second way
/// out of the same machine.
pub struct Vantage {
    name: String,
    network: Network,
    validators: Vec<Arc<dyn ChallengeValidator>>,
    clock: Arc<dyn Clock>,
}

impl Vantage {
    /// One that looks through this network, and offers no challenge type yet.
    pub fn new(name: impl Into<String>, network: Network, clock: Arc<dyn Clock>) -> Self {
        Self { name: name.into(), network, validators: Vec::new(), clock }
    }

    /// Offers one more challenge type.
    #[must_use]
    pub fn with_validator(mut self, validator: impl ChallengeValidator) -> Self {
        self.validators.push(Arc::new(validator));
        self
    }

    fn validator(&self, kind: &ChallengeType) -> Option<&Arc<dyn ChallengeValidator>> {
        self.validators.iter().find(|validator| validator.challenge_type() == *kind)
    }

    async fn prove(
        &self,
        task: &ChallengeTask,
        trace: &Trace,
    ) -> Result<Result<(), ValidationFailure>, BoxError> {
        let validator = self.validator(&task.kind).filter(|validator| validator.offers(&task.identifier));
        let validator =
            validator.ok_or_else(|| format!("{} is not offered for {}", task.kind, task.identifier))?;
        let thumbprint = task.thumbprint.parse().map_err(|_| "the thumbprint is none")?;
        let attempt = Attempt {
            account_url: &task.account_url,
            identifier: &task.identifier,
            wildcard: task.wildcard,
            token: &task.token,
            key_authorization: &KeyAuthorization::new(&task.token, thumbprint),
            network: &self.network,
            now: self.clock.now(),
            trace,
        };
        // A validator that keeps the time itself can say what it waited for.
        let proving = timeout(self.network.limits().attempt_deadline + GRACE, validator.validate(attempt));
        Ok(proving.await.unwrap_or_else(|_| {
            let detail = format!("{} did not answer in time", task.identifier);
            Err(ValidationFailure::transient(ProblemType::Connection, detail))
        }))
    }

    async fn permits(
        &self,
        task: &CaaTask,
        trace: &Trace,
    ) -> Result<Result<(), ValidationFailure>, BoxError> {
        let caa = Caa::new(task.issuers.iter().cloned()).ok_or("the CA has no name in CAA records")?;
        let subjects = task.subjects.iter().map(|subject| CaaSubject {
            identifier: &subject.identifier,
            account_url: &subject.account_url,
            method: &subject.method,
        });
        let subjects = subjects.collect::<Vec<_>>();
        let asking = caa.check(&subjects, self.network.resolver(), trace);
        Ok(timeout(self.network.limits().attempt_deadline, asking).await.unwrap_or_else(|_| {
            let detail = "CAA records could not be looked up in time";
            Err(ValidationFailure::transient(ProblemType::Dns, detail))
        }))
    }

    async fn see(&self, task: &Task, trace: &Trace) -> Result<Result<(), ValidationFailure>, BoxError> {
        if let Some(challenge) = &task.challenge {
            let proved = self.prove(challenge, trace).await?;
            if proved.is_err() {
                return Ok(proved);
            }
        }
        match &task.caa {
            Some(caa) => self.permits(caa, trace).await,
            None => Ok(Ok(())),
        }
    }
}

#[async_trait]
impl Perspective for Vantage {
    fn name(&self) -> &str {
        &self.name
    }

    fn offers(&self, kind: &ChallengeType) -> bool {
        self.validator(kind).is_some()
    }

    async fn look(&self, task: &Task) -> Result<Evidence, BoxError> {
        let trace = Trace::new(task.request, subject(task));
        let result = self.see(task, &trace).await?;
        trace.finish(&result);
        Ok(Evidence { seen: Seen::from(result), timeline: trace.timeline().within(LONGEST_TIMELINE) })
    }
}

impl fmt::Debug for Vantage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vantage")
            .field("name", &self.name)
            .field("network", &self.network)
            .finish_non_exhaustive()
    }
}

fn subject(task: &Task) -> String {
    match (&task.challenge, &task.caa) {
        (Some(challenge), _) => format!("{} {}", challenge.kind, challenge.identifier),
        (None, Some(caa)) => format!("CAA for {} names", caa.subjects.len()),
        (None, None) => "nothing".to_owned(),
    }
}
