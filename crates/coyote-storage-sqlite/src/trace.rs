//! The traces of attempts.

use async_trait::async_trait;
use coyote_protocol::Timestamp;
use coyote_storage::{
    AuthorizationId, Cause, RequestId, Result, StorageError, TraceKey, TraceLog, TraceRecord, TraceSubject,
};
use diesel::{prelude::*, sqlite::Sqlite};

use crate::{
    SqliteStorage,
    column::{Bits, Millis},
    error::Failure,
    schema::{order_authorizations, traces},
};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = traces, check_for_backend(Sqlite), treat_none_as_default_value = false)]
struct TraceRow {
    at: Millis,
    request: Bits<RequestId>,
    kind: String,
    subject: String,
    names: String,
    timeline: String,
}

impl TryFrom<TraceRow> for TraceRecord {
    type Error = StorageError;

    fn try_from(row: TraceRow) -> Result<Self> {
        let subject = TraceSubject::parse(&row.kind, &row.subject);
        let subject =
            subject.ok_or_else(|| StorageError::Corrupt { what: "the subject of a trace".to_owned() })?;
        Ok(Self { at: row.at.0, request: row.request.0, subject, names: row.names, timeline: row.timeline })
    }
}

impl From<&TraceRecord> for TraceRow {
    fn from(record: &TraceRecord) -> Self {
        Self {
            at: Millis(record.at),
            request: Bits(record.request),
            kind: record.subject.kind().to_owned(),
            subject: record.subject.id(),
            names: record.names.clone(),
            timeline: record.timeline.clone(),
        }
    }
}

/// Keeps what the attempt saw, if the cause bears it, in the transaction that settles the attempt.
pub(crate) fn record(connection: &mut SqliteConnection, cause: &Cause) -> Result<(), Failure> {
    if let Some(trace) = cause.trace.as_deref() {
        diesel::insert_into(traces::table).values(TraceRow::from(trace)).execute(connection)?;
    }
    Ok(())
}

/// Removes the oldest traces from before this time, `limit` at most.
pub(crate) fn remove(
    connection: &mut SqliteConnection,
    before: Timestamp,
    limit: i64,
) -> Result<usize, Failure> {
    let old = traces::table.filter(traces::at.lt(Millis(before))).order((traces::at, traces::seq));
    let old: Vec<i64> = old.select(traces::seq).limit(limit).load(connection)?;
    for seq in &old {
        diesel::delete(traces::table.find(seq)).execute(connection)?;
    }
    Ok(old.len())
}

#[async_trait]
impl TraceLog for SqliteStorage {
    async fn traces(&self, key: &TraceKey, limit: u32) -> Result<Vec<TraceRecord>> {
        let key = key.clone();
        let rows: Vec<TraceRow> = self
            .scan("reading traces", move |connection| {
                let newest = traces::table.order(traces::seq.desc()).limit(limit.into());
                let newest = newest.select(TraceRow::as_select());
                Ok(match key {
                    TraceKey::Request(request) => {
                        newest.filter(traces::request.eq(Bits(request))).load(connection)?
                    }
                    TraceKey::Authorization(id) => {
                        newest.filter(traces::subject.eq(id.to_string())).load(connection)?
                    }
                    TraceKey::Order(id) => {
                        let mut subjects = vec![id.to_string()];
                        let needs =
                            order_authorizations::table.filter(order_authorizations::order_id.eq(Bits(id)));
                        let needs = needs.select(order_authorizations::authorization_id);
                        let needs: Vec<Bits<AuthorizationId>> = needs.load(connection)?;
                        subjects.extend(needs.iter().map(|id| id.0.to_string()));
                        newest.filter(traces::subject.eq_any(subjects)).load(connection)?
                    }
                    TraceKey::Name(name) => newest.filter(traces::names.eq(name)).load(connection)?,
                })
            })
            .await?;
        rows.into_iter().map(TraceRecord::try_from).collect()
    }
}
