//! An ACME (RFC 8555) server: coyote as a program.

use std::process::ExitCode;

use clap::Parser;

mod acme;
mod cli;
mod config;
mod data_dir;
mod db;
mod dev;
mod dns_persist;
mod eab;
mod failure;
mod health;
mod init;
mod log;
mod migrate;
mod network;
mod output;
mod perspective;
mod sealing;
mod serve;
mod server;
mod signals;
mod signer;
mod store;
mod tls;
mod why;
mod would_issue;

use cli::{Cli, Command, ConfigCommand};
use config::Config;
use failure::Failure;
use output::{complain, print};

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&format!("acmed: {failure}"));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Dev(dev) => dev::run(dev),
        Command::Init(init) => init::run(init),
        Command::Serve(serve) => serve::run(serve),
        Command::Eab(eab) => eab::run(eab),
        Command::DnsPersist(wanted) => dns_persist::run(wanted),
        Command::WouldIssue(asked) => would_issue::run(asked),
        Command::Perspective(asked) => perspective::run(asked),
        Command::Why(why) => why::run(why),
        Command::Migrate(migrate) => migrate::run(migrate),
        Command::Sealing(sealing) => sealing::run(sealing),
        Command::Db(db) => db::run(db),
        Command::Config(config) => match config.command {
            None => print(&Config::default().to_text(true)),
            Some(ConfigCommand::Check { file }) => {
                Config::read(&file)?.check()?;
                print(&format!("{} is right\n", file.display()))
            }
        },
    }
}
