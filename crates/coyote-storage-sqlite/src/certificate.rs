//! Certificates, their serial numbers and their revocation. RFC 8555 sections 7.4.2 and 7.6.

use async_trait::async_trait;
use coyote_protocol::Timestamp;
use coyote_storage::{
    AccountId, BeginRevocation, Cause, Certificate, CertificateId, CertificateStore, Conflict, Job, Lease,
    Order, OrderId, Result, Revocation, RevocationBegun, RevocationOutcome, Serial, StorageError, Telling,
    Work,
    sealing::{Column, Sealing},
};
use diesel::{dsl, prelude::*, result::DatabaseErrorKind, result::Error as DieselError, sqlite::Sqlite};

use crate::{
    SqliteStorage, account, audit, cell,
    column::{Bits, Millis, Printed, Reason},
    error::{Failure, guarded, taken},
    job, order,
    schema::{certificates, jobs, serials},
    update::update,
};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = certificates, check_for_backend(Sqlite), treat_none_as_default_value = false)]
pub(crate) struct CertificateRow {
    id: Bits<CertificateId>,
    account_id: Bits<AccountId>,
    order_id: Bits<OrderId>,
    serial: Printed<Serial>,
    not_before: Millis,
    not_after: Millis,
    chain: Vec<u8>,
    alternates: Vec<u8>,
    issued: Millis,
    revoked: Option<Millis>,
    revocation_reason: Option<Reason>,
    issuer_told: Option<Millis>,
    issuer_refused: Option<Millis>,
    replaced_by: Option<Bits<OrderId>>,
}

#[derive(Insertable)]
#[diesel(table_name = serials)]
struct SerialRow {
    serial: Printed<Serial>,
    order_id: Bits<OrderId>,
    reserved: Millis,
}

impl CertificateRow {
    fn open(self, sealing: &Sealing) -> Result<Certificate> {
        let id = self.id.0;
        let chain = cell::open_text(sealing, &Column::CHAIN.of(id.as_bytes()), &self.chain)?;
        let alternates = cell::open_json(sealing, &Column::ALTERNATES.of(id.as_bytes()), &self.alternates)?;
        Ok(Certificate { chain, alternates, ..self.without_chains() })
    }

    /// Without its chains, of which no rule knows.
    pub(crate) fn without_chains(self) -> Certificate {
        let revocation = self.revoked.zip(self.revocation_reason);
        Certificate {
            id: self.id.0,
            account: self.account_id.0,
            order: self.order_id.0,
            serial: self.serial.0,
            not_before: self.not_before.0,
            not_after: self.not_after.0,
            chain: String::new(),
            alternates: Vec::new(),
            issued: self.issued.0,
            revocation: revocation.map(|(at, reason)| Revocation { at: at.0, reason: reason.0 }),
            issuer_told: self.issuer_told.map(|at| at.0),
            issuer_refused: self.issuer_refused.map(|at| at.0),
            replaced_by: self.replaced_by.map(|id| id.0),
        }
    }

    fn new(certificate: Certificate, sealing: &Sealing) -> Result<Self> {
        let id = *certificate.id.as_bytes();
        Ok(Self {
            id: Bits(certificate.id),
            account_id: Bits(certificate.account),
            order_id: Bits(certificate.order),
            serial: Printed(certificate.serial),
            not_before: Millis(certificate.not_before),
            not_after: Millis(certificate.not_after),
            chain: sealing.seal(&Column::CHAIN.of(&id), certificate.chain.as_bytes())?,
            alternates: cell::seal_json(sealing, &Column::ALTERNATES.of(&id), &certificate.alternates)?,
            issued: Millis(certificate.issued),
            revoked: certificate.revocation.map(|revocation| Millis(revocation.at)),
            revocation_reason: certificate.revocation.map(|revocation| Reason(revocation.reason)),
            issuer_told: certificate.issuer_told.map(Millis),
            issuer_refused: certificate.issuer_refused.map(Millis),
            replaced_by: certificate.replaced_by.map(Bits),
        })
    }
}

/// Puts a serial number on record, for ever.
pub(crate) fn record_serial(
    connection: &mut SqliteConnection,
    serial: Serial,
    order: &Order,
    now: Timestamp,
) -> Result<(), Failure> {
    let row = SerialRow { serial: Printed(serial), order_id: Bits(order.id), reserved: Millis(now) };
    let new = diesel::insert_into(serials::table).values(row);
    new.execute(connection).map_err(taken(Conflict::SerialInUse))?;
    Ok(())
}

pub(crate) fn insert(
    connection: &mut SqliteConnection,
    certificate: Certificate,
    sealing: &Sealing,
) -> Result<(), Failure> {
    let id = certificate.id;
    let row = CertificateRow::new(certificate, sealing)?;
    let new = diesel::insert_into(certificates::table).values(row);
    let Err(error) = new.execute(connection) else { return Ok(()) };
    match &error {
        DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, information) => {
            // Which of the keys it is, SQLite says in words only, and where both are in use, it names the serial.
            let serial = information.message().contains("certificates.serial");
            let only_serial = serial && find(connection, &id)?.is_none();
            Err(if only_serial { Conflict::SerialInUse.into() } else { Conflict::IdInUse.into() })
        }
        _ => Err(Failure::from(error)),
    }
}

pub(crate) fn find(
    connection: &mut SqliteConnection,
    id: &CertificateId,
) -> Result<Option<CertificateRow>, Failure> {
    let query = certificates::table.find(Bits(*id)).select(CertificateRow::as_select());
    Ok(query.get_result(connection).optional()?)
}

/// The certificate without its chains, of which no rule knows.
pub(crate) fn facts(connection: &mut SqliteConnection, id: &CertificateId) -> Result<Certificate, Failure> {
    let row = find(connection, id)?.ok_or(StorageError::NotFound)?;
    Ok(row.without_chains())
}

fn load(
    connection: &mut SqliteConnection,
    id: &CertificateId,
    sealing: &Sealing,
) -> Result<Certificate, Failure> {
    Ok(find(connection, id)?.ok_or(StorageError::NotFound)?.open(sealing)?)
}

pub(crate) fn remove(connection: &mut SqliteConnection, id: &CertificateId) -> Result<(), Failure> {
    diesel::delete(certificates::table.find(Bits(*id))).execute(connection)?;
    Ok(())
}

pub(crate) fn export(
    connection: &mut SqliteConnection,
    after: Option<CertificateId>,
    limit: u32,
    sealing: &Sealing,
) -> Result<Vec<Certificate>, Failure> {
    let page = certificates::table.order(certificates::id).limit(limit.into());
    let page = page.select(CertificateRow::as_select());
    let rows: Vec<CertificateRow> = match after {
        Some(after) => page.filter(certificates::id.gt(Bits(after))).load(connection)?,
        None => page.load(connection)?,
    };
    let opened = rows.into_iter().map(|row| row.open(sealing));
    Ok(opened.collect::<Result<_>>()?)
}

/// `false` if its order is not there.
pub(crate) fn import(
    connection: &mut SqliteConnection,
    certificate: Certificate,
    sealing: &Sealing,
) -> Result<bool, Failure> {
    if order::find(connection, &certificate.order)?.is_none() {
        return Ok(false);
    }
    let row = CertificateRow::new(certificate, sealing)?;
    diesel::replace_into(certificates::table).values(row).execute(connection)?;
    Ok(true)
}

/// Serial numbers, each with its order and when it was recorded.
pub(crate) fn export_serials(
    connection: &mut SqliteConnection,
    after: Option<Serial>,
    limit: u32,
) -> Result<Vec<(Serial, OrderId, Timestamp)>, Failure> {
    let after = after.map_or(String::new(), |serial| serial.to_string());
    let page = serials::table.filter(serials::serial.gt(after)).order(serials::serial).limit(limit.into());
    let rows: Vec<(Printed<Serial>, Bits<OrderId>, Millis)> = page.load(connection)?;
    Ok(rows.into_iter().map(|(serial, order, reserved)| (serial.0, order.0, reserved.0)).collect())
}

pub(crate) fn import_serial(
    connection: &mut SqliteConnection,
    serial: Serial,
    order: OrderId,
    reserved: Timestamp,
) -> Result<(), Failure> {
    let row = SerialRow { serial: Printed(serial), order_id: Bits(order), reserved: Millis(reserved) };
    diesel::replace_into(serials::table).values(row).execute(connection)?;
    Ok(())
}

/// Notes that this order replaces a certificate, if it is to replace one.
pub(crate) fn replace(connection: &mut SqliteConnection, by: &Order, now: Timestamp) -> Result<(), Failure> {
    let Some(id) = &by.replaces else { return Ok(()) };
    let mut certificate = match facts(connection, id) {
        Err(Failure::Refused(StorageError::NotFound)) => return Err(Conflict::NothingToReplace.into()),
        certificate => certificate?,
    };
    let replaced_by = certificate.replaced_by;
    let before = match replaced_by {
        Some(before) => order::status(connection, &certificate.account, &before, now)?,
        None => None,
    };
    certificate.replace(by, before)?;
    let as_loaded = certificates::replaced_by.is(replaced_by.map(Bits));
    let as_loaded = certificates::id.eq(Bits(*id)).and(as_loaded);
    let noted = certificates::replaced_by.eq(certificate.replaced_by.map(Bits));
    guarded(update(connection, certificates::table, noted, as_loaded)?, Conflict::AlreadyReplaced)
}

fn save_revoked(connection: &mut SqliteConnection, certificate: &Certificate) -> Result<(), Failure> {
    let revocation = certificate.revocation;
    let facts = (
        certificates::revoked.eq(revocation.map(|revocation| Millis(revocation.at))),
        certificates::revocation_reason.eq(revocation.map(|revocation| Reason(revocation.reason))),
        certificates::issuer_told.eq(certificate.issuer_told.map(Millis)),
    );
    let unrevoked = certificates::id.eq(Bits(certificate.id)).and(certificates::revoked.is_null());
    guarded(update(connection, certificates::table, facts, unrevoked)?, Conflict::AlreadyRevoked)
}

/// Saves that the issuer was told of a revocation, or will not be.
fn save_told(connection: &mut SqliteConnection, certificate: &Certificate) -> Result<(), Failure> {
    let told = certificates::issuer_told.eq(certificate.issuer_told.map(Millis));
    let refused = certificates::issuer_refused.eq(certificate.issuer_refused.map(Millis));
    let untold = certificates::issuer_told.is_null().and(certificates::issuer_refused.is_null());
    let untold = certificates::id.eq(Bits(certificate.id)).and(untold);
    guarded(update(connection, certificates::table, (told, refused), untold)?, Failure::Changed)
}

/// Certificates that are revoked, of which the issuer is to be told and has no job for it.
pub(crate) fn untold_without_job(
    connection: &mut SqliteConnection,
    limit: i64,
) -> Result<Vec<Certificate>, Failure> {
    let job = jobs::table.filter(jobs::id.eq(certificates::id));
    let rows: Vec<CertificateRow> = certificates::table
        .filter(certificates::revoked.is_not_null())
        .filter(certificates::issuer_told.is_null())
        .filter(certificates::issuer_refused.is_null())
        .filter(dsl::not(dsl::exists(job)))
        .order(certificates::revoked)
        .limit(limit)
        .select(CertificateRow::as_select())
        .load(connection)?;
    Ok(rows.into_iter().map(CertificateRow::without_chains).collect())
}

#[async_trait]
impl CertificateStore for SqliteStorage {
    async fn reserve_serial(&self, lease: &Lease, serial: Serial, cause: &Cause) -> Result<()> {
        let now = cause.now;
        let lease = Lease { job: lease.job, work: lease.work.clone(), ..*lease };
        self.write("reserving a serial number", move |connection| {
            let Work::Issue { account, order } = job::held(connection, &lease, now)?.work else {
                return Err(StorageError::LeaseLost.into());
            };
            let mut order = order::facts(connection, &account, &order)?;
            order.replace_serial(serial.clone());
            record_serial(connection, serial, &order, now)?;
            order::save_under_way(connection, &order)
        })
        .await
    }

    async fn reserved_serial(&self, serial: &Serial) -> Result<OrderId> {
        self.look_up("looking for a serial number", |connection| {
            let query = serials::table.find(Printed(serial.clone())).select(serials::order_id);
            let order = query.get_result::<Bits<OrderId>>(connection).optional()?;
            order.map(|id| id.0).ok_or(StorageError::NotFound.into())
        })
    }

    async fn certificate(&self, account: &AccountId, id: &CertificateId) -> Result<Certificate> {
        self.look_up("loading a certificate", |connection| {
            let row = find(connection, id)?.ok_or(StorageError::NotFound)?;
            if row.account_id.0 != *account {
                return Err(StorageError::NotFound.into());
            }
            Ok(row.open(&self.sealing)?)
        })
    }

    async fn certificate_by_serial(&self, serial: &Serial) -> Result<Certificate> {
        self.look_up("looking for a certificate", |connection| {
            let with_serial = certificates::serial.eq(Printed(serial.clone()));
            let query = certificates::table.filter(with_serial).select(CertificateRow::as_select());
            let row = query.get_result(connection).optional()?;
            Ok(row.ok_or(StorageError::NotFound)?.open(&self.sealing)?)
        })
    }

    async fn revoke_certificate(&self, begin: BeginRevocation, cause: &Cause) -> Result<RevocationBegun> {
        let (cause, sealing) = (cause.clone(), self.sealing());
        self.write("revoking a certificate", move |connection| {
            let mut certificate = load(connection, &begin.certificate, &sealing)?;
            let event = certificate.revoke(begin.reason, begin.telling, cause.now)?;
            save_revoked(connection, &certificate)?;
            audit::record(connection, event, &cause)?;
            let mut lease = None;
            if let Telling::Owed(terms) = begin.telling {
                let directory = account::standing(connection, &certificate.account)?.directory;
                let job = Job::new(directory, Work::revocation(&certificate), terms, cause.now);
                lease = job.born_lease();
                job::insert(connection, job)?;
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
        let (cause, sealing) = (cause.clone(), self.sealing());
        self.write("finishing a revocation", move |connection| {
            let job = job::end(connection, &lease, cause.now)?;
            let Work::Revoke { certificate, .. } = job.work else {
                return Err(StorageError::LeaseLost.into());
            };
            let mut certificate = load(connection, &certificate, &sealing)?;
            if let Some(event) = certificate.finish_revocation(outcome, cause.now) {
                save_told(connection, &certificate)?;
                audit::record(connection, event, &cause)?;
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
        // No serial number prints as nothing, and hexadecimal digits sort as the octets do.
        let after = after.map_or(String::new(), Serial::to_string);
        self.scan("listing revocations", move |connection| {
            let query = certificates::table
                .filter(certificates::serial.gt(after))
                .filter(certificates::not_after.ge(Millis(now)))
                .filter(certificates::revoked.is_not_null())
                .order(certificates::serial)
                .limit(limit.into())
                .select((
                    certificates::serial,
                    certificates::revoked.assume_not_null(),
                    certificates::revocation_reason.assume_not_null(),
                ));
            let rows: Vec<(Printed<Serial>, Millis, Reason)> = query.load(connection)?;
            let revocation = |at: Millis, reason: Reason| Revocation { at: at.0, reason: reason.0 };
            Ok(rows.into_iter().map(|(serial, at, reason)| (serial.0, revocation(at, reason))).collect())
        })
        .await
    }
}
