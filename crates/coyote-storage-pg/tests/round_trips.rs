//! How often an operation waits for the server, measured: between the two is a proxy that delivers late.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "these are tests, also outside of the functions that are marked so"
)]

mod common;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use common::*;
use coyote_protocol::RevocationReason;
use coyote_storage::{
    AccountStore, AuthorizationStore, BeginIssuance, BeginRevocation, BeginValidation, CertificateStore,
    Claim, DirectoryId, IssuanceOutcome, JobQueue, NonceStore, OrderStore, Quota, RateLimitStore,
    RevocationOutcome, Sweep, Telling, ValidationOutcome,
};
use coyote_storage_pg::{PgOptions, PgStorage};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    time::{sleep_until, timeout},
};
use tokio_postgres::config::Host;

/// Much longer than anything that the server does takes, also on a busy machine.
const LATENCY: Duration = Duration::from_millis(150);

/// What is sent to the server arrives this many milliseconds later.
#[derive(Clone, Default)]
struct Latency(Arc<AtomicU64>);

impl Latency {
    /// How many round trips this waits for.
    async fn round_trips<T>(&self, operation: impl Future<Output = T>) -> (u128, T) {
        self.0.store(LATENCY.as_millis() as u64, Ordering::SeqCst);
        let began = Instant::now();
        let answer = timeout(LATENCY * 60, operation).await.expect("an answer");
        let trips = began.elapsed().as_millis() / LATENCY.as_millis();
        self.0.store(0, Ordering::SeqCst);
        (trips, answer)
    }
}

/// The URL of the database behind a proxy with this latency.
async fn behind_a_proxy(database: &Database, latency: &Latency) -> String {
    let config: tokio_postgres::Config = database.url.parse().unwrap();
    let Host::Tcp(host) = config.get_hosts()[0].clone() else { panic!("the server of the tests is on TCP") };
    let server = (host, config.get_ports()[0]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let latency = latency.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(server.clone()).await.unwrap();
            client.set_nodelay(true).unwrap();
            server.set_nodelay(true).unwrap();
            let ((from_client, to_client), (from_server, to_server)) =
                (client.into_split(), server.into_split());
            forward(from_client, to_server, latency.clone());
            forward(from_server, to_client, Latency::default());
        }
    });
    let (user, database) = (config.get_user().unwrap(), config.get_dbname().unwrap());
    format!("postgres://{user}@127.0.0.1:{port}/{database}")
}

/// Delivers what it reads later; what is read meanwhile does not have to wait for that.
fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, latency: Latency) {
    let (queue, mut queued) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            let due = Instant::now() + Duration::from_millis(latency.0.load(Ordering::SeqCst));
            queue.send((due, buffer[..length].to_vec())).ok();
        }
    });
    tokio::spawn(async move {
        while let Some((due, bytes)) = queued.recv().await {
            sleep_until(due.into()).await;
            if to.write_all(&bytes).await.is_err() {
                break;
            }
        }
    });
}

async fn storage(database: &Database, latency: &Latency) -> PgStorage {
    let url = behind_a_proxy(database, latency).await;
    let one = PgOptions { connections: 1, ..PgOptions::default() };
    PgStorage::connect(&url, one).await.unwrap()
}

/// Once an operation's statements are prepared, which takes a round trip more for each, once for each connection.
#[tokio::test]
async fn an_issuance_takes_ten_round_trips() {
    let (database, latency) = (Database::new(), Latency::default());
    let storage = storage(&database, &latency).await;
    let owner = account(1);
    storage.create_account(owner.clone(), &cause(NOW)).await.unwrap();
    issue(&storage, 2, &owner).await;

    let cause = &cause(NOW);
    let mut taken = BTreeMap::new();
    let new = placing(order(3, owner.id, &[dns("a.test"), dns("b.test")]), []);
    let (trips, order) = latency.round_trips(storage.create_order(new, cause)).await;
    taken.insert("create_order", trips);
    let order = order.unwrap();
    validate(&storage, 4, &order.authorizations[0]).await;

    let authorization = &order.authorizations[1];
    let begin = BeginValidation {
        account: owner.id,
        authorization: authorization.id,
        challenge: authorization.challenges[0].id,
        lease: Some(terms(5, NOW + MINUTE)),
    };
    let (trips, begun) = latency.round_trips(storage.begin_validation(begin, cause)).await;
    taken.insert("begin_validation", trips);
    let outcome = ValidationOutcome::Valid { expires: NOW + 30 * DAY };
    let lease = begun.unwrap().lease.unwrap();
    let (trips, finished) = latency.round_trips(storage.finish_validation(lease, outcome, cause)).await;
    taken.insert("finish_validation", trips);
    finished.unwrap();

    let begin = BeginIssuance {
        account: owner.id,
        order: order.id,
        csr: vec![0x30; 300],
        serial: serial(6),
        lease: Some(terms(6, NOW + MINUTE)),
    };
    let (trips, begun) = latency.round_trips(storage.begin_issuance(begin, cause)).await;
    taken.insert("begin_issuance", trips);
    let lease = begun.unwrap().lease.unwrap();
    let outcome = IssuanceOutcome::Issued(Box::new(certificate(7, order.id, owner.id, serial(6))));
    let (trips, finished) = latency.round_trips(storage.finish_issuance(lease, outcome, cause)).await;
    taken.insert("finish_issuance", trips);
    finished.unwrap();

    let each = ["create_order", "begin_validation", "finish_validation", "begin_issuance", "finish_issuance"];
    assert_eq!(taken, each.map(|operation| (operation, 2)).into());
}

/// What a request does besides, and what a worker does between them.
#[tokio::test]
async fn a_look_up_takes_one_round_trip_and_a_change_two() {
    let (database, latency) = (Database::new(), Latency::default());
    let storage = &storage(&database, &latency).await;
    let owner = account(1);
    storage.create_account(owner.clone(), &cause(NOW)).await.unwrap();
    let (certificate, cause) = (issue(storage, 2, &owner).await, cause(NOW));
    let mut certificates = Vec::new();
    for seed in 20..24 {
        certificates.push(issue(storage, seed, &owner).await);
    }
    let pending = storage.create_order(placing(order(3, owner.id, &[dns("a.test")]), []), &cause).await;
    let pending = pending.unwrap();
    let (nonce, quota) = (storage.issue(NOW).await.unwrap(), Quota { amount: 9, period: MINUTE });
    let claim =
        Claim { directory: DirectoryId::default(), kind: None, limit: 9, terms: terms(9, NOW + MINUTE) };
    let names = [dns("2.example.org"), dns("other.test")];
    let nothing = Sweep {
        remove_expired_before: NOW - DAY,
        remove_issued_before: NOW - DAY,
        remove_audit_before: NOW - DAY,
        remove_traces_before: NOW - DAY,
        batch: 100,
    };

    macro_rules! expect {
        ($trips:literal, $call:expr) => {{
            for _ in 0..2 {
                drop($call.await); // so that all it may need is prepared
            }
            let (trips, answer) = latency.round_trips($call).await;
            assert!(answer.is_ok(), "{}: {:?}", stringify!($call), answer.map(|_| ()));
            assert_eq!(trips, $trips, "{}", stringify!($call));
        }};
    }
    expect!(1, storage.account(&owner.directory, &owner.id));
    expect!(1, storage.account_by_key(&owner.directory, &owner.key.thumbprint()));
    expect!(1, storage.order(&owner.id, &pending.id));
    expect!(1, storage.orders(&owner.id, None, 10));
    expect!(1, storage.authorization(&owner.id, &pending.authorizations[0].id));
    expect!(1, storage.reusable_authorizations(&owner.id, &names, NOW));
    expect!(1, storage.certificate(&owner.id, &certificate.id));
    expect!(1, storage.certificate_by_serial(&certificate.serial));
    expect!(1, storage.reserved_serial(&certificate.serial));
    expect!(1, storage.revocations(NOW, None, 10));
    expect!(1, storage.consume(&nonce, NOW));
    expect!(1, storage.next_due(&DirectoryId::default()));
    expect!(2, storage.take("somebody", &quota, 1, NOW));
    expect!(2, storage.claim_jobs(&claim, &cause));
    expect!(2, storage.update_account(&owner.id, Default::default(), &cause));
    let revoke = |seed: usize, telling| {
        let reason = RevocationReason::Superseded;
        let certificate = certificates[seed].id;
        storage.revoke_certificate(BeginRevocation { certificate, reason, telling }, &cause)
    };
    let owed = Telling::Owed(Some(terms(9, NOW + MINUTE)));
    let warm = revoke(0, owed).await.unwrap().lease.unwrap();
    storage.finish_revocation(warm, RevocationOutcome::Told, &cause).await.unwrap();
    drop(revoke(1, Telling::NotNeeded).await.unwrap());
    let (trips, revoked) = latency.round_trips(revoke(2, Telling::NotNeeded)).await;
    assert_eq!((trips, revoked.unwrap().lease), (2, None), "nobody is told");
    let (trips, revoked) = latency.round_trips(revoke(3, owed)).await;
    assert_eq!(trips, 2, "a job is stored with it");
    let lease = revoked.unwrap().lease.unwrap();
    let told = storage.finish_revocation(lease, RevocationOutcome::Told, &cause);
    assert_eq!(latency.round_trips(told).await.0, 2);

    let (trips, swept) = latency.round_trips(storage.sweep(&nothing, &cause)).await;
    assert!(swept.unwrap().is_empty());
    assert!(trips < 30, "a sweep that finds nothing takes {trips} round trips");
}
