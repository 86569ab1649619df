//! Running a server, from the first file opened to the last request answered.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use actix_web::{
    App, HttpServer,
    dev::{Server, ServerHandle},
    web::Data,
};
use coyote_server::{Acme, http::TrustedProxies, path};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::oneshot,
    task::{JoinError, JoinHandle},
    time::{sleep, timeout},
};

use crate::{
    acme,
    config::{Config, Http},
    data_dir::{self, Roles},
    failure::Failure,
    health::{self, Readiness},
    network::Resolving,
    output::warn_loudly,
    signals::{Asked, Signals},
    store::Store,
    tls::Certificates,
};

/// Connections that the operating system accepts before the server does.
const BACKLOG: u32 = 1024;

/// What is told once the server serves.
#[derive(Debug)]
pub(crate) struct Started {
    /// The directory's URL.
    pub(crate) directory: String,
    /// The file with the root's certificate.
    pub(crate) root: PathBuf,
    /// The SHA-256 of the root's certificate.
    pub(crate) fingerprint: String,
    /// Whether the CA was made just now.
    pub(crate) is_new: bool,
}

/// Serves until it is asked to stop. `announce` is called when requests are answered.
pub(crate) fn run(
    config: &Config,
    roles: Roles,
    resolving: Resolving,
    announce: impl FnOnce(&Started) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if config.validation.danger_accept_any_challenge {
        warn_loudly(&[
            "EVERY CHALLENGE IS FOUND MET WITHOUT LOOKING (danger_accept_any_challenge).",
            "Whoever can reach this server gets a certificate for any name.",
        ]);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::because("the runtime could not be started"))?;
    runtime.block_on(serve(config, roles, resolving, announce))
}

async fn serve(
    config: &Config,
    roles: Roles,
    resolving: Resolving,
    announce: impl FnOnce(&Started) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let _claim = data_dir::claim(&config.data_dir, roles)?;
    let listener = if roles.http { Some(listen(config.listen)?) } else { None };
    let address = listener.as_ref().and_then(|listener| listener.local_addr().ok()).unwrap_or(config.listen);

    let files = config.ca_files();
    let (ca, is_new) = acme::ca(config)?;
    let fingerprint = ca.root_fingerprint().map(|hash| hex(&hash)).unwrap_or_default();
    let store = Store::open(config, &config.limits()).await?;
    let acme = acme::build(config, config.base_url(address), &store, ca, resolving)?;
    let started =
        Started { directory: acme.urls().at(path::DIRECTORY), root: files.root, fingerprint, is_new };

    let worker = Worker::start(acme.clone(), roles);
    let front = match listener {
        Some(listener) => Some(Front::open(config, listener, acme, &store).await?),
        None => None,
    };
    announce(&started)?;
    let mut running = Running { worker, front };
    running.until_stopped(&mut signals).await?;

    tracing::info!("stopping; a second signal stops at once");
    tokio::select! {
        () = running.shut_down(&config.http) => {}
        () = signals.stop() => {
            tracing::warn!("stopped at once");
            std::process::exit(1);
        }
    }
    tracing::info!("stopped");
    Ok(())
}

fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let listener = socket.and_then(|socket| {
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    });
    listener.map_err(|error| {
        Failure::because(format!("cannot listen on {address}"))(error)
            .hint("choose another address with --listen")
    })
}

/// The HTTP side.
struct Front {
    handle: ServerHandle,
    server: JoinHandle<std::io::Result<()>>,
    certificates: Option<Arc<Certificates>>,
    readiness: Readiness,
}

impl Front {
    async fn open(
        config: &Config,
        listener: TcpListener,
        acme: Arc<Acme>,
        store: &Store,
    ) -> Result<Self, Failure> {
        let certificates = match &config.tls {
            Some(tls) => Some(Certificates::open(tls, config, acme.clone()).await?),
            None => None,
        };
        let readiness = Readiness::new(store);
        let server = http_server(&config.http, listener, acme, &readiness, certificates.as_ref())?;
        Ok(Self { handle: server.handle(), server: tokio::spawn(server), certificates, readiness })
    }

    /// Says that others are to take the requests, and goes on until whoever hands them out has heard.
    async fn turn_away(&self, http: &Http) {
        self.readiness.withdraw();
        if !http.drain.0.is_zero() {
            tracing::info!("not ready any more; serving on for {}", http.drain);
            sleep(http.drain.0).await;
        }
        self.handle.pause().await;
    }
}

fn http_server(
    http: &Http,
    listener: TcpListener,
    acme: Arc<Acme>,
    readiness: &Readiness,
    certificates: Option<&Arc<Certificates>>,
) -> Result<Server, Failure> {
    let failed = || Failure::because("the HTTP server could not be started");
    let listener = listener.into_std().map_err(failed())?;
    let proxies = http.trusted_proxies.iter().map(|range| range.0);
    let proxies = Data::new(TrustedProxies::new(proxies));
    let readiness = readiness.clone();
    let mut server = HttpServer::new(move || {
        App::new().app_data(proxies.clone()).configure(health::routes(acme.clone(), readiness.clone()))
    })
    .max_connections(http.connections_per_worker as usize)
    .keep_alive(http.keep_alive.0)
    .client_request_timeout(http.head_timeout.0)
    .tls_handshake_timeout(http.head_timeout.0)
    .shutdown_timeout(http.shutdown_timeout.0.as_secs())
    .disable_signals();
    if http.workers > 0 {
        server = server.workers(http.workers.into());
    }
    let server = match certificates {
        Some(certificates) => server.listen_openssl(listener, certificates.acceptor()?),
        None => server.listen(listener),
    };
    Ok(server.map_err(failed())?.run())
}

/// The work that no request is there to do, or what there is to hear of others who do it.
struct Worker {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Worker {
    fn start(acme: Arc<Acme>, roles: Roles) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async {
            stopped.await.ok();
        };
        let task = match roles.worker {
            true => tokio::spawn(acme.run_jobs(stopped)),
            false => tokio::spawn(async move {
                tokio::select! {
                    () = stopped => {}
                    never = acme.hear_replicas() => match never {},
                }
                acme.drain().await;
            }),
        };
        Self { stop, task }
    }
}

struct Running {
    worker: Worker,
    front: Option<Front>,
}

impl Running {
    /// Runs until it is asked to stop. If a part of it ends by itself the whole is to end, so that somebody notices.
    async fn until_stopped(&mut self, signals: &mut Signals) -> Result<(), Failure> {
        loop {
            let asked = tokio::select! {
                asked = signals.next() => asked,
                ended = &mut self.worker.task => return Err(stopped_by_itself("the work on jobs", ended.map(Ok))),
                ended = served(&mut self.front) => return Err(stopped_by_itself("the HTTP server", ended)),
            };
            let certificates = self.front.as_ref().and_then(|front| front.certificates.as_ref());
            match (asked, certificates) {
                (Asked::Stop, _) => return Ok(()),
                (Asked::Reload, Some(certificates)) => certificates.reload().await,
                (Asked::Reload, None) => {
                    tracing::info!(
                        "nothing to reload: only TLS certificates are; restart for the configuration"
                    );
                }
            }
        }
    }

    /// Stops accepting connections, then ends what is under way: jobs first, because some run where requests are
    /// answered, and would be cut off with it.
    async fn shut_down(self, http: &Http) {
        if let Some(front) = &self.front {
            front.turn_away(http).await;
        }
        let Worker { stop, task } = self.worker;
        stop.send(()).ok();
        if timeout(http.shutdown_timeout.0, task).await.is_err() {
            tracing::warn!(
                "some jobs are not done; they are taken up by another replica, or at the next start"
            );
        }
        if let Some(front) = self.front {
            front.handle.stop(true).await;
        }
    }
}

/// How the HTTP server ended, if there is one.
async fn served(front: &mut Option<Front>) -> Result<std::io::Result<()>, JoinError> {
    match front {
        Some(front) => (&mut front.server).await,
        None => std::future::pending().await,
    }
}

fn stopped_by_itself(what: &str, ended: Result<std::io::Result<()>, JoinError>) -> Failure {
    let why = match ended {
        Ok(Ok(())) => "it ended".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    Failure::new(format!("{what} failed: {why}"))
}

/// Bytes as people compare them.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_whose_work_has_panicked_ends_and_says_so() {
        let mut signals = Signals::new().unwrap();
        let task = tokio::spawn(async { panic!("a bug") });
        let mut running = Running { worker: Worker { stop: oneshot::channel().0, task }, front: None };
        let failure = running.until_stopped(&mut signals).await.unwrap_err().to_string();
        assert!(failure.starts_with("the work on jobs failed: ") && failure.contains("a bug"), "{failure}");
    }
}
