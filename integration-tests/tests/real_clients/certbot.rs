//! The newest certbot, from PyPI. What distributions have is older, and tested in `clients.rs`.

use crate::{
    matrix::{Client, Feature, Report},
    place::{Place, needs_external_account},
};

pub const CLIENT: Client = Client {
    name: "certbot 5.8",
    needs: &["certbot/bin/certbot"],
    cannot: &[("certbot 5.8 cannot", &[Feature::TlsAlpn01, Feature::Rollover])],
    run,
};

const CERTBOT: &str = "export REQUESTS_CA_BUNDLE=$ROOT PATH=$TOOLS/certbot/bin:$PATH
    certbot -n --server $ACME --config-dir certbot --work-dir certbot --logs-dir certbot";

const STANDALONE: &str =
    "certonly --agree-tos -m you@example.com --standalone --http-01-address 127.0.0.1 --http-01-port $HTTP";

fn run(report: &Report) {
    let place = Place::standalone(|setup| setup.with_tls().with("profiles.brief", "validity = \"2d\""));
    let certbot = |rest: &str| place.run(&format!("{CERTBOT} {rest}"));
    let certificate =
        |name: &str, names: &[&str]| place.certificate(&format!("certbot/live/{name}/fullchain.pem"), names);

    report.step(Feature::Http01, || {
        certbot(&format!("{STANDALONE} -d a.test -d b.test"));
        certificate("a.test", &["a.test", "b.test"]);
    });
    report.step(Feature::Renew, || {
        let first = certificate("a.test", &["a.test", "b.test"]);
        certbot("renew --force-renewal --no-random-sleep-on-renew");
        assert_ne!(certificate("a.test", &["a.test", "b.test"]), first);
    });
    report.step(Feature::Revoke, || {
        certbot("revoke --reason superseded --no-delete-after-revoke --cert-name a.test");
        assert_eq!(place.revocations(), 1);
    });
    report.step(Feature::RenewalInfo, || {
        // Nobody forces it: the server says of what is revoked that it is time.
        let revoked = certificate("a.test", &["a.test", "b.test"]);
        certbot("renew --no-random-sleep-on-renew");
        let renewed = certificate("a.test", &["a.test", "b.test"]);
        assert_ne!(renewed, revoked);
        certbot("renew --no-random-sleep-on-renew");
        assert_eq!(certificate("a.test", &["a.test", "b.test"]), renewed, "it is not time yet");
    });
    report.step(Feature::Profile, || {
        certbot(&format!("{STANDALONE} --required-profile brief -d brief.test"));
        certificate("brief.test", &["brief.test"]);
        assert!(place.validity("certbot/live/brief.test/cert.pem") < 3);
    });
    report.step(Feature::Address, || {
        certbot(&format!("{STANDALONE} --cert-name address --ip-address 127.0.0.1"));
        certificate("address", &["127.0.0.1"]);
    });
    report.step(Feature::Wildcard, || {
        // The zone lets another name answer, as is done where a client may not write into it.
        place.delegate("_acme-challenge.wild.test", "wild.keys.test");
        certbot(
            "certonly --manual --preferred-challenges dns -d '*.wild.test' -d wild.test \
             --manual-auth-hook './txt add wild.keys.test $CERTBOT_VALIDATION' \
             --manual-cleanup-hook './txt del wild.keys.test'",
        );
        certificate("wild.test", &["*.wild.test", "wild.test"]);
        place.assert_proved("dns-01", "*.wild.test");
    });
    report.step(Feature::Deactivate, || {
        certbot("update_account -m other@example.com");
        certbot("unregister");
    });
    report.step(Feature::ExternalAccount, || {
        let place = Place::standalone(|setup| needs_external_account(setup.with_tls()));
        let key = place.external_account();
        place.run(&format!("{key} {CERTBOT} {STANDALONE} --eab-kid $KID --eab-hmac-key $MAC -d a.test"));
        place.certificate("certbot/live/a.test/fullchain.pem", &["a.test"]);
    });
}
