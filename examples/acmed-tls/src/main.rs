//! HTTPS with a certificate of the server's own CA.
//!
//! An ACME server needs a certificate before anybody can order one. It gets it from its own issuer, as any other
//! certificate, when it starts: clients trust `ca.pem`, and nothing else.

use std::{env, error::Error, future::pending, net::Ipv4Addr, sync::Arc};

use actix_web::{App, HttpServer};
use coyote_server::{
    Acme, OwnCertificate, SystemClock, SystemEntropy, http,
    issue::{CaFiles, CaRequest, LocalCa},
    protocol::{DnsName, Identifier},
    validate::{AddressPolicy, FixedResolver, Network, NetworkLimits},
};
use coyote_storage_sqlite::{SqliteOptions, SqliteStorage};
use openssl::{
    error::ErrorStack,
    ssl::{SslAcceptor, SslAcceptorBuilder, SslMethod},
};

const PORT: u16 = 8443;

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let host = host_name()?;
    let files = CaFiles {
        root: "ca.pem".into(),
        root_key: "ca.key".into(),
        intermediate: "intermediate.pem".into(),
        intermediate_key: "intermediate.key".into(),
    };
    let request = CaRequest::new("acmed-tls");
    let ca = LocalCa::load_or_create(&files, &request, &SystemClock, &SystemEntropy)?;
    let storage = SqliteStorage::open("acme.db", SqliteOptions::default())?;
    let base_url = format!("https://{}:{PORT}", host.as_str());
    let acme =
        Acme::builder(base_url, Arc::new(storage), Arc::new(ca)).with_network(network(&host)?).build()?;
    let certificate = acme.own_certificate(&[Identifier::Dns(host)]).await?;

    actix_web::rt::spawn(acme.clone().run_jobs(pending()));
    let directory = acme.urls().at(coyote_server::path::DIRECTORY);
    let server = HttpServer::new(move || App::new().configure(http::routes(acme.clone())))
        .bind_openssl(("127.0.0.1", PORT), acceptor(&certificate)?)?;
    println!("directory    {directory}\nroot         ca.pem");
    println!("certificate  until {}; a restart gets another", certificate.not_after);
    Ok(server.run().await?)
}

/// How challenges are looked at. A server that is called localhost is for this machine alone, and so are the names that
/// it certifies: each is taken to be this machine, and http-01 asks port 5002. Any other asks DNS, and port 80.
fn network(host: &DnsName) -> Result<Network, Box<dyn Error>> {
    if host.as_str() != "localhost" {
        return Ok(Network::system()?);
    }
    let resolver = FixedResolver::new([Ipv4Addr::LOCALHOST.into()]);
    let policy = AddressPolicy::public().allow("127.0.0.0/8".parse()?);
    let limits = NetworkLimits { http_port: 5002, tls_port: 5001, ..NetworkLimits::default() };
    Ok(Network::new(Arc::new(resolver), policy, limits))
}

/// The name that clients know the server by.
#[allow(clippy::disallowed_methods, reason = "this is a program: its configuration is one variable")]
fn host_name() -> Result<DnsName, Box<dyn Error>> {
    let name = env::var("HOSTNAME").unwrap_or_else(|_| "localhost".to_owned());
    Ok(DnsName::parse(&name)?)
}

/// What accepts TLS connections, with Mozilla's "intermediate" settings. `bind_openssl` adds ALPN, for HTTP/2.
fn acceptor(certificate: &OwnCertificate) -> Result<SslAcceptorBuilder, ErrorStack> {
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    if let Some((leaf, chain)) = certificate.chain.split_first() {
        acceptor.set_certificate(leaf)?;
        for issuer in chain {
            acceptor.add_extra_chain_cert(issuer.clone())?;
        }
    }
    acceptor.set_private_key(&certificate.key)?;
    acceptor.check_private_key()?;
    Ok(acceptor)
}
