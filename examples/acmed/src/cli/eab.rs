//! `acmed eab`.

use std::{str::FromStr, time::Duration};

use clap::{Args, Subcommand, value_parser};
use coyote_server::protocol::{DnsName, Timestamp};

use super::{Beside, domain};
use crate::config::{Moment, Time};

#[derive(Debug, Args)]
pub(crate) struct Eab {
    #[command(subcommand)]
    pub(crate) command: EabCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EabCommand {
    /// Make a key, and print what its holder needs. The secret is not shown again
    Create(CreateKey),
    /// List the keys, without their secrets
    List(ListKeys),
    /// Take a key back: it opens no further account; those that it opened stay
    Revoke(RevokeKey),
}

#[derive(Debug, Args)]
pub(crate) struct CreateKey {
    /// Whom it is for
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, value_parser = comment)]
    pub(crate) comment: String,
    /// How long, or until when, it opens accounts, as in 30d or 2026-01-31T12:00:00Z [default: for ever]
    #[arg(long, value_name = "TIME")]
    pub(crate) expires: Option<Expiry>,
    /// How many accounts it opens [default: any number]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    pub(crate) accounts: Option<u32>,
    /// A domain that its accounts may have certificates for, and for the names below; can be repeated [default: all]
    #[arg(long, value_name = "NAME", value_parser = domain)]
    pub(crate) domain: Vec<DnsName>,
    #[command(flatten)]
    pub(crate) by: By,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) beside: Beside,
}

#[derive(Debug, Args)]
pub(crate) struct ListKeys {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) beside: Beside,
}

#[derive(Debug, Args)]
pub(crate) struct RevokeKey {
    /// The key's kid
    #[arg(allow_hyphen_values = true)] // as it may begin with one
    pub(crate) kid: String,
    #[command(flatten)]
    pub(crate) by: By,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) beside: Beside,
}

/// Who makes a change.
#[derive(Debug, Args)]
pub(crate) struct By {
    /// Who you are, for the audit log [default: $USER, or acmed]
    #[arg(long, value_name = "NAME", env = "USER", hide_env = true)]
    operator: Option<String>,
}

impl By {
    /// Their name.
    pub(crate) fn operator(&self) -> &str {
        self.operator.as_deref().filter(|name| !name.is_empty()).unwrap_or("acmed")
    }
}

/// When something ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// So long after now.
    In(Duration),
    /// Then.
    At(Timestamp),
}

impl Expiry {
    /// When that is.
    pub(crate) fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::In(time) => now + time,
            Self::At(at) => at,
        }
    }
}

impl FromStr for Expiry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(Time(time)) = text.parse() {
            return Ok(Self::In(time));
        }
        let moment = text.parse().map(|Moment(at)| Self::At(at));
        moment.map_err(|_| "write a time such as 30d, or a date such as 2026-01-31T12:00:00Z".to_owned())
    }
}

fn comment(text: &str) -> Result<String, &'static str> {
    if text.chars().any(char::is_control) {
        Err("a comment is one line of text")
    } else {
        Ok(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_expires_does_so_after_a_time_or_at_one() {
        let now = Timestamp::from_seconds(1_000);
        let at = |text: &str| text.parse::<Expiry>().map(|expiry| expiry.at(now).as_seconds());
        assert_eq!(at("1d"), Ok(1_000 + 86_400));
        assert_eq!(at("1970-01-01T01:00:00+01:00"), Ok(0));
        for wrong in ["", "tomorrow", "10", "2026-01-31"] {
            assert!(at(wrong).is_err(), "{wrong}");
        }
    }
}
