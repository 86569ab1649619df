//! `[validation]`: how control of names is proved.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

use coyote_server::{
    protocol::{ChallengeType, DnsName},
    validate::{AddressPolicy, Cidr, InvalidCidr, InvalidUserAgent, NetworkLimits, UserAgent},
};

use super::{
    name_servers::{DnssecKind, NameServer, ZoneSection},
    perspective::PerspectiveSection,
    section::{section, string_setting},
    time::Time,
};

section! {
    /// How control of names is proved.
    Validation {
        /// The ways that are offered, in the order that clients see them in: http-01, dns-01, tls-alpn-01, and what is still a
        /// draft, dns-account-01 and dns-persist-01.
        challenges: Vec<ChallengeKind> = ChallengeKind::STANDARD.to_vec();
        /// The names by which records of dns-persist-01 mean this CA. Without any, those of `directory.caa_identities`.
        persist_identities: Vec<DnsName> = Vec::new();
        /// The port that http-01 asks. Everywhere but in a laboratory it is 80.
        http_port: u16 = 80;
        /// The port that tls-alpn-01 asks, and of https, to which an answer to http-01 may lead on.
        tls_port: u16 = 443;
        /// The name servers that are asked: IP or IP:PORT, tls://IP#NAME (DNS over TLS), https://IP/PATH#NAME (DNS over HTTPS,
        /// in HTTP/1.1); NAME is what the certificate must be for. Without any, the system's. A zone can have its own: in a
        /// table `[[validation.zone]]` with name, resolvers and, if need be, dnssec; it counts for all names below as well.
        resolvers: Vec<NameServer> = Vec::new();
        /// The certificates (PEM) that vouch for name servers over TLS. Unless it is set, those that the system trusts.
        resolver_roots: Option<PathBuf> = None, as in "\"resolver-roots.pem\"";
        /// ignore, or require: an answer counts only if the name server says that it has verified it by DNSSEC. The server
        /// has to validate, and the way to it must be trusted. In zones that are not signed, nothing can be proved then.
        dnssec: DnssecKind = DnssecKind::default();
        /// Whether CAA records are looked at, when a name is proved and again before it is signed for (RFC 8659, RFC 8657).
        /// A lookup that fails is no permission. What the records may call this CA is `directory.caa_identities`.
        caa: bool = false;
        /// How long a name server may take to answer.
        resolver_timeout: Time = Time::seconds(5);
        /// Networks that may be dialled although the default, the public Internet, forbids it: addresses, networks as
        /// in "10.20.0.0/16", or "private-network" for all networks that are private.
        allow: Vec<Allow> = Vec::new();
        /// Networks that may not be dialled, whatever else is said.
        deny: Vec<Range> = Vec::new();
        /// How long one attempt to validate may take.
        timeout: Time = Time::seconds(10);
        /// How long opening one connection may take.
        connect_timeout: Time = Time::seconds(3);
        /// How many addresses of a name are tried.
        max_addresses: u16 = 4;
        /// How many redirects are followed.
        max_redirects: u16 = 10;
        /// What validation says it is.
        user_agent: Agent = Agent::default();
        /// An HTTP proxy, IP:PORT, through which http-01 and tls-alpn-01 connect, by CONNECT, which it has to allow to both ports. It
        /// resolves the names and has to know what may be dialled: `allow` and `deny` are of no effect on names then.
        proxy: Option<SocketAddr> = None, as in "\"10.0.0.1:3128\"";
        /// How long an answer to a client may wait for a result; 0 turns it off.
        linger: Time = Time::millis(250);
        /// DANGEROUS: finds every challenge met without looking. Whoever reaches the server gets any certificate.
        danger_accept_any_challenge: bool = false;
        /// How many other perspectives have to see what this server sees; unless it is set all of one, all but one of two to
        /// five, all but two of more. Each is a table `[[validation.perspective]]` with name, region, url, roots, certificate
        /// and key, and is an `acmed perspective` elsewhere. Without any, what this server sees counts.
        quorum: Option<u16> = None, as in "2";
    }
    zone: Vec<ZoneSection>,
    perspective: Vec<PerspectiveSection>,
}

impl Validation {
    /// What may be dialled.
    pub(crate) fn address_policy(&self) -> AddressPolicy {
        let private = self.allow.contains(&Allow::PrivateNetwork);
        let policy = if private { AddressPolicy::private_network() } else { AddressPolicy::public() };
        let policy = self.allow.iter().fold(policy, |policy, allow| match allow {
            Allow::Range(Range(range)) => policy.allow(*range),
            Allow::PrivateNetwork => policy,
        });
        self.deny.iter().fold(policy, |policy, Range(range)| policy.deny(*range))
    }

    /// The same, with relative paths taken as below this directory.
    pub(super) fn below(self, directory: &Path) -> Self {
        Self {
            resolver_roots: self.resolver_roots.map(|path| directory.join(path)),
            perspective: self.perspective.into_iter().map(|place| place.below(directory)).collect(),
            ..self
        }
    }

    /// How much of strangers is taken.
    pub(crate) fn network_limits(&self) -> NetworkLimits {
        NetworkLimits {
            attempt_deadline: self.timeout.0,
            connect_timeout: self.connect_timeout.0,
            max_addresses: self.max_addresses.into(),
            max_redirects: self.max_redirects.into(),
            http_port: self.http_port,
            tls_port: self.tls_port,
            user_agent: self.user_agent.0.clone(),
            ..NetworkLimits::default()
        }
    }
}

/// A way to prove control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChallengeKind {
    /// http-01.
    Http01,
    /// dns-01.
    Dns01,
    /// tls-alpn-01.
    TlsAlpn01,
    /// dns-account-01.
    DnsAccount01,
    /// dns-persist-01.
    DnsPersist01,
}

impl ChallengeKind {
    /// Each that an RFC has.
    pub(crate) const STANDARD: [Self; 3] = [Self::Http01, Self::Dns01, Self::TlsAlpn01];
    /// Each of them.
    const ALL: [Self; 5] =
        [Self::Http01, Self::Dns01, Self::TlsAlpn01, Self::DnsAccount01, Self::DnsPersist01];

    pub(crate) fn challenge_type(self) -> ChallengeType {
        match self {
            Self::Http01 => ChallengeType::HTTP_01,
            Self::Dns01 => ChallengeType::DNS_01,
            Self::TlsAlpn01 => ChallengeType::TLS_ALPN_01,
            Self::DnsAccount01 => ChallengeType::DNS_ACCOUNT_01,
            Self::DnsPersist01 => ChallengeType::DNS_PERSIST_01,
        }
    }
}

impl FromStr for ChallengeKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut all = Self::ALL.into_iter();
        all.find(|kind| kind.challenge_type().as_str() == text).ok_or_else(|| {
            format!("{text:?} is no challenge type; write http-01, dns-01, tls-alpn-01, dns-account-01 or dns-persist-01")
        })
    }
}

impl fmt::Display for ChallengeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.challenge_type().fmt(f)
    }
}

/// A network, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range(pub(crate) Cidr);

impl FromStr for Range {
    type Err = InvalidCidr;

    fn from_str(text: &str) -> Result<Self, InvalidCidr> {
        text.parse().map(Self)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What may be dialled although the default forbids it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allow {
    /// All networks that are private.
    PrivateNetwork,
    /// One.
    Range(Range),
}

impl FromStr for Allow {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "private-network" {
            return Ok(Self::PrivateNetwork);
        }
        text.parse()
            .map(Self::Range)
            .map_err(|error| format!("{text:?}: {error}, nor the word private-network"))
    }
}

impl fmt::Display for Allow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PrivateNetwork => f.write_str("private-network"),
            Self::Range(range) => range.fmt(f),
        }
    }
}

/// What is sent as `User-Agent`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Agent(UserAgent);

impl FromStr for Agent {
    type Err = InvalidUserAgent;

    fn from_str(text: &str) -> Result<Self, InvalidUserAgent> {
        text.parse().map(Self)
    }
}

impl fmt::Display for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

string_setting!(ChallengeKind, Range, Allow, Agent);
