//! `[policy.webhook]`: a program that decides.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use coyote_server::{
    SystemClock,
    policy::{Webhook, WebhookSettings},
};
use openssl::x509::X509;

use super::super::{section::section, time::Time};
use crate::failure::Failure;

section! {
    /// A program that is asked about each new account, identifier and finalization, after all other rules: by a signed
    /// POST of JSON, answered with {"verdict": "allow"}, "deny" or "already-valid". While it does not answer, clients
    /// are told to come back (503), and nothing is issued.
    WebhookSection {
        /// Where it is: https, or http to an address of the loopback.
        url: Option<String> = None, as in "\"https://policy.example.com/acme\"";
        /// A file with the secret that questions are signed with, 16 bytes at least; a line feed at its end is no part of it.
        secret_file: Option<PathBuf> = None, as in "\"webhook.secret\"";
        /// The root certificates that its own must come from, PEM. Without, those of the system.
        roots: Option<PathBuf> = None, as in "\"roots.pem\"";
        /// How long an answer may take.
        timeout: Time = Time::seconds(5);
        /// How many bytes an answer may have.
        max_answer: u32 = 65_536;
        /// Whether "already-valid" is believed: then what it vouches for need not be proved. Else it is "allow".
        may_vouch: bool = false;
    }
}

impl WebhookSection {
    pub(super) fn below(self, directory: &Path) -> Self {
        let below = |path: Option<PathBuf>| path.map(|path| directory.join(path));
        Self { secret_file: below(self.secret_file), roots: below(self.roots), ..self }
    }

    /// The webhook, if there is one. It reads the files.
    pub(super) fn webhook(&self) -> Result<Option<Webhook>, Failure> {
        let (url, secret) = match (&self.url, &self.secret_file) {
            (None, None) => return Ok(None),
            (Some(url), Some(secret)) => (url, read(secret)?),
            _ => return Err(Failure::new("[policy.webhook] needs both, url and secret_file")),
        };
        let secret = secret.strip_suffix(b"\n").unwrap_or(&secret);
        let mut settings = WebhookSettings::new(url, secret);
        settings.timeout = self.timeout.0;
        settings.max_answer = self.max_answer as usize;
        settings.may_vouch = self.may_vouch;
        if let Some(path) = &self.roots {
            let roots = X509::stack_from_pem(&read(path)?);
            let no_roots = || format!("there are no certificates in {}", path.display());
            settings.roots = roots.map_err(Failure::because(no_roots()))?;
            if settings.roots.is_empty() {
                return Err(Failure::new(no_roots()));
            }
        }
        let webhook = Webhook::new(settings, Arc::new(SystemClock));
        Ok(Some(webhook.map_err(Failure::because("[policy.webhook] cannot be used"))?))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(Failure::because(format!("{} cannot be read", path.display())))
}
