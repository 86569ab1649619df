//! Asking a program elsewhere.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use coyote_jose::base64url;
use coyote_protocol::{Identifier, Problem, ProblemType, RawIdentifier};
use coyote_storage::{BoxError, Order};
use openssl::{
    error::ErrorStack,
    hash::MessageDigest,
    pkey::{PKey, Private},
    sign::Signer,
    ssl::{SslConnector, SslMethod, SslVersion},
    x509::X509,
};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use url::{Host, Url};

use super::{Applicant, Decision, Policy, Verdict};
use crate::{clock::Clock, issue::Csr, post};

/// The longest sentence that a client is told in the words of a webhook, in characters.
const LONGEST_DETAIL: usize = 500;

/// What a webhook is, and how far it is trusted.
#[derive(Clone)]
#[non_exhaustive]
pub struct WebhookSettings {
    /// Where questions are sent: https, or http to the loopback.
    pub url: String,
    /// What they are signed with: 16 bytes at least.
    pub secret: Vec<u8>,
    /// How long an answer may take, connecting included; 5 seconds by default.
    pub timeout: Duration,
    /// How many bytes an answer may have; 64 KiB by default.
    pub max_answer: usize,
    /// Whether it may say that there is nothing to prove. By default it may not: then that is no more than "allow".
    pub may_vouch: bool,
    /// The root certificates that its own must come from. Empty, the default: those of the system's OpenSSL.
    pub roots: Vec<X509>,
}

impl WebhookSettings {
    /// A webhook at this URL, that shares this secret.
    pub fn new(url: impl Into<String>, secret: impl Into<Vec<u8>>) -> Self {
        Self {
            url: url.into(),
            secret: secret.into(),
            timeout: Duration::from_secs(5),
            max_answer: 64 << 10,
            may_vouch: false,
            roots: Vec::new(),
        }
    }
}

/// A policy that asks a program over HTTP: one POST for each new account, identifier and finalization.
///
/// The body is JSON: `event` (`newAccount`, `identifier` or `finalize`), `directory`, `account` (`id`, `contact`, and
/// `externalAccount`, the `kid` of the key that opened it), `client`, `profile`; for an identifier `identifier`; for a
/// finalization `order`, `identifiers` and `publicKey` (DER in base64url). `X-Coyote-Timestamp` has the time in seconds
/// since 1970, and `X-Coyote-Signature` has `sha256=` and in hexadecimal the HMAC-SHA256, with the shared secret, of
/// the timestamp, a dot and the body.
///
/// The answer has status 200 and JSON: `verdict` (`allow`, `deny` or `already-valid`); and if it likes `detail`, which the
/// client is told of a denial, and `rule`, which it is not. Anything else is no decision: nothing is issued.
pub struct Webhook {
    url: Url,
    secret: PKey<Private>,
    connector: Option<SslConnector>,
    settings: WebhookSettings,
    clock: Arc<dyn Clock>,
}

/// Why a webhook cannot be asked as it is set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidWebhook {
    /// It is no URL, or one that others could answer for.
    #[error("the URL of a webhook is https, or http to the loopback, without a user or fragment")]
    Url,
    /// The secret could be guessed.
    #[error("the secret of a webhook has 16 bytes at least")]
    Secret,
    /// OpenSSL cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] ErrorStack),
}

/// A question.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Question<'a> {
    event: &'static str,
    directory: String,
    account: Asking<'a>,
    client: Option<String>,
    profile: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identifier: Option<RawIdentifier>,
    #[serde(flatten)]
    finalize: Option<Finalizing>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Asking<'a> {
    id: String,
    contact: &'a [String],
    external_account: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Finalizing {
    order: String,
    identifiers: Vec<RawIdentifier>,
    public_key: String,
}

#[derive(Deserialize)]
struct Answer {
    verdict: Word,
    detail: Option<String>,
    rule: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Word {
    Allow,
    Deny,
    AlreadyValid,
}

impl Webhook {
    /// A webhook, which is not asked yet. Its questions bear the time of this clock.
    ///
    /// # Errors
    ///
    /// [`InvalidWebhook`].
    pub fn new(settings: WebhookSettings, clock: Arc<dyn Clock>) -> Result<Self, InvalidWebhook> {
        let url = Url::parse(&settings.url).map_err(|_| InvalidWebhook::Url)?;
        let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        let connector = match url.scheme() {
            "https" if plain => Some(connector(&settings.roots)?),
            "http" if plain && is_loopback(&url) => None,
            _ => return Err(InvalidWebhook::Url),
        };
        if settings.secret.len() < 16 {
            return Err(InvalidWebhook::Secret);
        }
        let secret = PKey::hmac(&settings.secret)?;
        Ok(Self { url, secret, connector, settings, clock })
    }

    async fn ask(&self, question: &Question<'_>) -> Result<Verdict, BoxError> {
        let body = serde_json::to_vec(question)?;
        let timestamp = self.clock.now().as_seconds().to_string();
        let signature = format!("sha256={}", self.sign(&timestamp, &body)?);
        let headers = [("x-coyote-timestamp", timestamp), ("x-coyote-signature", signature)];
        let (tls, most) = (self.connector.as_ref(), self.settings.max_answer);
        let call = post::post("the webhook", &self.url, tls, &headers, body, most);
        let answer =
            timeout(self.settings.timeout, call).await.map_err(|_| "the webhook took too long")??;
        let Answer { verdict, detail, rule } = serde_json::from_slice(&answer)?;
        let rule = rule.unwrap_or_else(|| "the webhook".to_owned());
        let verdict = match verdict {
            Word::AlreadyValid if self.settings.may_vouch => Verdict::already_valid(),
            Word::Allow | Word::AlreadyValid => Verdict::allow(),
            Word::Deny => denial(question, detail),
        };
        Ok(verdict.by(rule))
    }

    fn sign(&self, timestamp: &str, body: &[u8]) -> Result<String, ErrorStack> {
        let mut signer = Signer::new(MessageDigest::sha256(), &self.secret)?;
        signer.update(timestamp.as_bytes())?;
        signer.update(b".")?;
        signer.update(body)?;
        Ok(signer.sign_to_vec()?.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

#[async_trait]
impl Policy for Webhook {
    async fn new_account(&self, applicant: &Applicant<'_>) -> Result<Verdict, BoxError> {
        self.ask(&Question::new("newAccount", applicant)).await
    }

    async fn identifier(
        &self,
        applicant: &Applicant<'_>,
        identifier: &Identifier,
    ) -> Result<Verdict, BoxError> {
        let question = Question::new("identifier", applicant);
        self.ask(&Question { identifier: Some(identifier.into()), ..question }).await
    }

    async fn finalize(
        &self,
        applicant: &Applicant<'_>,
        order: &Order,
        csr: &Csr,
    ) -> Result<Verdict, BoxError> {
        let finalize = Finalizing {
            order: order.id.to_string(),
            identifiers: order.identifiers.iter().map(RawIdentifier::from).collect(),
            public_key: base64url::encode(csr.public_key().public_key_to_der()?),
        };
        self.ask(&Question { finalize: Some(finalize), ..Question::new("finalize", applicant) }).await
    }
}

impl<'a> Question<'a> {
    fn new(event: &'static str, applicant: &Applicant<'a>) -> Self {
        let Applicant { account, client, profile } = *applicant;
        Self {
            event,
            directory: applicant.directory().to_string(),
            account: Asking {
                id: account.id.to_string(),
                contact: &account.contact,
                external_account: applicant.external_account(),
            },
            client: client.map(|client| client.to_string()),
            profile,
            identifier: None,
            finalize: None,
        }
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

fn denial(question: &Question<'_>, detail: Option<String>) -> Verdict {
    let kind = match question.identifier {
        Some(_) => ProblemType::RejectedIdentifier,
        None => ProblemType::Unauthorized,
    };
    let detail = detail.unwrap_or_else(|| "the policy of this server refuses this".to_owned());
    let detail: String = detail.chars().filter(|c| !c.is_control()).take(LONGEST_DETAIL).collect();
    Verdict { decision: Decision::Deny(Problem::new(kind, detail)), rule: None }
}

fn connector(roots: &[X509]) -> Result<SslConnector, ErrorStack> {
    let mut builder = SslConnector::builder(SslMethod::tls_client())?;
    builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    if !roots.is_empty() {
        let mut store = openssl::x509::store::X509StoreBuilder::new()?;
        for root in roots {
            store.add_cert(root.clone())?;
        }
        builder.set_cert_store(store.build());
    }
    Ok(builder.build())
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
