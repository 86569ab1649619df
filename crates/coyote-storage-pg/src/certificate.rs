//! Certificates, their serial numbers and their revocation. RFC 8555 sections 7.4.2 and 7.6.

use async_trait::async_trait;
use coyote_protocol::Timestamp;
use coyote_storage::{
    AccountId, BeginRevocation, Cause, Certificate, CertificateId, CertificateStore, Conflict, DirectoryId,
    Job, Lease, Order, OrderId, Result, Revocation, RevocationBegun, RevocationOutcome, Serial, StorageError,
    Telling, Work, WorkKind,
    sealing::{Column, Sealing},
};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, Insertable, NullableExpressionMethods, OptionalExtension,
    PgExpressionMethods, QueryDsl, Queryable, Selectable, SelectableHelper, dsl, pg::Pg,
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::{
    PgStorage, audit, cell,
    column::{Bits, Millis, Printed, Reason},
    error::{Failure, taken, violated},
    job, order,
    schema::{accounts, certificates, jobs, serials},
    session::{both, writes},
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
#[diesel(table_name = serials, treat_none_as_default_value = false)]
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
    sealing: &Sealing,
) -> Result<(), Failure> {
    let row = CertificateRow::new(certificate, sealing)?;
    let new = diesel::insert_into(certificates::table).values(row);
    new.execute(&mut connection).await.map_err(violated(|told| match told.constraint_name() {
        Some("certificates_serial_key") => Conflict::SerialInUse.into(),
        _ => Conflict::IdInUse.into(),
    }))?;
    Ok(())
}

async fn find(
    mut connection: &AsyncPgConnection,
    id: &CertificateId,
) -> Result<Option<CertificateRow>, Failure> {
    let query = certificates::table.find(Bits(*id)).select(CertificateRow::as_select());
    Ok(query.get_result(&mut connection).await.optional()?)
}

/// The certificate, while nobody else changes it.
async fn lock(
    mut connection: &AsyncPgConnection,
    id: &CertificateId,
) -> Result<Option<CertificateRow>, Failure> {
    let query = certificates::table.find(Bits(*id)).select(CertificateRow::as_select()).for_update();
    Ok(query.get_result(&mut connection).await.optional()?)
}

pub(crate) async fn remove(
    mut connection: &AsyncPgConnection,
    ids: Vec<CertificateId>,
) -> Result<(), Failure> {
    let ids: Vec<_> = ids.into_iter().map(Bits).collect();
    diesel::delete(certificates::table.filter(certificates::id.eq_any(ids))).execute(&mut connection).await?;
    Ok(())
}

pub(crate) async fn export(
    mut connection: &AsyncPgConnection,
    after: Option<CertificateId>,
    limit: u32,
    sealing: &Sealing,
) -> Result<Vec<Certificate>, Failure> {
    let page = certificates::table.order(certificates::id).limit(limit.into());
    let page = page.select(CertificateRow::as_select());
    let rows: Vec<CertificateRow> = match after {
        Some(after) => page.filter(certificates::id.gt(Bits(after))).load(&mut connection).await?,
        None => page.load(&mut connection).await?,
    };
    let opened = rows.into_iter().map(|row| row.open(sealing));
    Ok(opened.collect::<Result<_>>()?)
}

/// Answers how many were stored: those whose order is there.
pub(crate) async fn import(
    mut connection: &AsyncPgConnection,
    mut copies: Vec<Certificate>,
    sealing: &Sealing,
) -> Result<usize, Failure> {
    let orders = order::existing(connection, copies.iter().map(|copy| copy.order)).await?;
    copies.retain(|copy| orders.contains(&copy.order));
    remove(connection, copies.iter().map(|copy| copy.id).collect()).await?;
    let rows = copies.into_iter().map(|copy| CertificateRow::new(copy, sealing));
    let rows = rows.collect::<Result<Vec<_>>>()?;
    Ok(diesel::insert_into(certificates::table).values(rows).execute(&mut connection).await?)
}

/// Serial numbers, each with its order and when it was recorded.
pub(crate) async fn export_serials(
    mut connection: &AsyncPgConnection,
    after: Option<Serial>,
    limit: u32,
) -> Result<Vec<(Serial, OrderId, Timestamp)>, Failure> {
    let after = after.map_or(String::new(), |serial| serial.to_string());
    let page = serials::table.filter(serials::serial.gt(after)).order(serials::serial).limit(limit.into());
    let rows: Vec<(Printed<Serial>, Bits<OrderId>, Millis)> = page.load(&mut connection).await?;
    Ok(rows.into_iter().map(|(serial, order, reserved)| (serial.0, order.0, reserved.0)).collect())
}

pub(crate) async fn import_serials(
    mut connection: &AsyncPgConnection,
    copies: Vec<(Serial, OrderId, Timestamp)>,
) -> Result<(), Failure> {
    remove_serials(connection, copies.iter().map(|(serial, _, _)| serial.clone()).collect()).await?;
    let row = |(serial, order, reserved)| SerialRow {
        serial: Printed(serial),
        order_id: Bits(order),
        reserved: Millis(reserved),
    };
    let rows: Vec<_> = copies.into_iter().map(row).collect();
    diesel::insert_into(serials::table).values(rows).execute(&mut connection).await?;
    Ok(())
}

pub(crate) async fn remove_serials(
    mut connection: &AsyncPgConnection,
    serials: Vec<Serial>,
) -> Result<(), Failure> {
    let serials: Vec<_> = serials.into_iter().map(Printed).collect();
    diesel::delete(serials::table.filter(serials::serial.eq_any(serials))).execute(&mut connection).await?;
    Ok(())
}

/// The certificate that an order is to replace, if there is such a one, while nobody else changes it; without its chains.
pub(crate) async fn lock_replaced(
    connection: &AsyncPgConnection,
    by: &Order,
) -> Result<Option<Certificate>, Failure> {
    match &by.replaces {
        Some(id) => Ok(lock(connection, id).await?.map(CertificateRow::without_chains)),
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
    let revocation = certificate.revocation;
    let facts = (
        certificates::revoked.eq(revocation.map(|revocation| Millis(revocation.at))),
        certificates::revocation_reason.eq(revocation.map(|revocation| Reason(revocation.reason))),
        certificates::issuer_told.eq(certificate.issuer_told.map(Millis)),
    );
    update(connection, certificates::table, facts, unrevoked).await
}

/// Saves that the issuer was told of a revocation, or will not be.
async fn save_told(connection: &AsyncPgConnection, certificate: &Certificate) -> Result<(), Failure> {
    let told = certificates::issuer_told.eq(certificate.issuer_told.map(Millis));
    let refused = certificates::issuer_refused.eq(certificate.issuer_refused.map(Millis));
    let untold = certificates::issuer_told.is_null().and(certificates::issuer_refused.is_null());
    let untold = certificates::id.eq(Bits(certificate.id)).and(untold);
    update(connection, certificates::table, (told, refused), untold).await
}

/// The directory of the account that a certificate was issued to.
async fn directory_of(
    mut connection: &AsyncPgConnection,
    id: &CertificateId,
) -> Result<Option<DirectoryId>, Failure> {
    let query = certificates::table
        .inner_join(accounts::table)
        .filter(certificates::id.eq(Bits(*id)))
        .select(accounts::directory);
    let directory: Option<String> = query.get_result(&mut connection).await.optional()?;
    Ok(directory.map(DirectoryId::new))
}

/// The certificate that this work is about, if it is about one, while nobody else changes it.
pub(crate) async fn lock_of(
    connection: &AsyncPgConnection,
    work: &Work,
) -> Result<Option<CertificateRow>, Failure> {
    match work {
        Work::Revoke { certificate, .. } => lock(connection, certificate).await,
        Work::Validate { .. } | Work::Issue { .. } => Ok(None),
    }
}

/// Certificates that are revoked, of which the issuer is to be told and has no job for it.
pub(crate) async fn untold_without_job(
    mut connection: &AsyncPgConnection,
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
        .load(&mut connection)
        .await?;
    Ok(rows.into_iter().map(CertificateRow::without_chains).collect())
}

#[async_trait]
impl CertificateStore for PgStorage {
    async fn reserve_serial(&self, lease: &Lease, serial: Serial, cause: &Cause) -> Result<()> {
        self.transaction("reserving a serial number", async |session| {
            let connection = session.connection();
            let (_, order::Kept { mut order, .. }) = order::lock_leased(&session, lease, cause.now).await?;
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
            let own = certificate.filter(|certificate| certificate.account_id.0 == *account);
            Ok(own.ok_or(StorageError::NotFound)?.open(&self.sealing)?)
        })
        .await
    }

    async fn certificate_by_serial(&self, serial: &Serial) -> Result<Certificate> {
        self.look_up("looking for a certificate", async |session| {
            let with_serial = certificates::serial.eq(Printed(serial.clone()));
            let query = certificates::table.filter(with_serial).select(CertificateRow::as_select());
            let row = query.get_result(&mut session.connection()).await.optional()?;
            Ok(row.ok_or(StorageError::NotFound)?.open(&self.sealing)?)
        })
        .await
    }

    async fn revoke_certificate(&self, begin: BeginRevocation, cause: &Cause) -> Result<RevocationBegun> {
        self.transaction("revoking a certificate", async |session| {
            let connection = session.connection();
            let id = &begin.certificate;
            let (certificate, directory) = match begin.telling {
                Telling::NotNeeded => (session.begin_with(lock(connection, id)).await?, None),
                Telling::Owed(_) => {
                    session.begin_with(both(lock(connection, id), directory_of(connection, id))).await?
                }
            };
            let mut certificate = certificate.ok_or(StorageError::NotFound)?.open(&self.sealing)?;
            let event = certificate.revoke(begin.reason, begin.telling, cause.now)?;
            let mut lease = None;
            let saved = save_revoked(connection, &certificate);
            let mut writes = writes![saved, audit::record(connection, event, cause)];
            if let (Telling::Owed(terms), Some(directory)) = (begin.telling, directory) {
                let job = Job::new(directory, Work::revocation(&certificate), terms, cause.now);
                lease = job.born_lease();
                writes.push(Box::pin(job::insert(connection, job)));
            }
            session.commit_with(writes).await?;
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
        self.transaction("finishing a revocation", async |session| {
            let connection = session.connection();
            let locked = both(job::lock(connection, &lease.job), lock_of(connection, &lease.work));
            let (job, mut certificate) = session.begin_with(locked).await?;
            let job = job::held(job, &lease, cause.now)?;
            if job.work != lease.work {
                certificate = session.then(lock_of(connection, &job.work)).await?; // the job knows better
            }
            if job.work.kind() != WorkKind::Revoke {
                return Err(StorageError::LeaseLost.into());
            }
            let mut certificate = certificate.ok_or(StorageError::NotFound)?.open(&self.sealing)?;
            let mut writes = writes![job::end(connection, &lease, cause.now)];
            let event = certificate.finish_revocation(outcome, cause.now);
            if let Some(event) = event {
                writes.push(Box::pin(save_told(connection, &certificate)));
                writes.push(Box::pin(audit::record(connection, event, cause)));
            }
            session.commit_with(writes).await?;
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
