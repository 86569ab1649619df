//! Terms of service, and their change. RFC 8555 sections 7.3 and 7.3.3.

use std::time::Duration;

use coyote_protocol::{DirectoryMeta, Timestamp};
use serde_json::json;
use tokio::time::sleep;

use crate::{
    account::{Answer, NEW_AUTHZ, NEW_ORDER, join, key},
    parts::START,
    world::World,
};

const TERMS: &str = "https://ca.example/terms/2";

fn with_terms(changed: Option<Timestamp>) -> World {
    let meta = DirectoryMeta { terms_of_service: Some(TERMS.into()), ..DirectoryMeta::default() };
    World::with(|builder| {
        let builder = builder.with_meta(meta);
        match changed {
            Some(at) => builder.with_terms_changed(at),
            None => builder,
        }
    })
}

/// The answer, which leads to the terms.
fn leads_to_terms(answer: Answer) {
    let answer = answer.refused(403, "userActionRequired");
    assert_eq!(answer.links("terms-of-service"), [TERMS]);
    assert_eq!(answer.json["instance"], TERMS);
}

#[tokio::test(start_paused = true)]
async fn an_account_is_opened_by_who_agrees() {
    let world = with_terms(None);
    for payload in [json!({}), json!({"termsOfServiceAgreed": false})] {
        leads_to_terms(join(&world.acme, &key(), &payload).await);
    }
    let account = world.account().await;
    assert_eq!(account.read(&account.url).await.json["termsOfServiceAgreed"], true);
    let _ = account.order(&["a.example"]).await;
}

#[tokio::test(start_paused = true)]
async fn who_agreed_to_terms_that_have_changed_since_orders_nothing_until_they_agree_again() {
    let hour = Duration::from_secs(3600);
    let world = with_terms(Some(START + hour));
    let account = world.account().await;
    let _ = account.order(&["before.example"]).await;
    sleep(2 * hour).await;

    let identifier = json!({"type": "dns", "value": "a.example"});
    leads_to_terms(account.post(NEW_ORDER, &json!({"identifiers": [identifier]})).await);
    leads_to_terms(account.post(NEW_AUTHZ, &json!({"identifier": identifier})).await);
    let _ = account.read(&account.url).await;

    let _ = account.post(&account.url, &json!({"termsOfServiceAgreed": true})).await.expect(200);
    let _ = account.issue(&["a.example"]).await;
    let _ = world.account().await.order(&["b.example"]).await;
}
