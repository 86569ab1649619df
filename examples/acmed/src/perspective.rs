//! Other perspectives: those that are asked, and `acmed perspective`, which is one.

use std::{fs, path::Path, sync::Arc};

use actix_web::{
    App, HttpResponse, HttpServer,
    dev::Server,
    web::{self, Bytes, Data, PayloadConfig},
};
use coyote_server::{
    SystemClock,
    validate::{Perspective, Perspectives, RemotePerspective, RemoteSettings, Vantage, answer_task},
};
use openssl::{
    error::ErrorStack,
    ssl::{SslAcceptor, SslAcceptorBuilder, SslMethod, SslOptions, SslSessionCacheMode, SslVerifyMode},
    x509::{X509, store::X509StoreBuilder},
};
use tokio::sync::Semaphore;

use crate::{
    acme, cli,
    config::{Config, Mutual},
    failure::Failure,
    log,
    network::{Resolving, network},
    output::print,
    signals::{Asked, Signals},
    tls::Identity,
};

/// Who has to see what this server sees.
pub(crate) fn perspectives(config: &Config) -> Result<Perspectives, Failure> {
    let validation = &config.validation;
    let mut places: Vec<Arc<dyn Perspective>> = Vec::new();
    for section in &validation.perspective {
        let (name, url, files) = section.complete()?;
        let Identity { key, chain } = Identity::read(files.certificate, files.key)?;
        let mut settings = RemoteSettings::new(name, url, certificates(files.roots)?, chain, key);
        settings.region.clone_from(&section.region);
        settings.max_answer = config.limits().perspective_message as usize;
        let place = RemotePerspective::new(settings);
        places.push(Arc::new(
            place.map_err(Failure::because(format!("the perspective {name} cannot be asked")))?,
        ));
    }
    let perspectives = Perspectives::new(places);
    match validation.quorum {
        None => Ok(perspectives),
        Some(quorum) => perspectives
            .with_quorum(quorum.into())
            .map_err(Failure::because("validation.quorum cannot be had")),
    }
}

/// Looks for others until it is asked to stop.
pub(crate) fn run(asked: cli::Perspective) -> Result<(), Failure> {
    let config = Config::read(&asked.config)?;
    config.check_validation()?;
    log::start(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(Failure::because("the runtime could not be started"))?.block_on(serve(&config))
}

async fn serve(config: &Config) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let (server, listening) = server(config)?;
    let handle = server.handle();
    let mut server = tokio::spawn(server);
    print(&format!("perspective  {listening}\n"))?;
    loop {
        tokio::select! {
            asked = signals.next() => match asked {
                Asked::Stop => break,
                Asked::Reload => tracing::info!("nothing to reload: restart for the configuration and certificates"),
            },
            ended = &mut server => {
                return Err(Failure::new(format!("the HTTP server ended by itself: {ended:?}")));
            }
        }
    }
    handle.stop(true).await;
    tracing::info!("stopped");
    Ok(())
}

/// What everybody who asks shares.
struct Lookout {
    vantage: Vantage,
    room: Semaphore,
}

fn server(config: &Config) -> Result<(Server, String), Failure> {
    let (limits, section) = (config.limits(), &config.perspective);
    let mut vantage =
        Vantage::new("here", network(&config.validation, Resolving::Dns)?, Arc::new(SystemClock));
    for validator in acme::validators(config)? {
        vantage = vantage.with_validator(validator);
    }
    let room = Semaphore::new(limits.perspective_tasks as usize);
    let lookout = Data::new(Lookout { vantage, room });
    let acceptor = acceptor(&section.complete()?)?;
    let failed = || Failure::because(format!("cannot listen on {}", section.listen));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(lookout.clone())
            .app_data(PayloadConfig::new(limits.perspective_message as usize))
            .route("/", web::post().to(look))
    })
    .keep_alive(config.http.keep_alive.0)
    .client_request_timeout(config.http.head_timeout.0)
    .tls_handshake_timeout(config.http.head_timeout.0)
    .shutdown_timeout(config.http.shutdown_timeout.0.as_secs())
    .disable_signals()
    .bind_openssl(section.listen, acceptor)
    .map_err(failed())?;
    let address = server.addrs().first().copied().unwrap_or(section.listen);
    Ok((server.run(), format!("https://{address}/")))
}

async fn look(lookout: Data<Lookout>, task: Bytes) -> HttpResponse {
    let Ok(_room) = lookout.room.try_acquire() else {
        tracing::warn!("a task was turned away: limits.perspective_tasks are being looked at");
        return HttpResponse::ServiceUnavailable().finish();
    };
    match answer_task(&lookout.vantage, &task).await {
        Ok(answer) => HttpResponse::Ok().content_type("application/json").body(answer),
        Err(error) => {
            tracing::warn!(%error, "a task could not be done");
            HttpResponse::BadRequest().finish()
        }
    }
}

/// Takes connections of those who can show a certificate that is vouched for, and no others.
fn acceptor(files: &Mutual<'_>) -> Result<SslAcceptorBuilder, Failure> {
    let unusable =
        |error: ErrorStack| Failure::because("the certificates of the perspective cannot be used")(error);
    let Identity { key, chain } = Identity::read(files.certificate, files.key)?;
    let roots = certificates(files.roots)?;
    let build = || {
        let mut acceptor = SslAcceptor::mozilla_modern_v5(SslMethod::tls_server())?;
        if let Some((own, rest)) = chain.split_first() {
            acceptor.set_certificate(own)?;
            for certificate in rest {
                acceptor.add_extra_chain_cert(certificate.clone())?;
            }
        }
        acceptor.set_private_key(&key)?;
        acceptor.check_private_key()?;
        let mut store = X509StoreBuilder::new()?;
        for root in &roots {
            store.add_cert(root.clone())?;
        }
        acceptor.set_cert_store(store.build());
        acceptor.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
        // Each connection shows its certificate: none goes on where another was.
        acceptor.set_session_cache_mode(SslSessionCacheMode::OFF);
        acceptor.set_options(SslOptions::NO_TICKET);
        acceptor.set_session_id_context(b"acmed perspective")?;
        Ok(acceptor)
    };
    build().map_err(unusable)
}

fn certificates(path: &Path) -> Result<Vec<X509>, Failure> {
    let place = path.display();
    let pem = fs::read(path).map_err(Failure::because(format!("{place} cannot be read")))?;
    match X509::stack_from_pem(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(Failure::new(format!("there is no certificate in {place}"))),
    }
}
