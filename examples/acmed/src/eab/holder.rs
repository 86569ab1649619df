//! What the holder of a key is handed: once, as nobody can look it up again.

use std::fmt;

use serde::Serialize;

use crate::output::quoted;

/// A key, and where it opens accounts.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Handout<'a> {
    #[serde(skip)]
    pub(super) kid: &'a str,
    /// In base64url without padding, as every client takes it.
    pub(super) secret: &'a str,
    /// The directory's URL.
    pub(super) directory: &'a str,
}

/// With a line to paste for each of the usual clients.
impl fmt::Display for Handout<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kid, secret, directory } = self;
        let server = quoted(directory);
        write!(
            f,
            "\
kid          {kid}
secret       {secret}
directory    {directory}

Nobody can look up the secret again. Its holder pastes what suits the client:

certbot register --server {server} --agree-tos -m you@example.com -n --eab-kid {kid} --eab-hmac-key {secret}

lego --server {server} --accept-tos --email you@example.com --eab --kid {kid} --hmac {secret} --domains example.com --http run

acme.sh --register-account --server {server} -m you@example.com --eab-kid {kid} --eab-hmac-key {secret}

tls {{
\tissuer acme {{
\t\tdir {directory}
\t\teab {kid} {secret}
\t}}
}}

The last is for a site of a Caddyfile.
"
        )
    }
}
