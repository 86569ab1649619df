//! acme-client, from npm, driven by a program of a page.

use crate::{
    matrix::{Client, Feature, Report},
    place::{Place, needs_external_account},
};

pub const CLIENT: Client = Client {
    name: "acme-client",
    needs: &["node", "node_modules/acme-client/package.json"],
    cannot: &[("acme-client 5.4 cannot", &[Feature::Profile, Feature::RenewalInfo])],
    run,
};

const PROGRAM: &str = include_str!("acme_client.js");

const NODE: &str = "export NODE_PATH=$TOOLS/node_modules NODE_EXTRA_CA_CERTS=$ROOT; node acme_client.js";

fn run(report: &Report) {
    let place = Place::webroot(|setup| setup.with_tls());
    let node = |rest: &str| place.run(&format!("{NODE} {rest}"));
    let issue = |challenge: &str, names: &[&str]| {
        node(&format!("{challenge} '{}'", names.join("' '")));
        place.certificate("chain.pem", names)
    };
    place.write("acme_client.js", PROGRAM);

    report.step(Feature::Http01, || {
        issue("http-01", &["a.test", "b.test"]);
    });
    report.step(Feature::Renew, || {
        let first = place.certificate("chain.pem", &["a.test", "b.test"]);
        assert_ne!(issue("http-01", &["a.test", "b.test"]), first);
    });
    report.step(Feature::TlsAlpn01, || {
        issue("tls-alpn-01", &["tls.test"]);
        place.assert_proved("tls-alpn-01", "tls.test");
    });
    report.step(Feature::Wildcard, || {
        issue("dns-01", &["wild.test", "*.wild.test"]);
        place.assert_proved("dns-01", "*.wild.test");
    });
    report.step(Feature::Address, || {
        node("address 127.0.0.1");
        place.certificate("chain.pem", &["127.0.0.1"]);
    });
    report.step(Feature::Rollover, || {
        node("rollover");
    });
    report.step(Feature::Revoke, || {
        node("revoke");
        assert_eq!(place.revocations(), 1);
    });
    report.step(Feature::Deactivate, || {
        node("deactivate");
    });
    report.step(Feature::ExternalAccount, || {
        let place = Place::webroot(|setup| needs_external_account(setup.with_tls()));
        place.write("acme_client.js", PROGRAM);
        place.run(&format!("{} {NODE} http-01 a.test", place.external_account()));
        place.certificate("chain.pem", &["a.test"]);
    });
}
