//! `acmed migrate`: everything goes from one storage to another, and URLs, keys and serial numbers stay what they are.
//!
//! Most is copied while the server runs. Then the source is closed: it refuses every write of every process, for good, so
//! that there is never more than one that is written to. What had changed meanwhile is copied, and the target opened.
//! Wherever this is interrupted, it goes on when it is run again.
//!
//! Two storages do not change in one step, and several runs may be at work on them, or one be killed and its successor meet
//! what it left. [`route`] says what keeps them apart.

use std::path::Path;

use coyote_server::{
    Entropy, SystemEntropy,
    storage::{Archive, archive::Copied, sealing::Sealing},
};
use coyote_storage_pg::{PgOptions, PgStorage};
use coyote_storage_sqlite::{SqliteOptions, SqliteStorage};

use crate::{
    cli::Migrate,
    config::StorageUrl,
    failure::Failure,
    output::{complain, print, print_json},
};

mod progress;
mod route;

use route::{Move, Moved, Report, Route};

/// Moves everything, or goes back.
pub(crate) fn run(migrate: Migrate) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::because("the runtime could not be started"))?;
    runtime.block_on(async {
        let Migrate { to, undo, target_is_lost, json, beside } = migrate;
        let config = beside.config()?;
        let (from, sealing) = (config.storage(), config.sealing.sealing()?);
        let (from_name, to_name) = (from.name(), to.name());
        if from_name == to_name {
            return Err(Failure::new(format!("everything is at {to_name} already; choose another --to")));
        }
        let options = PgOptions { sealing: sealing.clone(), ..config.postgres.options() };
        let open = async |url, missing| open(url, missing, sealing.clone(), options.clone()).await;
        let source = open(&from, Missing::IsRefused).await?;
        let mut run = [0; 8];
        SystemEntropy.fill(&mut run).map_err(Failure::because("a run has no name"))?;
        let run = run.iter().map(|byte| format!("{byte:02x}")).collect();
        let names = Move { from: from_name, to: to_name, run };
        if target_is_lost {
            return without_target(&names, &*source, json).await;
        }
        let missing = if undo { Missing::IsRefused } else { Missing::IsMade };
        let target = open(&to, missing).await?;
        let route = Route { source: &*source, target: &*target, names, is_quiet: false };
        if undo {
            return back(&route, json).await;
        }
        match route.there().await? {
            Moved::Already => print(&format!("everything has gone to {} already\n", route.names.to)),
            Moved::Now(report) if json => print_json(&report),
            Moved::Now(report) => print(&report.to_string()),
        }
    })
}

async fn back(route: &Route<'_>, json: bool) -> Result<(), Failure> {
    route.back().await?;
    let Move { from, to, .. } = &route.names;
    if json {
        return print_json(&serde_json::json!({ "in_service": from, "closed": to }));
    }
    print(&format!("{from} is in service again, and {to} is not\n"))
}

/// Opens the source again although nobody can ask the target what it has.
async fn without_target(names: &Move, source: &dyn Archive, json: bool) -> Result<(), Failure> {
    let Move { from, to, .. } = names;
    names.without_target(source).await?;
    complain(&format!(
        "acmed: {to} was not asked. What was written there is lost: accounts, orders, and certificates, which nobody can \
         revoke here. If it comes back, nobody must serve from it."
    ));
    if json {
        return print_json(&serde_json::json!({ "in_service": from, "lost": to }));
    }
    print(&format!("{from} is in service again\n"))
}

/// What is to happen where there is no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missing {
    IsMade,
    IsRefused,
}

async fn open(
    url: &StorageUrl,
    missing: Missing,
    sealing: Sealing,
    options: PgOptions,
) -> Result<Box<dyn Archive>, Failure> {
    let cannot = || format!("{} cannot be opened", url.name());
    match url {
        StorageUrl::Sqlite(path) if missing == Missing::IsRefused && !Path::new(path).exists() => {
            Err(Failure::new(format!(
                "there is no database {}; say which server it is with --config or --data-dir",
                path.display()
            )))
        }
        StorageUrl::Sqlite(path) => {
            let storage = SqliteStorage::open(path, SqliteOptions { sealing, ..SqliteOptions::default() });
            Ok(Box::new(storage.map_err(Failure::because(cannot()))?))
        }
        StorageUrl::Postgres(url) => {
            let storage = PgStorage::connect(url, options).await;
            Ok(Box::new(storage.map_err(Failure::because(cannot()))?))
        }
        StorageUrl::Memory => {
            Err(Failure::new("what is in memory: cannot be moved, nor can anything go there"))
        }
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for Copied { kind, records, .. } in &self.records {
            writeln!(f, "{records:>10} {}", kind.plural())?;
        }
        let Self { from, to, closed_for_ms, .. } = self;
        writeln!(f, "are in {to}, and as many were in {from}, which is closed.")?;
        writeln!(f, "Nothing was taken for {closed_for_ms} ms, nor is until the server is started again:")?;
        writeln!(f, "set storage = \"{to}\" (with its password) in the configuration, and restart acmed.")
    }
}
