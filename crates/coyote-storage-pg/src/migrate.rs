//! Bringing the schema up to date.

use coyote_storage::BoxError;
use diesel::{
    QueryableByName, sql_query,
    sql_types::{Bool, Text},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};

use crate::{ConnectError, pool::Pool};

/// The migrations, by version, the oldest first. None is ever changed once it was released.
const MIGRATIONS: &[(&str, &str)] =
    &[("00000000000001", include_str!("../migrations/00000000000001_first/up.sql"))];

/// "coyote" as a number: replicas that start at the same time wait for each other here. The lock is the transaction's,
/// not the session's, which a pooling proxy would give to somebody else.
const LOCK: i64 = 0x636f_796f_7465;

/// Runs the migrations that have not been run, all or none, if it may, and answers the connection.
pub(crate) async fn run(pool: &Pool, allowed: bool) -> Result<AsyncPgConnection, ConnectError> {
    let mut connection = pool.connector().open().await.map_err(ConnectError::Database)?;
    match pool.in_time(current(&mut connection)).await.map_err(ConnectError::Database)? {
        Ok(_) => return Ok(connection),
        Err(ConnectError::Older) if allowed => {}
        Err(error) => return Err(error),
    }
    // By another connection: this one remembers that there were no tables, also after it has waited for who makes them. It
    // may take as long as it takes.
    let mut connection = pool.connector().open().await.map_err(ConnectError::Database)?;
    let unknown = migrate(&mut connection).await.map_err(ConnectError::Database)?;
    match unknown {
        Some(found) => Err(ConnectError::Newer { found }),
        None => Ok(connection),
    }
}

/// The version of the schema, if it is this one's. Nothing is changed.
pub(crate) async fn current(connection: &mut AsyncPgConnection) -> Result<String, ConnectError> {
    let applied = versions(connection).await.map_err(ConnectError::Database)?.unwrap_or_default();
    let unknown = |version: &&String| !MIGRATIONS.iter().any(|(known, _)| known == version);
    if let Some(found) = applied.iter().find(unknown) {
        return Err(ConnectError::Newer { found: found.clone() });
    }
    match MIGRATIONS.last() {
        Some((last, _)) if MIGRATIONS.len() == applied.len() => Ok((*last).to_owned()),
        _ => Err(ConnectError::Older),
    }
}

/// Answers a version that was run and is unknown, in which case nothing is run. On any error, the connection is to be
/// closed.
async fn migrate(connection: &mut AsyncPgConnection) -> Result<Option<String>, BoxError> {
    // Building an index may take longer than a statement may otherwise.
    let lock = format!(
        "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; SELECT pg_advisory_xact_lock({LOCK})"
    );
    connection.batch_execute(&lock).await?;
    let applied = applied(connection).await?;
    let known = |version: &String| MIGRATIONS.iter().any(|(known, _)| known == version);
    if let Some(unknown) = applied.iter().find(|version| !known(version)) {
        return Ok(Some(unknown.clone()));
    }
    for (version, statements) in MIGRATIONS {
        if !applied.iter().any(|applied| applied == version) {
            connection.batch_execute(statements).await?;
            let done = "INSERT INTO schema_migrations (version) VALUES ($1)";
            sql_query(done).bind::<Text, _>(version).execute(connection).await?;
        }
    }
    connection.batch_execute("COMMIT").await?;
    Ok(None)
}

/// The versions that have been run.
async fn applied(connection: &mut AsyncPgConnection) -> Result<Vec<String>, BoxError> {
    match versions(connection).await? {
        Some(versions) => Ok(versions),
        None => {
            let create = "CREATE TABLE schema_migrations (
                              version TEXT        NOT NULL PRIMARY KEY,
                              run_at  TIMESTAMPTZ NOT NULL DEFAULT now()
                          )";
            connection.batch_execute(create).await?;
            Ok(Vec::new())
        }
    }
}

/// The same; `None` if there is no schema.
async fn versions(connection: &mut AsyncPgConnection) -> Result<Option<Vec<String>>, BoxError> {
    #[derive(QueryableByName)]
    struct Table {
        #[diesel(sql_type = Bool)]
        exists: bool,
    }
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        version: String,
    }
    // Asked first, as IF NOT EXISTS would need the right to create tables also where there is nothing to create.
    let exists = r#"SELECT to_regclass('schema_migrations') IS NOT NULL AS "exists""#;
    if !sql_query(exists).get_result::<Table>(connection).await?.exists {
        return Ok(None);
    }
    let rows: Vec<Row> = sql_query("SELECT version FROM schema_migrations").load(connection).await?;
    Ok(Some(rows.into_iter().map(|row| row.version).collect()))
}
