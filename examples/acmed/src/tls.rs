//! HTTPS, with a certificate that can be replaced while the server runs.

use std::{
    fs,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
};

use coyote_server::Acme;
use openssl::{
    error::ErrorStack,
    pkey::{PKey, Private},
    ssl::{AlpnError, SslAcceptor, SslAcceptorBuilder, SslContext, SslMethod, select_next_proto},
    x509::X509,
};

use crate::{
    config::{Config, Tls, TlsFiles},
    failure::Failure,
};

mod own;

use own::OwnSource;

/// The protocols spoken, the better first, as ALPN lists them. RFC 7301.
const PROTOCOLS: &[u8] = b"\x02h2\x08http/1.1";

/// The certificate that connections get.
pub(crate) struct Certificates {
    current: RwLock<SslContext>,
    source: Source,
}

/// Where it comes from.
enum Source {
    Files(TlsFiles),
    Own(OwnSource),
}

/// A certificate with its chain, and its key.
pub(crate) struct Identity {
    pub(crate) key: PKey<Private>,
    pub(crate) chain: Vec<X509>,
}

impl Certificates {
    /// Reads the certificate, or gets one from the server's own CA, and keeps that one fresh.
    pub(crate) async fn open(tls: &Tls, config: &Config, acme: Arc<Acme>) -> Result<Arc<Self>, Failure> {
        let source = match tls {
            Tls::Files(files) => Source::Files(files.clone()),
            Tls::Own(_) => Source::Own(OwnSource::new(config, acme)?),
        };
        let current = context(&source.identity().await?).map_err(unusable)?;
        let certificates = Arc::new(Self { current: RwLock::new(current), source });
        if let Source::Own(_) = &certificates.source {
            tokio::spawn(own::renew(certificates.clone()));
        }
        Ok(certificates)
    }

    /// Reads the certificate again. If it is of no use, the one before stays.
    pub(crate) async fn reload(&self) {
        let context = match self.source.identity().await {
            Ok(identity) => context(&identity).map_err(unusable),
            Err(failure) => Err(failure),
        };
        match context {
            Ok(context) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = context;
                tracing::info!("the TLS certificate was reloaded");
            }
            Err(failure) => tracing::error!(%failure, "the TLS certificate is still the one before"),
        }
    }

    /// What accepts connections. It has no certificate itself: each connection gets the current one.
    pub(crate) fn acceptor(self: &Arc<Self>) -> Result<SslAcceptorBuilder, Failure> {
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).map_err(unusable)?;
        let certificates = self.clone();
        // It is called whether or not the client names a server.
        acceptor.set_servername_callback(move |connection, _alert| {
            let context = certificates.current.read().unwrap_or_else(PoisonError::into_inner);
            connection.set_ssl_context(&context).map_err(|error| {
                tracing::error!(%error, "a connection could not be given a certificate");
                openssl::ssl::SniError::ALERT_FATAL
            })
        });
        Ok(acceptor)
    }
}

impl Source {
    async fn identity(&self) -> Result<Identity, Failure> {
        match self {
            Self::Files(TlsFiles { certificate, key }) => Identity::read(certificate, key),
            Self::Own(source) => source.identity().await,
        }
    }
}

impl Identity {
    /// Reads both from PEM.
    pub(crate) fn read(certificate: &Path, key: &Path) -> Result<Self, Failure> {
        let read = |path: &Path| {
            fs::read(path).map_err(Failure::because(format!("{} cannot be read", path.display())))
        };
        let [certificate_pem, key_pem] = [read(certificate)?, read(key)?];
        let chain = X509::stack_from_pem(&certificate_pem).ok().filter(|chain| !chain.is_empty());
        let chain = chain.ok_or_else(|| {
            Failure::new(format!(
                "{} is not a certificate in PEM, followed by its chain",
                certificate.display()
            ))
        })?;
        // Without the callback, OpenSSL would ask the terminal for a passphrase.
        let parsed = PKey::private_key_from_pem_callback(&key_pem, |_| Err(ErrorStack::get()));
        let parsed = parsed.map_err(|_| {
            Failure::new(format!("{} is not a private key in PEM, without a passphrase", key.display()))
        })?;
        Ok(Self { key: parsed, chain })
    }
}

/// What a connection with that certificate needs. The protocols are chosen here, too: a connection that is given
/// another context forgets those of the first.
fn context(Identity { key, chain }: &Identity) -> Result<SslContext, ErrorStack> {
    let mut context = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    if let Some((leaf, rest)) = chain.split_first() {
        context.set_certificate(leaf)?;
        for certificate in rest {
            context.add_extra_chain_cert(certificate.clone())?;
        }
    }
    context.set_private_key(key)?;
    context.check_private_key()?;
    context
        .set_alpn_select_callback(|_, offered| select_next_proto(PROTOCOLS, offered).ok_or(AlpnError::NOACK));
    Ok(context.build().into_context())
}

fn unusable(error: ErrorStack) -> Failure {
    Failure::because("the TLS certificate and key cannot be used")(error)
}
