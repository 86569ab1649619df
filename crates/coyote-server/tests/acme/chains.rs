//! Alternate chains. RFC 8555 section 7.4.2.

use crate::{account::Account, world::World};

async fn alternates(account: &Account, url: &str) -> Vec<String> {
    let answer = account.post_as_get(url).await.expect(200);
    answer.links("alternate").into_iter().map(str::to_owned).collect()
}

#[tokio::test(start_paused = true)]
async fn each_chain_leads_to_the_others() {
    let world = World::new();
    world.issuer.add_alternates();
    let account = world.account().await;
    let order = account.issue(&["a.example"]).await;
    let first = order.text("certificate");
    let other = format!("{first}/1");

    assert_eq!(alternates(&account, &first).await, [&*other]);
    assert_eq!(alternates(&account, &other).await, [&*first]);

    let chain = account.chain(&order).await;
    let longer = account.post_as_get(&other).await.expect(200).chain();
    assert_eq!((chain.len(), longer.len()), (2, 3), "leaf and intermediate; and the root");
    assert!(chain == longer[..2], "one leaf, whatever the chain");
}

#[tokio::test(start_paused = true)]
async fn there_is_no_chain_but_those_and_nothing_for_strangers() {
    let world = World::new();
    world.issuer.add_alternates();
    let account = world.account().await;
    let url = account.issue(&["a.example"]).await.text("certificate");
    for none in [2, 99, usize::MAX] {
        let _ = account.post_as_get(&format!("{url}/{none}")).await.refused(404, "malformed");
    }
    let _ = world.account().await.post_as_get(&format!("{url}/1")).await.refused(403, "unauthorized");
}

#[tokio::test(start_paused = true)]
async fn a_certificate_with_one_chain_leads_nowhere() {
    let world = World::new();
    let account = world.account().await;
    let url = account.issue(&["a.example"]).await.text("certificate");
    assert_eq!(alternates(&account, &url).await, Vec::<String>::new());
    let _ = account.post_as_get(&format!("{url}/1")).await.refused(404, "malformed");
}
