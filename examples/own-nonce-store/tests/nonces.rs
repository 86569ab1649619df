//! The promises that every nonce store keeps, and a server that relies on them.

#![allow(clippy::unwrap_used, reason = "these are tests, also outside of the functions that are marked so")]

use std::{future::pending, net::TcpListener, sync::Arc, thread};

use actix_web::{App, HttpServer};
use async_trait::async_trait;
use coyote_server::{
    Acme, Clock, SystemClock, SystemEntropy, http,
    issue::{CaFiles, CaRequest, LocalCa},
    protocol::{ChallengeType, Nonce, Timestamp},
    storage::{MemoryStorage, NonceStore, Result},
    validate::danger::AcceptAnyChallenge,
};
use integration_tests::{Client, Http};
use own_nonce_store::DirectoryNonces;
use serde_json::json;
use tempfile::TempDir;

/// A store whose directory goes with it.
struct Fresh {
    nonces: DirectoryNonces,
    _directory: TempDir,
}

#[async_trait]
impl NonceStore for Fresh {
    async fn issue(&self, now: Timestamp) -> Result<Nonce> {
        self.nonces.issue(now).await
    }

    async fn consume(&self, nonce: &Nonce, now: Timestamp) -> Result<bool> {
        self.nonces.consume(nonce, now).await
    }
}

async fn fresh() -> Arc<dyn NonceStore> {
    let directory = TempDir::new().unwrap();
    Arc::new(Fresh { nonces: DirectoryNonces::open(directory.path()).unwrap(), _directory: directory })
}

coyote_storage::nonce_conformance!(fresh);

#[actix_web::test]
async fn what_one_process_issued_another_accepts_and_a_sweep_forgets() {
    let directory = TempDir::new().unwrap();
    let [one, other] = [(); 2].map(|()| DirectoryNonces::open(directory.path()).unwrap());
    let now = SystemClock.now();
    let nonce = one.issue(now).await.unwrap();
    assert!(other.consume(&nonce, now).await.unwrap());
    assert!(!one.consume(&nonce, now).await.unwrap(), "it was used");

    one.sweep(now + DirectoryNonces::LIFETIME).await.unwrap();
    let much_later = now + DirectoryNonces::LIFETIME * 2;
    assert_eq!(directory.path().read_dir().unwrap().count(), 2, "the key, and the hour that is just over");
    one.sweep(much_later).await.unwrap();
    assert_eq!(directory.path().read_dir().unwrap().count(), 1, "the key");
    assert!(!one.consume(&nonce, much_later).await.unwrap(), "it is too old");
}

#[test]
fn a_server_issues_with_them() {
    let directory = TempDir::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    let acme = {
        let (files, request) = (CaFiles::in_directory(directory.path()), CaRequest::new("Example"));
        let ca = LocalCa::load_or_create(&files, &request, &SystemClock, &SystemEntropy).unwrap();
        let nonces = DirectoryNonces::open(directory.path().join("nonces")).unwrap();
        Acme::builder(&base_url, Arc::new(MemoryStorage::new()), Arc::new(ca))
            .with_nonces(Arc::new(nonces))
            .with_validator(AcceptAnyChallenge::new(ChallengeType::HTTP_01))
            .build()
            .unwrap()
    };
    thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            actix_web::rt::spawn(acme.clone().run_jobs(pending()));
            let server = HttpServer::new(move || App::new().configure(http::routes(acme.clone()))).workers(1);
            server.listen(listener).unwrap().run().await
        })
    });

    let account = Client::new(Http::plain(&base_url)).account();
    let order = account.order(&["a.test"]);
    for authorization in account.authorizations(&order) {
        let challenge = authorization.challenge("http-01");
        drop(account.post(&challenge.url, &json!({})).expect(200));
        assert_eq!(account.settled(&authorization.url).status(), "valid");
    }
    assert!(account.certificate(&account.read(&order.url)).contains("BEGIN CERTIFICATE"));
    let used = directory.path().join("nonces").read_dir().unwrap().filter_map(Result::ok);
    assert!(used.filter(|entry| entry.path().is_dir()).count() > 0, "the nonces were used there");
}
