//! Which server it is, to the commands that work beside one.

use std::path::PathBuf;

use clap::Args;

use super::Place;
use crate::{
    config::{CONFIG, Config},
    failure::Failure,
};

/// What the server was told, these commands are told as well.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Which server")]
pub(crate) struct Beside {
    /// Its configuration; without it, acmed.toml if there is one, unless a data directory is named
    #[arg(long, value_name = "FILE", env = "ACMED_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

impl Beside {
    /// The configuration of the server.
    pub(crate) fn config(self) -> Result<Config, Failure> {
        let found = Some(PathBuf::from(CONFIG)).filter(|path| self.place.data_dir.is_none() && path.exists());
        let mut config = match self.config.or(found) {
            Some(path) => Config::read(&path)?,
            None => Config::default(),
        };
        self.place.apply(&mut config);
        Ok(config)
    }
}
