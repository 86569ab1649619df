//! The promises that RFC 8555 and what builds on it make of a server, by section, asked over HTTP of any server.
//!
//! `scripts/suite` says how it is aimed; `docs/suite.md` what came of it. Each promise is one sentence of a standard that
//! concerns a server. A test of it accepts whatever the sentence leaves open, and knows no URL but the directory's.

mod aim;
mod differences;
mod documented;
mod expect;
mod extensions;
mod promise;
mod runner;
mod s6_1_https;
mod s6_2_authentication;
mod s6_3_post_as_get;
mod s6_4_url;
mod s6_5_replay;
mod s6_7_errors;
mod s7_1_3_orders;
mod s7_1_4_authorizations;
mod s7_1_6_status;
mod s7_1_resources;
mod s7_2_nonce;
mod s7_3_4_external_account;
mod s7_3_5_key_change;
mod s7_3_6_deactivation;
mod s7_3_accounts;
mod s7_4_1_pre_authorization;
mod s7_4_2_certificate;
mod s7_4_issuance;
mod s7_5_authorization;
mod s7_6_revocation;
mod s8_3_http;
mod s8_4_dns;
mod s8_challenges;
mod server;

use std::{env, process::ExitCode};

use integration_tests::missing;

use promise::Promise;
use runner::run;

/// The sections that make promises of a server, and what they are about.
const SECTIONS: &[(&str, &str)] = &[
    ("6.1", "HTTPS requests"),
    ("6.2", "Request authentication"),
    ("6.3", "GET and POST-as-GET requests"),
    ("6.4", "Request URL integrity"),
    ("6.5", "Replay protection"),
    ("6.6", "Rate limits"),
    ("6.7", "Errors"),
    ("7.1", "Resources"),
    ("7.1.1", "Directory"),
    ("7.1.2", "Account objects, orders list"),
    ("7.1.3", "Order objects"),
    ("7.1.4", "Authorization objects"),
    ("7.1.5", "Challenge objects"),
    ("7.1.6", "Status changes"),
    ("7.2", "Getting a nonce"),
    ("7.3", "Account management"),
    ("7.3.1", "Finding an account URL given a key"),
    ("7.3.2", "Account update"),
    ("7.3.3", "Changes of terms of service"),
    ("7.3.4", "External account binding"),
    ("7.3.5", "Account key rollover"),
    ("7.3.6", "Account deactivation"),
    ("7.4", "Applying for certificate issuance"),
    ("7.4.1", "Pre-authorization"),
    ("7.4.2", "Downloading the certificate"),
    ("7.5", "Identifier authorization"),
    ("7.5.1", "Responding to challenges"),
    ("7.5.2", "Deactivating an authorization"),
    ("7.6", "Certificate revocation"),
    ("8.1", "Key authorizations"),
    ("8.2", "Retrying challenges"),
    ("8.3", "HTTP challenge"),
    ("8.4", "DNS challenge"),
    ("9.1", "application/pem-certificate-chain"),
    ("11.1", "Key selection"),
    ("RFC 8737", "tls-alpn-01"),
    ("RFC 8738", "IP addresses"),
    ("RFC 9773", "Renewal information"),
    ("profiles", "draft-ietf-acme-profiles"),
];

const PROMISES: &[&[Promise]] = &[
    s6_1_https::PROMISES,
    s6_2_authentication::PROMISES,
    s6_3_post_as_get::PROMISES,
    s6_4_url::PROMISES,
    s6_5_replay::PROMISES,
    s6_7_errors::PROMISES,
    s7_1_resources::PROMISES,
    s7_1_3_orders::PROMISES,
    s7_1_4_authorizations::PROMISES,
    s7_1_6_status::PROMISES,
    s7_2_nonce::PROMISES,
    s7_3_accounts::PROMISES,
    s7_3_4_external_account::PROMISES,
    s7_3_5_key_change::PROMISES,
    s7_3_6_deactivation::PROMISES,
    s7_4_issuance::PROMISES,
    s7_4_1_pre_authorization::PROMISES,
    s7_4_2_certificate::PROMISES,
    s7_5_authorization::PROMISES,
    s7_6_revocation::PROMISES,
    s8_challenges::PROMISES,
    s8_3_http::PROMISES,
    s8_4_dns::PROMISES,
    extensions::TLS_ALPN,
    extensions::ADDRESSES,
    extensions::RENEWAL,
    extensions::PROFILES,
];

fn main() -> ExitCode {
    // Of what all test programs are told alike, as `--nocapture`, most says nothing here.
    let (options, filters): (Vec<_>, Vec<_>) = env::args().skip(1).partition(|word| word.starts_with('-'));
    if options.iter().any(|option| option == "--list" || option == "--ignored") {
        return ExitCode::SUCCESS;
    }
    let promises = chosen(&filters);
    let well = match aim::elsewhere() {
        Some(server) => {
            let report = run(&server, &promises);
            report.print(&server.client.directory_url, |_| None);
            report.total().broken == 0
        }
        None => ours(&promises, filters.is_empty()),
    };
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The promises of these sections, or with these words in them; all, if there are none.
fn chosen(filters: &[String]) -> Vec<&'static Promise> {
    let promises: Vec<_> = PROMISES.iter().flat_map(|promises| promises.iter()).collect();
    for (at, promise) in promises.iter().enumerate() {
        let is_section = SECTIONS.iter().any(|(section, _)| *section == promise.section);
        assert!(is_section, "there is no section {}", promise.section);
        let is_new = promises[..at].iter().all(|other| other.text != promise.text);
        assert!(is_new, "promised twice: {}", promise.text);
    }
    let wanted = |promise: &&Promise| {
        let is = |filter: &String| promise.section == filter || promise.text.contains(&**filter);
        filters.is_empty() || filters.iter().any(is)
    };
    promises.into_iter().filter(wanted).collect()
}

/// acmed keeps all promises; pebble, all but those that are listed; and the documentation says so.
fn ours(promises: &[&'static Promise], all: bool) -> bool {
    let acmed = run(&aim::acmed(), promises);
    acmed.print("acmed", |_| None);
    let mut well = acmed.total().broken == 0;
    if missing("pebble") {
        return well;
    }
    let pebble = run(&aim::pebble(), promises);
    pebble.print("pebble", differences::reason);
    well &= differences::explained(&pebble);
    well && (!all || documented::is_up_to_date(&acmed, &pebble))
}
