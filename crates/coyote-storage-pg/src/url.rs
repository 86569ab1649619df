//! What a URL of a database says: where it is, and how to get there.

use std::time::Duration;

use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
use postgres_openssl::MakeTlsConnector;
use tokio_postgres::{Config, config::SslMode};

use crate::{ConnectError, PgOptions, SessionLimits};

/// Where the database is.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) config: Config,
    /// `None`: in the clear.
    pub(crate) tls: Option<MakeTlsConnector>,
}

/// How far the server has to prove who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tls {
    /// In the clear.
    No,
    /// Not at all.
    Encrypted,
    /// It has a certificate of a CA that is trusted.
    Certified,
    /// And that is for its host name.
    Named,
}

impl Place {
    /// What `url` says, and `options` where it says nothing.
    pub(crate) fn new(url: &str, options: &PgOptions) -> Result<Self, ConnectError> {
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(ConnectError::Url("it does not begin with postgres://".into()));
        }
        let (url, tls, authorities) = split_tls(url)?;
        let says = |parameter| url.contains(parameter);
        let mut config: Config = url.parse().map_err(|error| ConnectError::Url(Box::new(error)))?;
        if config.get_application_name().is_none() {
            config.application_name(&options.application_name);
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(options.connect_timeout);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(options.connect_timeout);
        }
        if !says("keepalives_idle=") {
            config.keepalives_idle(options.connect_timeout);
        }
        if !says("keepalives_interval=") {
            config.keepalives_interval(options.connect_timeout);
        }
        if !says("keepalives_retries=") {
            config.keepalives_retries(2);
        }
        if let Some(limits) = &options.limits {
            // The URL's own come last, and win.
            let own = config.get_options().unwrap_or_default();
            let settings = format!("{} {PLANS} {own}", settings(limits));
            config.options(settings.trim_end());
        }
        config.ssl_mode(if tls == Tls::No { SslMode::Disable } else { SslMode::Require });
        let tls = if tls == Tls::No { None } else { Some(connector(tls, authorities.as_deref())?) };
        Ok(Self { config, tls })
    }
}

/// All statements have an index to go by. A plan that was made while a table was small would rather read all of it, and is
/// kept by a connection until somebody has counted the rows (autovacuum, a minute later or never). Plans whose estimated costs are high
/// for want of a better one are not worth compiling.
const PLANS: &str = "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off";

/// As parameters of the connection, not as SET statements: those would change the session of a pooling proxy, which
/// others use as well.
fn settings(limits: &SessionLimits) -> String {
    let SessionLimits { statement, lock, idle_in_transaction } = limits;
    let setting = |name: &str, limit: &Duration| format!("-c {name}={}", limit.as_millis());
    [
        setting("statement_timeout", statement),
        setting("lock_timeout", lock),
        setting("idle_in_transaction_session_timeout", idle_in_transaction),
    ]
    .join(" ")
}

/// Takes what is ours out of the URL: libpq's `sslmode`, all of its values, and `sslrootcert`.
fn split_tls(url: &str) -> Result<(String, Tls, Option<String>), ConnectError> {
    // As the driver has it: what is before the first @ is the user and the password, whatever is in that.
    let (user, rest) = url.split_at(url.find('@').map_or(0, |at| at + 1));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let place = format!("{user}{rest}");
    let (mut tls, mut authorities, mut others) = (Tls::No, None, Vec::new());
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some(("sslmode", mode)) => tls = mode_of(mode)?,
            Some(("sslrootcert", _)) => {
                let decoded = url::form_urlencoded::parse(parameter.as_bytes()).next();
                authorities = decoded.map(|(_, path)| path.into_owned());
            }
            _ => others.push(parameter),
        }
    }
    if tls == Tls::Encrypted && authorities.is_some() {
        tls = Tls::Certified; // as libpq does: whoever names a CA wants it asked
    }
    let url = if others.is_empty() { place } else { format!("{place}?{}", others.join("&")) };
    Ok((url, tls, authorities))
}

fn mode_of(mode: &str) -> Result<Tls, ConnectError> {
    match mode {
        "disable" | "allow" | "prefer" => Ok(Tls::No),
        "require" => Ok(Tls::Encrypted),
        "verify-ca" => Ok(Tls::Certified),
        "verify-full" => Ok(Tls::Named),
        _ => Err(ConnectError::Url("its sslmode is unknown".into())),
    }
}

fn connector(tls: Tls, authorities: Option<&str>) -> Result<MakeTlsConnector, ConnectError> {
    let cannot = |error: openssl::error::ErrorStack| ConnectError::Tls(Box::new(error));
    let mut builder = SslConnector::builder(SslMethod::tls_client()).map_err(cannot)?;
    if let Some(path) = authorities {
        builder.set_ca_file(path).map_err(cannot)?;
    }
    if tls == Tls::Encrypted {
        builder.set_verify(SslVerifyMode::NONE);
    }
    let mut connector = MakeTlsConnector::new(builder.build());
    if tls != Tls::Named {
        connector.set_callback(|connection, _| {
            connection.set_verify_hostname(false);
            Ok(())
        });
    }
    Ok(connector)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: &str) -> Result<Place, ConnectError> {
        Place::new(url, &PgOptions::default())
    }

    #[test]
    fn the_limits_are_parameters_of_the_connection_and_the_urls_own_come_last() {
        let config = place("postgres://u@h/d?options=-c%20lock_timeout%3D1").unwrap().config;
        let expected = "-c statement_timeout=15000 -c lock_timeout=5000 \
                        -c idle_in_transaction_session_timeout=15000 \
                        -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off \
                        -c lock_timeout=1";
        assert_eq!(config.get_options(), Some(expected));
        assert_eq!(config.get_application_name(), Some("coyote"));
        let without = PgOptions { limits: None, ..PgOptions::default() };
        let config = Place::new("postgres://u@h/d?application_name=x", &without).unwrap().config;
        assert_eq!((config.get_options(), config.get_application_name()), (None, Some("x")));
    }

    #[test]
    fn a_connection_is_in_the_clear_unless_the_url_demands_tls() {
        for url in ["postgres://h/d", "postgresql://h/d?sslmode=disable", "postgres://h/d?sslmode=prefer"] {
            let place = place(url).unwrap();
            assert!(place.tls.is_none(), "{url}");
            assert_eq!(place.config.get_ssl_mode(), SslMode::Disable, "{url}");
        }
        for mode in ["require", "verify-ca", "verify-full"] {
            let place = place(&format!("postgres://h/d?connect_timeout=3&sslmode={mode}")).unwrap();
            assert!(place.tls.is_some(), "{mode}");
            assert_eq!(place.config.get_ssl_mode(), SslMode::Require, "{mode}");
            assert_eq!(place.config.get_connect_timeout(), Some(&Duration::from_secs(3)), "{mode}");
        }
    }

    #[test]
    fn whoever_names_a_ca_has_it_asked() {
        let split = |url| split_tls(url).unwrap();
        let (url, tls, authorities) = split("postgres://h/d?sslrootcert=%2Fa%20b&x=1&sslmode=require");
        assert_eq!((url.as_str(), tls), ("postgres://h/d?x=1", Tls::Certified));
        assert_eq!(authorities.as_deref(), Some("/a b"));
        assert_eq!(split("postgres://h/d?sslmode=require").1, Tls::Encrypted);
        let (url, tls, _) = split("postgres://u:a?b@h/d?sslmode=require&x=1");
        assert_eq!(
            (url.as_str(), tls),
            ("postgres://u:a?b@h/d?x=1", Tls::Encrypted),
            "whatever the password"
        );
        assert_eq!(split("postgres://h/d?sslmode=verify-full").1, Tls::Named);
    }

    #[test]
    fn a_url_that_is_not_understood_is_refused_and_not_repeated() {
        for url in ["host=h password=secret", "mysql://u:secret@h", "postgres://u:secret@h/d?sslmode=maybe"] {
            let error = place(url).map(|_| ()).unwrap_err();
            assert!(matches!(error, ConnectError::Url(_)), "{url}: {error}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
        let missing = place("postgres://h/d?sslmode=verify-ca&sslrootcert=/nowhere").map(|_| ()).unwrap_err();
        assert!(matches!(missing, ConnectError::Tls(_)), "{missing:?}");
    }
}
