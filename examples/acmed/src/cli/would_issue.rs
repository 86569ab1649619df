//! `acmed would-issue`.

use std::net::IpAddr;

use clap::Args;

use super::Beside;
use crate::config::Account;

#[derive(Debug, Args)]
pub(crate) struct WouldIssue {
    /// What the certificate would be for: names, wildcards, IP addresses
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// The account that would order it, by id or URL
    #[arg(long, value_name = "ID|URL", allow_hyphen_values = true)] // as ids may begin with one
    pub(crate) account: Account,
    /// The profile that it would ask for [default: the server's]
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// The address that the order would come from [default: not known]
    #[arg(long, value_name = "IP")]
    pub(crate) client: Option<IpAddr>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) beside: Beside,
}
