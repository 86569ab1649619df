//! What an issuance costs and how large the database is at 0, 10,000 and 100,000 certificates, plain and sealed, and after
//! retention. The processor time is that of the client; the server's is not in it.
//!
//! `scripts/postgres run cargo bench -p coyote-storage-pg --bench growth -- 0 1000` takes other numbers.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that fails is over")]

use coyote_storage::{
    conformance::growth,
    sealing::{KeyRing, Sealing, SealingKey},
};
use coyote_storage_pg::{PgOptions, PgStorage, statistics};
use tokio_postgres::NoTls;

fn main() {
    let numbers: Vec<u64> = std::env::args().filter_map(|number| number.parse().ok()).collect();
    let numbers = if numbers.is_empty() { vec![0, 10_000, 100_000] } else { numbers };
    #[allow(clippy::disallowed_methods, reason = "this is how a bench is told where its server is")]
    let server =
        std::env::var("COYOTE_TEST_POSTGRES_URL").expect("a server: scripts/postgres run cargo bench …");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let ring = KeyRing::of(SealingKey::new([7; 32]).unwrap());
        for (name, sealing) in [("growth_plain", Sealing::none()), ("growth_sealed", Sealing::with(ring))] {
            let url = fresh(&server, name).await;
            let storage =
                PgStorage::connect(&url, PgOptions { sealing, ..PgOptions::default() }).await.unwrap();
            growth::measure(name, &storage, &numbers, async || statistics(&url).await.unwrap().size.bytes)
                .await;
        }
    });
}

/// The URL of a database with nothing in it.
async fn fresh(server: &str, name: &str) -> String {
    let (client, connection) = tokio_postgres::connect(server, NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(&format!("DROP DATABASE IF EXISTS {name}")).await.unwrap();
    client.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0")).await.unwrap();
    let (place, _) = server.rsplit_once('/').unwrap();
    format!("{place}/{name}")
}
