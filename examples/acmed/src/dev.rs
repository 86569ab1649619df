//! `acmed dev`.

use std::path::{Path, PathBuf};

use crate::{
    cli::Dev,
    config::{Allow, ChallengeKind, Config},
    data_dir::Roles,
    failure::Failure,
    log,
    network::Resolving,
    output::{print, quoted, warn_loudly},
    server::{self, Started},
};

/// Where challenges are looked for: ports that nobody needs to be root for.
const HTTP_PORT: u16 = 5002;
const TLS_PORT: u16 = 5001;

/// Serves until it is asked to stop.
pub(crate) fn run(dev: Dev) -> Result<(), Failure> {
    let mut config = configured(dev);
    config.validation.allow.extend(loopback());
    config.check()?;
    log::start(&config.log)?;
    let mut warning = vec![
        "acmed dev is NOT FOR PRODUCTION: it believes that every name is this machine,",
        "and its CA's key lies unprotected on the disk.",
    ];
    if !config.listen.ip().is_loopback() {
        warning.push("It listens on more than this machine.");
    }
    warn_loudly(&warning);
    server::run(&config, Roles::ALL, Resolving::Loopback, |started| announce(&config, started))
}

/// Without a name server there is nobody to ask for TXT records. Whoever does not look needs none.
fn configured(dev: Dev) -> Config {
    let mut config = defaults();
    dev.flags.apply(&mut config);
    let validation = &mut config.validation;
    if validation.resolvers.is_empty() && !validation.danger_accept_any_challenge {
        validation.challenges.retain(|kind| *kind != ChallengeKind::Dns01);
    }
    config
}

fn defaults() -> Config {
    let mut config = Config::default();
    config.validation.http_port = HTTP_PORT;
    config.validation.tls_port = TLS_PORT;
    config.ca.organization = "acmed dev".into();
    config
}

fn loopback() -> impl Iterator<Item = Allow> {
    ["127.0.0.0/8", "::1/128"].into_iter().filter_map(|range| range.parse().ok())
}

fn announce(config: &Config, started: &Started) -> Result<(), Failure> {
    let root = absolute(&started.root)?;
    let Started { directory, fingerprint, .. } = started;
    let client = certbot(config, directory)?;
    print(&format!(
        "\
directory    {directory}
root         {}
SHA-256      {fingerprint}

To get a certificate, paste this into another shell:

{client}

",
        root.display()
    ))
}

/// A command that gets a certificate, for anybody and from any directory.
fn certbot(config: &Config, directory: &str) -> Result<String, Failure> {
    let files = absolute(&config.data_dir)?.join("certbot");
    let files = quoted(&files.to_string_lossy());
    // Only a server with a certificate of its own CA needs it; it does no harm to others.
    let trust = match config.tls {
        Some(_) => {
            format!("REQUESTS_CA_BUNDLE={} ", quoted(&absolute(&config.ca_files().root)?.to_string_lossy()))
        }
        None => String::new(),
    };
    Ok(format!(
        "{trust}certbot certonly --standalone --http-01-port {} --http-01-address 127.0.0.1 --server {directory} \
         --agree-tos -m you@example.com -n --config-dir {files} --work-dir {files} --logs-dir {files} -d hello.test",
        config.validation.http_port
    ))
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(Failure::because(format!("{} has no absolute path", path.display())))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    /// What `acmed dev` offers with these arguments.
    fn offered(arguments: &[&str]) -> Vec<ChallengeKind> {
        let line = ["acmed", "dev"].iter().chain(arguments);
        let Ok(Cli { command: Command::Dev(dev) }) = Cli::try_parse_from(line) else {
            panic!("{arguments:?} is bad usage")
        };
        configured(dev).validation.challenges
    }

    #[test]
    fn dns_01_is_offered_where_there_is_a_name_server_to_ask() {
        use ChallengeKind::{Dns01, Http01, TlsAlpn01};
        assert_eq!(offered(&[]), [Http01, TlsAlpn01]);
        assert_eq!(offered(&["--resolver", "127.0.0.1:5353"]), [Http01, Dns01, TlsAlpn01]);
        assert_eq!(offered(&["--danger-accept-any-challenge"]), [Http01, Dns01, TlsAlpn01]);
    }

    #[test]
    fn this_machine_may_be_dialled() {
        let policy = Config {
            validation: crate::config::Validation { allow: loopback().collect(), ..Default::default() },
            ..defaults()
        }
        .validation
        .address_policy();
        assert!(policy.check("127.0.0.1".parse().unwrap()).is_ok());
        assert!(policy.check("::1".parse().unwrap()).is_ok());
        assert!(policy.check("10.0.0.1".parse().unwrap()).is_err());
    }
}
