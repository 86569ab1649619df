//! Caddy, from Debian: a web server that gets what it serves.

use crate::{
    matrix::{Client, Feature, Report},
    place::{Place, is_always_time_to_renew, needs_external_account},
};

pub const CLIENT: Client = Client {
    name: "caddy",
    needs: &["caddy", "openssl"],
    cannot: &[
        ("Debian's caddy has no DNS provider", &[Feature::Wildcard]),
        ("caddy 2.6 has no command that does", &[Feature::Revoke, Feature::Rollover, Feature::Deactivate]),
        ("caddy 2.6 cannot", &[Feature::Profile, Feature::RenewalInfo]),
    ],
    run,
};

/// The one challenge that is left is `$1`'s opposite; `$2` is more of the issuer, and `$3` the site.
const CADDYFILE: &str = r#"{
  admin off
  http_port {$HTTP}
  https_port {$TLS}
  default_bind 127.0.0.1
  storage file_system caddy
  renew_interval 1s
}
https://{$SITE} {
  tls {
    issuer acme {$ACME} {
      email you@example.com
      trusted_roots {$ROOT}
      {$ISSUER}
    }
  }
  respond hello
}
"#;

fn run(report: &Report) {
    let place = Place::standalone(|setup| setup.with_tls());
    place.write("Caddyfile", CADDYFILE);
    report.step(Feature::Http01, || {
        serve(&place, "a.test", "disable_tlsalpn_challenge");
    });
    report.step(Feature::TlsAlpn01, || {
        serve(&place, "tls.test", "disable_http_challenge");
        place.assert_proved("tls-alpn-01", "tls.test");
    });
    report.step(Feature::Address, || {
        serve(&place, "127.0.0.1", "disable_tlsalpn_challenge");
    });
    report.step(Feature::ExternalAccount, || {
        let place = Place::standalone(|setup| needs_external_account(setup.with_tls()));
        place.write("Caddyfile", CADDYFILE);
        let key = place.external_account();
        place.run_beside(
            &format!("{key} SITE=a.test ISSUER=\"eab $KID $MAC\" {CADDY}"),
            &Place::handshake("a.test"),
        );
        place.certificate("chain.pem", &["a.test"]);
    });
    report.step(Feature::Renew, || {
        let place = Place::standalone(|setup| is_always_time_to_renew(setup.with_tls()));
        place.write("Caddyfile", CADDYFILE);
        let serves = Place::handshake("a.test");
        place.run_beside(
            &format!("SITE=a.test ISSUER=disable_tlsalpn_challenge {CADDY}"),
            &format!(
                "{serves}; cp chain.pem first.pem
                 while cmp -s chain.pem first.pem; do sleep 0.1; {serves}; done"
            ),
        );
        place.certificate("chain.pem", &["a.test"]);
    });
}

const CADDY: &str = "caddy run --config Caddyfile";

fn serve(place: &Place, site: &str, issuer: &str) {
    place.run_beside(&format!("SITE={site} ISSUER={issuer} {CADDY}"), &Place::handshake(site));
    place.certificate("chain.pem", &[site]);
}
