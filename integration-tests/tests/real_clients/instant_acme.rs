//! instant-acme, a crate, driven by [a program of a page](../../clients/rust/src/bin/instant-acme.rs).

use crate::{
    matrix::{Client, Feature, Report},
    place::{Place, needs_external_account},
};

pub const CLIENT: Client =
    Client { name: "instant-acme", needs: &["rust/debug/instant-acme"], cannot: &[], run };

const PROGRAM: &str = "$TOOLS/rust/debug/instant-acme";

fn run(report: &Report) {
    let place = Place::webroot(|setup| setup.with_tls().with("profiles.brief", "validity = \"6d\""));
    let program = |rest: &str| place.run(&format!("{PROGRAM} {rest}"));
    let issue = |challenge: &str, names: &[&str]| {
        program(&format!("{challenge} '{}'", names.join("' '")));
        place.certificate("chain.pem", names)
    };

    report.step(Feature::Http01, || {
        issue("http-01", &["a.test", "b.test"]);
    });
    report.step(Feature::Renew, || {
        let first = place.certificate("chain.pem", &["a.test", "b.test"]);
        assert_ne!(issue("http-01", &["a.test", "b.test"]), first);
    });
    report.step(Feature::RenewalInfo, || {
        let start: i64 = program("renewal-info").trim().parse().expect("seconds");
        assert!(start > 0, "the window begins at {start}");
        place.run(&format!("REPLACE=yes {PROGRAM} http-01 a.test b.test"));
        assert_eq!(place.replacements(), 1);
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
        issue("http-01", &["127.0.0.1"]);
    });
    report.step(Feature::Profile, || {
        program("profile brief c.test");
        place.certificate("chain.pem", &["c.test"]);
        assert!(place.validity("chain.pem") < 7, "the profile's validity");
    });
    report.step(Feature::Rollover, || {
        program("rollover");
    });
    report.step(Feature::Revoke, || {
        program("revoke");
        assert_eq!(place.revocations(), 1);
    });
    report.step(Feature::Deactivate, || {
        program("deactivate");
    });
    report.step(Feature::ExternalAccount, || {
        let place = Place::webroot(|setup| needs_external_account(setup.with_tls()));
        place.run(&format!("{} {PROGRAM} http-01 a.test", place.external_account()));
        place.certificate("chain.pem", &["a.test"]);
    });
}
