//! acme-tiny, from Debian.

use crate::{
    matrix::{Client, Feature, Report},
    place::Place,
};

pub const CLIENT: Client = Client {
    name: "acme-tiny",
    needs: &["acme-tiny"],
    cannot: &[
        (
            "acme-tiny does nothing but issue, by http-01",
            &[
                Feature::TlsAlpn01,
                Feature::Wildcard,
                Feature::Revoke,
                Feature::Rollover,
                Feature::Deactivate,
                Feature::ExternalAccount,
                Feature::Profile,
                Feature::RenewalInfo,
            ],
        ),
        ("acme-tiny looks for nothing but DNS names in a CSR", &[Feature::Address]),
    ],
    run,
};

const ACME_TINY: &str = "SSL_CERT_FILE=$ROOT acme-tiny --directory-url $ACME --account-key account.key \
    --acme-dir $WEBROOT --disable-check --contact mailto:you@example.com";

fn run(report: &Report) {
    let place = Place::webroot(|setup| setup.with_tls());
    let issue = || {
        place.run(&format!("{ACME_TINY} --csr a.csr >a.pem"));
        place.certificate("a.pem", &["a.test", "b.test"])
    };

    report.step(Feature::Http01, || {
        place.run("openssl genrsa -out account.key 2048");
        place.run(
            "openssl req -new -newkey rsa:2048 -nodes -keyout a.key -out a.csr -subj / \
             -addext subjectAltName=DNS:a.test,DNS:b.test",
        );
        issue();
    });
    report.step(Feature::Renew, || assert_ne!(issue(), issue()));
}
