//! CAA, when a name was proved and again when it is to be signed for. RFC 8659 section 3.

use coyote_protocol::{Identifier, Problem, ProblemType};
use coyote_storage::{Authorization, Order};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use super::validate::GRACE;
use crate::{
    acme::Acme,
    error::Result,
    service::own_certificate::BY_OPERATOR,
    trace::{Trace, TraceEvent},
    validate::{CaaQuestion, CaaSubject, CaaTask, Network, Task, ValidationFailure},
};

impl Acme {
    /// Whether CAA records still permit the order's certificate. Names that the operator vouches for are not asked.
    /// The permit is given back while that takes long.
    ///
    /// # Errors
    ///
    /// The inner one is final. The outer one may be over in a moment; if it is not, that is what the client is told.
    pub(super) async fn recheck_caa(
        &self,
        order: &Order,
        permit: &mut Option<OwnedSemaphorePermit>,
        trace: &Trace,
    ) -> Result<Result<(), Problem>> {
        if self.caa.is_none() {
            return Ok(Ok(()));
        }
        let account_url = &self.urls.account(&order.account);
        let subjects = order.identifiers.iter().filter_map(|identifier| {
            let held = order.authorizations.iter().find(|held| held.identifier == *identifier);
            let method = held.and_then(Authorization::validated_by)?;
            let by_challenge = method.as_str() != BY_OPERATOR;
            by_challenge.then_some(CaaSubject { identifier, account_url, method })
        });
        let subjects: Vec<_> = subjects.collect();
        let name = self.network_of(order.profile.as_deref());
        let network = self.network(name).unwrap_or(&self.network);
        let asking = async {
            self.ask_caa(&subjects, network, trace).await?;
            let Some(perspectives) = self.perspectives_for(name) else { return Ok(()) };
            let task = Task { request: trace.id(), challenge: None, caa: self.caa_task(&subjects) };
            perspectives.corroborate(task, self.limits.validation_time + GRACE, trace).await
        };
        let checked = self.stepping_aside(permit, asking).await;
        match checked.unwrap_or_else(|| Err(gave_way(trace))) {
            Ok(()) => Ok(Ok(())),
            Err(ValidationFailure::Definitive(problem)) => Ok(Err(problem)),
            Err(ValidationFailure::Transient(problem)) => Err(problem.into()),
        }
    }

    /// What others are asked about CAA records; nothing if nobody is, or none of the subjects has any.
    pub(super) fn caa_task(&self, subjects: &[CaaSubject<'_>]) -> Option<CaaTask> {
        let caa = self.caa.as_ref()?;
        let question = |subject: &CaaSubject<'_>| CaaQuestion {
            identifier: subject.identifier.clone(),
            account_url: subject.account_url.to_owned(),
            method: subject.method.clone(),
        };
        let with_records = subjects.iter().filter(|subject| !matches!(subject.identifier, Identifier::Ip(_)));
        let subjects: Vec<_> = with_records.map(question).collect();
        (!subjects.is_empty()).then(|| CaaTask { issuers: caa.issuers().to_vec(), subjects })
    }

    pub(super) async fn ask_caa(
        &self,
        subjects: &[CaaSubject<'_>],
        network: &Network,
        trace: &Trace,
    ) -> Result<(), ValidationFailure> {
        let Some(caa) = &self.caa else { return Ok(()) };
        let checking = caa.check(subjects, network.resolver(), trace);
        timeout(self.limits.validation_time, checking).await.unwrap_or_else(|_| {
            let detail = "CAA records could not be looked up in time";
            Err(ValidationFailure::transient(ProblemType::Dns, detail))
        })
    }
}

fn gave_way(trace: &Trace) -> ValidationFailure {
    trace.record(TraceEvent::note("gave way to others: there are too many to wait for"));
    ValidationFailure::transient(ProblemType::Dns, "CAA records could not be looked up in the time there was")
}
