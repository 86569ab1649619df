//! Certificates, their serial numbers and their revocation. RFC 8555 sections 7.4.2 and 7.6.

use async_trait::async_trait;
use coyote_protocol::{RevocationReason, Timestamp};
use coyote_storage::{
    AccountId, Cause, Certificate, CertificateId, CertificateStore, Conflict, Lease, Order, OrderId, Result,
    Revocation, Serial, StorageError, Work,
};
use diesel::{prelude::*, result::DatabaseErrorKind, result::Error as DieselError, sqlite::Sqlite};

use crate::{
    SqliteStorage, audit,
    column::{Bits, Json, Millis, Printed, Reason},
    error::{Failure, guarded, taken},
    job, order,
    schema::{certificates, serials},
    update::update,
};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = certificates, check_for_backend(Sqlite), treat_none_as_default_value = false)]
struct CertificateRow {
    id: Bits<CertificateId>,
    account_id: Bits<AccountId>,
    order_id: Bits<OrderId>,
    serial: Printed<Serial>,
    not_before: Millis,
    not_after: Millis,
    chain: String,
    alternates: Json<Vec<String>>,
    issued: Millis,
    revoked: Option<Millis>,
    revocation_reason: Option<Reason>,
    replaced_by: Option<Bits<OrderId>>,
}

#[derive(Insertable)]
#[diesel(table_name = serials)]
struct SerialRow {
    serial: Printed<Serial>,
    order_id: Bits<OrderId>,
    reserved: Millis,
}

impl From<CertificateRow> for Certificate {
    fn from(row: CertificateRow) -> Self {
        let revocation = row.revoked.zip(row.revocation_reason);
        Self {
            id: row.id.0,
            account: row.account_id.0,
            order: row.order_id.0,
            serial: row.serial.0,
            not_before: row.not_before.0,
            not_after: row.not_after.0,
            chain: row.chain,
            alternates: row.alternates.0,
            issued: row.issued.0,
            revocation: revocation.map(|(at, reason)| Revocation { at: at.0, reason: reason.0 }),
            replaced_by: row.replaced_by.map(|id| id.0),
        }
    }
}

impl From<Certificate> for CertificateRow {
    fn from(certificate: Certificate) -> Self {
        Self {
            id: Bits(certificate.id),
            account_id: Bits(certificate.account),
            order_id: Bits(certificate.order),
            serial: Printed(certificate.serial),
            not_before: Millis(certificate.not_before),
            not_after: Millis(certificate.not_after),
            chain: certificate.chain,
            alternates: Json(certificate.alternates),
            issued: Millis(certificate.issued),
            revoked: certificate.revocation.map(|revocation| Millis(revocation.at)),
            revocation_reason: certificate.revocation.map(|revocation| Reason(revocation.reason)),
            replaced_by: certificate.replaced_by.map(Bits),
        }
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

pub(crate) fn insert(connection: &mut SqliteConnection, certificate: Certificate) -> Result<(), Failure> {
    let new = diesel::insert_into(certificates::table).values(CertificateRow::from(certificate));
    new.execute(connection).map_err(|error| match &error {
        DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, information) => {
            // Which of the keys it is, SQLite says in words only.
            let serial = information.message().contains("certificates.serial");
            if serial { Conflict::SerialInUse.into() } else { Conflict::IdInUse.into() }
        }
        _ => Failure::from(error),
    })?;
    Ok(())
}

pub(crate) fn load(connection: &mut SqliteConnection, id: &CertificateId) -> Result<Certificate, Failure> {
    let query = certificates::table.find(Bits(*id)).select(CertificateRow::as_select());
    let row = query.get_result(connection).optional()?;
    row.map(Certificate::from).ok_or(StorageError::NotFound.into())
}

pub(crate) fn remove(connection: &mut SqliteConnection, id: &CertificateId) -> Result<(), Failure> {
    diesel::delete(certificates::table.find(Bits(*id))).execute(connection)?;
    Ok(())
}

/// Notes that this order replaces a certificate, if it is to replace one.
pub(crate) fn replace(connection: &mut SqliteConnection, by: &Order, now: Timestamp) -> Result<(), Failure> {
    let Some(id) = &by.replaces else { return Ok(()) };
    let mut certificate = match load(connection, id) {
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

#[async_trait]
impl CertificateStore for SqliteStorage {
    async fn reserve_serial(&self, lease: &Lease, serial: Serial, cause: &Cause) -> Result<()> {
        let now = cause.now;
        let lease = Lease { job: lease.job, work: lease.work.clone(), ..*lease };
        self.write("reserving a serial number", move |connection| {
            let Work::Issue { account, order } = job::held(connection, &lease, now)?.work else {
                return Err(StorageError::LeaseLost.into());
            };
            let mut order = order::load(connection, &account, &order)?;
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
            let certificate = load(connection, id)?;
            if certificate.account == *account { Ok(certificate) } else { Err(StorageError::NotFound.into()) }
        })
    }

    async fn certificate_by_serial(&self, serial: &Serial) -> Result<Certificate> {
        self.look_up("looking for a certificate", |connection| {
            let with_serial = certificates::serial.eq(Printed(serial.clone()));
            let query = certificates::table.filter(with_serial).select(CertificateRow::as_select());
            let row = query.get_result(connection).optional()?;
            row.map(Certificate::from).ok_or(StorageError::NotFound.into())
        })
    }

    async fn revoke_certificate(
        &self,
        id: &CertificateId,
        reason: RevocationReason,
        cause: &Cause,
    ) -> Result<Certificate> {
        let (id, cause) = (*id, cause.clone());
        self.write("revoking a certificate", move |connection| {
            let mut certificate = load(connection, &id)?;
            let event = certificate.revoke(reason, cause.now)?;
            let row = CertificateRow::from(certificate.clone());
            let facts = (
                certificates::revoked.eq(row.revoked),
                certificates::revocation_reason.eq(row.revocation_reason),
            );
            let unrevoked = certificates::id.eq(row.id).and(certificates::revoked.is_null());
            let saved = update(connection, certificates::table, facts, unrevoked)?;
            guarded(saved, Conflict::AlreadyRevoked)?;
            audit::record(connection, event, &cause)?;
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
