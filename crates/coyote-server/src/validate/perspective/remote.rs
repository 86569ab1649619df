//! A perspective that is asked over HTTPS.
//!
//! Both ends show a certificate, so that nobody else asks or answers. The task goes as JSON in a POST, and the answer says
//! which task it is to, by its hash: an answer that was given to another is none.

use std::{collections::BTreeSet, fmt};

use async_trait::async_trait;
use coyote_jose::base64url;
use coyote_protocol::ChallengeType;
use coyote_storage::BoxError;
use openssl::{
    error::ErrorStack,
    pkey::{PKey, Private},
    sha::sha256,
    ssl::{SslConnector, SslMethod, SslVersion},
    x509::{X509, store::X509StoreBuilder},
};
use serde::{Deserialize, Serialize};
use url::Url;

use super::{Evidence, Perspective, Task};
use crate::post::post;

/// Where a perspective is, and how it and this server know each other.
#[derive(Clone)]
#[non_exhaustive]
pub struct RemoteSettings {
    /// What it is called.
    pub name: String,
    /// Where it is, for people.
    pub region: Option<String>,
    /// The https URL that tasks are sent to.
    pub url: String,
    /// Who vouches for its certificate. Nobody else does.
    pub roots: Vec<X509>,
    /// This server's certificate, and what it hangs on.
    pub chain: Vec<X509>,
    /// The key of this server's certificate.
    pub key: PKey<Private>,
    /// The challenge types that it offers; by default those that [`validate`](crate::validate) has.
    pub offers: BTreeSet<ChallengeType>,
    /// The bytes that an answer may have; 256 KiB by default.
    pub max_answer: usize,
}

impl RemoteSettings {
    /// A perspective of this name at this URL, and this server's certificate with its key.
    pub fn new(
        name: impl Into<String>,
        url: impl Into<String>,
        roots: Vec<X509>,
        chain: Vec<X509>,
        key: PKey<Private>,
    ) -> Self {
        let offers = [
            ChallengeType::HTTP_01,
            ChallengeType::DNS_01,
            ChallengeType::TLS_ALPN_01,
            ChallengeType::DNS_ACCOUNT_01,
            ChallengeType::DNS_PERSIST_01,
        ];
        Self {
            name: name.into(),
            region: None,
            url: url.into(),
            roots,
            chain,
            key,
            offers: offers.into(),
            max_answer: 256 << 10,
        }
    }
}

/// A perspective elsewhere.
pub struct RemotePerspective {
    settings: RemoteSettings,
    url: Url,
    connector: SslConnector,
}

/// Why a perspective cannot be asked as it is set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRemote {
    /// It is no URL, or not https.
    #[error("the URL of a perspective is https, without a user or fragment")]
    Url,
    /// There is no certificate to show, or none to trust.
    #[error("a perspective needs a certificate to trust, and one to be shown")]
    Certificate,
    /// OpenSSL does not take the certificates or the key.
    #[error("TLS cannot be set up")]
    Tls(#[from] ErrorStack),
}

/// An answer, and which task it is to.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    /// The SHA-256 of the task as it was sent, in base64url.
    task: String,
    evidence: Evidence,
}

impl RemotePerspective {
    /// A perspective, which is not asked yet.
    ///
    /// # Errors
    ///
    /// [`InvalidRemote`].
    pub fn new(settings: RemoteSettings) -> Result<Self, InvalidRemote> {
        let url = Url::parse(&settings.url).map_err(|_| InvalidRemote::Url)?;
        let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        if url.scheme() != "https" || !plain {
            return Err(InvalidRemote::Url);
        }
        let connector = connector(&settings)?;
        Ok(Self { settings, url, connector })
    }
}

#[async_trait]
impl Perspective for RemotePerspective {
    fn name(&self) -> &str {
        &self.settings.name
    }

    fn region(&self) -> Option<&str> {
        self.settings.region.as_deref()
    }

    fn offers(&self, kind: &ChallengeType) -> bool {
        self.settings.offers.contains(kind)
    }

    async fn look(&self, task: &Task) -> Result<Evidence, BoxError> {
        let body = serde_json::to_vec(task)?;
        let hash = hash(&body);
        let (tls, most) = (Some(&self.connector), self.settings.max_answer);
        let answer = post("it", &self.url, tls, &[], body, most).await?;
        let Answer { task, evidence } = serde_json::from_slice(&answer)?;
        if task == hash { Ok(evidence) } else { Err("it answers to another task".into()) }
    }
}

impl fmt::Debug for RemotePerspective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RemoteSettings { name, region, url, .. } = &self.settings;
        f.debug_struct("RemotePerspective")
            .field("name", name)
            .field("region", region)
            .field("url", url)
            .finish_non_exhaustive()
    }
}

/// Looks for whoever has sent this task, and answers the JSON to send back. That it may be sent at all is the caller's to
/// know: by the certificate that was shown.
///
/// # Errors
///
/// If it is no task, or nobody could look.
pub async fn answer(perspective: &dyn Perspective, task: &[u8]) -> Result<Vec<u8>, BoxError> {
    let evidence = perspective.look(&serde_json::from_slice(task)?).await?;
    Ok(serde_json::to_vec(&Answer { task: hash(task), evidence })?)
}

fn hash(task: &[u8]) -> String {
    base64url::encode(sha256(task))
}

fn connector(settings: &RemoteSettings) -> Result<SslConnector, InvalidRemote> {
    let (own, rest) = settings.chain.split_first().ok_or(InvalidRemote::Certificate)?;
    if settings.roots.is_empty() {
        return Err(InvalidRemote::Certificate);
    }
    let mut store = X509StoreBuilder::new()?;
    for root in &settings.roots {
        store.add_cert(root.clone())?;
    }
    let mut builder = SslConnector::builder(SslMethod::tls_client())?;
    builder.set_min_proto_version(Some(SslVersion::TLS1_3))?;
    builder.set_cert_store(store.build());
    builder.set_certificate(own)?;
    for certificate in rest {
        builder.add_extra_chain_cert(certificate.clone())?;
    }
    builder.set_private_key(&settings.key)?;
    builder.check_private_key()?;
    Ok(builder.build())
}
