//! Certificates, their serial numbers and their revocation. RFC 8555 sections 7.4.2 and 7.6.

use async_trait::async_trait;
use coyote_protocol::{RevocationReason, Timestamp};
use coyote_storage::{
    AccountId, Cause, Certificate, CertificateId, CertificateStore, Conflict, Lease, Order, OrderId, Result,
    Revocation, Serial, StorageError,
};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, Insertable, NullableExpressionMethods, OptionalExtension,
    PgExpressionMethods, QueryDsl, Queryable, Selectable, SelectableHelper, pg::Pg,
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::{
    PgStorage, audit,
    column::{Bits, Json, Millis, Printed, Reason},
    error::{Failure, taken, violated},
    order,
    schema::{certificates, serials},
    session::writes,
    update::update,
};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = certificates, check_for_backend(Pg), treat_none_as_default_value = false)]
pub(crate) struct CertificateRow {
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
#[diesel(table_name = serials, treat_none_as_default_value = false)]
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
pub(crate) async fn record_serial(
    mut connection: &AsyncPgConnection,
    serial: Serial,
    order: &OrderId,
    now: Timestamp,
) -> Result<(), Failure> {
    let row = SerialRow { serial: Printed(serial), order_id: Bits(*order), reserved: Millis(now) };
    let new = diesel::insert_into(serials::table).values(row);
    new.execute(&mut connection).await.map_err(taken(Conflict::SerialInUse))?;
    Ok(())
}

pub(crate) async fn insert(
    mut connection: &AsyncPgConnection,
    certificate: Certificate,
) -> Result<(), Failure> {
    let new = diesel::insert_into(certificates::table).values(CertificateRow::from(certificate));
    new.execute(&mut connection).await.map_err(violated(|told| match told.constraint_name() {
        Some("certificates_serial_key") => Conflict::SerialInUse.into(),
        _ => Conflict::IdInUse.into(),
    }))?;
    Ok(())
}

async fn find(
    mut connection: &AsyncPgConnection,
    id: &CertificateId,
) -> Result<Option<Certificate>, Failure> {
    let query = certificates::table.find(Bits(*id)).select(CertificateRow::as_select());
    Ok(query.get_result(&mut connection).await.optional()?.map(Certificate::from))
}

/// The certificate, while nobody else changes it.
async fn lock(
    mut connection: &AsyncPgConnection,
    id: &CertificateId,
) -> Result<Option<Certificate>, Failure> {
    let query = certificates::table.find(Bits(*id)).select(CertificateRow::as_select()).for_update();
    Ok(query.get_result(&mut connection).await.optional()?.map(Certificate::from))
}

pub(crate) async fn remove(
    mut connection: &AsyncPgConnection,
    ids: Vec<CertificateId>,
) -> Result<(), Failure> {
    let ids: Vec<_> = ids.into_iter().map(Bits).collect();
    diesel::delete(certificates::table.filter(certificates::id.eq_any(ids))).execute(&mut connection).await?;
    Ok(())
}

/// The certificate that an order is to replace, if there is such a one, while nobody else changes it.
pub(crate) async fn lock_replaced(
    connection: &AsyncPgConnection,
    by: &Order,
) -> Result<Option<Certificate>, Failure> {
    match &by.replaces {
        Some(id) => lock(connection, id).await,
        None => Ok(None),
    }
}

/// Saves that a certificate is replaced by another order than before.
pub(crate) async fn save_replaced(
    connection: &AsyncPgConnection,
    certificate: &Certificate,
    before: Option<OrderId>,
) -> Result<(), Failure> {
    let as_loaded = certificates::replaced_by.is_not_distinct_from(before.map(Bits));
    let as_loaded = certificates::id.eq(Bits(certificate.id)).and(as_loaded);
    let noted = certificates::replaced_by.eq(certificate.replaced_by.map(Bits));
    update(connection, certificates::table, noted, as_loaded).await
}

async fn save_revoked(connection: &AsyncPgConnection, certificate: &Certificate) -> Result<(), Failure> {
    let unrevoked = certificates::id.eq(Bits(certificate.id)).and(certificates::revoked.is_null());
    let row = CertificateRow::from(certificate.clone());
    let revocation =
        (certificates::revoked.eq(row.revoked), certificates::revocation_reason.eq(row.revocation_reason));
    update(connection, certificates::table, revocation, unrevoked).await
}

#[async_trait]
impl CertificateStore for PgStorage {
    async fn reserve_serial(&self, lease: &Lease, serial: Serial, cause: &Cause) -> Result<()> {
        self.transaction("reserving a serial number", async |session| {
            let connection = session.connection();
            let (_, mut order) = order::lock_leased(&session, lease, cause.now).await?;
            order.replace_serial(serial.clone());
            let recorded = record_serial(connection, serial.clone(), &order.id, cause.now);
            session.commit_with(writes![recorded, order::save_under_way(connection, &order)]).await
        })
        .await
    }

    async fn reserved_serial(&self, serial: &Serial) -> Result<OrderId> {
        self.look_up("looking for a serial number", async |session| {
            let query = serials::table.find(Printed(serial.clone())).select(serials::order_id);
            let order = query.get_result::<Bits<OrderId>>(&mut session.connection()).await.optional()?;
            order.map(|id| id.0).ok_or(StorageError::NotFound.into())
        })
        .await
    }

    async fn certificate(&self, account: &AccountId, id: &CertificateId) -> Result<Certificate> {
        self.look_up("loading a certificate", async |session| {
            let certificate = find(session.connection(), id).await?;
            let own = certificate.filter(|certificate| certificate.account == *account);
            own.ok_or(StorageError::NotFound.into())
        })
        .await
    }

    async fn certificate_by_serial(&self, serial: &Serial) -> Result<Certificate> {
        self.look_up("looking for a certificate", async |session| {
            let with_serial = certificates::serial.eq(Printed(serial.clone()));
            let query = certificates::table.filter(with_serial).select(CertificateRow::as_select());
            let row = query.get_result(&mut session.connection()).await.optional()?;
            row.map(Certificate::from).ok_or(StorageError::NotFound.into())
        })
        .await
    }

    async fn revoke_certificate(
        &self,
        id: &CertificateId,
        reason: RevocationReason,
        cause: &Cause,
    ) -> Result<Certificate> {
        self.transaction("revoking a certificate", async |session| {
            let connection = session.connection();
            let certificate = session.begin_with(lock(connection, id)).await?;
            let mut certificate = certificate.ok_or(StorageError::NotFound)?;
            let event = certificate.revoke(reason, cause.now)?;
            let saved = save_revoked(connection, &certificate);
            session.commit_with(writes![saved, audit::record(connection, event, cause)]).await?;
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
        self.look_up("listing revocations", async |session| {
            let query = certificates::table
                .filter(certificates::serial.gt(&after))
                .filter(certificates::not_after.ge(Millis(now)))
                .filter(certificates::revoked.is_not_null())
                .order(certificates::serial)
                .limit(limit.into())
                .select((
                    certificates::serial,
                    certificates::revoked.assume_not_null(),
                    certificates::revocation_reason.assume_not_null(),
                ));
            let rows: Vec<(Printed<Serial>, Millis, Reason)> = query.load(&mut session.connection()).await?;
            let revocation = |at: Millis, reason: Reason| Revocation { at: at.0, reason: reason.0 };
            Ok(rows.into_iter().map(|(serial, at, reason)| (serial.0, revocation(at, reason))).collect())
        })
        .await
    }
}
