//! Several servers over one store.

use std::sync::Arc;

use tempfile::TempDir;

use crate::{Acmed, Client, Dns, Postgres, Redis, Responder, Setup};

/// What clients know them by. Nobody resolves it: tests choose the replica that they ask.
const URL: &str = "http://ca.test";

/// Replicas over one PostgreSQL, with nonces in one Redis, and the world that they look at when they validate.
///
/// The fields are dropped in this order: the servers end first.
pub struct Replicas {
    /// The servers.
    pub members: Vec<Acmed>,
    /// Where nonces and rate limits are.
    pub redis: Redis,
    /// Where everything else is.
    pub postgres: Postgres,
    /// Where they look up names.
    pub dns: Dns,
    /// Where they validate.
    pub responder: Arc<Responder>,
    _ca: TempDir,
}

impl Replicas {
    /// One replica for each of these command lines. `None` if what they need is not installed.
    #[must_use]
    pub fn start(arguments: &[&[&str]], set_up: impl FnOnce(Setup) -> Setup) -> Option<Self> {
        let (postgres, redis) = (Postgres::start()?, Redis::start()?);
        let (dns, responder) = (Dns::start(), Arc::new(Responder::start()));
        let ca = tempfile::tempdir().expect("a temporary directory");
        let mut setup = Setup::new(&dns, &responder)
            .with("", &format!("storage = \"{}\"", postgres.url()))
            .with("", &format!("nonces = \"{}\"", redis.url()));
        for (key, file) in [
            ("root", "root.pem"),
            ("root_key", "root.key"),
            ("intermediate", "intermediate.pem"),
            ("intermediate_key", "intermediate.key"),
        ] {
            setup = setup.with("ca", &format!("{key} = \"{}\"", ca.path().join(file).display()));
        }
        let setup = set_up(setup);
        let members = arguments.iter().map(|arguments| Acmed::replica(&setup, URL, arguments)).collect();
        Some(Self { members, redis, postgres, dns, responder, _ca: ca })
    }

    /// A client that asks this one.
    #[must_use]
    pub fn client(&self, member: usize) -> Arc<Client> {
        self.members[member].client()
    }
}
