//! Clients that other people wrote, each with what it can do, against acmed, which sees real name servers and real web servers.
//! It prints a matrix.
//!
//! `cargo test -p integration-tests --test real_clients -- lego caddy` runs these two. What the lines are that work, and
//! what one has to know, is for users in `docs/clients.md`.

mod acme_client;
mod acme_tiny;
mod apache;
mod caddy;
mod certbot;
mod dehydrated;
mod horizon;
mod instant_acme;
mod lego;
mod matrix;
mod place;
mod rustls_acme;
mod uacme;

use std::{env, process::ExitCode};

use matrix::Client;

/// The slow ones first.
const CLIENTS: &[&Client] = &[
    &certbot::CLIENT,
    &acme_client::CLIENT,
    &caddy::CLIENT,
    &rustls_acme::CLIENT,
    &apache::CLIENT,
    &dehydrated::CLIENT,
    &lego::CLIENT,
    &instant_acme::CLIENT,
    &uacme::CLIENT,
    &acme_tiny::CLIENT,
];

fn main() -> ExitCode {
    // Of what all test programs are told alike, as `--nocapture`, most says nothing here.
    let (options, filters): (Vec<_>, Vec<_>) = env::args().skip(1).partition(|word| word.starts_with('-'));
    if options.iter().any(|option| option == "--list" || option == "--ignored") {
        return ExitCode::SUCCESS;
    }
    let wanted = |client: &&&Client| {
        filters.is_empty() || filters.iter().any(|filter| client.name.contains(&**filter))
    };
    let clients: Vec<_> = CLIENTS.iter().filter(wanted).copied().collect();
    if clients.is_empty() || servers().iter().any(|server| integration_tests::missing(server)) {
        return ExitCode::SUCCESS;
    }
    let outside = horizon::Outside::start();
    horizon::assert_that_it_matters(&outside.address());
    place::look_outside(outside.address());
    if matrix::run(&clients) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What has to be there whoever the client is.
fn servers() -> [&'static str; 5] {
    ["knotd", "knsupdate", "kdig", "unbound", "nginx"]
}
