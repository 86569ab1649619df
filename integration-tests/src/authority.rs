//! A CA of the tests' own, for certificates by which programs know each other.

use std::{
    fs,
    path::{Path, PathBuf},
};

use openssl::{
    asn1::Asn1Time,
    bn::{BigNum, MsbOption},
    hash::MessageDigest,
    pkey::{PKey, Private},
    x509::{
        X509, X509Name, X509NameBuilder,
        extension::{BasicConstraints, ExtendedKeyUsage, SubjectAlternativeName},
    },
};
use tempfile::TempDir;

use crate::Key;

/// A CA, and a folder for its files.
pub struct Authority {
    folder: TempDir,
    key: PKey<Private>,
    certificate: X509,
}

/// A certificate for 127.0.0.1, and its key, as PEM files.
pub struct Credentials {
    /// The certificate.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

impl Authority {
    /// A new one. Its certificate is in [`file`](Self::file).
    ///
    /// # Panics
    ///
    /// If OpenSSL or the disk refuses.
    #[must_use]
    pub fn new() -> Self {
        let key = Key::new().private().clone();
        let certificate = certificate("the tests", &key, None, None);
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("ca.pem"), certificate.to_pem().expect("PEM")).expect("a file");
        Self { folder, key, certificate }
    }

    /// The file with the CA's certificate.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate for 127.0.0.1, whoever that is, good for everything.
    ///
    /// # Panics
    ///
    /// If OpenSSL or the disk refuses.
    #[must_use]
    pub fn issue(&self, name: &str) -> Credentials {
        self.issue_for(name, None)
    }

    /// A certificate for 127.0.0.1 to be shown by a server.
    ///
    /// # Panics
    ///
    /// If OpenSSL or the disk refuses.
    #[must_use]
    pub fn issue_to_server(&self, name: &str) -> Credentials {
        self.issue_for(name, Some(ExtendedKeyUsage::new().server_auth()))
    }

    /// A certificate to be shown by a client.
    ///
    /// # Panics
    ///
    /// If OpenSSL or the disk refuses.
    #[must_use]
    pub fn issue_to_client(&self, name: &str) -> Credentials {
        self.issue_for(name, Some(ExtendedKeyUsage::new().client_auth()))
    }

    fn issue_for(&self, name: &str, usage: Option<&mut ExtendedKeyUsage>) -> Credentials {
        let key = Key::new().private().clone();
        let certificate = certificate(name, &key, Some(self), usage);
        let place = |kind: &str| self.folder.path().join(format!("{name}.{kind}"));
        let credentials = Credentials { certificate: place("pem"), key: place("key") };
        write(&credentials.certificate, &certificate.to_pem().expect("PEM"));
        write(&credentials.key, &key.private_key_to_pem_pkcs8().expect("PEM"));
        credentials
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

fn write(path: &Path, pem: &[u8]) {
    fs::write(path, pem).expect("a file can be written");
}

/// Signed by this CA, or by itself.
fn certificate(
    name: &str,
    key: &PKey<Private>,
    ca: Option<&Authority>,
    usage: Option<&mut ExtendedKeyUsage>,
) -> X509 {
    let (own, mut builder) = (distinguished(name), X509::builder().expect("a certificate"));
    builder.set_version(2).expect("a version");
    let mut serial = BigNum::new().expect("a number");
    serial.rand(120, MsbOption::MAYBE_ZERO, false).expect("a number");
    builder.set_serial_number(&serial.to_asn1_integer().expect("a serial")).expect("a serial");
    builder.set_subject_name(&own).expect("a subject");
    builder.set_issuer_name(ca.map_or(&*own, |ca| ca.certificate.subject_name())).expect("an issuer");
    builder.set_pubkey(key).expect("a key");
    builder.set_not_before(&Asn1Time::days_from_now(0).expect("a time")).expect("a time");
    builder.set_not_after(&Asn1Time::days_from_now(1).expect("a time")).expect("a time");
    let extension = match ca {
        Some(_) => SubjectAlternativeName::new().ip("127.0.0.1").build(&builder.x509v3_context(None, None)),
        None => BasicConstraints::new().critical().ca().build(),
    };
    builder.append_extension(extension.expect("an extension")).expect("an extension");
    if let Some(usage) = usage {
        builder.append_extension(usage.build().expect("an extension")).expect("an extension");
    }
    builder.sign(ca.map_or(key, |ca| &ca.key), MessageDigest::sha256()).expect("a signature");
    builder.build()
}

fn distinguished(name: &str) -> X509Name {
    let mut builder = X509NameBuilder::new().expect("a name");
    builder.append_entry_by_text("CN", name).expect("a name");
    builder.build()
}
