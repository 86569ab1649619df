use std::fmt;

use coyote_jose::base64url;

/// A column whose cells are sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Column {
    /// The table.
    pub table: &'static str,
    /// Its column.
    pub name: &'static str,
}

/// What names a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row<'a> {
    /// An id.
    Id(&'a [u8; 16]),
    /// A name, or several, the outer first.
    Names(&'a [&'a str]),
}

/// Where a cell is. It prints as an operator would look for it: `accounts.contact of …`, with the id as URLs show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The table and column.
    pub column: Column,
    /// The row.
    pub row: Row<'a>,
}

impl Column {
    /// The account's contacts: JSON.
    pub const CONTACT: Self = Self { table: "accounts", name: "contact" };
    /// The PKCS#10 request of an order: DER.
    pub const CSR: Self = Self { table: "orders", name: "csr" };
    /// A certificate's chain: PEM.
    pub const CHAIN: Self = Self { table: "certificates", name: "chain" };
    /// Its other chains: JSON.
    pub const ALTERNATES: Self = Self { table: "certificates", name: "alternates" };
    /// An external account key's secret: bytes.
    pub const SECRET: Self = Self { table: "external_account_keys", name: "secret" };
    /// Whom it was given to: text.
    pub const COMMENT: Self = Self { table: "external_account_keys", name: "comment" };
    /// What the database has made for itself, keys among it: bytes.
    pub const SETTING: Self = Self { table: "settings", name: "value" };

    /// The cell of this column in the row with this id.
    pub fn of<'a>(self, id: &'a [u8; 16]) -> Place<'a> {
        Place { column: self, row: Row::Id(id) }
    }

    /// The cell of this column in the row with these names.
    pub fn named<'a>(self, names: &'a [&'a str]) -> Place<'a> {
        Place { column: self, row: Row::Names(names) }
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.table, self.name)
    }
}

impl Place<'_> {
    /// Bytes that are those of no other place: every text comes after its length.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(96);
        let mut add = |part: &[u8]| {
            bytes.extend((part.len() as u64).to_be_bytes());
            bytes.extend(part);
        };
        add(self.column.table.as_bytes());
        add(self.column.name.as_bytes());
        match self.row {
            Row::Id(id) => {
                add(b"id");
                add(id);
            }
            Row::Names(names) => {
                add(b"names");
                names.iter().for_each(|name| add(name.as_bytes()));
            }
        }
        bytes
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of ", self.column)?;
        match self.row {
            Row::Id(id) => f.write_str(&base64url::encode(id)),
            Row::Names(names) => f.write_str(&names.join("/")),
        }
    }
}
