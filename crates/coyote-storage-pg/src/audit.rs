//! The audit log.

use std::net::IpAddr;

use async_trait::async_trait;
use coyote_protocol::Timestamp;
use coyote_storage::{Actor, AuditEvent, AuditFilter, AuditLog, AuditRecord, Cause, RequestId, Result};
use diesel::{
    ExpressionMethods, Insertable, QueryDsl, Queryable, Selectable, SelectableHelper, pg::Pg, sql_query,
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::{
    PgStorage,
    column::{Bits, Json, Millis, Printed, is_storable},
    error::Failure,
    schema::audit,
};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = audit, check_for_backend(Pg), treat_none_as_default_value = false)]
struct AuditRow {
    at: Millis,
    request: Bits<RequestId>,
    actor: Json<Actor>,
    client: Option<Printed<IpAddr>>,
    subject: String,
    event: Json<AuditEvent>,
}

impl From<AuditRow> for AuditRecord {
    fn from(row: AuditRow) -> Self {
        Self {
            at: row.at.0,
            request: row.request.0,
            actor: row.actor.0,
            client: row.client.map(|client| client.0),
            event: row.event.0,
        }
    }
}

impl From<AuditRecord> for AuditRow {
    fn from(record: AuditRecord) -> Self {
        Self {
            at: Millis(record.at),
            request: Bits(record.request),
            actor: Json(record.actor),
            client: record.client.map(Printed),
            subject: record.event.subject(),
            event: Json(record.event),
        }
    }
}

/// Appends to the log, in the transaction of the change.
pub(crate) async fn record(
    mut connection: &AsyncPgConnection,
    event: AuditEvent,
    cause: &Cause,
) -> Result<(), Failure> {
    let row = AuditRow::from(AuditRecord::new(event, cause));
    diesel::insert_into(audit::table).values(row).execute(&mut connection).await?;
    Ok(())
}

/// Removes the oldest records from before this time, `limit` at most.
pub(crate) async fn remove(
    mut connection: &AsyncPgConnection,
    before: Timestamp,
    limit: i64,
) -> Result<usize, Failure> {
    let old = audit::table.filter(audit::at.lt(Millis(before))).order((audit::at, audit::seq));
    let old = old.select(audit::seq).limit(limit).for_update().skip_locked();
    let old: Vec<i64> = old.load(&mut connection).await?;
    let removed = audit::table.filter(audit::seq.eq_any(old));
    Ok(diesel::delete(removed).execute(&mut connection).await?)
}

/// Records from the one after the `after`th, each with its number.
pub(crate) async fn export(
    mut connection: &AsyncPgConnection,
    after: Option<u64>,
    limit: u32,
) -> Result<Vec<(u64, AuditRecord)>, Failure> {
    let after = after.map_or(i64::MIN, number);
    let page = audit::table.filter(audit::seq.gt(after)).order(audit::seq).limit(limit.into());
    let page = page.select((audit::seq, AuditRow::as_select()));
    let rows: Vec<(i64, AuditRow)> = page.load(&mut connection).await?;
    Ok(rows.into_iter().map(|(seq, row)| (seq.unsigned_abs(), row.into())).collect())
}

pub(crate) async fn import(
    mut connection: &AsyncPgConnection,
    copies: Vec<(u64, AuditRecord)>,
) -> Result<(), Failure> {
    remove_copies(connection, copies.iter().map(|(seq, _)| *seq)).await?;
    let row = |(seq, record)| (audit::seq.eq(number(seq)), AuditRow::from(record));
    let rows: Vec<_> = copies.into_iter().map(row).collect();
    diesel::insert_into(audit::table).values(rows).execute(&mut connection).await?;
    // The next one is numbered behind them.
    let last = "SELECT setval(pg_get_serial_sequence('audit', 'seq'), max(seq)) FROM audit";
    sql_query(last).execute(&mut connection).await?;
    Ok(())
}

pub(crate) async fn remove_copies(
    mut connection: &AsyncPgConnection,
    seqs: impl Iterator<Item = u64>,
) -> Result<(), Failure> {
    let seqs: Vec<_> = seqs.map(number).collect();
    diesel::delete(audit::table.filter(audit::seq.eq_any(seqs))).execute(&mut connection).await?;
    Ok(())
}

/// As the column has it.
fn number(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

#[async_trait]
impl AuditLog for PgStorage {
    async fn audit(&self, filter: &AuditFilter) -> Result<Vec<AuditRecord>> {
        self.look_up("reading the audit log", async |session| {
            let mut connection = session.connection();
            let newest = audit::table.order(audit::seq.desc()).limit(filter.limit.into());
            let newest = newest.select(AuditRow::as_select());
            let rows: Vec<AuditRow> = match &filter.subject {
                Some(subject) if !is_storable(subject) => Vec::new(),
                Some(subject) => newest.filter(audit::subject.eq(subject)).load(&mut connection).await?,
                None => newest.load(&mut connection).await?,
            };
            Ok(rows.into_iter().map(AuditRecord::from).collect())
        })
        .await
    }
}
