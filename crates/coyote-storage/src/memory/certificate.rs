use std::ops::Bound;

use async_trait::async_trait;
use coyote_protocol::Timestamp;

use super::MemoryStorage;
use crate::{
    AccountId, BeginRevocation, Cause, Certificate, CertificateId, CertificateStore, Conflict, Job, Lease,
    OrderId, Result, Revocation, RevocationBegun, RevocationOutcome, Serial, StorageError, Telling, Work,
};

#[async_trait]
impl CertificateStore for MemoryStorage {
    async fn reserve_serial(&self, lease: &Lease, serial: Serial, cause: &Cause) -> Result<()> {
        self.write(|state| {
            let Work::Issue { account, order } = state.leased_job(lease, cause)?.work else {
                return Err(StorageError::LeaseLost);
            };
            if state.serials.contains_key(&serial) {
                return Err(Conflict::SerialInUse.into());
            }
            let mut order = state.order(&account, &order)?;
            order.replace_serial(serial.clone());
            state.serials.insert(serial, (order.id, cause.now));
            state.save_order(order)?;
            Ok(())
        })
    }

    async fn reserved_serial(&self, serial: &Serial) -> Result<OrderId> {
        self.read(|state| state.serials.get(serial).map(|(order, _)| *order).ok_or(StorageError::NotFound))
    }

    async fn certificate(&self, account: &AccountId, id: &CertificateId) -> Result<Certificate> {
        self.read(|state| {
            let certificate = state.certificates.get(id).ok_or(StorageError::NotFound)?;
            state.require_owner(&certificate.account, account)?;
            Ok(certificate.clone())
        })
    }

    async fn certificate_by_serial(&self, serial: &Serial) -> Result<Certificate> {
        self.read(|state| {
            let id = state.certificate_serials.get(serial).ok_or(StorageError::NotFound)?;
            state.certificates.get(id).cloned().ok_or(StorageError::NotFound)
        })
    }

    async fn revoke_certificate(&self, begin: BeginRevocation, cause: &Cause) -> Result<RevocationBegun> {
        self.write(|state| {
            let certificate = state.certificates.get(&begin.certificate);
            let mut certificate = certificate.ok_or(StorageError::NotFound)?.clone();
            let event = certificate.revoke(begin.reason, begin.telling, cause.now)?;
            let mut lease = None;
            if let Telling::Owed(terms) = begin.telling {
                let directory = state.account(&certificate.account)?.directory.clone();
                let job = Job::new(directory, Work::revocation(&certificate), terms, cause.now);
                lease = job.born_lease();
                state.jobs.insert(job.id, job);
            }
            state.certificates.insert(certificate.id, certificate.clone());
            state.record(event, cause);
            Ok(RevocationBegun { certificate, lease })
        })
    }

    async fn finish_revocation(
        &self,
        lease: Lease,
        outcome: RevocationOutcome,
        cause: &Cause,
    ) -> Result<Certificate> {
        self.write(|state| {
            let job = state.leased_job(&lease, cause)?;
            let Work::Revoke { certificate, .. } = job.work else { return Err(StorageError::LeaseLost) };
            let certificate = state.certificates.get(&certificate);
            let mut certificate = certificate.ok_or(StorageError::NotFound)?.clone();
            let event = certificate.finish_revocation(outcome, cause.now);
            state.jobs.remove(&job.id);
            if let Some(event) = event {
                state.record(event, cause);
            }
            state.certificates.insert(certificate.id, certificate.clone());
            Ok(certificate)
        })
    }

    async fn revocations(
        &self,
        now: Timestamp,
        after: Option<&Serial>,
        limit: u32,
    ) -> Result<Vec<(Serial, Revocation)>> {
        self.read(|state| {
            let from = after.map_or(Bound::Unbounded, Bound::Excluded);
            let certificates = state.certificate_serials.range::<Serial, _>((from, Bound::Unbounded));
            let certificates = certificates.filter_map(|(_, id)| state.certificates.get(id));
            let unexpired = certificates.filter(|certificate| certificate.not_after >= now);
            let revoked = unexpired
                .filter_map(|certificate| Some((certificate.serial.clone(), certificate.revocation?)));
            Ok(revoked.take(limit as usize).collect())
        })
    }
}
