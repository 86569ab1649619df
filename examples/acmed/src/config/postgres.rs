//! `[postgres]`: how a PostgreSQL database is used.

use coyote_storage_pg::PgOptions;

use super::{section::section, time::Time};

section! {
    /// How a database is used that is a PostgreSQL: what each replica allows itself. What the server enforces for each
    /// connection (statement_timeout, lock_timeout and others) can be said in the URL: ?options=-c%20lock_timeout%3D1s
    PostgresSection {
        /// How many connections there are at most.
        connections: u32 = 16;
        /// How long an operation waits for one that is free.
        connection_wait: Time = Time::seconds(5);
        /// How long it may take to open one. A server that is silent for two to three times that is given up.
        connect_timeout: Time = Time::seconds(5);
        /// How long an operation may take, before clients are told to come again.
        operation_timeout: Time = Time::seconds(20);
    }
}

impl PostgresSection {
    /// These, and the defaults.
    pub(crate) fn options(&self) -> PgOptions {
        PgOptions {
            connections: self.connections as usize,
            patience: self.connection_wait.0,
            connect_timeout: self.connect_timeout.0,
            operation_timeout: self.operation_timeout.0,
            ..PgOptions::default()
        }
    }
}
