//! `[ca]`: the CA that certificates come from.

use std::path::{Path, PathBuf};

use coyote_server::{
    issue::{CaFiles, CaRequest},
    protocol::DnsName,
};

use super::{
    section::{Setting, quote, section},
    time::Time,
};
use crate::failure::Failure;

section! {
    /// The CA. A root and an intermediate are made at the first start, unless they are there.
    Ca {
        /// The root's certificate, PEM. Unless they are set, this file and the next three are in `ca` in `data_dir`.
        root: Option<PathBuf> = None, as in "\"acmed-data/ca/root.pem\"";
        /// The root's private key. It is needed to make an intermediate, and can be kept elsewhere after.
        root_key: Option<PathBuf> = None, as in "\"acmed-data/ca/root.key\"";
        /// The certificate that signs, and those between it and the root, if there are any.
        intermediate: Option<PathBuf> = None, as in "\"acmed-data/ca/intermediate.pem\"";
        /// The private key that signs.
        intermediate_key: Option<PathBuf> = None, as in "\"acmed-data/ca/intermediate.key\"";
        /// A command that signs in place of intermediate_key, with its arguments: what is to be signed is its input, and the
        /// signature (of ECDSA, in DER) its output, made with SHA-256 (EC keys on P-384 and P-521: SHA-384, SHA-512). For keys
        /// in an HSM, or of another user. The certificates must be there.
        sign_command: Vec<String> = Vec::new();
        /// How long it may take. An attempt that fails is repeated later.
        sign_timeout: Time = Time::seconds(10);
        /// Whose CA it is, if one is made.
        organization: String = "acmed".into();
        /// The domain that the CA is for, if one is made: nobody accepts certificates of it for other names.
        domain: Option<DnsName> = None, as in "\"corp.example.com\"";
    }
}

impl Ca {
    pub(super) fn below(self, directory: &Path) -> Self {
        let below = |path: Option<PathBuf>| path.map(|path| directory.join(path));
        Self {
            root: below(self.root),
            root_key: below(self.root_key),
            intermediate: below(self.intermediate),
            intermediate_key: below(self.intermediate_key),
            ..self
        }
    }

    pub(super) fn files(&self, data_dir: &Path) -> CaFiles {
        let default = CaFiles::in_directory(data_dir.join("ca"));
        let path = |set: &Option<PathBuf>, default| set.clone().unwrap_or(default);
        CaFiles {
            root: path(&self.root, default.root),
            root_key: path(&self.root_key, default.root_key),
            intermediate: path(&self.intermediate, default.intermediate),
            intermediate_key: path(&self.intermediate_key, default.intermediate_key),
        }
    }

    /// The command that signs, if there is one, and its arguments.
    pub(crate) fn command(&self) -> Option<(&str, &[String])> {
        self.sign_command.split_first().map(|(program, arguments)| (program.as_str(), arguments))
    }

    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.intermediate_key.is_some() && self.command().is_some() {
            return Err(Failure::new("[ca] has an intermediate_key and a sign_command; which one signs?"));
        }
        Ok(())
    }

    /// What a CA is like that has to be made.
    pub(crate) fn request(&self) -> CaRequest {
        let mut request = CaRequest::new(self.organization.as_str());
        request.domain = self.domain.clone();
        request
    }
}

impl Setting for DnsName {
    fn show(&self) -> Option<String> {
        Some(quote(self.as_str()))
    }
}
