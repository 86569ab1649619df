//! `acmed perspective`.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct Perspective {
    /// The configuration; without it, acmed.toml
    #[arg(long, value_name = "FILE", env = "ACMED_CONFIG", default_value = crate::config::CONFIG)]
    pub(crate) config: PathBuf,
}
