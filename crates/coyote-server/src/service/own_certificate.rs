//! The certificate that the server itself is to serve HTTPS with.

use std::sync::Arc;

use coyote_jose::{Algorithm, SigningKey};
use coyote_protocol::{ChallengeType, Identifier, Timestamp, Token};
use coyote_storage::{
    Account, AccountId, Authorization, AuthorizationId, BeginIssuance, BeginValidation, Cause, Challenge,
    ChallengeId, Creation, NewOrder, Order, OrderId, Serial, ValidationOutcome,
};
use openssl::{
    ec::{EcGroup, EcKey},
    error::ErrorStack,
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private},
    stack::Stack,
    x509::{X509, X509Req, X509ReqBuilder, extension::SubjectAlternativeName},
};
use tracing::instrument;

use crate::{
    acme::Acme,
    error::{Error, Result},
};

/// Stands for a challenge where the word of whoever runs the server is the proof. No client is ever offered it.
pub(crate) const BY_OPERATOR: &str = "by-operator";

/// A certificate for the server itself.
#[derive(Clone, Debug)]
pub struct OwnCertificate {
    /// Its private key, which nobody else has.
    pub key: PKey<Private>,
    /// The certificate, then each one's issuer, without the root.
    pub chain: Vec<X509>,
    /// The last moment of its validity.
    pub not_after: Timestamp,
}

impl Acme {
    /// A new certificate for these names from the server's own issuer, with a new key: what it takes to serve HTTPS
    /// before any client can ask for a certificate.
    ///
    /// It is ordered, recorded and audited as any other, for an account whose key is thrown away. In place of a
    /// challenge stands the word of the caller, who is to be the one that runs the server. It is for the default
    /// profile.
    ///
    /// # Errors
    ///
    /// [`Error`], if the store or the issuer cannot be reached, or the issuer refuses.
    #[instrument(skip_all, fields(?names))]
    pub async fn own_certificate(self: &Arc<Self>, names: &[Identifier]) -> Result<OwnCertificate> {
        let now = self.clock.now();
        let cause = self.own_cause(now)?;
        let account = self.own_account_of(names, &cause).await?;
        let order = self.own_order(account, names, &cause).await?;
        self.vouch_for(&order, &cause).await?;

        let key = new_key().map_err(failed)?;
        let begin = BeginIssuance {
            account,
            order: order.id,
            csr: request(&key, names).and_then(|csr| csr.to_der()).map_err(failed)?,
            serial: Serial::from_random(self.entropy.bytes()?),
            lease: Some(self.lease_terms()?),
        };
        let begun = self.storage.begin_issuance(begin, &cause).await?;
        let lease = begun.lease.ok_or_else(|| failed("the job has another owner"))?;
        let order = self
            .issue_now_or_never(lease, begun.order)
            .await
            .ok_or_else(|| failed("the issuer failed; see the log"))?;
        let certificate = match (&order.certificate, order.error) {
            (Some(id), _) => self.storage.certificate(&account, id).await?,
            (None, Some(problem)) => return Err(problem.into()),
            (None, None) => return Err(failed("there is no certificate")),
        };
        let chain = X509::stack_from_pem(certificate.chain.as_bytes()).map_err(failed)?;
        Ok(OwnCertificate { key, chain, not_after: certificate.not_after })
    }

    async fn own_account_of(&self, names: &[Identifier], cause: &Cause) -> Result<AccountId> {
        let account = Account {
            id: AccountId::from_bytes(self.entropy.bytes()?),
            directory: self.directory.clone(),
            key: SigningKey::generate(Algorithm::ES256)?.jwk().clone(),
            contact: Vec::new(),
            terms_of_service_agreed: None,
            external_account: None,
            created: cause.now,
            deactivated: None,
            revoked: None,
        };
        tracing::debug!(account = %account.id, ?names, "an account for a certificate of the server's own");
        match self.storage.create_account(account, cause).await? {
            Creation::Created(account) | Creation::Existing(account) => Ok(account.id),
        }
    }

    async fn own_order(&self, account: AccountId, names: &[Identifier], cause: &Cause) -> Result<Order> {
        let expires = (cause.now + self.limits.order_lifetime).truncate_to_seconds();
        let authorization = |name: &Identifier| {
            let challenge = Challenge {
                id: ChallengeId::from_bytes(self.entropy.bytes()?),
                kind: ChallengeType::new(BY_OPERATOR),
                token: Token::from_bytes(&self.entropy.bytes::<32>()?),
                began: None,
                verdict: None,
                errors: Vec::new(),
                network: None,
            };
            Ok(Authorization {
                id: AuthorizationId::from_bytes(self.entropy.bytes()?),
                account,
                identifier: name.clone(),
                created: cause.now,
                expires,
                challenges: vec![challenge],
                deactivated: None,
                revoked: None,
            })
        };
        let order = Order {
            id: OrderId::from_bytes(self.entropy.bytes()?),
            account,
            authorizations: names.iter().map(authorization).collect::<Result<_>>()?,
            profile: Some(self.profiles.find(None)?.name.clone()),
            not_before: None,
            not_after: None,
            replaces: None,
            created: cause.now,
            expires,
            issuance: None,
            certificate: None,
            error: None,
            identifiers: names.to_vec(),
        };
        Ok(self
            .storage
            .create_order(NewOrder { order, reused: Vec::new(), most_open: u32::MAX }, cause)
            .await?)
    }

    async fn vouch_for(&self, order: &Order, cause: &Cause) -> Result<()> {
        for authorization in &order.authorizations {
            let Some(challenge) = authorization.challenges.first() else { continue };
            let begin = BeginValidation {
                account: order.account,
                authorization: authorization.id,
                challenge: challenge.id,
                lease: Some(self.lease_terms()?),
            };
            let begun = self.storage.begin_validation(begin, cause).await?;
            let lease = begun.lease.ok_or_else(|| failed("the job has another owner"))?;
            let outcome = ValidationOutcome::Valid { expires: order.expires };
            self.storage.finish_validation(lease, outcome, cause).await?;
        }
        Ok(())
    }
}

fn failed(source: impl Into<coyote_storage::BoxError>) -> Error {
    Error::internal("getting a certificate for the server itself", source)
}

fn new_key() -> Result<PKey<Private>, ErrorStack> {
    PKey::from_ec_key(EcKey::generate(&*EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?)?)
}

fn request(key: &PKey<Private>, names: &[Identifier]) -> Result<X509Req, ErrorStack> {
    let mut builder = X509ReqBuilder::new()?;
    builder.set_pubkey(key)?;
    let mut alternatives = SubjectAlternativeName::new();
    for name in names {
        match name {
            Identifier::Ip(address) => alternatives.ip(&address.to_string()),
            name => alternatives.dns(&name.value()),
        };
    }
    let mut extensions = Stack::new()?;
    extensions.push(alternatives.build(&builder.x509v3_context(None))?)?;
    builder.add_extensions(&extensions)?;
    builder.sign(key, MessageDigest::sha256())?;
    Ok(builder.build())
}

#[cfg(test)]
mod tests {
    use coyote_storage::MemoryStorage;

    use super::*;
    use crate::{
        SystemClock, SystemEntropy,
        issue::{CaFiles, CaRequest, LocalCa},
    };

    #[tokio::test]
    async fn a_server_gets_a_certificate_for_its_names_and_it_is_on_record() {
        let directory = tempfile::tempdir().unwrap();
        let (files, request) = (CaFiles::in_directory(directory.path()), CaRequest::new("Test"));
        let ca = LocalCa::load_or_create(&files, &request, &SystemClock, &SystemEntropy).unwrap();
        let storage = Arc::new(MemoryStorage::new());
        let acme = Acme::builder("https://ca.test", storage, Arc::new(ca)).build().unwrap();
        let names = [("dns", "ca.test"), ("ip", "127.0.0.1")]
            .map(|(kind, value)| Identifier::parse(kind, value).unwrap());

        let own = acme.own_certificate(&names).await.unwrap();

        let leaf = own.chain.first().unwrap();
        assert!(leaf.public_key().unwrap().public_eq(&own.key));
        let found = leaf.subject_alt_names().unwrap();
        assert!(found.iter().any(|name| name.dnsname() == Some("ca.test")));
        assert!(found.iter().any(|name| name.ipaddress() == Some(&[127, 0, 0, 1])));
        let serial = leaf.serial_number().to_bn().unwrap().to_vec();
        let serial = Serial::from_bytes(&serial).unwrap();
        assert_eq!(acme.storage.certificate_by_serial(&serial).await.unwrap().not_after, own.not_after);
    }

    #[test]
    fn no_client_is_offered_the_operators_word() {
        let directory = tempfile::tempdir().unwrap();
        let (files, request) = (CaFiles::in_directory(directory.path()), CaRequest::new("Test"));
        let ca = LocalCa::load_or_create(&files, &request, &SystemClock, &SystemEntropy).unwrap();
        let acme =
            Acme::builder("https://ca.test", Arc::new(MemoryStorage::new()), Arc::new(ca)).build().unwrap();
        assert!(acme.validator(&ChallengeType::new(BY_OPERATOR)).is_none());
    }
}
