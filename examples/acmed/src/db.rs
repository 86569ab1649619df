//! `acmed db`: how much there is.

use std::fmt::Write as _;

use coyote_server::{
    protocol::Timestamp,
    storage::{Statistics, sealing::Seal},
};
use serde_json::{Value, json};

use crate::{
    cli::{Db, DbCommand, Look},
    config::{Config, StorageUrl},
    failure::Failure,
    output::{print, print_json},
    store,
};

pub(crate) fn run(db: Db) -> Result<(), Failure> {
    match db.command {
        DbCommand::Stats(look) => store::block_on(stats(look)),
    }
}

async fn stats(look: Look) -> Result<(), Failure> {
    let config = look.beside.config()?;
    let statistics = statistics(&config).await?;
    if look.json { print_json(&to_json(&statistics)) } else { print(&to_text(&statistics)) }
}

/// How much is in the database of a server. It is only looked at.
pub(crate) async fn statistics(config: &Config) -> Result<Statistics, Failure> {
    match config.storage() {
        StorageUrl::Sqlite(path) => {
            store::require_file(&path)?;
            coyote_storage_sqlite::statistics(path).map_err(Failure::because("the database cannot be read"))
        }
        StorageUrl::Postgres(url) => {
            let statistics = coyote_storage_pg::statistics(&url).await;
            statistics.map_err(Failure::because("the database cannot be read"))
        }
        StorageUrl::Memory => Err(Failure::new(
            "what is in memory: is the server's alone; this needs a storage that this process can open",
        )),
    }
}

fn seal(seal: Option<Seal>) -> String {
    match seal {
        Some(Seal::Plain) => "plain".into(),
        Some(Seal::Under(key)) => key.to_string(),
        None => "unknown".into(),
    }
}

fn to_json(statistics: &Statistics) -> Value {
    let rows = statistics.rows.iter().map(|count| {
        json!({
            "table": count.table,
            "state": Some(&count.state).filter(|state| !state.is_empty()),
            "rows": count.rows,
            "oldest": count.oldest.map(|at| at.to_string()),
            "newest": count.newest.map(|at| at.to_string()),
        })
    });
    let cells = statistics.cells.iter().map(
        |count| json!({ "column": count.column.to_string(), "seal": seal(count.seal), "cells": count.cells }),
    );
    let size = &statistics.size;
    let tables: serde_json::Map<String, Value> =
        size.tables.iter().map(|(table, bytes)| (table.clone(), json!(bytes))).collect();
    json!({
        "schema": statistics.schema,
        "rows": rows.collect::<Vec<_>>(),
        "cells": cells.collect::<Vec<_>>(),
        "size": { "bytes": size.bytes, "free": size.free, "log": size.log, "tables": tables },
    })
}

fn to_text(statistics: &Statistics) -> String {
    let mut text = format!("schema {}\n\n", statistics.schema);
    add(&mut text, ["TABLE", "STATE", "ROWS", "OLDEST", "NEWEST"]);
    for count in &statistics.rows {
        let time = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
        let (rows, oldest, newest) = (count.rows.to_string(), time(count.oldest), time(count.newest));
        add(&mut text, [count.table, &count.state, &rows, &oldest, &newest]);
    }
    text.push('\n');
    add(&mut text, ["CELLS", "SEALED UNDER", "COUNT", "", ""]);
    for count in &statistics.cells {
        let (column, seal, cells) = (count.column.to_string(), seal(count.seal), count.cells.to_string());
        add(&mut text, [&column, &seal, &cells, "", ""]);
    }
    let size = &statistics.size;
    let _infallible = write!(text, "\n{} bytes", size.bytes);
    if let Some(free) = size.free {
        let _infallible = write!(text, ", of which {free} are free");
    }
    if let Some(log) = size.log {
        let _infallible = write!(text, "; {log} in the write-ahead log");
    }
    text.push('\n');
    for (table, bytes) in &size.tables {
        add(&mut text, [table, "", &bytes.to_string(), "", ""]);
    }
    text
}

fn add(text: &mut String, [one, two, three, four, five]: [&str; 5]) {
    let line = format!("{one:<26} {two:<26} {three:>12}  {four:<25} {five}");
    text.push_str(line.trim_end());
    text.push('\n');
}
