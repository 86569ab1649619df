//! `acmed sealing`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Beside;

#[derive(Debug, Args)]
pub(crate) struct SealingArgs {
    #[command(subcommand)]
    pub(crate) command: SealingCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SealingCommand {
    /// Make a key, and print the line for the file of keys
    NewKey(NewKey),
    /// Say how many values in the database are sealed, and under which keys
    Status(Look),
    /// Seal all that is plain or under an older key anew, under the current one
    ///
    /// It looks at every value each time. Servers may run meanwhile if all of them were restarted with the same keys
    /// before: one that was not goes on writing what is plain or under an older key, and cannot read what is under a key
    /// that it has not. A server does the same, a batch with each sweep. An SQLite file is written anew in the end, lest anything be left
    /// in it that was plain.
    Rotate(Rotate),
}

#[derive(Debug, Args)]
pub(crate) struct NewKey {
    /// Append it to this file, which is made if it is not there, instead
    #[arg(long, value_name = "FILE")]
    pub(crate) append: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Rotate {
    #[command(flatten)]
    pub(crate) beside: Beside,
}

/// What only looks at the database of a server.
#[derive(Debug, Args)]
pub(crate) struct Look {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) beside: Beside,
}

#[derive(Debug, Args)]
pub(crate) struct Db {
    #[command(subcommand)]
    pub(crate) command: DbCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DbCommand {
    /// Say how much is in the database, and how much room it takes, also while the server runs
    Stats(Look),
}
