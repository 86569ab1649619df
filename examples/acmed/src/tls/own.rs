//! `tls = "own"`: a certificate of the server's own CA, kept in the data directory and renewed in time.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::Duration,
};

use coyote_server::{
    Acme, OwnCertificate,
    protocol::{DnsName, Identifier},
};
use openssl::{
    asn1::{Asn1Time, TimeDiff},
    error::ErrorStack,
    x509::{X509, X509VerifyResult},
};
use url::{Host, Url};

use super::{Certificates, Identity, Source};
use crate::{
    config::{Config, TlsFiles},
    data_dir,
    failure::Failure,
};

/// How often it is asked whether the certificate is to be renewed.
const LOOK: Duration = Duration::from_secs(60);

/// Certificates for the server's own name.
pub(super) struct OwnSource {
    acme: Arc<Acme>,
    name: Identifier,
    directory: PathBuf,
    ca: PathBuf,
}

impl OwnSource {
    pub(super) fn new(config: &Config, acme: Arc<Acme>) -> Result<Self, Failure> {
        let name = host(acme.urls().base())?;
        Ok(Self { acme, name, directory: config.data_dir.join("tls"), ca: config.ca_files().intermediate })
    }

    /// The certificate that is there, while it is good; else a new one.
    pub(super) async fn identity(&self) -> Result<Identity, Failure> {
        if let Some(identity) = self.good() {
            return Ok(identity);
        }
        let name = self.name.value();
        let own = self.acme.own_certificate(std::slice::from_ref(&self.name)).await;
        let own = own.map_err(Failure::because(format!("the CA gave no certificate for {name}")))?;
        self.keep(&own).map_err(Failure::because("the TLS certificate cannot be kept"))?;
        tracing::info!(name, not_after = %own.not_after, "a TLS certificate of the server's own CA");
        Ok(Identity { key: own.key, chain: own.chain })
    }

    /// The certificate that is there, if it is this CA's, for this name, and not in the last third of its life.
    fn good(&self) -> Option<Identity> {
        let files = self.files();
        if !files.certificate.exists() {
            return None;
        }
        let identity = Identity::read(&files.certificate, &files.key).ok()?;
        let leaf = identity.chain.first()?;
        let ca = X509::from_pem(&fs::read(&self.ca).ok()?).ok()?;
        let ca_key = ca.public_key().ok()?;
        let is_ours = ca.issued(leaf) == X509VerifyResult::OK && leaf.verify(&ca_key).ok()?;
        let is_good = is_ours && names(leaf, &self.name) && !is_old(leaf).ok()?;
        is_good.then_some(identity)
    }

    fn files(&self) -> TlsFiles {
        TlsFiles { certificate: self.directory.join("certificate.pem"), key: self.directory.join("key.pem") }
    }

    /// Keeps the key before the certificate: together they are read only if both are new.
    fn keep(&self, own: &OwnCertificate) -> io::Result<()> {
        data_dir::create(&self.directory).map_err(|failure| io::Error::other(failure.to_string()))?;
        let files = self.files();
        let mut chain = Vec::new();
        for certificate in &own.chain {
            chain.extend(certificate.to_pem()?);
        }
        replace(&files.key, &own.key.private_key_to_pem_pkcs8()?)?;
        replace(&files.certificate, &chain)
    }
}

/// Renews the certificate when it is in the last third of its life, as long as somebody uses it.
pub(super) async fn renew(certificates: Arc<Certificates>) {
    let certificates: Weak<_> = Arc::downgrade(&certificates);
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(certificates) = certificates.upgrade() else { return };
        let Source::Own(source) = &certificates.source else { return };
        if source.good().is_none() {
            certificates.reload().await;
        }
    }
}

/// The host of a URL, as certificates name it.
fn host(url: &str) -> Result<Identifier, Failure> {
    let unfit = || Failure::new(format!("no certificate can name the host of {url}; change base_url"));
    match Url::parse(url).map_err(|_| unfit())?.host() {
        Some(Host::Domain(name)) => DnsName::parse(name).map(Identifier::Dns).map_err(|_| unfit()),
        Some(Host::Ipv4(address)) => Ok(Identifier::Ip(IpAddr::V4(address))),
        Some(Host::Ipv6(address)) => Ok(Identifier::Ip(IpAddr::V6(address))),
        None => Err(unfit()),
    }
}

/// Whether a certificate names that, and nothing else.
fn names(certificate: &X509, name: &Identifier) -> bool {
    let Some(found) = certificate.subject_alt_names() else { return false };
    let octets = match name {
        Identifier::Ip(IpAddr::V4(address)) => address.octets().to_vec(),
        Identifier::Ip(IpAddr::V6(address)) => address.octets().to_vec(),
        name => name.value().into_bytes(),
    };
    let mut found = found.iter().map(|found| found.ipaddress().or(found.dnsname().map(str::as_bytes)));
    found.next() == Some(Some(&octets)) && found.next().is_none()
}

/// Whether a certificate is in the last third of its life.
fn is_old(certificate: &X509) -> Result<bool, ErrorStack> {
    let seconds = |time: TimeDiff| i64::from(time.days) * 86_400 + i64::from(time.secs);
    let life = seconds(certificate.not_before().diff(certificate.not_after())?);
    let left = seconds(Asn1Time::days_from_now(0)?.diff(certificate.not_after())?);
    Ok(left < life / 3)
}

/// Writes a file, which is its owner's only and changes as a whole.
fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&temporary)?;
    file.write_all(contents)?;
    file.sync_all()?;
    fs::rename(temporary, path)
}
