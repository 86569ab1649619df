//! What the routes of ACME leave to the program: the root of the site, and what probes ask.

use std::{sync::Arc, time::Duration};

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

/// All routes of the program.
pub(crate) fn routes(acme: Arc<Acme>, storage: Arc<dyn Storage>) -> impl FnOnce(&mut ServiceConfig) {
    move |config| {
        let base = acme.urls().path().to_owned();
        config
            .configure(http::routes(acme.clone()))
            .app_data(Data::from(acme))
            .app_data(Data::from(storage))
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

/// The store answers, so requests can be served.
async fn ready(storage: Data<dyn Storage>) -> HttpResponse {
    match timeout(PATIENCE, storage.next_due(&DirectoryId::default())).await {
        Ok(Ok(_)) => HttpResponse::Ok().content_type("text/plain").body("ready\n"),
        Ok(Err(error)) => {
            tracing::warn!(%error, "not ready");
            unready()
        }
        Err(_) => {
            tracing::warn!("not ready: the store does not answer");
            unready()
        }
    }
}

fn unready() -> HttpResponse {
    HttpResponse::ServiceUnavailable().content_type("text/plain").body("the store does not answer\n")
}
