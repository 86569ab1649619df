//! External account binding. RFC 8555 section 7.3.4.

use std::{sync::Arc, time::Duration};

use coyote_jose::{SigningKey, base64url};
use coyote_protocol::{DirectoryMeta, DnsName};
use coyote_server::ExternalAccountGrant;
use coyote_storage::{ExternalAccountKey, ExternalAccountStore};
use openssl::{hash::MessageDigest, pkey::PKey, sign::Signer};
use serde_json::{Value, json};
use tokio::{join, time::sleep};

use crate::{
    account::{Account, Answer, NEW_ACCOUNT, NEW_AUTHZ, join, key},
    parts::START,
    world::{World, directory},
};

const HOUR: Duration = Duration::from_secs(3600);

/// A binding, before it is signed: each part can be anything.
struct Binding {
    protected: Value,
    payload: String,
    secret: Vec<u8>,
}

impl Binding {
    /// A good one.
    fn new(external: &ExternalAccountKey, key: &SigningKey) -> Self {
        Self {
            protected: json!({"alg": "HS256", "kid": external.kid, "url": NEW_ACCOUNT}),
            payload: serde_json::to_string(key.jwk()).unwrap(),
            secret: external.secret.clone(),
        }
    }

    fn with(mut self, member: &str, value: &str) -> Self {
        self.protected[member] = value.into();
        self
    }

    fn without(mut self, member: &str) -> Self {
        self.protected.as_object_mut().unwrap().remove(member);
        self
    }

    fn sign(&self) -> Value {
        let digest = match self.protected["alg"].as_str() {
            Some("HS384") => MessageDigest::sha384(),
            Some("HS512") => MessageDigest::sha512(),
            _ => MessageDigest::sha256(),
        };
        let protected = base64url::encode(self.protected.to_string());
        let payload = base64url::encode(&self.payload);
        let mac_key = PKey::hmac(&self.secret).unwrap();
        let mut signer = Signer::new(digest, &mac_key).unwrap();
        let mac = signer.sign_oneshot_to_vec(format!("{protected}.{payload}").as_bytes()).unwrap();
        json!({"protected": protected, "payload": payload, "signature": base64url::encode(mac)})
    }
}

/// A key that is good for this.
async fn hand_out(world: &World, grant: ExternalAccountGrant) -> ExternalAccountKey {
    world.acme.create_external_account_key(grant, "operator").await.unwrap()
}

async fn join_bound(world: &World, key: &SigningKey, binding: &Value) -> Answer {
    join(&world.acme, key, &json!({"externalAccountBinding": binding})).await
}

/// An account that is bound to this.
async fn bound(world: &World, external: &ExternalAccountKey) -> Account {
    let key = key();
    let answer = join_bound(world, &key, &Binding::new(external, &key).sign()).await.expect(201);
    Account { acme: world.acme.clone(), key, url: answer.location() }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_handed_out_opens_an_account_that_shows_its_binding() {
    let world = World::saying(|meta| meta.external_account_required = true);
    let external = hand_out(&world, ExternalAccountGrant::default()).await;
    for algorithm in ["HS256", "HS384", "HS512"] {
        let key = key();
        let binding = Binding::new(&external, &key).with("alg", algorithm).sign();

        let answer = join_bound(&world, &key, &binding).await.expect(201);

        assert_eq!(answer.json["externalAccountBinding"], binding, "{algorithm}");
        let account = Account { acme: world.acme.clone(), key: key.clone(), url: answer.location() };
        assert_eq!(account.read(&account.url).await.json["externalAccountBinding"], binding, "{algorithm}");
    }
    let key = world.storage.external_account_key(world.acme.directory_id(), &external.kid).await.unwrap();
    assert_eq!(key.accounts, 3);
}

/// Who tries kids learns nothing of which there are.
#[tokio::test(start_paused = true)]
async fn whatever_keeps_a_key_from_opening_an_account_is_answered_alike() {
    let world = World::new();
    let grant = ExternalAccountGrant::default;
    let good = hand_out(&world, grant()).await;
    let once = hand_out(&world, ExternalAccountGrant { most_accounts: Some(1), ..grant() }).await;
    let expiring = hand_out(&world, ExternalAccountGrant { expires: Some(START + HOUR), ..grant() }).await;
    let revoked = hand_out(&world, grant()).await;
    let _ = bound(&world, &once).await;
    let _ = bound(&world, &expiring).await;
    let _ = world.acme.revoke_external_account_key(&revoked.kid, "operator").await.unwrap();
    sleep(HOUR).await;

    let key = key();
    let binding = |external| Binding::new(external, &key);
    let mut cut = binding(&good).sign();
    let mac = base64url::decode(cut["signature"].as_str().unwrap()).unwrap();
    cut["signature"] = base64url::encode(&mac[..16]).into();
    let cases = [
        ("wrong MAC", Binding { secret: vec![7; 32], ..binding(&good) }.sign()),
        ("MAC of another hash", {
            let mut jws = binding(&good).with("alg", "HS384").sign();
            jws["signature"] = binding(&good).sign()["signature"].clone();
            jws
        }),
        ("half a MAC", cut),
        ("unknown", binding(&good).with("kid", "AAAAAAAAAAAAAAAAAAAAAA").sign()),
        ("used up", binding(&once).sign()),
        ("expired", binding(&expiring).sign()),
        ("revoked", binding(&revoked).sign()),
    ];
    let mut told = Vec::new();
    for (what, binding) in cases {
        let answer = join_bound(&world, &key, &binding).await;
        println!("{what}: {}", answer.json);
        told.push(answer.refused(403, "unauthorized").json);
    }
    assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "{told:#?}");
    let _ = join(&world.acme, &key, &json!({"onlyReturnExisting": true}))
        .await
        .refused(400, "accountDoesNotExist");
}

#[tokio::test(start_paused = true)]
async fn a_binding_that_is_not_of_this_request_is_malformed() {
    let world = World::new();
    let external = hand_out(&world, ExternalAccountGrant::default()).await;
    let (key, other) = (key(), key());
    let binding = || Binding::new(&external, &key);
    let jwk = serde_json::to_value(key.jwk()).unwrap();
    let cases = [
        ("a nonce", binding().with("nonce", "AAAAAAAAAAAAAAAAAAAAAA").sign()),
        ("another url", binding().with("url", "https://ca.example/acme/new-order").sign()),
        ("no url", binding().without("url").sign()),
        ("no kid", binding().without("kid").sign()),
        ("another key", Binding::new(&external, &other).sign()),
        ("no key", Binding { payload: "{}".into(), ..binding() }.sign()),
        ("a signature", binding().with("alg", "ES256").sign()),
        ("none", binding().with("alg", "none").sign()),
        ("an empty MAC", {
            let mut jws = binding().sign();
            jws["signature"] = "".into();
            jws
        }),
        ("a jwk", {
            let mut with_jwk = binding().without("kid");
            with_jwk.protected["jwk"] = jwk;
            with_jwk.sign()
        }),
        ("no JWS", json!({"protected": "e30"})),
    ];
    for (what, binding) in cases {
        let answer = join_bound(&world, &key, &binding).await;
        println!("{what}: {}", answer.json);
        let _ = answer.refused(400, "malformed");
    }
}

#[tokio::test(start_paused = true)]
async fn where_a_binding_is_required_no_account_is_opened_without_and_those_that_exist_are_found() {
    let world = World::new();
    let old = world.account().await;
    let meta = DirectoryMeta { external_account_required: true, ..DirectoryMeta::default() };
    let strict = world.beside(&world.validator).with_meta(meta).build().unwrap();

    let _ = join(&strict, &key(), &json!({})).await.refused(403, "externalAccountRequired");

    let found = join(&strict, &old.key, &json!({})).await.expect(200);
    assert_eq!(found.location(), old.url);
    assert_eq!(directory(&strict)["meta"]["externalAccountRequired"], true);
}

#[tokio::test(start_paused = true)]
async fn an_account_gets_the_names_that_its_external_account_was_granted() {
    let world = World::new();
    let domains = vec![DnsName::parse("corp.example").unwrap()];
    let external = hand_out(&world, ExternalAccountGrant { domains, ..Default::default() }).await;
    let account = bound(&world, &external).await;

    let _ = account.order(&["corp.example", "a.b.corp.example"]).await;

    let names = ["corp.example", "evilcorp.example", "example"];
    let answer = account.ask(&names, json!({})).await.refused(400, "rejectedIdentifier");
    let refused = answer.json["subproblems"].as_array().unwrap();
    let refused: Vec<_> = refused.iter().map(|problem| problem["identifier"]["value"].clone()).collect();
    assert_eq!(refused, ["evilcorp.example", "example"]);
    let elsewhere = json!({"identifier": {"type": "dns", "value": "corp.test"}});
    let _ = account.post(NEW_AUTHZ, &elsewhere).await.refused(403, "rejectedIdentifier");
    let _ = world.account().await.order(&["corp.test"]).await;
}

#[tokio::test(start_paused = true)]
async fn an_account_outlives_the_key_that_opened_it() {
    let world = World::new();
    let grant = ExternalAccountGrant { expires: Some(START + HOUR), ..Default::default() };
    let external = hand_out(&world, grant).await;
    let account = bound(&world, &external).await;
    let _ = world.acme.revoke_external_account_key(&external.kid, "operator").await.unwrap();
    sleep(2 * HOUR).await;

    let _ = account.issue(&["a.example"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_key_for_one_account_opens_one_even_if_two_ask_at_once() {
    let world = World::new();
    let external =
        hand_out(&world, ExternalAccountGrant { most_accounts: Some(1), ..Default::default() }).await;
    let keys: [Arc<SigningKey>; 2] = [key(), key()];
    let bindings = keys.each_ref().map(|key| Binding::new(&external, key).sign());

    let (one, two) =
        join!(join_bound(&world, &keys[0], &bindings[0]), join_bound(&world, &keys[1], &bindings[1]));

    let mut statuses = [one.status(), two.status()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 403]);
}

#[tokio::test(start_paused = true)]
async fn secrets_have_256_bits_and_kids_128_and_none_is_made_twice() {
    let world = World::new();
    let one = hand_out(&world, ExternalAccountGrant::default()).await;
    let two = hand_out(&world, ExternalAccountGrant::default()).await;
    assert_eq!((one.secret.len(), base64url::decode(&one.kid).unwrap().len()), (32, 16));
    assert!(one.secret != two.secret && one.kid != two.kid);
    assert_eq!(one.created, START);
}
