//! The traces of attempts.

use async_trait::async_trait;
use coyote_protocol::Timestamp;
use coyote_storage::{
    AuthorizationId, Cause, RequestId, Result, StorageError, TraceKey, TraceLog, TraceRecord, TraceSubject,
};
use diesel::{ExpressionMethods, Insertable, QueryDsl, Queryable, Selectable, SelectableHelper, pg::Pg};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::{
    PgStorage,
    column::{Bits, Millis, is_storable},
    error::Failure,
    schema::{order_authorizations, traces},
    session::Write,
};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = traces, check_for_backend(Pg), treat_none_as_default_value = false)]
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

/// Keeps what the attempt saw, in the transaction that settles the attempt.
pub(crate) async fn record(mut connection: &AsyncPgConnection, trace: &TraceRecord) -> Result<(), Failure> {
    diesel::insert_into(traces::table).values(TraceRow::from(trace)).execute(&mut connection).await?;
    Ok(())
}

/// The write of what the attempt saw, if the cause bears it.
pub(crate) fn of<'a>(connection: &'a AsyncPgConnection, cause: &'a Cause) -> Option<Write<'a>> {
    let trace = cause.trace.as_deref()?;
    Some(Box::pin(record(connection, trace)))
}

/// Removes the oldest traces from before this time, `limit` at most.
pub(crate) async fn remove(
    mut connection: &AsyncPgConnection,
    before: Timestamp,
    limit: i64,
) -> Result<usize, Failure> {
    let old = traces::table.filter(traces::at.lt(Millis(before))).order((traces::at, traces::seq));
    let old = old.select(traces::seq).limit(limit).for_update().skip_locked();
    let old: Vec<i64> = old.load(&mut connection).await?;
    let removed = traces::table.filter(traces::seq.eq_any(old));
    Ok(diesel::delete(removed).execute(&mut connection).await?)
}

#[async_trait]
impl TraceLog for PgStorage {
    async fn traces(&self, key: &TraceKey, limit: u32) -> Result<Vec<TraceRecord>> {
        let rows: Vec<TraceRow> = self
            .look_up("reading traces", async |session| {
                let mut connection = session.connection();
                let newest = traces::table.order(traces::seq.desc()).limit(limit.into());
                let newest = newest.select(TraceRow::as_select());
                Ok(match key {
                    TraceKey::Request(request) => {
                        newest.filter(traces::request.eq(Bits(*request))).load(&mut connection).await?
                    }
                    TraceKey::Authorization(id) => {
                        newest.filter(traces::subject.eq(id.to_string())).load(&mut connection).await?
                    }
                    TraceKey::Order(id) => {
                        let mut subjects = vec![id.to_string()];
                        let needs =
                            order_authorizations::table.filter(order_authorizations::order_id.eq(Bits(*id)));
                        let needs = needs.select(order_authorizations::authorization_id);
                        let needs: Vec<Bits<AuthorizationId>> = needs.load(&mut connection).await?;
                        subjects.extend(needs.iter().map(|id| id.0.to_string()));
                        newest.filter(traces::subject.eq_any(subjects)).load(&mut connection).await?
                    }
                    TraceKey::Name(name) if !is_storable(name) => Vec::new(),
                    TraceKey::Name(name) => {
                        newest.filter(traces::names.eq(name)).load(&mut connection).await?
                    }
                })
            })
            .await?;
        rows.into_iter().map(TraceRecord::try_from).collect()
    }
}
