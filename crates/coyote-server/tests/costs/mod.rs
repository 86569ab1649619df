//! What each ACME operation asks of its store, counted through the server, and what `docs/storage-costs.md` says of that.
//! The tests of the stores include this file, and bring the counter.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Duration};

use coyote_jose::{KeyId, base64url, sign};
use coyote_server::{Acme, Limits};
use coyote_storage::Storage;
use openssl::x509::X509;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    account::{Account, NEW_AUTHZ, NEW_ORDER, Object, REVOKE_CERT, join, key, renewal_info},
    parts::{TestClock, TestIssuer, TestValidator},
    world::BASE,
};

const KEY_CHANGE: &str = "https://ca.example/acme/key-change";

/// How long a validator and an issuer take: shorter than a lease is renewed after, and longer than all that is counted
/// before they answer.
const TAKES: Duration = Duration::from_secs(1);

/// Counts what a store is asked. It begins anew with each look.
pub(crate) trait Counter {
    /// What was asked since the last look, as the columns of the documentation have it.
    fn look(&self) -> Vec<u64>;
}

/// What each operation has cost, by the names that the documentation has for them.
pub(crate) struct Costs<C> {
    counter: C,
    counted: BTreeMap<&'static str, Vec<u64>>,
}

impl<C: Counter> Costs<C> {
    pub(crate) fn new(counter: C) -> Self {
        Self { counter, counted: BTreeMap::new() }
    }

    async fn of<T>(&mut self, operation: &'static str, done: impl Future<Output = T>) -> T {
        self.counter.look();
        let done = done.await;
        self.counted.insert(operation, self.counter.look());
        done
    }

    /// What happens once somebody else has answered.
    async fn later(&mut self, operation: &'static str) {
        self.of(operation, sleep(TAKES * 5)).await;
    }

    /// Every operation, twice: the first time, statements are prepared.
    pub(crate) async fn count(&mut self, acme: &Arc<Acme>) {
        for _ in 0..2 {
            self.accounts(acme).await;
            self.an_issuance(acme).await;
        }
    }

    async fn accounts(&mut self, acme: &Arc<Acme>) {
        self.of("newNonce", acme.new_nonce(true)).await;
        let key = key();
        let agreed = json!({"termsOfServiceAgreed": true});
        let account = self.of("newAccount", join(acme, &key, &agreed)).await.expect(201).location();
        let found = json!({"onlyReturnExisting": true});
        let found = self.of("newAccount, of an account", join(acme, &key, &found)).await;
        assert_eq!(found.expect(200).location(), account);
        let account = Account { acme: acme.clone(), key, url: account };
        let change = change_of_key(&account);
        self.of("keyChange", account.post(KEY_CHANGE, &change)).await.expect(200);
    }

    async fn an_issuance(&mut self, acme: &Arc<Acme>) {
        let account = &Account::open(acme).await;
        let ten: Vec<String> = (0..10).map(|n| format!("{n}.example")).collect();
        let ten: Vec<&str> = ten.iter().map(String::as_str).collect();
        self.of("newOrder, 10 names", account.ask(&ten, json!({}))).await.created();
        let order = self.of("newOrder, 1 name", account.ask(&["a.example"], json!({}))).await.created();
        self.of("order", account.read(&order.url)).await;
        let authorization = order.list("authorizations").remove(0);
        let challenge = self.of("authorization", account.read(&authorization)).await.challenge().url;
        self.of("challenge", account.post(&challenge, &json!({}))).await.expect(200);
        self.later("a validation ends").await;
        let order = account.read(&order.url).await;
        self.of("finalize", account.finalize(&order)).await.expect(200);
        self.later("an issuance ends").await;
        let order: Object = account.read(&order.url).await;
        let chain = self.of("certificate", account.post_as_get(&order.text("certificate"))).await;
        let leaf = chain.expect(200).chain().remove(0);
        let identifier = identifier(&leaf);
        self.of("renewalInfo", renewal_info(acme, &identifier)).await.expect(200);
        let orders = format!("{}/orders", account.url);
        self.of("orders list", account.read(&orders)).await;
        let again = json!({"identifiers": [{"type": "dns", "value": "a.example"}]});
        self.of("newOrder, 1 name that is authorized", account.post(NEW_ORDER, &again)).await.created();
        let name = json!({"identifier": {"type": "dns", "value": "b.example"}});
        self.of("newAuthz", account.post(NEW_AUTHZ, &name)).await.created();
        let revoked = json!({"certificate": base64url::encode(leaf.to_der().unwrap())});
        self.of("revokeCert", account.post(REVOKE_CERT, &revoked)).await.expect(200);
    }

    /// The costs are what the documentation says in the columns of this store.
    pub(crate) fn compare(&self, columns: std::ops::Range<usize>) {
        let documented = documented(columns);
        for (operation, counted) in &self.counted {
            println!("| {operation} | {counted:?}");
        }
        let counted = self.counted.iter().map(|(operation, costs)| ((*operation).to_owned(), costs.clone()));
        assert_eq!(counted.collect::<BTreeMap<_, _>>(), documented, "counted; and documented");
    }
}

/// A server over this store, which waits for nobody, and whose issuer needs not be told of revocations, like the CA in
/// files.
pub(crate) fn server(
    storage: Arc<dyn Storage>,
    nonces: Option<Arc<dyn coyote_storage::NonceStore>>,
) -> Arc<Acme> {
    let (issuer, validator) =
        (TestIssuer::default(), TestValidator::new(coyote_protocol::ChallengeType::HTTP_01));
    issuer.take(TAKES);
    issuer.ignore_revocations();
    validator.take(TAKES);
    let limits = Limits { linger: Duration::ZERO, ..Limits::default() };
    let builder = Acme::builder(BASE, storage, Arc::new(issuer))
        .with_clock(Arc::new(TestClock::new()))
        .with_validator(validator)
        .with_limits(limits);
    let builder = match nonces {
        Some(nonces) => builder.with_nonces(nonces),
        None => builder,
    };
    builder.build().unwrap()
}

/// The table of the documentation: the numbers in these columns, by operation.
fn documented(columns: std::ops::Range<usize>) -> BTreeMap<String, Vec<u64>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/storage-costs.md");
    let text = fs::read_to_string(file).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let rows = rows.map(|row| row.split(" | ").map(str::trim).collect::<Vec<_>>());
    let numbers = |row: Vec<&str>| {
        let costs = row.get(columns.clone())?.iter().map(|cell| cell.parse().ok()).collect::<Option<_>>()?;
        Some((row[0].to_owned(), costs))
    };
    rows.filter_map(numbers).collect()
}

/// RFC 8555 section 7.3.5.
fn change_of_key(account: &Account) -> Value {
    let new = key();
    let payload = json!({"account": account.url, "oldKey": account.key.jwk()}).to_string();
    let inner = sign(&new, KeyId::Jwk(Box::new(new.jwk().clone())), None, KEY_CHANGE, payload.as_bytes());
    serde_json::from_str(&inner.unwrap()).unwrap()
}

/// RFC 9773 section 4.1.
fn identifier(certificate: &X509) -> String {
    let authority = certificate.authority_key_id().unwrap().as_slice();
    let serial = certificate.serial_number().to_bn().unwrap().to_vec();
    coyote_protocol::CertificateIdentifier::new(authority, &serial).to_string()
}
