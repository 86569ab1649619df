//! lego 4, from Debian.

use crate::{
    matrix::{Client, Feature, Report},
    place::{Place, needs_external_account},
};

pub const CLIENT: Client = Client {
    name: "lego",
    needs: &["lego"],
    cannot: &[
        (
            "lego 4.9 cannot",
            &[Feature::Rollover, Feature::Deactivate, Feature::Profile, Feature::RenewalInfo],
        ),
        ("lego 4.9 asks for all names as DNS names", &[Feature::Address]),
    ],
    run,
};

const LEGO: &str = "export LEGO_CA_CERTIFICATES=$ROOT EXEC_PATH=./hook EXEC_SEQUENCE_INTERVAL=1; \
    lego --server $ACME --accept-tos --email you@example.com --path lego";

fn run(report: &Report) {
    let place = Place::standalone(|setup| setup.with_tls());
    let lego = |rest: &str| place.run(&format!("{LEGO} {rest}"));
    let certificate = |names: &[&str]| {
        place.certificate(&format!("lego/certificates/{}.crt", names[0].replace('*', "_")), names)
    };

    report.step(Feature::Http01, || {
        lego("--http --http.port 127.0.0.1:$HTTP -d a.test -d b.test run");
        certificate(&["a.test", "b.test"]);
    });
    report.step(Feature::Renew, || {
        let first = certificate(&["a.test", "b.test"]);
        lego("--http --http.port 127.0.0.1:$HTTP -d a.test -d b.test renew --days 100 --no-random-sleep");
        assert_ne!(certificate(&["a.test", "b.test"]), first);
    });
    report.step(Feature::Revoke, || {
        lego("-d a.test revoke --reason 4");
        assert_eq!(place.revocations(), 1);
    });
    report.step(Feature::TlsAlpn01, || {
        lego("--tls --tls.port 127.0.0.1:$TLS -d tls.test run");
        certificate(&["tls.test"]);
        place.assert_proved("tls-alpn-01", "tls.test");
    });
    report.step(Feature::Wildcard, || {
        place.write_script(
            "hook",
            "#!/bin/sh\n[ $1 = present ] && exec $TXT add ${2%.} $3 || exec $TXT del ${2%.}\n",
        );
        lego("--dns exec --dns.disable-cp --dns.resolvers $DNS -d '*.wild.test' -d wild.test run");
        certificate(&["*.wild.test", "wild.test"]);
        place.assert_proved("dns-01", "*.wild.test");
    });
    report.step(Feature::ExternalAccount, || {
        let place = Place::standalone(|setup| needs_external_account(setup.with_tls()));
        let key = place.external_account();
        place.run(&format!(
            "{key} {LEGO} --eab --kid $KID --hmac $MAC --http --http.port 127.0.0.1:$HTTP -d a.test run"
        ));
        place.certificate("lego/certificates/a.test.crt", &["a.test"]);
    });
}
