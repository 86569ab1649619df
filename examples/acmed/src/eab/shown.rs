//! Keys as they are listed: without their secrets.

use coyote_server::{
    protocol::{DnsName, Timestamp},
    storage::ExternalAccountKey,
};
use serde::Serialize;

use super::holder::Handout;

/// A key.
#[derive(Debug, Serialize)]
pub(super) struct Shown<'a> {
    kid: &'a str,
    state: State,
    comment: &'a str,
    created: Timestamp,
    expires: Option<Timestamp>,
    accounts: u32,
    most_accounts: Option<u32>,
    domains: &'a [DnsName],
    revoked: Option<Timestamp>,
}

/// A new key, with what its holder is handed.
#[derive(Debug, Serialize)]
pub(super) struct Created<'a> {
    #[serde(flatten)]
    pub(super) key: Shown<'a>,
    #[serde(flatten)]
    pub(super) handout: Handout<'a>,
}

/// Whether a key opens accounts, or why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Usable,
    Revoked,
    Expired,
    UsedUp,
}

impl State {
    fn of(key: &ExternalAccountKey, now: Timestamp) -> Self {
        match key {
            key if key.is_usable(now) => Self::Usable,
            key if key.revoked.is_some() => Self::Revoked,
            key if key.expires.is_some_and(|expires| expires <= now) => Self::Expired,
            _ => Self::UsedUp,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Usable => "usable",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::UsedUp => "used-up",
        }
    }
}

impl<'a> Shown<'a> {
    pub(super) fn new(key: &'a ExternalAccountKey, now: Timestamp) -> Self {
        Self {
            kid: &key.kid,
            state: State::of(key, now),
            comment: &key.comment,
            created: key.created,
            expires: key.expires,
            accounts: key.accounts,
            most_accounts: key.most_accounts,
            domains: &key.domains,
            revoked: key.revoked,
        }
    }

    fn row(&self) -> [String; 6] {
        let accounts = match self.most_accounts {
            Some(most) => format!("{} of {most}", self.accounts),
            None => self.accounts.to_string(),
        };
        let domains: Vec<_> = self.domains.iter().map(DnsName::as_str).collect();
        [
            self.kid.to_owned(),
            self.state.name().to_owned(),
            accounts,
            self.expires.map_or_else(|| "never".to_owned(), |at| at.truncate_to_seconds().to_string()),
            if domains.is_empty() { "all".to_owned() } else { domains.join(",") },
            // A comment may have come here by other ways than this command line.
            self.comment.chars().map(|c| if c.is_control() { ' ' } else { c }).collect(),
        ]
    }
}

/// Keys for people: a line to a key.
pub(super) fn table(keys: &[Shown<'_>]) -> String {
    let head = ["KID", "STATE", "ACCOUNTS", "EXPIRES", "DOMAINS", "COMMENT"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(head).chain(keys.iter().map(Shown::row)).collect();
    let mut widths = [0; 6];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &[String; 6]| {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use coyote_server::{ExternalAccountGrant, SystemEntropy, storage::DirectoryId};

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_000);

    fn key() -> ExternalAccountKey {
        let grant = ExternalAccountGrant { most_accounts: Some(1), ..ExternalAccountGrant::default() };
        let key = grant.mint(DirectoryId::default(), NOW, &SystemEntropy).unwrap();
        ExternalAccountKey { kid: "kid-1".into(), ..key }
    }

    #[test]
    fn a_key_is_usable_or_it_is_said_why_not() {
        let state = |key: ExternalAccountKey| State::of(&key, NOW).name();
        assert_eq!(state(key()), "usable");
        assert_eq!(state(ExternalAccountKey { accounts: 1, ..key() }), "used-up");
        assert_eq!(state(ExternalAccountKey { expires: Some(NOW), ..key() }), "expired");
        assert_eq!(state(ExternalAccountKey { expires: Some(NOW), revoked: Some(NOW), ..key() }), "revoked");
        assert_eq!(serde_json::to_value(State::UsedUp).unwrap(), State::UsedUp.name());
    }

    #[test]
    fn the_table_has_a_line_for_a_key_whatever_its_comment() {
        let key = ExternalAccountKey { comment: "web\n\x1b[2Jteam".into(), ..key() };
        assert_eq!(
            table(&[Shown::new(&key, NOW)]),
            "\
KID    STATE   ACCOUNTS  EXPIRES  DOMAINS  COMMENT
kid-1  usable  0 of 1    never    all      web  [2Jteam
"
        );
    }
}
