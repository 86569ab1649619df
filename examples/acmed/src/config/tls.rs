//! `tls`: whether HTTPS is served, and with which certificate.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::section::{Setting, quote};

/// The certificate that HTTPS is served with.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "\"own\", or { certificate = \"FILE\", key = \"FILE\" }")]
pub(crate) enum Tls {
    /// One of the server's own CA, for the host of the base URL.
    Own(Own),
    /// One from files.
    Files(TlsFiles),
}

/// The word `own`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Own {
    /// The word.
    Own,
}

/// PEM files.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsFiles {
    /// The certificate, followed by its chain.
    pub(crate) certificate: PathBuf,
    /// The private key.
    pub(crate) key: PathBuf,
}

impl Tls {
    /// The same, with relative paths taken as below this directory.
    pub(crate) fn below(self, directory: &Path) -> Self {
        match self {
            Self::Own(own) => Self::Own(own),
            Self::Files(TlsFiles { certificate, key }) => {
                Self::Files(TlsFiles { certificate: directory.join(certificate), key: directory.join(key) })
            }
        }
    }
}

impl Setting for Tls {
    fn show(&self) -> Option<String> {
        Some(match self {
            Self::Own(Own::Own) => quote("own"),
            Self::Files(TlsFiles { certificate, key }) => {
                let [certificate, key] = [certificate, key].map(|path| quote(&path.to_string_lossy()));
                format!("{{ certificate = {certificate}, key = {key} }}")
            }
        })
    }
}
