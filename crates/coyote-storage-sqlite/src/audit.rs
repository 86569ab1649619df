//! The audit log.

use std::net::IpAddr;

use async_trait::async_trait;
use coyote_protocol::Timestamp;
use coyote_storage::{Actor, AuditEvent, AuditFilter, AuditLog, AuditRecord, Cause, RequestId, Result};
use diesel::{prelude::*, sqlite::Sqlite};

use crate::{
    SqliteStorage,
    column::{Bits, Json, Millis, Printed},
    error::Failure,
    schema::audit,
};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = audit, check_for_backend(Sqlite), treat_none_as_default_value = false)]
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
pub(crate) fn record(
    connection: &mut SqliteConnection,
    event: AuditEvent,
    cause: &Cause,
) -> Result<(), Failure> {
    let row = AuditRow::from(AuditRecord::new(event, cause));
    diesel::insert_into(audit::table).values(row).execute(connection)?;
    Ok(())
}

/// Removes the oldest records from before this time, `limit` at most.
pub(crate) fn remove(
    connection: &mut SqliteConnection,
    before: Timestamp,
    limit: i64,
) -> Result<usize, Failure> {
    let old = audit::table.filter(audit::at.lt(Millis(before))).order((audit::at, audit::seq));
    let old: Vec<i64> = old.select(audit::seq).limit(limit).load(connection)?;
    for seq in &old {
        diesel::delete(audit::table.find(seq)).execute(connection)?;
    }
    Ok(old.len())
}

/// Records from the one after the `after`th, each with its number.
pub(crate) fn export(
    connection: &mut SqliteConnection,
    after: Option<u64>,
    limit: u32,
) -> Result<Vec<(u64, AuditRecord)>, Failure> {
    let after = after.map_or(i64::MIN, number);
    let page = audit::table.filter(audit::seq.gt(after)).order(audit::seq).limit(limit.into());
    let rows: Vec<(i64, AuditRow)> = page.select((audit::seq, AuditRow::as_select())).load(connection)?;
    Ok(rows.into_iter().map(|(seq, row)| (seq.unsigned_abs(), row.into())).collect())
}

pub(crate) fn import(
    connection: &mut SqliteConnection,
    seq: u64,
    record: AuditRecord,
) -> Result<(), Failure> {
    let row = (audit::seq.eq(number(seq)), AuditRow::from(record));
    diesel::replace_into(audit::table).values(row).execute(connection)?;
    Ok(())
}

/// As the column has it.
pub(crate) fn number(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

#[async_trait]
impl AuditLog for SqliteStorage {
    async fn audit(&self, filter: &AuditFilter) -> Result<Vec<AuditRecord>> {
        let filter = filter.clone();
        self.scan("reading the audit log", move |connection| {
            let newest = audit::table.order(audit::seq.desc()).limit(filter.limit.into());
            let rows: Vec<AuditRow> = match filter.subject {
                Some(subject) => newest
                    .filter(audit::subject.eq(subject))
                    .select(AuditRow::as_select())
                    .load(connection)?,
                None => newest.select(AuditRow::as_select()).load(connection)?,
            };
            Ok(rows.into_iter().map(AuditRecord::from).collect())
        })
        .await
    }
}
