//! `acmed dns-persist`.

use clap::Args;
use coyote_server::protocol::DnsName;

use super::{Beside, domain};
use crate::config::Moment;

#[derive(Debug, Args)]
pub(crate) struct DnsPersist {
    /// The name to be certified
    #[arg(value_parser = domain)]
    pub(crate) name: DnsName,
    /// The URL of the account that may have certificates, as its client shows it
    #[arg(long, value_name = "URL")]
    pub(crate) account: String,
    /// Also for wildcards
    #[arg(long)]
    pub(crate) wildcard: bool,
    /// Until when, as in 2026-01-31T12:00:00Z [default: for ever]
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<Moment>,
    #[command(flatten)]
    pub(crate) beside: Beside,
}
