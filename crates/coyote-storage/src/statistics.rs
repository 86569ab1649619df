//! How much a database holds, for its operator.

use coyote_protocol::Timestamp;

use crate::sealing::{Column, Seal};

/// How much a database holds, all at the same moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// The version of its schema.
    pub schema: String,
    /// How many rows each table has, by state.
    pub rows: Vec<RowCount>,
    /// How many cells are kept in which way.
    pub cells: Vec<CellCount>,
    /// How much room it takes.
    pub size: DatabaseSize,
}

/// Rows of a table that are in one state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowCount {
    /// The table.
    pub table: &'static str,
    /// The state; empty if the table's rows have none. It is what is on record: time alone changes none.
    pub state: String,
    /// How many.
    pub rows: u64,
    /// When the oldest of them came about, if that is on record.
    pub oldest: Option<Timestamp>,
    /// When the newest did.
    pub newest: Option<Timestamp>,
}

/// Cells of a column that are kept in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellCount {
    /// The column.
    pub column: Column,
    /// How they are kept; `None`: in a way that is not known.
    pub seal: Option<Seal>,
    /// How many.
    pub cells: u64,
}

/// How much room a database takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatabaseSize {
    /// All of it, in bytes, indexes included.
    pub bytes: u64,
    /// How many of these bytes hold nothing, and will be used again, if that is known.
    pub free: Option<u64>,
    /// How many bytes are in the write-ahead log beside the file, if there is one.
    pub log: Option<u64>,
    /// How many bytes each table takes with its indexes, if that is known.
    pub tables: Vec<(String, u64)>,
}
