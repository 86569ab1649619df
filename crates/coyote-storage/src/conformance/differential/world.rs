//! The two storages, side by side.

use std::fmt::Debug;

use coyote_protocol::{RevocationReason, Timestamp};
use proptest::prelude::*;
use proptest::sample::Index;

use super::super::seeded::{DAY, MINUTE, NOW, account, bits, cause, copy, key, placing, serial, terms};
use super::seed::*;
use super::step::Step;
use crate::{
    AccountChange, AccountStore, AuditFilter, AuditLog, AuthorizationStore, BeginRevocation, BeginValidation,
    CertificateStore, Claim, ExternalAccountStore, IssuanceOutcome, JobQueue, Lease, LeaseTerms,
    MemoryStorage, NewOrder, OrderStore, Quota, RateLimitStore, RequestId, RevocationOutcome, Storage,
    StorageError, Sweep, Telling, TraceKey, TraceLog, ValidationOutcome, WorkKind,
};

/// Both storages, and what a client and a worker would know.
pub(super) struct World<S> {
    memory: MemoryStorage,
    other: S,
    now: Timestamp,
    leases: Vec<Lease>,
}

/// The same call on both; the answer of both, if they agree.
macro_rules! same {
    ($world:ident . $call:ident ( $($argument:expr),* )) => {{
        let expected = $world.memory.$call($($argument),*).await;
        let answer = $world.other.$call($($argument),*).await;
        agree(stringify!($call), &expected, &answer)?;
        expected
    }};
}

fn agree<T: Debug>(
    call: &str,
    expected: &Result<T, StorageError>,
    answer: &Result<T, StorageError>,
) -> Result<(), TestCaseError> {
    let (expected, answer) = (format!("{expected:#?}"), format!("{answer:#?}"));
    prop_assert_eq!(expected, answer, "memory is left, the other is right: {}", call);
    Ok(())
}

impl<S: Storage + RateLimitStore> World<S> {
    pub(super) fn new(other: S) -> Self {
        Self { memory: MemoryStorage::new(), other, now: NOW, leases: Vec::new() }
    }

    fn lease(&self, index: Index) -> Option<Lease> {
        (!self.leases.is_empty()).then(|| copy(index.get(&self.leases)))
    }

    fn keep(&mut self, lease: Option<Lease>) {
        self.leases.extend(lease);
    }

    pub(super) async fn take_step(&mut self, step: Step) -> Result<(), TestCaseError> {
        let now = self.now;
        let cause = &cause(now);
        match step {
            Step::Wait { minutes } => self.now = now + MINUTE * minutes,
            Step::CreateAccount { .. }
            | Step::Account { .. }
            | Step::AccountByKey { .. }
            | Step::UpdateAccount { .. }
            | Step::ChangeKey { .. } => self.account_step(step).await?,
            Step::CreateKey { .. } | Step::Key { .. } | Step::Keys { .. } | Step::RevokeKey { .. } => {
                self.key_step(step).await?;
            }
            Step::Authorization { .. }
            | Step::CreateAuthorization { .. }
            | Step::Reusable { .. }
            | Step::BeginValidation { .. }
            | Step::RetryValidation { .. }
            | Step::FinishValidation { .. }
            | Step::Deactivate { .. } => self.authorization_step(step).await?,
            Step::CreateOrder { id, account, names, reused, replaces, most_open } => {
                let mut order = new_order(id, account, &names, now);
                order.replaces = replaces.map(certificate_id);
                let reused = reused.into_iter().map(|(order, name)| authorization_id(order, name)).collect();
                let new = NewOrder { order, reused, most_open };
                drop(same!(self.create_order(new.clone(), cause)));
            }
            Step::Order { id, account } => drop(same!(self.order(&account_id(account), &order_id(id)))),
            Step::Orders { account, after, limit } => {
                let after = after.map(order_id);
                drop(same!(self.orders(&account_id(account), after.as_ref(), limit)));
            }
            Step::BeginIssuance { order, account, serial, lease } => {
                let begin = begin_issuance(order, account, serial, lease.map(|minutes| self.terms(minutes)));
                let begun = same!(self.begin_issuance(begin.clone(), cause));
                self.keep(begun.ok().and_then(|begun| begun.lease));
            }
            Step::FinishIssuance { lease, certificate, serial } => {
                let Some(lease) = self.lease(lease) else { return Ok(()) };
                let outcome = match certificate {
                    Some(id) => issued(id, &lease, serial),
                    None => IssuanceOutcome::Refused(problem()),
                };
                drop(same!(self.finish_issuance(copy(&lease), outcome.clone(), cause)));
            }
            Step::Issue { order, account, serial, replaces, commits } => {
                let mut new = new_order(order, account, &[0], now);
                new.replaces = replaces.map(certificate_id);
                drop(same!(self.create_order(placing(new.clone(), []), cause)));
                self.issue(order, account, serial, commits).await?;
            }
            step => self.other_step(step).await?,
        }
        Ok(())
    }

    async fn account_step(&mut self, step: Step) -> Result<(), TestCaseError> {
        let cause = &cause(self.now);
        match step {
            Step::CreateAccount { id, key: seed, directory, kid } => {
                let mut new = account(id);
                new.key = key(seed);
                new.directory = directory_id(directory);
                new.external_account = kid.map(external_account);
                drop(same!(self.create_account(new.clone(), cause)));
            }
            Step::Account { id, directory } => {
                drop(same!(self.account(&directory_id(directory), &account_id(id))));
            }
            Step::AccountByKey { key: seed, directory } => {
                drop(same!(self.account_by_key(&directory_id(directory), &key(seed).thumbprint())));
            }
            Step::UpdateAccount { id, contact, agree, deactivate } => {
                let contact = contact.then(|| vec![format!("mailto:{}@a.test", self.now)]);
                let change = AccountChange { contact, agree_to_terms_of_service: agree, deactivate };
                drop(same!(self.update_account(&account_id(id), change.clone(), cause)));
            }
            Step::ChangeKey { id, old, new } => {
                let old = key(old).thumbprint();
                drop(same!(self.change_account_key(&account_id(id), &old, key(new), cause)));
            }
            _ => {}
        }
        Ok(())
    }

    async fn key_step(&mut self, step: Step) -> Result<(), TestCaseError> {
        let cause = &cause(self.now);
        match step {
            Step::CreateKey { kid, directory, most_accounts, days } => {
                let expires = days.map(|days| self.now + DAY * days);
                let key = external_account_key(kid, directory, most_accounts, expires);
                drop(same!(self.create_external_account_key(key.clone(), cause)));
            }
            Step::Key { kid, directory } => {
                drop(same!(self.external_account_key(&directory_id(directory), &kid.to_string())));
            }
            Step::Keys { directory, after, limit } => {
                let (directory, after) = (directory_id(directory), after.map(|kid| kid.to_string()));
                drop(same!(self.external_account_keys(&directory, after.as_deref(), limit)));
            }
            Step::RevokeKey { kid, directory } => {
                let directory = directory_id(directory);
                drop(same!(self.revoke_external_account_key(&directory, &kid.to_string(), cause)));
            }
            _ => {}
        }
        Ok(())
    }

    async fn authorization_step(&mut self, step: Step) -> Result<(), TestCaseError> {
        let now = self.now;
        let cause = &cause(now);
        match step {
            Step::Authorization { order, name, account } => {
                drop(same!(self.authorization(&account_id(account), &authorization_id(order, name))));
            }
            Step::CreateAuthorization { order, name, account, identifier, most_alone } => {
                let new = new_authorization(order, name, account, identifier, now);
                drop(same!(self.create_authorization(new.clone(), most_alone, cause)));
            }
            Step::Reusable { account, names, days } => {
                let until = now + DAY * days;
                drop(same!(self.reusable_authorizations(&account_id(account), &identifiers(&names), until)));
            }
            Step::BeginValidation { order, name, challenge, account, lease } => {
                let begin = BeginValidation {
                    account: account_id(account),
                    authorization: authorization_id(order, name),
                    challenge: challenge_id(order, name, challenge),
                    lease: lease.map(|minutes| self.terms(minutes)),
                };
                let begun = same!(self.begin_validation(begin.clone(), cause));
                self.keep(begun.ok().and_then(|begun| begun.lease));
            }
            Step::RetryValidation { lease, minutes } => {
                let Some(lease) = self.lease(lease) else { return Ok(()) };
                let due = now + MINUTE * minutes;
                drop(same!(self.retry_validation(copy(&lease), problem(), due, cause)));
            }
            Step::FinishValidation { lease, valid } => {
                let Some(lease) = self.lease(lease) else { return Ok(()) };
                let outcome = match valid {
                    true => ValidationOutcome::Valid { expires: now + 30 * DAY },
                    false => ValidationOutcome::Invalid(problem()),
                };
                drop(same!(self.finish_validation(copy(&lease), outcome.clone(), cause)));
            }
            Step::Deactivate { order, name, account } => {
                let id = authorization_id(order, name);
                drop(same!(self.deactivate_authorization(&account_id(account), &id, cause)));
            }
            _ => {}
        }
        Ok(())
    }

    async fn other_step(&mut self, step: Step) -> Result<(), TestCaseError> {
        let now = self.now;
        let cause = &cause(now);
        match step {
            Step::ReserveSerial { lease, serial: seed } => {
                let Some(lease) = self.lease(lease) else { return Ok(()) };
                drop(same!(self.reserve_serial(&lease, serial(seed), cause)));
            }
            Step::ReservedSerial { serial: seed } => drop(same!(self.reserved_serial(&serial(seed)))),
            Step::Certificate { id, account } => {
                drop(same!(self.certificate(&account_id(account), &certificate_id(id))));
            }
            Step::CertificateBySerial { serial: seed } => {
                drop(same!(self.certificate_by_serial(&serial(seed))));
            }
            Step::Revoke { id, key_compromise, telling } => {
                let reason = match key_compromise {
                    true => RevocationReason::KeyCompromise,
                    false => RevocationReason::Unspecified,
                };
                let telling = match telling {
                    Some(lease) => Telling::Owed(lease.map(|minutes| self.terms(minutes))),
                    None => Telling::NotNeeded,
                };
                let begin = BeginRevocation { certificate: certificate_id(id), reason, telling };
                let begun = same!(self.revoke_certificate(begin.clone(), cause));
                self.keep(begun.ok().and_then(|begun| begun.lease));
            }
            Step::FinishRevocation { lease, told } => {
                let Some(lease) = self.lease(lease) else { return Ok(()) };
                let outcome = if told { RevocationOutcome::Told } else { RevocationOutcome::GivenUp };
                drop(same!(self.finish_revocation(copy(&lease), outcome, cause)));
            }
            Step::Revocations { after, limit } => {
                let after = after.map(serial);
                drop(same!(self.revocations(now, after.as_ref(), limit)));
            }
            Step::Claim { directory, limit, minutes } => {
                let kinds = [None, Some(WorkKind::Validate), Some(WorkKind::Issue), Some(WorkKind::Revoke)];
                let kind = kinds[limit as usize % 4];
                let claim =
                    Claim { directory: directory_id(directory), kind, limit, terms: self.terms(minutes) };
                self.leases.extend(same!(self.claim_jobs(&claim, cause)).unwrap_or_default());
            }
            Step::Renew { lease, minutes } => {
                let Some(lease) = self.lease(lease) else { return Ok(()) };
                drop(same!(self.renew_lease(&lease, now + MINUTE * minutes, cause)));
            }
            Step::Release { lease, minutes } => {
                let Some(lease) = self.lease(lease) else { return Ok(()) };
                let due = now + MINUTE * minutes;
                drop(same!(self.release_job(copy(&lease), due, cause)));
            }
            Step::NextDue { directory } => drop(same!(self.next_due(&directory_id(directory)))),
            Step::Sweep { expired_days, issued_days, audit_days } => {
                let ago = |days| now - DAY * days;
                let sweep = Sweep {
                    remove_expired_before: ago(expired_days) + 100 * DAY,
                    remove_issued_before: ago(issued_days) + 100 * DAY,
                    remove_audit_before: ago(audit_days),
                    remove_traces_before: ago(audit_days),
                    batch: 1000,
                };
                drop(same!(self.sweep(&sweep, cause)));
            }
            Step::Audit { account, limit } => {
                let subject = account.map(|id| account_id(id).to_string());
                drop(same!(self.audit(&AuditFilter { subject: subject.clone(), limit })));
                drop(same!(self.traces(&TraceKey::Request(RequestId::from_bytes(bits(1))), limit)));
            }
            Step::Take { key, amount, cost } => {
                let quota = Quota { amount, period: MINUTE };
                drop(same!(self.take(&key.to_string(), &quota, cost, now)));
            }
            _ => {}
        }
        Ok(())
    }

    /// As much of the issuance of an order as the state allows: the next of its commits, and so many more.
    async fn issue(
        &mut self,
        order: u64,
        account: u64,
        serial: u64,
        commits: u32,
    ) -> Result<(), TestCaseError> {
        let cause = &cause(self.now);
        let begin = BeginValidation {
            account: account_id(account),
            authorization: authorization_id(order, 0),
            challenge: challenge_id(order, 0, 1),
            lease: Some(self.terms(10)),
        };
        let lease = same!(self.begin_validation(begin.clone(), cause)).ok().and_then(|begun| begun.lease);
        if commits >= 1
            && let Some(lease) = &lease
        {
            let outcome = ValidationOutcome::Valid { expires: self.now + 30 * DAY };
            drop(same!(self.finish_validation(copy(lease), outcome.clone(), cause)));
        }
        self.keep(lease);
        if commits < 2 {
            return Ok(());
        }
        let begin = begin_issuance(order, account, serial, Some(self.terms(10)));
        let lease = same!(self.begin_issuance(begin.clone(), cause)).ok().and_then(|begun| begun.lease);
        if commits >= 3
            && let Some(lease) = &lease
        {
            let outcome = issued(serial % CERTIFICATES, lease, serial);
            drop(same!(self.finish_issuance(copy(lease), outcome.clone(), cause)));
        }
        self.keep(lease);
        Ok(())
    }

    /// The terms of a lease, of which some are of no length and some have the same token.
    fn terms(&self, minutes: u32) -> LeaseTerms {
        terms(self.leases.len() as u64 / 2, self.now + MINUTE * minutes)
    }

    /// Looks at everything there is.
    pub(super) async fn compare(&mut self) -> Result<(), TestCaseError> {
        for account in 0..ACCOUNTS {
            for directory in 0..2 {
                drop(same!(self.account(&directory_id(directory), &account_id(account))));
            }
            drop(same!(self.orders(&account_id(account), None, 1000)));
            let names = identifiers(&[0, 1, 2]);
            drop(same!(self.reusable_authorizations(&account_id(account), &names, self.now)));
            for order in 0..ORDERS {
                drop(same!(self.order(&account_id(account), &order_id(order))));
                for name in 0..2 {
                    drop(same!(self.authorization(&account_id(account), &authorization_id(order, name))));
                }
            }
            for certificate in 0..CERTIFICATES {
                drop(same!(self.certificate(&account_id(account), &certificate_id(certificate))));
            }
        }
        for directory in 0..2 {
            drop(same!(self.external_account_keys(&directory_id(directory), None, 1000)));
        }
        for seed in 0..SERIALS {
            drop(same!(self.reserved_serial(&serial(seed))));
            drop(same!(self.certificate_by_serial(&serial(seed))));
        }
        drop(same!(self.audit(&AuditFilter { subject: None, limit: 1000 })));
        drop(same!(self.revocations(NOW, None, 1000)));
        self.now = self.now + 1000 * DAY;
        for directory in 0..2 {
            drop(same!(self.next_due(&directory_id(directory))));
            let claim =
                Claim { directory: directory_id(directory), kind: None, limit: 1000, terms: self.terms(1) };
            drop(same!(self.claim_jobs(&claim, &cause(self.now))));
        }
        Ok(())
    }
}
