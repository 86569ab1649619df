//! A look at the store from outside.

use std::{collections::BTreeMap, path::Path};

use diesel::{prelude::*, sql_query, sql_types::Text, sqlite::SqliteConnection};
use libsqlite3_sys as _; // bundled: the tests need no SQLite of the system's

/// Tables that a refused request may write to.
const VOLATILE: &[&str] = &["used_nonces", "rate_limits", "audit"];

/// The SQLite database of a server, opened for reading.
pub struct Database(SqliteConnection);

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

impl Database {
    /// Opens the file.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[must_use]
    pub fn open(path: &Path) -> Self {
        let url = format!("file:{}?mode=ro", path.display());
        let mut connection = SqliteConnection::establish(&url).expect("the database can be opened");
        sql_query("PRAGMA busy_timeout = 5000").execute(&mut connection).expect("a busy timeout");
        Self(connection)
    }

    /// All rows of all tables but those that any request may write to: for each table its rows, as text.
    #[must_use]
    pub fn dump(&mut self) -> BTreeMap<String, Vec<String>> {
        self.0
            .transaction(|connection| {
                let tables = "SELECT name AS line FROM sqlite_schema WHERE type = 'table' ORDER BY name";
                let tables =
                    lines(connection, tables)?.into_iter().filter(|table| !VOLATILE.contains(&&**table));
                tables.map(|table| rows(connection, &table).map(|rows| (table, rows))).collect()
            })
            .unwrap_or_else(|error: diesel::result::Error| panic!("the database can be dumped: {error}"))
    }

    /// How many rows a table has.
    #[must_use]
    pub fn count(&mut self, table: &str) -> usize {
        self.text(&format!("SELECT CAST(count(*) AS TEXT) AS line FROM {table}")).parse().expect("a number")
    }

    /// What a query answers in its one row and one column, which is called `line`.
    #[must_use]
    pub fn text(&mut self, query: &str) -> String {
        let lines = lines(&mut self.0, query).unwrap_or_else(|error| panic!("{query}: {error}"));
        assert_eq!(lines.len(), 1, "{query}");
        lines.into_iter().next().unwrap_or_default()
    }
}

fn rows(connection: &mut SqliteConnection, table: &str) -> QueryResult<Vec<String>> {
    let columns = lines(connection, &format!("SELECT name AS line FROM pragma_table_info('{table}')"))?;
    let quoted: Vec<_> = columns.iter().map(|column| format!("'{column}=' || quote(\"{column}\")")).collect();
    lines(connection, &format!("SELECT {} AS line FROM \"{table}\" ORDER BY 1", quoted.join(" || ' ' || ")))
}

fn lines(connection: &mut SqliteConnection, query: &str) -> QueryResult<Vec<String>> {
    Ok(sql_query(query).load::<Line>(connection)?.into_iter().map(|row| row.line).collect())
}
