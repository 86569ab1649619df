//! A company's CA: certificates for `corp.example`, each approved by a ticket.

use std::{env, error::Error, fs, future::pending, sync::Arc};

use actix_web::{App, HttpServer, web::Data};
use coyote_server::{
    Acme, SystemClock, SystemEntropy, http,
    issue::{CaFiles, CaRequest, LocalCa},
    protocol::DnsName,
};
use coyote_storage_sqlite::{SqliteOptions, SqliteStorage};

mod policy;
mod ticket;

use policy::HousePolicy;
use ticket::{Ticket01, Tickets};

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".into());
    let tickets = Tickets::signed_by(&fs::read("approver.pem")?)?;

    let (files, request) = (CaFiles::in_directory("ca"), CaRequest::new("Corporate"));
    let ca = LocalCa::load_or_create(&files, &request, &SystemClock, &SystemEntropy)?;
    let storage = SqliteStorage::open("ca/acme.db", SqliteOptions::default())?;
    let acme = Acme::builder(format!("http://{address}"), Arc::new(storage), Arc::new(ca))
        .with_validator(Ticket01(tickets.clone()))
        .with_policy(HousePolicy { domain: DnsName::parse("corp.example")? })
        .build()?;

    actix_web::rt::spawn(acme.clone().run_jobs(pending()));
    let server = HttpServer::new(move || {
        let tickets = Data::new(tickets.clone());
        App::new().app_data(tickets).service(ticket::approve).configure(http::routes(acme.clone()))
    });
    Ok(server.bind(address)?.run().await?)
}
