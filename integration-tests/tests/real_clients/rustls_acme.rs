//! rustls-acme, a crate, in [a site of a page](../../clients/rust/src/bin/rustls-acme.rs).

use crate::{
    matrix::{Client, Feature, Report},
    place::{Place, is_always_time_to_renew},
};

pub const CLIENT: Client = Client {
    name: "rustls-acme",
    needs: &["rust/debug/rustls-acme"],
    cannot: &[
        ("a site neither revokes nor closes its account", &[Feature::Revoke, Feature::Deactivate]),
        (
            "rustls-acme 0.15 cannot",
            &[
                Feature::Wildcard,
                Feature::Address,
                Feature::Rollover,
                Feature::ExternalAccount,
                Feature::Profile,
                Feature::RenewalInfo,
            ],
        ),
    ],
    run,
};

const PROGRAM: &str = "$TOOLS/rust/debug/rustls-acme";

fn run(report: &Report) {
    let place = Place::standalone(|setup| setup.with_tls());
    report.step(Feature::Http01, || {
        place.run_beside(&format!("{PROGRAM} http-01 a.test"), &Place::handshake("a.test"));
        place.certificate("chain.pem", &["a.test"]);
        place.assert_proved("http-01", "a.test");
    });
    report.step(Feature::TlsAlpn01, || {
        place.run_beside(&format!("{PROGRAM} tls-alpn-01 tls.test"), &Place::handshake("tls.test"));
        place.certificate("chain.pem", &["tls.test"]);
        place.assert_proved("tls-alpn-01", "tls.test");
    });
    report.step(Feature::Renew, || {
        let place = Place::standalone(|setup| is_always_time_to_renew(setup.with_tls()));
        let serves = Place::handshake("a.test");
        place.run_beside(
            &format!("{PROGRAM} http-01 a.test"),
            &format!(
                "{serves}; cp chain.pem first.pem
                 while cmp -s chain.pem first.pem; do sleep 0.1; {serves}; done"
            ),
        );
        place.certificate("chain.pem", &["a.test"]);
    });
}
