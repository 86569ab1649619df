//! Every URL is built and parsed here. RFC 8555 section 7.1.

use std::fmt::Display;

use coyote_storage::{AccountId, AuthorizationId, CertificateId, ChallengeId, OrderId};

/// The base URL cannot be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a base URL: http:// or https://, a host, perhaps a path, and no query or fragment")]
pub struct InvalidBaseUrl(String);

/// The URLs of one directory.
///
/// They start with the base URL, which comes from the configuration and never from a request: a client's account
/// URL must not depend on the name by which it reached the server.
#[derive(Clone, Debug)]
pub struct Urls {
    base: String,
    path_at: usize,
}

/// Where things are below the base URL. The routes of an adapter are these.
pub mod path {
    /// `GET`: the directory.
    pub const DIRECTORY: &str = "/directory";
    /// `HEAD`, `GET`: a nonce.
    pub const NEW_NONCE: &str = "/acme/new-nonce";
    /// `POST`: a new account.
    pub const NEW_ACCOUNT: &str = "/acme/new-account";
    /// `POST`: a new order.
    pub const NEW_ORDER: &str = "/acme/new-order";
    /// `POST`: another key for an account.
    pub const KEY_CHANGE: &str = "/acme/key-change";
    /// `POST`: a revocation.
    pub const REVOKE_CERT: &str = "/acme/revoke-cert";
    /// `POST`: an authorization ahead of an order.
    pub const NEW_AUTHZ: &str = "/acme/new-authz";
    /// `GET`: when to renew.
    pub const RENEWAL_INFO: &str = "/acme/renewal-info";
    /// Accounts.
    pub const ACCOUNT: &str = "/acme/account";
    /// Orders.
    pub const ORDER: &str = "/acme/order";
    /// Authorizations.
    pub const AUTHORIZATION: &str = "/acme/authz";
    /// Challenges.
    pub const CHALLENGE: &str = "/acme/challenge";
    /// Certificates.
    pub const CERTIFICATE: &str = "/acme/certificate";
    /// `GET`: the root certificates.
    pub const ROOTS: &str = "/ca/root.pem";
}

impl Urls {
    /// The URLs below this base, such as `https://acme.example.com` or `https://example.com/pki`.
    ///
    /// # Errors
    ///
    /// [`InvalidBaseUrl`].
    pub fn new(base: &str) -> Result<Self, InvalidBaseUrl> {
        let invalid = || InvalidBaseUrl(base.to_owned());
        let parsed = url::Url::parse(base).map_err(|_| invalid())?;
        let plain = parsed.query().is_none()
            && parsed.fragment().is_none()
            && parsed.username().is_empty()
            && parsed.password().is_none();
        if !matches!(parsed.scheme(), "http" | "https") || !parsed.has_host() || !plain {
            return Err(invalid());
        }
        let base = parsed.as_str().trim_end_matches('/').to_owned();
        let path_at = base.len() - parsed.path().trim_end_matches('/').len();
        Ok(Self { base, path_at })
    }

    /// The path of the base URL, without a slash at its end: empty for most.
    pub fn path(&self) -> &str {
        self.base.get(self.path_at..).unwrap_or_default()
    }

    /// The base URL, without a slash at its end.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The URL of something of which there is one.
    pub fn at(&self, path: &str) -> String {
        [&self.base, path].concat()
    }

    /// An account's URL, which is also its `kid`.
    pub fn account(&self, id: &AccountId) -> String {
        self.below(path::ACCOUNT, id)
    }

    /// The URL of an account's list of orders.
    pub fn orders(&self, id: &AccountId) -> String {
        self.account(id) + "/orders"
    }

    /// An order's URL.
    pub fn order(&self, id: &OrderId) -> String {
        self.below(path::ORDER, id)
    }

    /// The URL that takes an order's CSR.
    pub fn finalize(&self, id: &OrderId) -> String {
        self.order(id) + "/finalize"
    }

    /// An authorization's URL.
    pub fn authorization(&self, id: &AuthorizationId) -> String {
        self.below(path::AUTHORIZATION, id)
    }

    /// A challenge's URL.
    pub fn challenge(&self, authorization: &AuthorizationId, id: &ChallengeId) -> String {
        format!("{}{}/{authorization}/{id}", self.base, path::CHALLENGE)
    }

    /// A certificate's URL.
    pub fn certificate(&self, id: &CertificateId) -> String {
        self.below(path::CERTIFICATE, id)
    }

    /// The URL of another chain for a certificate, counted from 1.
    pub fn alternate(&self, id: &CertificateId, chain: usize) -> String {
        format!("{}/{chain}", self.certificate(id))
    }

    /// The URL of a certificate in one of the chains for a certificate: of the one at this place, counted from 1 for the
    /// issuer of the certificate itself. `chain` is 0 for the first. `Link: rel="up"` points there, and it is served like the
    /// certificate: to its account, by `POST`-as-GET. RFC 8555 section 7.4.2.
    pub fn issuer(&self, id: &CertificateId, chain: usize, place: usize) -> String {
        format!("{}/{chain}/{place}", self.certificate(id))
    }

    /// The account whose URL this is, to the letter. RFC 8555 section 6.2.
    pub fn account_of(&self, kid: &str) -> Option<AccountId> {
        kid.strip_prefix(&self.base)?.strip_prefix(path::ACCOUNT)?.strip_prefix('/')?.parse().ok()
    }

    fn below(&self, path: &str, id: &impl Display) -> String {
        format!("{}{path}/{id}", self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_url_and_by_no_other() {
        let urls = Urls::new("https://ca.example/").unwrap();
        let id = AccountId::from_bytes([7; 16]);
        let url = urls.account(&id);

        assert_eq!(urls.account_of(&url), Some(id));
        for other in [
            url.replace("ca.example", "evil.example"),
            url.replace("https", "http"),
            format!("{url}/"),
            format!("{url}?x"),
            format!("{url}/orders"),
            id.to_string(),
        ] {
            assert_eq!(urls.account_of(&other), None, "{other}");
        }
    }

    #[test]
    fn a_base_url_is_http_with_a_host_and_perhaps_a_path() {
        let urls = Urls::new("http://[::1]:8000/pki/").unwrap();
        assert_eq!((urls.base(), urls.path()), ("http://[::1]:8000/pki", "/pki"));
        assert_eq!(Urls::new("https://ca.example").unwrap().path(), "");
        for bad in ["", "ca.example", "ftp://a", "https://a?b", "https://a#b", "https://u@a", "unix:/x"] {
            assert!(Urls::new(bad).is_err(), "{bad}");
        }
    }
}
