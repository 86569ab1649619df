//! The command line.

use std::{net::SocketAddr, path::PathBuf};

use clap::{ArgAction, Args, Parser, Subcommand, builder::BoolishValueParser};
use coyote_server::protocol::DnsName;

use crate::config::{Allow, BaseUrl, Config, LogFormat, NameServer, Nonces, StorageUrl};

mod beside;
mod dns_persist;
mod eab;
mod migrate;
mod perspective;
mod sealing;
mod why;
mod would_issue;

pub(crate) use beside::Beside;
pub(crate) use dns_persist::DnsPersist;
pub(crate) use eab::{CreateKey, Eab, EabCommand, ListKeys, RevokeKey};
pub(crate) use migrate::Migrate;
pub(crate) use perspective::Perspective;
pub(crate) use sealing::{Db, DbCommand, Look, NewKey, Rotate, SealingArgs, SealingCommand};
pub(crate) use why::Why;
pub(crate) use would_issue::WouldIssue;

/// An ACME (RFC 8555) server.
///
/// `acmed dev` is the way to try it; `acmed serve` is the real thing.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve on this machine alone, to try things out and to test clients. NOT FOR PRODUCTION
    ///
    /// The CA and the database are made in ./acmed-data and kept between runs. Every name resolves to 127.0.0.1, where
    /// http-01 asks port 5002 and tls-alpn-01 port 5001. dns-01 is there if a name server is given with --resolver.
    Dev(Dev),
    /// Write a commented configuration and make a CA
    Init(Init),
    /// Serve
    ///
    /// It works from flags alone: without a CA it makes one, and says so.
    Serve(Serve),
    /// Print the default configuration with what each key is for, or check one
    Config(ConfigArgs),
    /// Make, list and revoke keys that open accounts (external account binding), whether the server runs or not
    ///
    /// A server asks for them if external_account_required is set in the section directory.
    Eab(Eab),
    /// Print the DNS record that lets an account have certificates for a name by dns-persist-01
    DnsPersist(DnsPersist),
    /// Say what would come of an order, and why, without making it, whether the server runs or not
    ///
    /// How many orders the account has open is not looked at, nor dates, nor which certificate is to be replaced.
    ///
    /// Exit status 0: it would be accepted, and this is what remains to be proved; 1: it would be refused.
    WouldIssue(WouldIssue),
    /// Look, from this place on the network, for servers elsewhere: a perspective of theirs
    ///
    /// They name it in `[[validation.perspective]]`, and what it has seen is part of their traces. Both ends show a certificate.
    Perspective(Perspective),
    /// Say what the attempts at a validation or an issuance saw, step by step, whether the server runs or not
    ///
    /// Clients are told the trace of each attempt that failed.
    Why(Why),
    /// Move everything to another storage, while the server runs
    ///
    /// Accounts, orders, certificates and their URLs stay what they are. In the end the server is told to use the other
    /// storage (the key storage), and started again; from then on what was is closed, until --undo. Interrupted, it is run
    /// again.
    Migrate(Migrate),
    /// Make keys that seal what is secret in the database, and see what is sealed under which
    Sealing(SealingArgs),
    /// Look at the database, whether the server runs or not
    Db(Db),
}

#[derive(Debug, Args)]
pub(crate) struct Dev {
    #[command(flatten)]
    pub(crate) flags: Flags,
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The domain that the CA is for: nobody accepts certificates of it for other names
    #[arg(long, value_name = "NAME", value_parser = domain)]
    pub(crate) domain: Option<DnsName>,
    /// Where to write acmed.toml and acmed-data
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The configuration; without it, acmed.toml if there is one
    #[arg(long, value_name = "FILE", env = "ACMED_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Serve HTTP only: what is due later (retries, sweeps) is left to another acmed with --worker-only
    #[arg(long, conflicts_with = "worker_only")]
    pub(crate) no_worker: bool,
    /// Do the jobs only, and serve no HTTP
    #[arg(long)]
    pub(crate) worker_only: bool,
    #[command(flatten)]
    pub(crate) flags: Flags,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) command: Option<ConfigCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say whether a configuration is right, without starting
    Check {
        /// The file
        file: PathBuf,
    },
}

/// Keys of the configuration that are flags and environment variables as well.
#[derive(Debug, Args)]
pub(crate) struct Flags {
    #[command(flatten)]
    place: Place,
    /// auto, memory:, storage or redis://HOST [default: auto]
    #[arg(long, value_name = "WHERE", env = "ACMED_NONCES", hide_env_values = true)]
    nonces: Option<Nonces>,
    /// The port that http-01 asks [default: 80; dev: 5002]
    #[arg(long, value_name = "PORT", env = "ACMED_HTTP_PORT")]
    http_port: Option<u16>,
    /// The port that tls-alpn-01 asks, and of https, to which an answer to http-01 may lead on [default: 443; dev: 5001]
    #[arg(long, value_name = "PORT", env = "ACMED_TLS_PORT")]
    tls_port: Option<u16>,
    /// A name server to ask: IP, IP:PORT, tls://IP#NAME or https://IP/PATH#NAME; can be repeated [default: the system's; dev: none, and no dns-01]
    #[arg(long, value_name = "SERVER", env = "ACMED_RESOLVER", value_delimiter = ',')]
    resolver: Vec<NameServer>,
    /// A network that may be dialled although it is not the public Internet, or private-network; can be repeated
    #[arg(long, value_name = "CIDR", env = "ACMED_ALLOW", value_delimiter = ',')]
    allow: Vec<Allow>,
    /// DANGEROUS: find every challenge met without looking
    #[arg(
        long,
        env = "ACMED_DANGER_ACCEPT_ANY_CHALLENGE",
        action = ArgAction::SetTrue,
        value_parser = BoolishValueParser::new()
    )]
    danger_accept_any_challenge: bool,
    /// How the log is written [default: human]
    #[arg(long, value_name = "FORMAT", env = "ACMED_LOG_FORMAT")]
    log_format: Option<LogFormat>,
    /// What is logged: error, warn, info, debug, trace, or a filter such as info,coyote_server=debug [default: info,actix_server=warn]
    #[arg(long, value_name = "FILTER", env = "ACMED_LOG")]
    log: Option<String>,
}

/// Those that say which server it is.
#[derive(Clone, Debug, Args)]
pub(crate) struct Place {
    /// Where to listen [default: 127.0.0.1:8000]
    #[arg(long, value_name = "IP:PORT", env = "ACMED_LISTEN")]
    listen: Option<SocketAddr>,
    /// What clients see: every URL starts with it [default: made of --listen]
    #[arg(long, value_name = "URL", env = "ACMED_BASE_URL")]
    base_url: Option<BaseUrl>,
    /// Where the CA and the database are [default: acmed-data]
    #[arg(long, value_name = "DIR", env = "ACMED_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// sqlite:PATH, or memory: to forget all at the end [default: sqlite, in the data directory]
    #[arg(long, value_name = "URL", env = "ACMED_STORAGE", hide_env_values = true)]
    storage: Option<StorageUrl>,
}

impl Place {
    /// Overrides the configuration.
    fn apply(self, config: &mut Config) {
        set(&mut config.listen, self.listen);
        set(&mut config.base_url, self.base_url.map(Some));
        set(&mut config.data_dir, self.data_dir);
        set(&mut config.storage, self.storage.map(Some));
    }
}

impl Flags {
    /// Overrides the configuration.
    pub(crate) fn apply(self, config: &mut Config) {
        self.place.apply(config);
        set(&mut config.nonces, self.nonces);
        set(&mut config.validation.http_port, self.http_port);
        set(&mut config.validation.tls_port, self.tls_port);
        set(&mut config.validation.resolvers, some(self.resolver));
        set(&mut config.validation.allow, some(self.allow));
        config.validation.danger_accept_any_challenge |= self.danger_accept_any_challenge;
        set(&mut config.log.format, self.log_format);
        set(&mut config.log.filter, self.log);
    }
}

fn set<T>(key: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *key = value;
    }
}

/// A list, unless it is empty.
fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty())
}

fn domain(text: &str) -> Result<DnsName, String> {
    DnsName::parse(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
