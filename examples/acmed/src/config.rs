//! The configuration: what can be said in `acmed.toml`.
//!
//! A key exists if it takes an effect, and in one place: the [`section!`](section::section) that has its default and
//! says what it is for. What cannot be read is refused with the line, before anything starts.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use coyote_server::{Limits, issue::CaFiles, protocol::DnsName};

use crate::failure::Failure;

mod ca;
mod limits;
mod name_servers;
mod perspective;
mod policy;
mod postgres;
mod profile;
mod rate_limits;
mod retention;
mod sealing;
mod section;
mod server;
mod storage;
mod text;
mod time;
mod tls;
mod validation;
mod web_url;

pub(crate) use ca::Ca;
pub(crate) use limits::LimitsSection;
pub(crate) use name_servers::{DnssecKind, NameServer, ZoneSection};
pub(crate) use perspective::{Mutual, PerspectiveSection, PerspectiveServer};
pub(crate) use policy::{Account, PolicySection, TrustSection};
pub(crate) use postgres::PostgresSection;
pub(crate) use profile::{ProfileSection, ProfileValidation};
pub(crate) use rate_limits::RateLimitsSection;
pub(crate) use retention::RetentionSection;
pub(crate) use sealing::SealingSection;
pub(crate) use server::{BaseUrl, DirectorySection, Http, Log, LogFormat};
pub(crate) use storage::{Nonces, StorageUrl};
pub(crate) use time::{Moment, Time};
pub(crate) use tls::{Tls, TlsFiles};
pub(crate) use validation::{Allow, ChallengeKind, Validation};

use section::section;

/// The configuration that is read, if it is there and no other is named.
pub(crate) const CONFIG: &str = "acmed.toml";

/// The profile of orders that ask for none.
pub(crate) const DEFAULT_PROFILE: &str = "default";

section! {
    /// acmed, an ACME (RFC 8555) server.
    Config {
        /// Where to listen.
        listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 8000));
        /// What clients see: every URL that leaves the server starts with it.
        /// Unless it is set, it is made of `listen`.
        base_url: Option<BaseUrl> = None, as in "\"http://127.0.0.1:8000\"";
        /// Where the server keeps what is its own. It makes the directory, for its own eyes only.
        data_dir: PathBuf = "acmed-data".into();
        /// Where accounts, orders and certificates are kept: sqlite:PATH; for several replicas
        /// postgres://USER:PASSWORD@HOST/DATABASE?sslmode=verify-full; or memory: to forget them at the end.
        /// Unless it is set, a file in `data_dir`.
        storage: Option<StorageUrl> = None, as in "\"sqlite:acmed-data/acmed.db\"";
        /// Where nonces are kept: memory:, storage, or auto for what suits the storage. In a Redis, replicas share
        /// them, and rate limits with them: redis://USER:PASSWORD@HOST, rediss:// for TLS,
        /// redis+sentinel://HOST,HOST/NAME, redis+cluster://HOST,HOST.
        nonces: Nonces = Nonces::Auto;
        /// Serve HTTPS: with { certificate = "FILE", key = "FILE" } (PEM; read again at SIGHUP), or with "own", a
        /// certificate of the server's own CA for the host of `base_url`.
        tls: Option<Tls> = None, as in "\"own\"";
    }
    directory: DirectorySection,
    validation: Validation,
    ca: Ca,
    profiles: BTreeMap<String, ProfileSection>,
    limits: LimitsSection,
    rate_limits: RateLimitsSection,
    policy: PolicySection,
    retention: RetentionSection,
    postgres: PostgresSection,
    sealing: SealingSection,
    http: Http,
    perspective: PerspectiveServer,
    log: Log,
}

impl Config {
    /// Reads a file. Relative paths in it are relative to its directory.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let text = fs::read_to_string(path)
            .map_err(Failure::because(format!("{} cannot be read", path.display())))?;
        let config = Self::parse(&text).map_err(|(line, error)| {
            let place = path.display();
            Failure::new(format!("{place}:{line}: {error}; `acmed config` prints every key with its default"))
        })?;
        let directory = match path.parent() {
            Some(directory) if !directory.as_os_str().is_empty() => directory,
            _ => return Ok(config),
        };
        Ok(config.below(directory))
    }

    /// Reads a configuration, or says in which line it is wrong, and how.
    pub(crate) fn parse(text: &str) -> Result<Self, (usize, String)> {
        toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let message = error.message().replace("unknown field", "unknown key").replace('\n', " ");
            (before.matches('\n').count() + 1, message)
        })
    }

    /// The same, with relative paths taken as below this directory.
    fn below(mut self, directory: &Path) -> Self {
        self.data_dir = directory.join(self.data_dir);
        self.storage = self.storage.map(|storage| storage.below(directory));
        self.tls = self.tls.map(|tls| tls.below(directory));
        self.ca = self.ca.below(directory);
        self.policy = self.policy.below(directory);
        self.validation = self.validation.below(directory);
        self.sealing = self.sealing.below(directory);
        self.perspective = self.perspective.below(directory);
        self
    }

    /// Refuses what cannot be meant, as far as that can be said without starting.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        self.profiles()?;
        self.policy.key_policy()?;
        self.policy()?;
        self.ca.check()?;
        self.sealing.check()?;
        if self.directory.terms_since.is_some() && self.directory.terms_of_service.is_none() {
            return Err(Failure::new(
                "terms_since says when terms of service changed that there are none of; set terms_of_service, too",
            ));
        }
        self.check_validation()?;
        if self.validation.caa && self.directory.caa_identities.is_empty() {
            return Err(Failure::new(
                "validation.caa has CAA records looked at, but no name there means this CA; set directory.caa_identities, too",
            ));
        }
        match &self.base_url {
            None if self.listen.ip().is_unspecified() => Err(Failure::new(format!(
                "listening on {} says nothing about the server's name; set base_url (--base-url) to what clients see",
                self.listen
            ))),
            Some(base_url) if self.tls.is_some() && !base_url.is_https() => Err(Failure::new(format!(
                "with tls, clients see https: change base_url from {base_url}, or remove tls"
            ))),
            _ => Ok(()),
        }
    }

    /// The same, of what `acmed perspective` reads as well.
    pub(crate) fn check_validation(&self) -> Result<(), Failure> {
        let validation = &self.validation;
        if validation.challenges.contains(&ChallengeKind::DnsPersist01)
            && self.persist_identities().is_empty()
        {
            return Err(Failure::new(
                "dns-persist-01 needs a name that means this CA; set validation.persist_identities",
            ));
        }
        let of_profiles = self.profiles.values().flat_map(|profile| profile.validation.zone.iter().flatten());
        let mut zones = validation.zone.iter().chain(of_profiles);
        if let Some(zone) = zones.find(|zone| zone.name.is_none() || zone.resolvers.is_empty()) {
            let name = zone.name.as_ref().map_or("without a name".to_owned(), ToString::to_string);
            return Err(Failure::new(format!(
                "a [[validation.zone]] has a name and resolvers; look at the one {name}"
            )));
        }
        let mut names = BTreeSet::new();
        if self
            .profiles
            .get(DEFAULT_PROFILE)
            .is_some_and(|profile| profile.validation.over(validation).is_some())
        {
            return Err(Failure::new(
                "how names are proved for the profile \"default\" is said in validation, not in profiles.default.validation",
            ));
        }
        self.check_perspectives_of_profiles()?;
        let mut urls = BTreeSet::new();
        for place in &validation.perspective {
            let (name, url, _) = place.complete()?;
            if !names.insert(name) {
                return Err(Failure::new(format!("there are two perspectives called {name}")));
            }
            if !urls.insert(url) {
                return Err(Failure::new(format!(
                    "the perspective {name} is another one's: {url} counts once"
                )));
            }
        }
        if validation.danger_accept_any_challenge && !names.is_empty() {
            return Err(Failure::new(
                "danger_accept_any_challenge looks at nothing, and perspectives do look; remove one of them",
            ));
        }
        match validation.quorum.map(usize::from) {
            Some(quorum) if !(1..=names.len()).contains(&quorum) => Err(Failure::new(format!(
                "a quorum of {quorum} cannot be had: there are {} perspectives",
                names.len()
            ))),
            _ => Ok(()),
        }
    }

    /// What clients see, if the server listens there.
    pub(crate) fn base_url(&self, listening: SocketAddr) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        self.base_url.as_ref().map_or_else(|| format!("{scheme}://{listening}"), BaseUrl::to_string)
    }

    /// The names by which records of dns-persist-01 mean this CA.
    pub(crate) fn persist_identities(&self) -> &[DnsName] {
        match self.validation.persist_identities.as_slice() {
            [] => &self.directory.caa_identities,
            names => names,
        }
    }

    /// Where things are kept.
    pub(crate) fn storage(&self) -> StorageUrl {
        let default = || StorageUrl::Sqlite(self.data_dir.join("acmed.db"));
        self.storage.clone().unwrap_or_else(default)
    }

    /// Where the CA is.
    pub(crate) fn ca_files(&self) -> CaFiles {
        self.ca.files(&self.data_dir)
    }

    /// The bounds, wherever they are configured.
    pub(crate) fn limits(&self) -> Limits {
        let (validation, retention) = (&self.validation, &self.retention);
        Limits {
            linger: validation.linger.0,
            validation_time: validation.timeout.0,
            keep_expired: retention.expired.0,
            keep_issued: retention.issued.0,
            keep_traces: retention.traces.0,
            keep_audit: retention.audit.0,
            ..self.limits.0.clone()
        }
    }
}

#[cfg(test)]
mod tests;
