//! The transport and what surrounds it: `base_url`, `[directory]`, `[http]`, `[log]`.

use std::{fmt, str::FromStr};

use coyote_server::{
    InvalidBaseUrl, Urls,
    protocol::{DirectoryMeta, DnsName},
};

use super::{
    section::{section, string_setting},
    time::{Moment, Time},
    validation::Range,
    web_url::WebUrl,
};

/// A base URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BaseUrl(String);

impl BaseUrl {
    pub(crate) fn is_https(&self) -> bool {
        self.0.starts_with("https:")
    }
}

impl FromStr for BaseUrl {
    type Err = InvalidBaseUrl;

    fn from_str(text: &str) -> Result<Self, InvalidBaseUrl> {
        Urls::new(text).map(|urls| Self(urls.base().to_owned()))
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

section! {
    /// What clients are told about the server, and what is asked of new ones.
    DirectorySection {
        /// The URL of the terms of service. With it, new accounts must agree to them.
        terms_of_service: Option<WebUrl> = None, as in "\"https://ca.example.com/terms\"";
        /// When they last changed. Accounts that agreed before that must agree again, from then on.
        terms_since: Option<Moment> = None, as in "\"2026-01-01T00:00:00Z\"";
        /// A page about the CA.
        website: Option<WebUrl> = None, as in "\"https://ca.example.com\"";
        /// The names by which CAA records mean this CA. They are shown to clients; `validation.caa` has the
        /// records looked at.
        caa_identities: Vec<DnsName> = Vec::new();
        /// Whether a new account needs a key that `acmed eab create` made.
        external_account_required: bool = false;
        /// A page that tells why certificates were revoked, for clients that ask when to renew (RFC 9773).
        renewal_explanation: Option<WebUrl> = None, as in "\"https://ca.example.com/revoked\"";
    }
}

impl DirectorySection {
    pub(crate) fn meta(&self) -> DirectoryMeta {
        DirectoryMeta {
            terms_of_service: self.terms_of_service.as_ref().map(WebUrl::to_string),
            website: self.website.as_ref().map(WebUrl::to_string),
            caa_identities: self.caa_identities.iter().map(|name| name.as_str().to_owned()).collect(),
            external_account_required: self.external_account_required,
            ..DirectoryMeta::default()
        }
    }
}

section! {
    /// The HTTP server.
    Http {
        /// Threads that serve requests; 0 for one per core.
        workers: u16 = 0;
        /// Connections that one of them has open; further ones wait.
        connections_per_worker: u32 = 10_000;
        /// How long an idle connection is kept open.
        keep_alive: Time = Time::seconds(75);
        /// How long the head of a request, and a TLS handshake before it, may take.
        head_timeout: Time = Time::seconds(5);
        /// Networks of proxies in front of the server that add the client's address to X-Forwarded-For. From elsewhere, the
        /// header is not believed.
        trusted_proxies: Vec<Range> = Vec::new();
        /// How long a server that is to stop goes on serving, with `/health/ready` at 503, so that a load balancer turns to others
        /// first: longer than it takes to notice.
        drain: Time = Time::seconds(0);
        /// How long requests and jobs that are under way may take to end when the server is stopped.
        shutdown_timeout: Time = Time::seconds(30);
    }
}

section! {
    /// The log, which goes to stderr.
    Log {
        /// human or json.
        format: LogFormat = LogFormat::Human;
        /// What is logged: error, warn, info, debug or trace, also for one part only, as in "info,coyote_server=debug".
        filter: String = "info,actix_server=warn".into();
    }
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people, in colour on a terminal.
    Human,
    /// For programs: one JSON object to a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        clap::ValueEnum::from_str(text, false)
            .map_err(|_| format!("{text:?} is no log format; write human or json"))
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Human => "human",
            Self::Json => "json",
        })
    }
}

string_setting!(BaseUrl, LogFormat);
