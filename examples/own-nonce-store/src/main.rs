//! The program of `examples/embed`, with nonces of its own: see the lines that name them.

use std::{error::Error, future::pending, sync::Arc};

use actix_web::{App, HttpServer};
use coyote_server::{
    Acme, SystemClock, SystemEntropy, http,
    issue::{CaFiles, CaRequest, LocalCa},
};
use coyote_storage_sqlite::{SqliteOptions, SqliteStorage};
use own_nonce_store::DirectoryNonces;

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (files, request) = (CaFiles::in_directory("ca"), CaRequest::new("Example"));
    let ca = LocalCa::load_or_create(&files, &request, &SystemClock, &SystemEntropy)?;
    let storage = SqliteStorage::open("ca/acme.db", SqliteOptions::default())?;
    let nonces = DirectoryNonces::open("ca/nonces").map_err(|error| error.to_string())?;
    let acme = Acme::builder("http://127.0.0.1:8000", Arc::new(storage), Arc::new(ca))
        .with_nonces(Arc::new(nonces))
        .build()?;

    actix_web::rt::spawn(acme.clone().run_jobs(pending()));
    let server = HttpServer::new(move || App::new().configure(http::routes(acme.clone())));
    Ok(server.bind("127.0.0.1:8000")?.run().await?)
}
