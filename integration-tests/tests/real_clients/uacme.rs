//! uacme, from Debian, with ualpn, which answers tls-alpn-01.

use crate::{
    matrix::{Client, Feature, Report},
    place::{Place, needs_external_account},
};

pub const CLIENT: Client = Client {
    name: "uacme",
    needs: &["uacme", "ualpn"],
    cannot: &[("uacme 1.7 cannot", &[Feature::Profile, Feature::RenewalInfo])],
    run,
};

/// Answers http-01 and dns-01 with files, and tls-alpn-01 with ualpn.
const HOOK: &str = r#"#!/bin/sh
case $CHALLENGE:$2:$1 in
http-01:http-01:begin) printf %s "$5" >"$WEBROOT/$4" ;;
http-01:http-01:*) rm -f "$WEBROOT/$4" ;;
dns-01:dns-01:begin) "$TXT" add "_acme-challenge.$3" "$5" ;;
dns-01:dns-01:*) "$TXT" del "_acme-challenge.$3" ;;
tls-alpn-01:tls-alpn-01:begin) echo "auth $3 $5" | ualpn -s "$PWD/ualpn.sock" | grep -q OK ;;
tls-alpn-01:tls-alpn-01:*) echo "unauth $3" | ualpn -s "$PWD/ualpn.sock" | grep -q OK ;;
*) exit 1 ;;
esac
"#;

fn run(report: &Report) {
    // Its TLS library trusts what the system trusts, and cannot be told anything else: http.
    let place = Place::webroot(|setup| setup);
    let uacme = |rest: &str| {
        place.run(&format!("export CHALLENGE=http-01; uacme -v -y -a $ACME -c uacme -h ./hook {rest}"))
    };
    let certificate =
        |names: &[&str]| place.certificate(&format!("uacme/{}/cert.pem", names[0].replace("*.", "")), names);
    place.write_script("hook", HOOK);

    report.step(Feature::Http01, || {
        uacme("new you@example.com");
        uacme("issue a.test b.test");
        certificate(&["a.test", "b.test"]);
    });
    report.step(Feature::Renew, || {
        let first = certificate(&["a.test", "b.test"]);
        uacme("-f issue a.test b.test");
        assert_ne!(certificate(&["a.test", "b.test"]), first);
    });
    report.step(Feature::Address, || {
        uacme("-t EC issue 127.0.0.1");
        certificate(&["127.0.0.1"]);
    });
    report.step(Feature::Wildcard, || {
        place.run(
            "export CHALLENGE=dns-01; uacme -v -y -a $ACME -c uacme -h ./hook issue '*.wild.test' wild.test",
        );
        certificate(&["*.wild.test", "wild.test"]);
        place.assert_proved("dns-01", "*.wild.test");
    });
    report.step(Feature::TlsAlpn01, || {
        place.run_beside(
            "ualpn -4 -b 127.0.0.1@$TLS -c 127.0.0.1@$HTTP -s $PWD/ualpn.sock -p $PWD/ualpn.pid",
            "until [ -e ualpn.sock ]; do kill -0 $server; sleep 0.05; done
             CHALLENGE=tls-alpn-01 uacme -v -y -a $ACME -c uacme -h ./hook issue tls.test",
        );
        certificate(&["tls.test"]);
        place.assert_proved("tls-alpn-01", "tls.test");
    });
    report.step(Feature::Rollover, || {
        uacme("newkey");
        uacme("update other@example.com");
    });
    report.step(Feature::Revoke, || {
        uacme("-r 4 revoke uacme/a.test/cert.pem");
        assert_eq!(place.revocations(), 1);
        uacme("revoke uacme/tls.test/cert.pem uacme/private/tls.test/key.pem");
        assert_eq!(place.revocations(), 2);
    });
    report.step(Feature::Deactivate, || {
        uacme("deactivate");
    });
    report.step(Feature::ExternalAccount, || {
        let place = Place::webroot(needs_external_account);
        place.write_script("hook", HOOK);
        let uacme =
            format!("{} export CHALLENGE=http-01; uacme -v -y -a $ACME -c uacme", place.external_account());
        place.run(&format!("{uacme} -e $KID:$MAC new you@example.com"));
        place.run(&format!("{uacme} -h ./hook issue a.test"));
        place.certificate("uacme/a.test/cert.pem", &["a.test"]);
    });
}
