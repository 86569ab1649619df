//! dehydrated, from Debian.

use integration_tests::Setup;

use crate::{
    matrix::{Client, Feature, Report},
    place::{Place, needs_external_account},
};

pub const CLIENT: Client = Client {
    name: "dehydrated",
    needs: &["dehydrated", "curl", "openssl"],
    cannot: &[
        ("dehydrated 0.7.0 cannot", &[Feature::Rollover, Feature::Profile, Feature::RenewalInfo]),
        ("dehydrated 0.7.0 asks for all names as DNS names", &[Feature::Address]),
    ],
    run,
};

/// The TXT records, and a TLS server for the certificate that dehydrated makes for tls-alpn-01.
const HOOK: &str = r#"#!/bin/bash
case $1 in
deploy_challenge)
  if [ ! -e alpn/"$2".crt.pem ]; then
    "$TXT" add "_acme-challenge.$2" "$4"
  else
    timeout 30 openssl s_server -quiet -accept 127.0.0.1:"$TLS" -alpn acme-tls/1 -cert alpn/"$2".crt.pem -key alpn/"$2".key.pem \
      </dev/null >s_server.log 2>&1 &
    echo $! >s_server.pid
    until (: </dev/tcp/127.0.0.1/"$TLS") 2>/dev/null; do sleep 0.05; done
  fi ;;
clean_challenge)
  if [ -e s_server.pid ]; then kill "$(cat s_server.pid)"; rm s_server.pid; else "$TXT" del "_acme-challenge.$2"; fi ;;
esac
true
"#;

const DEHYDRATED: &str = "export CURL_CA_BUNDLE=$ROOT; dehydrated --config config";

fn run(report: &Report) {
    let place = configured(|setup| setup);
    let dehydrated = |rest: &str| place.run(&format!("{DEHYDRATED} {rest}"));
    let certificate = |names: &[&str]| {
        place.certificate(&format!("certs/{}/fullchain.pem", names[0].replace("*.", "")), names)
    };
    report.step(Feature::Http01, || {
        dehydrated("--register --accept-terms");
        dehydrated("--cron -d 'a.test b.test'");
        certificate(&["a.test", "b.test"]);
    });
    report.step(Feature::Renew, || {
        let first = certificate(&["a.test", "b.test"]);
        dehydrated("--cron --force -d 'a.test b.test'");
        assert_ne!(certificate(&["a.test", "b.test"]), first);
    });
    report.step(Feature::Revoke, || {
        dehydrated("--revoke certs/a.test/cert.pem");
        assert_eq!(place.revocations(), 1);
    });
    report.step(Feature::TlsAlpn01, || {
        dehydrated("--cron -t tls-alpn-01 --alpn alpn --hook ./hook -d tls.test");
        certificate(&["tls.test"]);
        place.assert_proved("tls-alpn-01", "tls.test");
    });
    report.step(Feature::Wildcard, || {
        dehydrated("--cron -t dns-01 --hook ./hook --alias wild.test -d '*.wild.test wild.test'");
        certificate(&["*.wild.test", "wild.test"]);
        place.assert_proved("dns-01", "*.wild.test");
    });
    report.step(Feature::Deactivate, || {
        dehydrated("--account");
        dehydrated("--deactivate");
    });
    report.step(Feature::ExternalAccount, || {
        let place = configured(needs_external_account);
        place.run(&format!(
            "{} echo EAB_KID=$KID EAB_HMAC_KEY=$MAC | tr ' ' '\\n' >>config",
            place.external_account()
        ));
        place.run(&format!("{DEHYDRATED} --register --accept-terms"));
        place.run(&format!("{DEHYDRATED} --cron -d a.test"));
        place.certificate("certs/a.test/fullchain.pem", &["a.test"]);
    });
}

fn configured(set_up: impl FnOnce(Setup) -> Setup) -> Place {
    let place = Place::webroot(|setup| set_up(setup.with_tls()));
    place.write_script("hook", HOOK);
    place.run("printf '%s\n' CA=$ACME BASEDIR=$PWD WELLKNOWN=$WEBROOT CONTACT_EMAIL=you@example.com >config");
    place
}
