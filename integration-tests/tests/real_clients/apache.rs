//! Apache's mod_md, from Debian: a web server that gets what it serves.

use crate::{
    matrix::{Client, Feature, Report},
    place::Place,
};

pub const CLIENT: Client = Client {
    name: "mod_md",
    needs: &["apache2", "openssl"],
    cannot: &[("mod_md 2.4 does so on no order", &[Feature::Revoke, Feature::Rollover, Feature::Deactivate])],
    run,
};

fn run(report: &Report) {}
