//! `acmed serve`.

use std::path::Path;

use crate::{
    cli::Serve,
    config::{CONFIG, Config, StorageUrl},
    data_dir::Roles,
    failure::Failure,
    log,
    network::Resolving,
    output::print,
    server,
};

/// Serves until it is asked to stop.
pub(crate) fn run(serve: Serve) -> Result<(), Failure> {
    let found = Some(CONFIG.into()).filter(|path: &std::path::PathBuf| path.exists());
    let path = serve.config.or(found);
    let mut config = match &path {
        Some(path) => Config::read(path)?,
        None => Config::default(),
    };
    serve.flags.apply(&mut config);
    let roles = Roles { http: !serve.worker_only, worker: !serve.no_worker };
    check(&config, roles)?;

    log::start(&config.log)?;
    match path.as_deref().map(Path::display) {
        Some(path) => tracing::info!("configured by {path}"),
        None => tracing::info!("configured by flags and defaults; there is no {CONFIG}"),
    }
    server::run(&config, roles, Resolving::Dns, |started| {
        if started.is_new {
            let root = started.root.display();
            tracing::info!("there was no CA, so a new one was made; clients are to trust {root}");
        }
        tracing::info!(fingerprint = started.fingerprint, "the root's SHA-256");
        if roles.http { print(&format!("directory    {}\n", started.directory)) } else { Ok(()) }
    })
}

fn check(config: &Config, roles: Roles) -> Result<(), Failure> {
    if roles != Roles::ALL && config.storage() == StorageUrl::Memory {
        return Err(Failure::new(
            "--no-worker and --worker-only need a storage that processes can share, not memory:",
        ));
    }
    config.check()
}
