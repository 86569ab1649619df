//! Who is asked for names: `resolvers`, `[[validation.zone]]`.

use std::{fmt, str::FromStr};

use coyote_server::{
    protocol::DnsName,
    validate::{self, Dnssec, InvalidNameServer},
};

use super::section::{section, string_setting};

/// A name server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NameServer(pub(crate) validate::NameServer);

impl FromStr for NameServer {
    type Err = InvalidNameServer;

    fn from_str(text: &str) -> Result<Self, InvalidNameServer> {
        text.parse().map(Self)
    }
}

impl fmt::Display for NameServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is made of DNSSEC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DnssecKind(pub(crate) Dnssec);

impl FromStr for DnssecKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "ignore" => Ok(Self(Dnssec::Ignore)),
            "require" => Ok(Self(Dnssec::Require)),
            _ => Err(format!("{text:?} says nothing about DNSSEC; write ignore or require")),
        }
    }
}

impl fmt::Display for DnssecKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Dnssec::Ignore => "ignore",
            Dnssec::Require => "require",
        })
    }
}

section! {
    /// A zone with name servers of its own. Of several that a name is in, the deepest counts.
    ZoneSection {
        /// The zone. All names below it are meant as well.
        name: Option<DnsName> = None, as in "\"corp.example.com\"";
        /// The name servers that are asked, as in `validation.resolvers`.
        resolvers: Vec<NameServer> = Vec::new();
        /// As `validation.dnssec`, for this zone.
        dnssec: DnssecKind = DnssecKind::default();
    }
}

string_setting!(NameServer, DnssecKind);
