//! Copies: out of this database and into it, and what keeps it from being written to once it has gone elsewhere.

use async_trait::async_trait;
use coyote_storage::{Archive, Conflict, Record, RecordKey, RecordKind, Result, Standing, sealing::Sealing};
use diesel::{connection::SimpleConnection, prelude::*};

use crate::{
    SqliteStorage, account, audit, authorization, certificate,
    column::{Bits, Printed},
    error::Failure,
    external_account, job, order,
    schema::{
        accounts, audit as audit_table, authorizations, certificates, external_account_keys, jobs, orders,
        serials, settings,
    },
};

const STANDING: &str = "standing";

/// A row of `settings` that is there while copies are stored, and that no other transaction sees.
const FILLING: &str = "filling";

/// All tables but `settings`, which says where everything has gone.
const TABLES: [&str; 12] = [
    "accounts",
    "external_account_keys",
    "orders",
    "authorizations",
    "order_authorizations",
    "serials",
    "certificates",
    "jobs",
    "audit",
    "traces",
    "used_nonces",
    "rate_limits",
];

#[async_trait]
impl Archive for SqliteStorage {
    async fn export(&self, kind: RecordKind, after: Option<&RecordKey>, limit: u32) -> Result<Vec<Record>> {
        let (after, sealing) = (after.cloned(), self.sealing());
        self.scan("copying records", move |connection| {
            connection.transaction(|connection| export(connection, kind, after, limit, &sealing))
        })
        .await
    }

    async fn count(&self, kind: RecordKind) -> Result<u64> {
        self.scan("counting records", move |connection| Ok(count(connection, kind)?.unsigned_abs())).await
    }

    async fn import(&self, standing: &Standing, records: Vec<Record>) -> Result<u64> {
        let (sealing, standing) = (self.sealing(), standing.clone());
        self.write("storing copies", move |connection| {
            fill(connection, &standing, |connection| {
                let stored = records.into_iter().map(|record| import(connection, record, &sealing));
                stored.sum()
            })
        })
        .await
    }

    async fn remove(&self, standing: &Standing, keys: Vec<RecordKey>) -> Result<()> {
        let standing = standing.clone();
        self.write("removing copies", move |connection| {
            fill(connection, &standing, |connection| {
                keys.into_iter().try_for_each(|key| remove(connection, key))
            })
        })
        .await
    }

    async fn standing(&self) -> Result<Standing> {
        self.look_up("asking where the storage stands", standing)
    }

    async fn stand(&self, from: &Standing, to: Standing) -> Result<bool> {
        let (from, sealing) = (from.clone(), self.sealing());
        self.write("saying where the storage stands", move |connection| {
            if standing(connection)? != from {
                return Ok(false);
            }
            let to_be_filled = matches!((&from, &to), (Standing::InService, Standing::Arriving { .. }));
            if to_be_filled && !is_empty(connection, &sealing)? {
                return Err(Failure::Refused(Conflict::NotEmpty.into()));
            }
            let value = serde_json::to_vec(&to);
            let value = value.map_err(|error| Failure::Database(unreadable(error)))?;
            let row = (settings::name.eq(STANDING), settings::value.eq(value));
            diesel::replace_into(settings::table).values(row).execute(connection)?;
            open(connection)?;
            if let Some(refusal) = to.refusal() {
                shut(connection, &refusal)?;
            }
            Ok(true)
        })
        .await
    }
}

fn standing(connection: &mut SqliteConnection) -> Result<Standing, Failure> {
    let query = settings::table.find(STANDING).select(settings::value);
    let stored: Option<Vec<u8>> = query.get_result(connection).optional()?;
    let standing = stored.map(|stored| serde_json::from_slice(&stored)).transpose();
    Ok(standing.map_err(|error| Failure::Database(unreadable(error)))?.unwrap_or_default())
}

/// Stores copies as long as it stands like this.
fn fill<T>(
    connection: &mut SqliteConnection,
    expected: &Standing,
    body: impl FnOnce(&mut SqliteConnection) -> Result<T, Failure>,
) -> Result<T, Failure> {
    if standing(connection)? != *expected {
        return Err(Failure::Refused(Conflict::MovedOn.into()));
    }
    if !matches!(expected, Standing::Arriving { .. }) {
        return body(connection);
    }
    let row = (settings::name.eq(FILLING), settings::value.eq(Vec::new()));
    diesel::insert_into(settings::table).values(row).execute(connection)?;
    let done = body(connection)?;
    diesel::delete(settings::table.find(FILLING)).execute(connection)?;
    Ok(done)
}

fn is_empty(connection: &mut SqliteConnection, sealing: &Sealing) -> Result<bool, Failure> {
    for kind in RecordKind::ALL {
        if !export(connection, kind, None, 1, sealing)?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn unreadable(error: serde_json::Error) -> diesel::result::Error {
    diesel::result::Error::DeserializationError(Box::new(error))
}

/// Has SQLite itself refuse every write but copies, in whichever process: a trigger costs nothing while there is none.
fn shut(connection: &mut SqliteConnection, refusal: &str) -> QueryResult<()> {
    let told = refusal.replace('\'', "''");
    each_trigger(|name, table, event| {
        connection.batch_execute(&format!(
            "CREATE TRIGGER {name} BEFORE {event} ON {table}
             WHEN NOT EXISTS (SELECT 1 FROM settings WHERE name = '{FILLING}')
             BEGIN SELECT RAISE(ABORT, '{told}'); END"
        ))
    })
}

/// Takes that back.
fn open(connection: &mut SqliteConnection) -> QueryResult<()> {
    each_trigger(|name, _, _| connection.batch_execute(&format!("DROP TRIGGER IF EXISTS {name}")))
}

fn each_trigger(mut body: impl FnMut(&str, &str, &str) -> QueryResult<()>) -> QueryResult<()> {
    for table in TABLES {
        for event in ["insert", "update", "delete"] {
            body(&format!("refuse_{table}_{event}"), table, event)?;
        }
    }
    Ok(())
}

fn export(
    connection: &mut SqliteConnection,
    kind: RecordKind,
    after: Option<RecordKey>,
    limit: u32,
    sealing: &Sealing,
) -> Result<Vec<Record>, Failure> {
    /// What this kind's key holds, if `after` is one.
    macro_rules! after {
        ($key:ident) => {
            match after {
                Some(RecordKey::$key(last)) => Some(last),
                _ => None,
            }
        };
    }
    Ok(match kind {
        RecordKind::Account => {
            let page = account::export(connection, after!(Account), limit, sealing)?;
            page.into_iter().map(Record::Account).collect()
        }
        RecordKind::ExternalAccountKey => {
            let after = match after {
                Some(RecordKey::ExternalAccountKey(directory, kid)) => Some((directory, kid)),
                _ => None,
            };
            let page = external_account::export(connection, after, limit, sealing)?;
            page.into_iter().map(Record::ExternalAccountKey).collect()
        }
        RecordKind::Authorization => {
            let page = authorization::export(connection, after!(Authorization), limit)?;
            page.into_iter().map(Record::Authorization).collect()
        }
        RecordKind::Order => {
            let page = order::export(connection, after!(Order), limit, sealing)?;
            let record = |(order, authorizations)| Record::Order { order, authorizations };
            page.into_iter().map(record).collect()
        }
        RecordKind::Certificate => {
            let page = certificate::export(connection, after!(Certificate), limit, sealing)?;
            page.into_iter().map(Record::Certificate).collect()
        }
        RecordKind::Serial => {
            let page = certificate::export_serials(connection, after!(Serial), limit)?;
            let record = |(serial, order, reserved)| Record::Serial { serial, order, reserved };
            page.into_iter().map(record).collect()
        }
        RecordKind::Job => {
            let page = job::export(connection, after!(Job), limit)?;
            page.into_iter().map(Record::Job).collect()
        }
        RecordKind::Audit => {
            let page = audit::export(connection, after!(Audit), limit)?;
            page.into_iter().map(|(number, record)| Record::Audit { number, record }).collect()
        }
    })
}

fn count(connection: &mut SqliteConnection, kind: RecordKind) -> QueryResult<i64> {
    match kind {
        RecordKind::Account => accounts::table.count().get_result(connection),
        RecordKind::ExternalAccountKey => external_account_keys::table.count().get_result(connection),
        RecordKind::Authorization => authorizations::table.count().get_result(connection),
        RecordKind::Order => orders::table.count().get_result(connection),
        RecordKind::Certificate => certificates::table.count().get_result(connection),
        RecordKind::Serial => serials::table.count().get_result(connection),
        RecordKind::Job => jobs::table.count().get_result(connection),
        RecordKind::Audit => audit_table::table.count().get_result(connection),
    }
}

/// Answers 1 if it was stored, and 0 if something is missing that it refers to.
fn import(connection: &mut SqliteConnection, record: Record, sealing: &Sealing) -> Result<u64, Failure> {
    match record {
        Record::Account(account) => account::import(connection, &account, sealing)?,
        Record::ExternalAccountKey(key) => external_account::import(connection, key, sealing)?,
        Record::Authorization(authorization) => {
            if !account::exists(connection, &authorization.account)? {
                return Ok(0);
            }
            authorization::import(connection, &authorization)?;
        }
        Record::Order { order, authorizations } => {
            return Ok(order::import(connection, &order, &authorizations, sealing)?.into());
        }
        Record::Certificate(certificate) => {
            return Ok(certificate::import(connection, certificate, sealing)?.into());
        }
        Record::Serial { serial, order, reserved } => {
            certificate::import_serial(connection, serial, order, reserved)?;
        }
        Record::Job(job) => job::insert(connection, job)?,
        Record::Audit { number, record } => audit::import(connection, number, record)?,
    }
    Ok(1)
}

fn remove(connection: &mut SqliteConnection, key: RecordKey) -> Result<(), Failure> {
    match key {
        RecordKey::Account(id) => {
            diesel::delete(accounts::table.find(Bits(id))).execute(connection)?;
        }
        RecordKey::ExternalAccountKey(directory, kid) => {
            let key = external_account_keys::table.find((directory.as_str(), kid));
            diesel::delete(key).execute(connection)?;
        }
        RecordKey::Authorization(id) => authorization::remove(connection, &id)?,
        RecordKey::Order(id) => order::remove(connection, &id)?,
        RecordKey::Certificate(id) => certificate::remove(connection, &id)?,
        RecordKey::Serial(serial) => {
            diesel::delete(serials::table.find(Printed(serial))).execute(connection)?;
        }
        RecordKey::Job(id) => {
            diesel::delete(jobs::table.find(Bits(id))).execute(connection)?;
        }
        RecordKey::Audit(seq) => {
            diesel::delete(audit_table::table.find(audit::number(seq))).execute(connection)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use diesel::{sql_query, sql_types::Text};

    use super::*;
    use crate::SqliteOptions;

    /// A table that nobody thought of here would be left behind, and written to after everything has left.
    #[test]
    fn every_table_is_copied_or_left_behind_knowingly_and_closed_in_any_case() {
        #[derive(QueryableByName)]
        struct Table {
            #[diesel(sql_type = Text)]
            name: String,
        }
        let directory = tempfile::tempdir().unwrap();
        let storage = SqliteStorage::open(directory.path().join("a.db"), SqliteOptions::default()).unwrap();
        let tables: Vec<Table> = storage
            .look_up("listing the tables", |connection| {
                Ok(sql_query("SELECT name FROM sqlite_schema WHERE type = 'table'").load(connection)?)
            })
            .unwrap();
        let tables: BTreeSet<_> = tables.iter().map(|table| table.name.as_str()).collect();
        let of_the_database = ["settings", "__diesel_schema_migrations"];
        assert_eq!(tables, TABLES.into_iter().chain(of_the_database).collect());
    }
}
