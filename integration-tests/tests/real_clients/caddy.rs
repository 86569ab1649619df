//! Caddy, from Debian: a web server that gets what it serves.

use crate::{
    matrix::{Client, Feature, Report},
    place::Place,
};

pub const CLIENT: Client = Client {
    name: "caddy",
    needs: &["caddy", "openssl"],
    cannot: &[
        ("Debian's caddy has no DNS provider", &[Feature::Wildcard]),
        (
            "caddy 2.6 does so only by itself, and on no order",
            &[Feature::Revoke, Feature::Rollover, Feature::Deactivate],
        ),
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
    });
    report.step(Feature::Address, || {
        serve(&place, "127.0.0.1", "disable_tlsalpn_challenge");
    });
}

/// Starts it, and takes the chain from the handshake once it serves one.
fn serve(place: &Place, site: &str, issuer: &str) -> String {
    let name = if site.starts_with(char::is_numeric) { String::new() } else { format!("-servername {site}") };
    place.run_beside(
        &format!("SITE={site} ISSUER='{issuer}' caddy run --config Caddyfile"),
        &format!(
            "until openssl s_client -connect 127.0.0.1:$TLS {name} -showcerts </dev/null >handshake 2>/dev/null
             do kill -0 $server; sleep 0.1; done
             sed -n '/BEGIN CERT/,/END CERT/p' handshake >chain.pem",
        ),
    );
    place.certificate("chain.pem", &[site])
}
