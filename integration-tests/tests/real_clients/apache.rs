//! Apache's mod_md, from Debian: a web server that gets what it serves.

use integration_tests::{Setup, User};

use crate::{
    matrix::{Client, Feature, Report},
    place::{Place, is_always_time_to_renew, needs_external_account},
};

pub const CLIENT: Client = Client {
    name: "mod_md",
    needs: &["apache2"],
    cannot: &[
        ("mod_md cannot", &[Feature::Revoke, Feature::Rollover, Feature::Deactivate]),
        ("mod_md asks for all names as DNS names", &[Feature::Address]),
    ],
    run,
};

const CONFIG: &str = r"
ServerName ${SITE}
ServerRoot ${HOME}
DefaultRuntimeDir ${HOME}
PidFile apache.pid
ErrorLog error.log
LogLevel warn md:debug
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule socache_shmcb_module /usr/lib/apache2/modules/mod_socache_shmcb.so
LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so
LoadModule md_module /usr/lib/apache2/modules/mod_md.so
Listen 127.0.0.1:${HTTP}
Listen 127.0.0.1:${TLS} https
Protocols http/1.1 acme-tls/1

MDCertificateAuthority ${ACME}
MDCACertificateFile ${ROOT}
MDCertificateAgreement accepted
MDContactEmail you@example.com
MDPortMap http:${HTTP} https:${TLS}
MDStoreDir md
MDMessageCmd ${HOME}/message
MDChallengeDns01 ${HOME}/dns
MDRetryDelay 1s
MDomain ${SITE} ${OTHER}

<VirtualHost *:${TLS}>
  ServerName ${SITE}
  ServerAlias ${OTHER}
  SSLEngine on
</VirtualHost>
";

/// What is staged is served after a restart, which mod_md leaves to somebody else.
const MESSAGE: &str = "#!/bin/sh
[ $1 != renewed ] || echo $2 >>$HOME/renewed
";

const DNS: &str = "#!/bin/sh
[ $1 = setup ] && exec $TXT add _acme-challenge.$2 $3 || exec $TXT del _acme-challenge.$2
";

/// Restarts it whenever something was got, `$TIMES` times, and sees that it is served.
const SEE: &str = r"
for got in $(seq $TIMES); do
  until [ $(wc -l <renewed) -ge $got ]; do kill -0 $server; sleep 0.1; done
  kill -USR1 $server
  cp chain.pem before.pem
  while cmp -s chain.pem before.pem; do HANDSHAKE; done
done
";

fn run(report: &Report) {
    let same = |setup: Setup| setup;
    report.step(Feature::Http01, || {
        serve(same, "MDCAChallenges http-01", "www.a.test", 1).assert_proved("http-01", "a.test");
    });
    report.step(Feature::TlsAlpn01, || {
        serve(same, "MDCAChallenges tls-alpn-01", "www.a.test", 1).assert_proved("tls-alpn-01", "a.test");
    });
    report.step(Feature::Wildcard, || {
        serve(same, "MDCAChallenges dns-01", "*.a.test", 1).assert_proved("dns-01", "*.a.test");
    });
    report.step(Feature::ExternalAccount, || {
        serve(needs_external_account, "MDExternalAccountBinding ${KID} ${MAC}", "www.a.test", 1);
    });
    report.step(Feature::Profile, || {
        let brief = |setup: Setup| setup.with("profiles.brief", "validity = \"2d\"");
        let place = serve(brief, "MDProfile brief\nMDProfileMandatory on", "www.a.test", 1);
        assert!(place.validity("chain.pem") < 3);
    });
    report.step(Feature::Renew, || {
        serve(is_always_time_to_renew, "MDRenewViaARI off", "www.a.test", 2);
    });
    report.step(Feature::RenewalInfo, || {
        // With a window that short, mod_md renews because the server says so, and for nothing else.
        let place = serve(is_always_time_to_renew, "MDRenewWindow 1s", "www.a.test", 2);
        assert_ne!(place.replacements(), 0, "it says which certificate the new one replaces");
    });
}

/// Has it serve a.test, and this other name.
fn serve(set_up: impl FnOnce(Setup) -> Setup, more: &str, other: &str, times: u32) -> Place {
    let place = Place::standalone(|setup| set_up(setup.with_tls()));
    place.write("apache.conf", &format!("{CONFIG}\n{more}\n"));
    place.write("renewed", "");
    place.write("chain.pem", "");
    place.write_script("message", MESSAGE);
    place.write_script("dns", DNS);
    // What root starts gives up being root, and can then read nothing that is root's.
    let user = User::other_than_root();
    let prefix = user.map(User::prefix).unwrap_or_default().join(" ");
    if let Some(user) = user {
        place.give(user);
    }
    let exports = format!("{} export SITE=a.test OTHER='{other}' TIMES={times}", place.external_account());
    place.run_beside(
        &format!("{exports}; {prefix} apache2 -D FOREGROUND -f $HOME/apache.conf"),
        &SEE.replace("HANDSHAKE", &Place::handshake("a.test")),
    );
    place.certificate("chain.pem", &["a.test", other]);
    place
}
