//! A CA inside an actix-web program.

use std::{error::Error, future::pending, sync::Arc};

use actix_web::{App, HttpServer};
use coyote_server::{
    Acme, SystemClock, SystemEntropy, http,
    issue::{CaFiles, CaRequest, LocalCa},
};
use coyote_storage_sqlite::{SqliteOptions, SqliteStorage};

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (files, request) = (CaFiles::in_directory("ca"), CaRequest::new("Example"));
    let ca = LocalCa::load_or_create(&files, &request, &SystemClock, &SystemEntropy)?;
    let storage = SqliteStorage::open("ca/acme.db", SqliteOptions::default())?;
    let acme = Acme::builder("http://127.0.0.1:8000", Arc::new(storage), Arc::new(ca)).build()?;

    actix_web::rt::spawn(acme.clone().run_jobs(pending()));
    let server = HttpServer::new(move || App::new().configure(http::routes(acme.clone())));
    Ok(server.bind("127.0.0.1:8000")?.run().await?)
}
