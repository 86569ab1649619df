//! How much the file holds. It is only read, and what is there is taken as it is: nothing is brought up to date.

use std::{fs, path::Path};

use coyote_protocol::Timestamp;
use coyote_storage::{
    BoxError, CellCount, DatabaseSize, RowCount, Statistics,
    sealing::{Column, Seal},
};
use diesel::{
    prelude::*,
    sql_query,
    sql_types::{BigInt, Binary, Nullable, Text},
};

use crate::{OpenError, SqliteOptions, nonce, open::Opener};

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
struct Pages {
    #[diesel(sql_type = BigInt)]
    size: i64,
    #[diesel(sql_type = BigInt)]
    pages: i64,
    #[diesel(sql_type = BigInt)]
    free: i64,
}

/// How much the database in this file holds. A server may be using it, and notices nothing; nothing is written. It
/// blocks, and reads all of the file.
///
/// # Errors
///
/// See [`OpenError`]; also a schema that is not this version's.
pub fn statistics(path: impl AsRef<Path>) -> Result<Statistics, OpenError> {
    let path = path.as_ref();
    let opener = Opener::new(path, &SqliteOptions::default())?;
    let (mut connection, schema) = opener.looker()?;
    opener.prepare(|| {
        connection.transaction::<_, BoxError, _>(|connection| {
            let mut rows = Vec::new();
            for (table, time, state) in TABLES {
                rows.extend(count_rows(connection, table, time, state)?);
            }
            let mut cells = Vec::new();
            for column in COLUMNS {
                cells.extend(count_cells(connection, column)?);
            }
            Ok(Statistics { schema, rows, cells, size: size(connection, path)? })
        })
    })
}

fn count_rows(
    connection: &mut SqliteConnection,
    table: &'static str,
    time: &str,
    state: &str,
) -> QueryResult<Vec<RowCount>> {
    let query = format!(
        "SELECT {state} AS state, count(*) AS rows, min({time}) AS oldest, max({time}) AS newest
         FROM {table} GROUP BY 1 ORDER BY 1"
    );
    let counted: Vec<Rows> = sql_query(query).load(connection)?;
    Ok(counted
        .into_iter()
        .map(|Rows { state, rows, oldest, newest }| RowCount {
            table,
            state,
            rows: rows.unsigned_abs(),
            oldest: oldest.map(Timestamp::from_millis),
            newest: newest.map(Timestamp::from_millis),
        })
        .collect())
}

fn count_cells(connection: &mut SqliteConnection, column: Column) -> QueryResult<Vec<CellCount>> {
    let Column { table, name } = column;
    // The other settings are no secrets, or marks of keys.
    let secret =
        if column == Column::SETTING { format!("AND name = '{}'", nonce::KEY) } else { String::new() };
    // Of a plain cell the first byte says it all.
    let query = format!(
        "SELECT CASE WHEN substr({name}, 1, 1) = x'0a' THEN x'0a' ELSE substr({name}, 1, 9) END AS beginning,
                count(*) AS cells
         FROM {table} WHERE {name} IS NOT NULL {secret} GROUP BY 1 ORDER BY 1"
    );
    let counted: Vec<Cells> = sql_query(query).load(connection)?;
    Ok(counted
        .into_iter()
        .map(|Cells { beginning, cells }| CellCount {
            column,
            seal: Seal::of(&beginning),
            cells: cells.unsigned_abs(),
        })
        .collect())
}

fn size(connection: &mut SqliteConnection, path: &Path) -> QueryResult<DatabaseSize> {
    let query = "SELECT page_size AS size, page_count AS pages, freelist_count AS free
                 FROM pragma_page_size, pragma_page_count, pragma_freelist_count";
    let Pages { size, pages, free } = sql_query(query).get_result(connection)?;
    let bytes = |pages: i64| pages.saturating_mul(size).unsigned_abs();
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let log = fs::metadata(log).ok().map(|log| log.len());
    Ok(DatabaseSize { bytes: bytes(pages), free: Some(bytes(free)), log, tables: Vec::new() })
}
