//! Certificates, their serial numbers and their revocation. RFC 8555 sections 7.4.2 and 7.6.

use async_trait::async_trait;
use coyote_protocol::Timestamp;
use coyote_storage::{
    AccountId, BeginRevocation, Cause, Certificate, CertificateId, CertificateStore, Conflict, Job, Lease,
    Order, OrderId, Result, Revocation, RevocationBegun, RevocationOutcome, Serial, StorageError, Telling,
    Work,
};

use crate::{
    RedbStorage, audit, job, order,
    table::{ACCOUNTS, CERTIFICATE_OF_SERIAL, CERTIFICATES, JOBS, ORDERS, Range, SERIALS, Transaction},
};

/// Puts a serial number on record, for ever.
pub(crate) fn record_serial(transaction: &Transaction, serial: &Serial, order: &OrderId) -> Result<()> {
    if transaction.find(&SERIALS, serial.as_bytes())?.is_some() {
        return Err(Conflict::SerialInUse.into());
    }
    transaction.put(&SERIALS, serial.as_bytes(), order)
}

pub(crate) fn insert(transaction: &Transaction, certificate: &Certificate) -> Result<()> {
    if transaction.find(&CERTIFICATES, certificate.id.as_bytes())?.is_some() {
        return Err(Conflict::IdInUse.into());
    }
    if transaction.find(&CERTIFICATE_OF_SERIAL, certificate.serial.as_bytes())?.is_some() {
        return Err(Conflict::SerialInUse.into());
    }
    transaction.put(&CERTIFICATE_OF_SERIAL, certificate.serial.as_bytes(), &certificate.id)?;
    transaction.put(&CERTIFICATES, certificate.id.as_bytes(), certificate)
}

pub(crate) fn remove(transaction: &Transaction, certificate: &Certificate) -> Result<()> {
    transaction.remove(&CERTIFICATES, certificate.id.as_bytes())?;
    transaction.remove(&CERTIFICATE_OF_SERIAL, certificate.serial.as_bytes())?;
    Ok(())
}

/// Notes that this order replaces a certificate, if it is to replace one.
pub(crate) fn replace(transaction: &Transaction, by: &Order, now: Timestamp) -> Result<()> {
    let Some(id) = &by.replaces else { return Ok(()) };
    let certificate = transaction.find(&CERTIFICATES, id.as_bytes())?;
    let mut certificate = certificate.ok_or(Conflict::NothingToReplace)?;
    let before = certificate.replaced_by.map(|before| transaction.find(&ORDERS, before.as_bytes()));
    let before = before.transpose()?.flatten().map(|before| before.join(transaction)).transpose()?;
    certificate.replace(by, before.map(|before| before.status(now)))?;
    transaction.put(&CERTIFICATES, id.as_bytes(), &certificate)
}

#[async_trait]
impl CertificateStore for RedbStorage {
    async fn reserve_serial(&self, lease: &Lease, serial: Serial, cause: &Cause) -> Result<()> {
        let now = cause.now;
        let lease = Lease { job: lease.job, work: lease.work.clone(), ..*lease };
        self.write(move |transaction| {
            let Work::Issue { account, order } = job::held(transaction, &lease, now)?.work else {
                return Err(StorageError::LeaseLost);
            };
            let mut order = order::load(transaction, &account, &order)?;
            record_serial(transaction, &serial, &order.id)?;
            order.replace_serial(serial);
            order::save(transaction, &order)
        })
        .await
    }

    async fn reserved_serial(&self, serial: &Serial) -> Result<OrderId> {
        self.read(|transaction| transaction.load(&SERIALS, serial.as_bytes()))
    }

    async fn certificate(&self, account: &AccountId, id: &CertificateId) -> Result<Certificate> {
        let certificate = self.read(|transaction| transaction.load(&CERTIFICATES, id.as_bytes()))?;
        if certificate.account == *account { Ok(certificate) } else { Err(StorageError::NotFound) }
    }

    async fn certificate_by_serial(&self, serial: &Serial) -> Result<Certificate> {
        self.read(|transaction| {
            let id = transaction.load(&CERTIFICATE_OF_SERIAL, serial.as_bytes())?;
            transaction.load(&CERTIFICATES, id.as_bytes())
        })
    }

    async fn revoke_certificate(&self, begin: BeginRevocation, cause: &Cause) -> Result<RevocationBegun> {
        let cause = cause.clone();
        self.write(move |transaction| {
            let mut certificate = transaction.load(&CERTIFICATES, begin.certificate.as_bytes())?;
            let event = certificate.revoke(begin.reason, begin.telling, cause.now)?;
            transaction.put(&CERTIFICATES, certificate.id.as_bytes(), &certificate)?;
            audit::record(transaction, event, &cause)?;
            let mut lease = None;
            if let Telling::Owed(terms) = begin.telling {
                let directory = transaction.load(&ACCOUNTS, certificate.account.as_bytes())?.directory;
                let job = Job::new(directory, Work::revocation(&certificate), terms, cause.now);
                lease = job.born_lease();
                transaction.put(&JOBS, job.id.as_bytes(), &job)?;
            }
            Ok(RevocationBegun { certificate, lease })
        })
        .await
    }

    async fn finish_revocation(
        &self,
        lease: Lease,
        outcome: RevocationOutcome,
        cause: &Cause,
    ) -> Result<Certificate> {
        let cause = cause.clone();
        self.write(move |transaction| {
            let job = job::held(transaction, &lease, cause.now)?;
            let Work::Revoke { certificate, .. } = job.work else { return Err(StorageError::LeaseLost) };
            let mut certificate = transaction.load(&CERTIFICATES, certificate.as_bytes())?;
            transaction.remove(&JOBS, job.id.as_bytes())?;
            if let Some(event) = certificate.finish_revocation(outcome, cause.now) {
                transaction.put(&CERTIFICATES, certificate.id.as_bytes(), &certificate)?;
                audit::record(transaction, event, &cause)?;
            }
            Ok(certificate)
        })
        .await
    }

    async fn revocations(
        &self,
        now: Timestamp,
        after: Option<&Serial>,
        limit: u32,
    ) -> Result<Vec<(Serial, Revocation)>> {
        self.read(|transaction| {
            let (mut revoked, after) = (Vec::new(), after.map(Serial::as_bytes));
            let page = Range { prefix: &[], after, limit: limit as usize };
            transaction.select(&CERTIFICATE_OF_SERIAL, page, |id| {
                let certificate = transaction.load(&CERTIFICATES, id.as_bytes())?;
                let current = certificate.revocation.filter(|_| certificate.not_after >= now);
                revoked.extend(current.map(|revocation| (certificate.serial, revocation)));
                Ok(current.is_some())
            })?;
            Ok(revoked)
        })
    }
}
