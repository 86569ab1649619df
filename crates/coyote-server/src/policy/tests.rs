use coyote_jose::{Algorithm, SigningKey};
use coyote_protocol::Timestamp;
use coyote_storage::{AccountId, ExternalAccount};

use super::*;

/// An account that was opened with the key `kid-1`.
pub(super) fn account() -> Account {
    Account {
        id: AccountId::from_bytes([1; 16]),
        directory: DirectoryId::default(),
        key: SigningKey::generate(Algorithm::ES256).unwrap().jwk().clone(),
        contact: Vec::new(),
        terms_of_service_agreed: None,
        external_account: Some(ExternalAccount { kid: "kid-1".into(), binding: serde_json::Value::Null }),
        created: Timestamp::from_seconds(0),
        deactivated: None,
        revoked: None,
    }
}

pub(super) fn dns(name: &str) -> Identifier {
    Identifier::parse("dns", name).unwrap()
}

/// Says the same of every identifier.
struct Always(Verdict);

#[async_trait]
impl Policy for Always {
    async fn identifier(&self, _: &Applicant<'_>, _: &Identifier) -> Result<Verdict, BoxError> {
        Ok(self.0.clone())
    }
}

/// Cannot decide.
struct Away;

#[async_trait]
impl Policy for Away {
    async fn identifier(&self, _: &Applicant<'_>, _: &Identifier) -> Result<Verdict, BoxError> {
        Err("away".into())
    }
}

#[tokio::test]
async fn what_one_of_several_policies_denies_is_denied() {
    let (account, name) = (account(), dns("a.example"));
    let applicant = Applicant::new(&account);
    let no = || Verdict::reject(&dns("a.example")).by("no");
    let yes = Verdict::allow;
    let vouched = Verdict::already_valid;
    for (verdicts, expected) in [
        ([yes(), yes(), yes()], Verdict::allow()),
        ([yes(), vouched(), yes()], Verdict::already_valid()),
        ([vouched(), yes(), no()], no()),
        ([no(), vouched(), yes()], no()),
    ] {
        let policy = verdicts.into_iter().fold(AllOf::default(), |all, verdict| all.and(Always(verdict)));
        assert_eq!(policy.identifier(&applicant, &name).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_policy_that_cannot_decide_keeps_all_from_deciding_but_a_denial_before_it() {
    let (account, name) = (account(), dns("a.example"));
    let applicant = Applicant::new(&account);
    let policy = AllOf::default().and(AllowAll).and(Away);
    assert!(policy.identifier(&applicant, &name).await.is_err());
    let policy = AllOf::default().and(Always(Verdict::reject(&name))).and(Away);
    assert!(matches!(policy.identifier(&applicant, &name).await.unwrap().decision, Decision::Deny(_)));
}
