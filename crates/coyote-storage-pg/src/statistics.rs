//! How much the database holds. It is only read, and what is there is taken as it is: nothing is brought up to date.

use coyote_protocol::Timestamp;
use coyote_storage::{
    BoxError, CellCount, DatabaseSize, RowCount, Statistics,
    sealing::{Column, Seal},
};
use diesel::{
    QueryResult, QueryableByName, sql_query,
    sql_types::{BigInt, Binary, Nullable, Text},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};

use crate::{ConnectError, PgOptions, migrate, nonce, pool::Pool, url::Place};

/// Tables, what says how old their rows are, and in which state these are.
const TABLES: [(&str, &str, &str); 12] = [
    (
        "accounts",
        "created",
        "CASE WHEN revoked IS NOT NULL THEN 'revoked' WHEN deactivated IS NOT NULL THEN 'deactivated' ELSE 'valid' END",
    ),
    (
        "external_account_keys",
        "created",
        "CASE WHEN revoked IS NOT NULL THEN 'revoked' ELSE 'not revoked' END",
    ),
    (
        "orders",
        "created",
        "CASE WHEN certificate_id IS NOT NULL THEN 'valid' WHEN error IS NOT NULL THEN 'invalid'
              WHEN began IS NOT NULL THEN 'processing' ELSE 'pending, ready or expired' END",
    ),
    (
        "authorizations",
        "created",
        "CASE WHEN revoked IS NOT NULL THEN 'revoked' WHEN deactivated IS NOT NULL THEN 'deactivated'
              WHEN validated IS NOT NULL THEN 'valid or expired' ELSE 'pending, invalid or expired' END",
    ),
    ("serials", "reserved", "''"),
    ("certificates", "issued", "CASE WHEN revoked IS NOT NULL THEN 'revoked' ELSE 'not revoked' END"),
    (
        "jobs",
        "due",
        "CASE WHEN lease_expires IS NOT NULL THEN kind || ', begun' ELSE kind || ', waiting' END",
    ),
    ("audit", "at", "''"),
    ("traces", "at", "''"),
    ("used_nonces", "NULL", "''"),
    ("rate_limits", "NULL", "''"),
    ("settings", "NULL", "''"),
];

const COLUMNS: [Column; 7] = [
    Column::CONTACT,
    Column::CSR,
    Column::CHAIN,
    Column::ALTERNATES,
    Column::SECRET,
    Column::COMMENT,
    Column::SETTING,
];

#[derive(QueryableByName)]
struct Rows {
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = BigInt)]
    rows: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    oldest: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    newest: Option<i64>,
}

#[derive(QueryableByName)]
struct Cells {
    #[diesel(sql_type = Binary)]
    beginning: Vec<u8>,
    #[diesel(sql_type = BigInt)]
    cells: i64,
}

#[derive(QueryableByName)]
struct Size {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = BigInt)]
    bytes: i64,
}

/// How much the database at this URL holds. Servers may be using it; nothing is written. All of it is read, and one
/// statement may take as long as it takes.
///
/// # Errors
///
/// See [`ConnectError`]; also a schema that is not this version's.
pub async fn statistics(url: &str) -> Result<Statistics, ConnectError> {
    let options = PgOptions::default();
    let pool = Pool::new(Place::new(url, &options)?, &options).map_err(ConnectError::Database)?;
    let mut connection = pool.connector().open().await.map_err(ConnectError::Database)?;
    let schema = migrate::current(&mut connection).await?;
    read(&mut connection, schema).await.map_err(ConnectError::Database)
}

async fn read(connection: &mut AsyncPgConnection, schema: String) -> Result<Statistics, BoxError> {
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0";
    connection.batch_execute(begin).await?;
    let mut rows = Vec::new();
    for (table, time, state) in TABLES {
        rows.extend(count_rows(connection, table, time, state).await?);
    }
    let mut cells = Vec::new();
    for column in COLUMNS {
        cells.extend(count_cells(connection, column).await?);
    }
    let size = size(connection).await?;
    connection.batch_execute("COMMIT").await?;
    Ok(Statistics { schema, rows, cells, size })
}

async fn count_rows(
    connection: &mut AsyncPgConnection,
    table: &'static str,
    time: &str,
    state: &str,
) -> QueryResult<Vec<RowCount>> {
    let query = format!(
        "SELECT {state} AS state, count(*) AS rows, min({time})::bigint AS oldest, max({time})::bigint AS newest
         FROM {table} GROUP BY 1 ORDER BY 1"
    );
    let counted: Vec<Rows> = sql_query(query).load(connection).await?;
    let count = |Rows { state, rows, oldest, newest }| RowCount {
        table,
        state,
        rows: i64::unsigned_abs(rows),
        oldest: Option::map(oldest, Timestamp::from_millis),
        newest: Option::map(newest, Timestamp::from_millis),
    };
    Ok(counted.into_iter().map(count).collect())
}

async fn count_cells(connection: &mut AsyncPgConnection, column: Column) -> QueryResult<Vec<CellCount>> {
    let Column { table, name } = column;
    // The other settings are no secrets, or marks of keys.
    let secret =
        if column == Column::SETTING { format!("AND name = '{}'", nonce::KEY) } else { String::new() };
    // Of a plain cell the first byte says it all.
    let query = format!(
        r"SELECT CASE WHEN substr({name}, 1, 1) = '\x0a'::bytea THEN '\x0a'::bytea ELSE substr({name}, 1, 9) END AS beginning,
                 count(*) AS cells
          FROM {table} WHERE {name} IS NOT NULL {secret} GROUP BY 1 ORDER BY 1"
    );
    let counted: Vec<Cells> = sql_query(query).load(connection).await?;
    let count = |Cells { beginning, cells }| CellCount {
        column,
        seal: Seal::of(&beginning),
        cells: i64::unsigned_abs(cells),
    };
    Ok(counted.into_iter().map(count).collect())
}

async fn size(connection: &mut AsyncPgConnection) -> QueryResult<DatabaseSize> {
    let query = "SELECT c.relname::text AS name, pg_total_relation_size(c.oid) AS bytes
                 FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
                 WHERE c.relkind = 'r' AND n.nspname = current_schema() ORDER BY 1";
    let tables: Vec<Size> = sql_query(query).load(connection).await?;
    let whole = "SELECT ''::text AS name, pg_database_size(current_database()) AS bytes";
    let whole: Size = sql_query(whole).get_result(connection).await?;
    let tables = tables.into_iter().map(|Size { name, bytes }| (name, bytes.unsigned_abs())).collect();
    Ok(DatabaseSize { bytes: whole.bytes.unsigned_abs(), free: None, log: None, tables })
}
