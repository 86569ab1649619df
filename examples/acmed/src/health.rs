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
    storage::{DirectoryId, Storage},
};
use tokio::time::timeout;

/// How long the store may take to answer a probe.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether requests are to be sent here.
#[derive(Clone)]
pub(crate) struct Readiness {
    storage: Arc<dyn Storage>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    withdrawn: AtomicBool,
    /// Whether the operator knows that the store is away: a probe comes every few seconds.
    told: AtomicBool,
}

impl Readiness {
    pub(crate) fn new(storage: Arc<dyn Storage>) -> Self {
        Self { storage, shared: Arc::default() }
    }

    /// They are not, from now on.
    pub(crate) fn withdraw(&self) {
        self.shared.withdrawn.store(true, Ordering::Relaxed);
    }

    async fn look(&self) -> Result<(), &'static str> {
        if self.shared.withdrawn.load(Ordering::Relaxed) {
            return Err("this server is stopping\n");
        }
        let why = match timeout(PATIENCE, self.storage.next_due(&DirectoryId::default())).await {
            Ok(Ok(_)) => {
                if self.shared.told.swap(false, Ordering::Relaxed) {
                    tracing::info!("ready again");
                }
                return Ok(());
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the store does not answer".to_owned(),
        };
        if !self.shared.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(error = why, "not ready");
        }
        Err("the store does not answer\n")
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
