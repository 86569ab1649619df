//! At what the suite is aimed: an acmed or a pebble of its own, or any directory.

use std::{env, fs, net::SocketAddr, path::Path, time::SystemTime};

use coyote_jose::base64url;
use coyote_protocol::Timestamp;
use integration_tests::{Account, Acmed, Client, Dns, Http, Key, Pebble, Responder, Setup, TlsResponder};
use serde_json::{Value, json};

use crate::{
    promise::not_applicable,
    server::{ExternalAccount, Server, World},
};

/// The page with the terms of an acmed of ours.
const TERMS: &str = "https://ca.example/terms";

/// What pebble hands out for external accounts.
const PEBBLE_KEY: (&str, [u8; 32]) = ("kid-1", [0x5a; 32]);

/// The server's process.
pub(crate) enum Running {
    Acmed(Box<Acmed>),
    #[expect(dead_code, reason = "it ends with this value")]
    Pebble(Pebble),
    /// It is somebody else's.
    Elsewhere,
}

/// The directory that the environment names, if it does, and what else it says.
pub(crate) fn elsewhere() -> Option<Server> {
    let directory = env::var("COYOTE_SUITE_DIRECTORY").ok().filter(|url| !url.is_empty())?;
    let text = |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.into());
    let address = |name: &str, default: &str| -> SocketAddr {
        let address = format!("{}:{}", text("COYOTE_SUITE_LISTEN", "127.0.0.1"), text(name, default));
        address.parse().unwrap_or_else(|_| panic!("{name}: {address} is no address"))
    };
    let http = if directory.starts_with("http://") {
        Http::plain(&directory)
    } else {
        let roots = text("COYOTE_SUITE_CA", "/etc/ssl/certs/ca-certificates.crt");
        Http::tls(&directory, Path::new(&roots))
    };
    let world = World {
        dns: Dns::start_at(address("COYOTE_SUITE_DNS_PORT", "8053")),
        responder: Responder::start_at(address("COYOTE_SUITE_HTTP_PORT", "5002")),
        tls: TlsResponder::start_at(address("COYOTE_SUITE_TLS_PORT", "5001")),
        domain: text("COYOTE_SUITE_DOMAIN", "suite.example.org"),
    };
    let external_account = env::var("COYOTE_SUITE_EAB_KID").ok().map(|kid| ExternalAccount {
        kid,
        secret: base64url::decode(&text("COYOTE_SUITE_EAB_KEY", "")).expect("COYOTE_SUITE_EAB_KEY"),
    });
    Some(Server::new(Running::Elsewhere, Client::at(http, &directory), world, external_account))
}

/// An acmed of our own, over HTTPS, with all that can be asked of it.
pub(crate) fn acmed() -> Server {
    acmed_with(|setup| setup.with("directory", &format!("terms_of_service = \"{TERMS}\"")))
}

fn acmed_with(set_up: impl FnOnce(Setup) -> Setup) -> Server {
    let world = world();
    let setup = Setup::new(&world.dns, &world.responder)
        .with_tls()
        .replacing("validation", "challenges", "[\"http-01\", \"dns-01\", \"tls-alpn-01\"]")
        .with("validation", &format!("tls_port = {}", world.tls.port()))
        .with("limits", "validation_backoff = \"300ms\"");
    let acmed = Acmed::serve(&set_up(setup));
    let created: Value = serde_json::from_str(&acmed.beside(&["eab", "create", "--json"])).expect("JSON");
    let text = |name: &str| created[name].as_str().expect("text").to_owned();
    let secret = base64url::decode(&text("secret")).expect("base64url");
    let external_account = ExternalAccount { kid: text("kid"), secret };
    let client = acmed.client();
    Server::new(Running::Acmed(Box::new(acmed)), client, world, Some(external_account))
}

/// A pebble of our own.
pub(crate) fn pebble() -> Server {
    pebble_with(None)
}

fn pebble_with(external_account: Option<ExternalAccount>) -> Server {
    let world = world();
    let key = external_account.as_ref().map(|key| (key.kid.clone(), base64url::encode(&key.secret)));
    let key = key.as_ref().map(|(kid, secret)| (&**kid, &**secret));
    let pebble = Pebble::start(&world.dns, world.responder.port(), world.tls.port(), key);
    let client = Client::at(pebble.http(), &pebble.directory_url());
    Server::new(Running::Pebble(pebble), client, world, external_account)
}

fn world() -> World {
    let domain = "suite.example.org".to_owned();
    World { dns: Dns::start(), responder: Responder::start(), tls: TlsResponder::start(), domain }
}

impl Server {
    /// Lets this be tried with a server of the same make where new accounts need an external one.
    pub(crate) fn where_external_accounts_are_required(&self, test: impl FnOnce(&Self)) {
        match &self.running {
            Running::Acmed(_) => {
                test(&acmed_with(|setup| setup.with("directory", "external_account_required = true")));
            }
            Running::Pebble(_) => {
                let (kid, secret) = (PEBBLE_KEY.0.to_owned(), PEBBLE_KEY.1.to_vec());
                test(&pebble_with(Some(ExternalAccount { kid, secret })));
            }
            Running::Elsewhere if *self.meta("externalAccountRequired") == json!(true) => test(self),
            Running::Elsewhere => not_applicable("it requires no external account"),
        }
    }

    /// Lets this be tried with a server of the same make that takes one order of an account in an hour.
    pub(crate) fn where_orders_are_limited(&self, test: impl FnOnce(&Self)) {
        match &self.running {
            Running::Acmed(_) => {
                test(&acmed_with(|setup| setup.with("rate_limits", "orders_per_account = \"1/1h\"")));
            }
            Running::Pebble(_) => not_applicable("it has no rate limits"),
            Running::Elsewhere => not_applicable("its rate limits are not known"),
        }
    }

    /// Lets this be tried with a server of the same make whose terms have changed since this account agreed.
    pub(crate) fn where_terms_have_changed(&self, test: impl FnOnce(&Self, &Account)) {
        let Running::Acmed(_) = &self.running else {
            not_applicable("its terms cannot be made to change");
        };
        let mut server = acmed_with(|setup| {
            setup
                .with("directory", &format!("terms_of_service = \"{TERMS}\""))
                .with("directory", "terms_since = \"2999-01-01T00:00:00Z\"")
        });
        let account = server.account_of(&Key::new());
        if let Running::Acmed(acmed) = &mut server.running {
            let file = acmed.path("acmed.toml");
            let config = fs::read_to_string(&file).expect("a configuration");
            let config = config.replace("2999-01-01T00:00:00Z", &now().to_string());
            fs::write(&file, config).expect("a file can be written");
            acmed.restart();
        }
        server.client.forget_nonces();
        test(&server, &account);
    }
}

pub(crate) fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock");
    Timestamp::from_millis(i64::try_from(now.as_millis()).expect("a time"))
}
