//! What the routes of ACME leave to the program: the root of the site, and what probes ask.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix_web::{
    HttpResponse,
    web::{self, Data, ServiceConfig},
};
use coyote_server::{
    Acme, http,
    storage::{Archive, DirectoryId, Result, Standing, Storage},
};
use tokio::time::timeout;

use crate::store::Store;

/// How long the store may take to answer a probe.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a probe is told of a store that cannot be asked.
const AWAY: &str = "the store does not answer\n";

/// Whether requests are to be sent here.
#[derive(Clone)]
pub(crate) struct Readiness {
    storage: Arc<dyn Storage>,
    archive: Arc<dyn Archive>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    withdrawn: AtomicBool,
    /// Whether the operator knows that the store is away: a probe comes every few seconds.
    told: AtomicBool,
}

impl Readiness {
    pub(crate) fn new(store: &Store) -> Self {
        let (storage, archive) = (store.storage.clone(), store.archive.clone());
        Self { storage, archive, shared: Arc::default() }
    }

    /// They are not, from now on.
    pub(crate) fn withdraw(&self) {
        self.shared.withdrawn.store(true, Ordering::Relaxed);
    }

    async fn look(&self) -> std::result::Result<(), &'static str> {
        if self.shared.withdrawn.load(Ordering::Relaxed) {
            return Err("this server is stopping\n");
        }
        let (why, told) = match timeout(PATIENCE, self.ask()).await {
            Ok(Ok(standing)) => match standing.refusal() {
                Some(refusal) => (refusal, "the store takes nothing\n"),
                None => {
                    if self.shared.told.swap(false, Ordering::Relaxed) {
                        tracing::info!("ready again");
                    }
                    return Ok(());
                }
            },
            Ok(Err(error)) => (error.to_string(), AWAY),
            Err(_) => ("the store does not answer".to_owned(), AWAY),
        };
        if !self.shared.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(error = why, "not ready");
        }
        Err(told)
    }

    async fn ask(&self) -> Result<Standing> {
        self.storage.next_due(&DirectoryId::default()).await?;
        self.archive.standing().await
    }
}

/// All routes of the program.
pub(crate) fn routes(acme: Arc<Acme>, readiness: Readiness) -> impl FnOnce(&mut ServiceConfig) {
    move |config| {
        let base = acme.urls().path().to_owned();
        config
            .configure(http::routes(acme.clone()))
            .app_data(Data::from(acme))
            .app_data(Data::new(readiness))
            .route(&format!("{base}/"), web::get().to(http::directory))
            .route(&format!("{base}/health/live"), web::get().to(live))
            .route(&format!("{base}/health/ready"), web::get().to(ready));
        if !base.is_empty() {
            config.route(&base, web::get().to(http::directory));
        }
    }
}

/// The process runs.
async fn live() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body("live\n")
}

/// The store answers, and the server is not about to stop: requests can be served.
async fn ready(readiness: Data<Readiness>) -> HttpResponse {
    match readiness.look().await {
        Ok(()) => HttpResponse::Ok().content_type("text/plain").body("ready\n"),
        Err(why) => HttpResponse::ServiceUnavailable().content_type("text/plain").body(why),
    }
}
