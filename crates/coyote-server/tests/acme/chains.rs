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

const DER: &str = "application/pkix-cert";
const PEM: &str = "application/pem-certificate-chain";

/// Each certificate leads to its issuer's, up to the last below the root.
#[tokio::test(start_paused = true)]
async fn a_certificate_alone_leads_up_to_those_that_certify_it() {
    let world = World::new();
    world.issuer.add_alternates();
    let account = world.account().await;
    let order = account.issue(&["a.example"]).await;
    let first = order.text("certificate");
    for url in [first.clone(), format!("{first}/1")] {
        let chain = account.post_as_get(&url).await.expect(200).chain();
        let mut answer = account.read_as(&url, DER).await.expect(200);
        assert_eq!(answer.links("alternate").len(), 1, "the other chain");
        let mut climbed = vec![answer.certificate()];
        while let [up] = answer.links("up")[..] {
            let up = up.to_owned();
            answer = account.read_as(&up, DER).await.expect(200);
            climbed.push(answer.certificate());
            let pem = account.post_as_get(&up).await.expect(200).chain();
            assert_eq!(pem, climbed[climbed.len() - 1..], "PEM if nothing is asked for");
        }
        assert_eq!(climbed, chain, "{url}");
    }
    for none in ["0/2", "0/99", "1/3", "2/1"] {
        let _ = account.read_as(&format!("{first}/{none}"), DER).await.refused(404, "malformed");
    }
    let _ = world.account().await.read_as(&format!("{first}/0/1"), DER).await.refused(403, "unauthorized");
}

/// RFC 8555 section 7.4.2; RFC 9110 section 12.5.1.
#[tokio::test(start_paused = true)]
async fn a_certificate_comes_in_the_form_that_the_client_would_rather_have() {
    let world = World::new();
    let account = world.account().await;
    let url = account.issue(&["a.example"]).await.text("certificate");
    for accept in ["*/*", "application/*", PEM, "application/pkix-cert;q=0.5, */*;q=0.6"] {
        assert_eq!(account.read_as(&url, accept).await.expect(200).chain().len(), 2, "{accept}");
    }
    for accept in [DER, "application/pem-certificate-chain;q=0.1, application/pkix-cert"] {
        let _ = account.read_as(&url, accept).await.expect(200).certificate();
    }
    for accept in ["application/json", "*/*;q=0", "application/pkcs7-mime"] {
        let answer = account.read_as(&url, accept).await.refused(406, "malformed");
        let detail = answer.json["detail"].as_str().unwrap();
        assert!(detail.contains(PEM) && detail.contains(DER), "{detail}");
    }
}
