use coyote_protocol::Timestamp;

use super::{State, StoredOrder};
use crate::{AuthorizationId, Certificate, Job, OrderId, Sweep, SweepReport, Work};

impl State {
    pub(super) fn sweep(&mut self, sweep: &Sweep, now: Timestamp) -> SweepReport {
        let mut report =
            SweepReport { jobs_restored: self.restore_jobs(sweep, now), ..SweepReport::default() };
        self.remove_orders(sweep, &mut report);
        self.remove_authorizations(sweep, &mut report);
        report.audit_removed = self.remove_audit(sweep);
        report.traces_removed = self.remove_traces(sweep);
        report
    }

    fn restore_jobs(&mut self, sweep: &Sweep, now: Timestamp) -> u64 {
        let validations = self.authorizations.values().flat_map(|authorization| authorization.owed(now));
        let issuances = self.orders.values().filter_map(|stored| stored.order.owed());
        let revocations = self.certificates.values().filter_map(Certificate::owed);
        let lost = validations
            .chain(issuances)
            .chain(revocations)
            .filter(|work| !self.jobs.contains_key(&work.job()));
        let restored: Vec<Job> = lost
            .filter_map(|work| {
                let directory = self.accounts.get(work.account())?.directory.clone();
                Some(Job::new(directory, work, None, now))
            })
            .take(sweep.batch as usize)
            .collect();
        let count = restored.len() as u64;
        self.jobs.extend(restored.into_iter().map(|job| (job.id, job)));
        count
    }

    fn remove_orders(&mut self, sweep: &Sweep, report: &mut SweepReport) {
        let over = |stored: &&StoredOrder| sweep.removes_order(&stored.order, self.certificate_of(stored));
        let over = self.orders.values().filter(over).take(sweep.batch as usize);
        let over: Vec<OrderId> = over.map(|stored| stored.order.id).collect();
        for id in over {
            let Some(stored) = self.orders.remove(&id) else { continue };
            report.orders_removed += 1;
            let certificate = stored.order.certificate.and_then(|id| self.certificates.remove(&id));
            if let Some(certificate) = certificate {
                self.certificate_serials.remove(&certificate.serial);
                certificate.owed().map(|work| self.jobs.remove(&work.job()));
                report.certificates_removed += 1;
            }
        }
    }

    fn certificate_of(&self, stored: &StoredOrder) -> Option<&Certificate> {
        self.certificates.get(&stored.order.certificate?)
    }

    fn remove_authorizations(&mut self, sweep: &Sweep, report: &mut SweepReport) {
        let ordered = self.ordered();
        let free = self.authorizations.values().filter(|held| !ordered.contains(&held.id));
        let over = free.filter(|held| sweep.removes_authorization(held)).take(sweep.batch as usize);
        let over: Vec<AuthorizationId> = over.map(|held| held.id).collect();
        for id in over {
            let Some(authorization) = self.authorizations.remove(&id) else { continue };
            report.authorizations_removed += 1;
            for challenge in &authorization.challenges {
                self.jobs.remove(&Work::validation(&authorization, challenge.id).job());
            }
        }
    }

    fn remove_audit(&mut self, sweep: &Sweep) -> u64 {
        let before = self.audit.len();
        let mut left = sweep.batch;
        self.audit.retain(|_, record| {
            let remove = left > 0 && record.at < sweep.remove_audit_before;
            left -= u32::from(remove);
            !remove
        });
        (before - self.audit.len()) as u64
    }

    fn remove_traces(&mut self, sweep: &Sweep) -> u64 {
        let before = self.traces.len();
        let mut left = sweep.batch;
        self.traces.retain(|record| {
            let remove = left > 0 && record.at < sweep.remove_traces_before;
            left -= u32::from(remove);
            !remove
        });
        (before - self.traces.len()) as u64
    }
}
