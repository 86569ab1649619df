//! `acmed migrate`.

use clap::Args;

use super::Beside;
use crate::config::StorageUrl;

#[derive(Debug, Args)]
pub(crate) struct Migrate {
    /// Where everything goes: postgres://HOST/DATABASE or sqlite:PATH, in which there is nothing yet
    #[arg(long, value_name = "URL")]
    pub(crate) to: StorageUrl,
    /// Go back, as long as nothing has been written there
    #[arg(long)]
    pub(crate) undo: bool,
    /// With --undo: go back although the other cannot be asked any more, and lose what was written there
    #[arg(long, requires = "undo")]
    pub(crate) target_is_lost: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) beside: Beside,
}
