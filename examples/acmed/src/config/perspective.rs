//! `[[validation.perspective]]`, who else has to see a proof, and `[perspective]`, what `acmed perspective` serves.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use super::section::section;
use crate::failure::Failure;

section! {
    /// Another perspective: an `acmed perspective` elsewhere, which has to see what this server sees.
    PerspectiveSection {
        /// What it is called, here and in traces.
        name: Option<String> = None, as in "\"eu-1\"";
        /// Where it is, for people.
        region: Option<String> = None, as in "\"Frankfurt\"";
        /// Its URL.
        url: Option<String> = None, as in "\"https://eu-1.example.com:8443/\"";
        /// Who vouches for its certificate (PEM). Nobody else does.
        roots: Option<PathBuf> = None, as in "\"perspectives.pem\"";
        /// The certificate (PEM), with its chain, that this server shows it.
        certificate: Option<PathBuf> = None, as in "\"acmed.pem\"";
        /// The key of that certificate (PEM).
        key: Option<PathBuf> = None, as in "\"acmed.key\"";
    }
}

section! {
    /// What `acmed perspective` serves: it looks for other servers, as `[validation]` says. It reads this section, `[validation]`,
    /// the caa_identities of `[directory]`, and of `[limits]` what begins with `perspective`.
    PerspectiveServer {
        /// Where to listen, for HTTPS.
        listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 8443));
        /// The certificate (PEM), with its chain, that is shown.
        certificate: Option<PathBuf> = None, as in "\"perspective.pem\"";
        /// The key of that certificate (PEM).
        key: Option<PathBuf> = None, as in "\"perspective.key\"";
        /// Who vouches for the certificates of servers that may ask (PEM). Nobody else is answered.
        clients: Option<PathBuf> = None, as in "\"servers.pem\"";
    }
}

/// Files by which two ends of a connection know each other.
pub(crate) struct Mutual<'a> {
    /// The own certificate.
    pub(crate) certificate: &'a Path,
    /// Its key.
    pub(crate) key: &'a Path,
    /// Who vouches for the other.
    pub(crate) roots: &'a Path,
}

impl PerspectiveSection {
    /// What it is called, its URL, and the files, or what is missing.
    pub(crate) fn complete(&self) -> Result<(&str, &str, Mutual<'_>), Failure> {
        let name = self.name.as_deref().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| Failure::new("a [[validation.perspective]] has no name"))?;
        let Self {
            url: Some(url), roots: Some(roots), certificate: Some(certificate), key: Some(key), ..
        } = self
        else {
            let needs = "has url, roots, certificate and key";
            return Err(Failure::new(format!("a [[validation.perspective]] {needs}; look at {name}")));
        };
        Ok((name, url, Mutual { certificate, key, roots }))
    }

    pub(super) fn below(self, directory: &Path) -> Self {
        let below = |path: Option<PathBuf>| path.map(|path| directory.join(path));
        Self { roots: below(self.roots), certificate: below(self.certificate), key: below(self.key), ..self }
    }
}

impl PerspectiveServer {
    /// The files, or what is missing.
    pub(crate) fn complete(&self) -> Result<Mutual<'_>, Failure> {
        let Self { certificate: Some(certificate), key: Some(key), clients: Some(roots), .. } = self else {
            return Err(Failure::new(
                "a perspective needs certificate, key and clients in the section perspective",
            ));
        };
        Ok(Mutual { certificate, key, roots })
    }

    pub(super) fn below(self, directory: &Path) -> Self {
        let below = |path: Option<PathBuf>| path.map(|path| directory.join(path));
        Self {
            certificate: below(self.certificate),
            key: below(self.key),
            clients: below(self.clients),
            ..self
        }
    }
}
