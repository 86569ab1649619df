//! `acmed why`.

use clap::{Args, value_parser};

use super::Beside;

#[derive(Debug, Args)]
pub(crate) struct Why {
    /// A name, a trace that a client was told, or the URL or id of an order or authorization; of a challenge the URL
    #[arg(value_name = "WHAT", allow_hyphen_values = true)] // as ids may begin with one
    pub(crate) what: String,
    /// How many attempts to show at most, the latest of them
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = value_parser!(u32).range(1..=1000))]
    pub(crate) last: u32,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) beside: Beside,
}
