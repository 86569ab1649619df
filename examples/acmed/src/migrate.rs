//! `acmed migrate`: everything goes from one storage to another, and URLs, keys and serial numbers stay what they are.
//!
//! Most is copied while the server runs. Then the source is closed: it refuses every write of every process, for good, so
//! that there is never more than one that is written to. What had changed meanwhile is copied, and the target opened.
//! Wherever this is interrupted, it goes on when it is run again.
//!
//! Each change of where a storage stands is made only if it stands where it was last seen to, and the target is filled by one
//! run alone, whose name it bears; so several at once, or one that is taken back, end with a sentence, and not with two
//! storages in service.

use std::path::Path;

use coyote_server::{
    Clock, Entropy, SystemClock, SystemEntropy,
    storage::{
        Archive, Conflict, RecordKind, Standing, StorageError,
        archive::{Copied, copy, differences},
        sealing::Sealing,
    },
};
use coyote_storage_pg::{PgOptions, PgStorage};
use coyote_storage_sqlite::{SqliteOptions, SqliteStorage};
use serde::Serialize;

use crate::{
    cli::Migrate,
    config::StorageUrl,
    failure::Failure,
    output::{complain, print, print_json},
};

mod progress;

use progress::Progress;

/// Records in memory, and in a transaction, at a time.
const PAGE: u32 = 500;

/// So many copies are made at most before the source is closed: each has less to do than the last.
const LIVE_COPIES: u32 = 5;

/// So many may be necessary when it is closed, where accounts have exchanged their keys.
const LAST_COPIES: u32 = 5;

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
        let source = open(&from, Missing::IsRefused, sealing.clone()).await?;
        if target_is_lost {
            return without_target(&*source, &from_name, &to_name, json).await;
        }
        let missing = if undo { Missing::IsRefused } else { Missing::IsMade };
        let target = open(&to, missing, sealing).await?;
        let mut run = [0; 8];
        SystemEntropy.fill(&mut run).map_err(Failure::because("a run has no name"))?;
        let run = run.iter().map(|byte| format!("{byte:02x}")).collect();
        let route = Route { source: &*source, target: &*target, from: from_name, to: to_name, run };
        if undo { route.back(json).await } else { route.there(json).await }
    })
}

/// What is to happen where there is no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missing {
    IsMade,
    IsRefused,
}

async fn open(url: &StorageUrl, missing: Missing, sealing: Sealing) -> Result<Box<dyn Archive>, Failure> {
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
            let storage = PgStorage::connect(url, PgOptions { sealing, ..PgOptions::default() }).await;
            Ok(Box::new(storage.map_err(Failure::because(cannot()))?))
        }
        StorageUrl::Memory => {
            Err(Failure::new("what is in memory: cannot be moved, nor can anything go there"))
        }
    }
}

/// From where to where.
struct Route<'a> {
    source: &'a dyn Archive,
    target: &'a dyn Archive,
    from: String,
    to: String,
    /// What tells this run from others.
    run: String,
}

/// What was done.
#[derive(Debug, Serialize)]
struct Report<'a> {
    from: &'a str,
    to: &'a str,
    /// How many of each kind both have.
    records: Vec<Copied>,
    /// How often everything was compared.
    copies: u32,
    /// For how long neither took a write.
    closed_for_ms: u64,
}

impl Route<'_> {
    async fn there(&self, json: bool) -> Result<(), Failure> {
        let source = standing(self.source).await?;
        if self.is_done(&source).await? {
            return print(&format!("everything has gone to {} already\n", self.to));
        }
        let (arriving, left) = (self.arriving(), Standing::Left { to: self.to.clone() });
        self.take_room(&source, &arriving).await?;

        let mut copies = 0;
        while source == Standing::InService && copies < LIVE_COPIES {
            copies += 1;
            let copied = self.copy(&arriving, copies).await?;
            if copied.iter().map(|copied| copied.stored + copied.removed).sum::<u64>() < u64::from(PAGE) {
                break;
            }
        }
        complain(&format!("acmed: {} is closed from now on; the rest is copied", self.from));
        let closed = SystemClock.now();
        // It may be closed already: by an earlier run, or by one that this one has taken over from.
        if !stand(self.source, &Standing::InService, left.clone()).await?
            && standing(self.source).await? != left
        {
            return Err(Failure::new(format!("everything has gone elsewhere from {} meanwhile", self.from)));
        }
        let records = self
            .copy_rest(&arriving, &mut copies)
            .await
            .map_err(|failure| failure.hint("run this again, or with --undo to open what was there"))?;
        must(self.target, &arriving, Standing::InService).await?;
        let closed_for = SystemClock.now().since(closed);

        let closed_for_ms = u64::try_from(closed_for.as_millis()).unwrap_or(u64::MAX);
        let report = Report { from: &self.from, to: &self.to, records, copies, closed_for_ms };
        if json { print_json(&report) } else { print(&report.to_string()) }
    }

    /// Whether it was done before.
    async fn is_done(&self, source: &Standing) -> Result<bool, Failure> {
        match source {
            Standing::Left { to } if *to == self.to => {
                Ok(standing(self.target).await? == Standing::InService)
            }
            Standing::Left { to } => {
                Err(Failure::new(format!("everything has gone from {} to {to}", self.from)))
            }
            Standing::Arriving { from, .. } => {
                Err(Failure::new(format!("{} is not whole: finish the move from {from} first", self.from)))
            }
            Standing::InService => Ok(false),
        }
    }

    /// The target, as long as this run fills it.
    fn arriving(&self) -> Standing {
        Standing::Arriving { from: self.from.clone(), run: self.run.clone() }
    }

    /// Takes the target. It has to be empty, or what an earlier run has made of it, whose name it then bears no more.
    async fn take_room(&self, source: &Standing, arriving: &Standing) -> Result<(), Failure> {
        let seen = standing(self.target).await?;
        let other = match &seen {
            Standing::Arriving { from, .. } if *from == self.from => {
                return must(self.target, &seen, arriving.clone()).await;
            }
            Standing::Left { to } if *to == self.from && *source == Standing::InService => {
                return must(self.target, &seen, arriving.clone()).await;
            }
            Standing::Left { to } if *to == self.from => {
                return Err(Failure::new(
                    "it was being taken back: run this with --undo, which says what came of it",
                ));
            }
            Standing::Arriving { from, .. } => format!("is being filled from {from}"),
            Standing::Left { to } => format!("has gone to {to}"),
            Standing::InService if *source == Standing::InService => {
                // It is ours before it is looked at, so that no other run fills it in between.
                must(self.target, &seen, arriving.clone()).await?;
                match is_empty(self.target).await {
                    Ok(true) => return Ok(()),
                    not_empty => {
                        must(self.target, arriving, Standing::InService).await?;
                        not_empty?;
                        "is in use".to_owned()
                    }
                }
            }
            Standing::InService => "is in use".to_owned(),
        };
        Err(Failure::new(format!("{} {other}; choose an empty database", self.to)))
    }

    /// One copy of everything.
    async fn copy(&self, arriving: &Standing, number: u32) -> Result<Vec<Copied>, Failure> {
        let mut progress = Progress::new(number);
        for kind in RecordKind::ALL {
            let total = self.source.count(kind).await;
            progress.expect(kind, total.map_err(Failure::because(format!("{} cannot be read", self.from)))?);
        }
        let copied = copy(self.source, self.target, arriving, PAGE, |copied| progress.show(copied)).await;
        progress.end();
        copied.map_err(|error| match error {
            StorageError::Conflict(Conflict::MovedOn) => another_run(),
            error => Failure::because("not everything could be copied")(error),
        })
    }

    /// Copies a source that does not change any more, until the target is equal.
    async fn copy_rest(&self, arriving: &Standing, copies: &mut u32) -> Result<Vec<Copied>, Failure> {
        for _ in 0..LAST_COPIES {
            *copies += 1;
            let copied = self.copy(arriving, *copies).await?;
            if copied.iter().all(|copied| copied.waiting == 0) {
                self.require_equal_counts(&copied).await?;
                return Ok(copied);
            }
        }
        Err(Failure::new("some records refer to others that are not there: the source is damaged"))
    }

    async fn require_equal_counts(&self, copied: &[Copied]) -> Result<(), Failure> {
        for Copied { kind, records, .. } in copied {
            let kept = self.target.count(*kind).await;
            let kept = kept.map_err(Failure::because(format!("{} cannot be read", self.to)))?;
            if kept != *records {
                let kind = kind.plural();
                return Err(Failure::new(format!(
                    "there were {records} {kind} to copy, and there are {kept}"
                )));
            }
        }
        Ok(())
    }

    async fn back(&self, json: bool) -> Result<(), Failure> {
        let left = require_left(self.source, &self.from, &self.to).await?;
        let seen = standing(self.target).await?;
        let (ours, closed) = (self.arriving(), Standing::Left { to: self.from.clone() });
        match &seen {
            // Whoever fills it is stopped.
            Standing::Arriving { from, .. } if *from == self.from => must(self.target, &seen, ours).await?,
            Standing::InService => {
                must(self.target, &seen, closed.clone()).await?;
                self.require_nothing_new(&closed).await?;
            }
            // So far an earlier run has come.
            Standing::Left { to } if *to == self.from => self.require_nothing_new(&closed).await?,
            Standing::Arriving { from: other, .. } | Standing::Left { to: other } => {
                return Err(Failure::new(format!(
                    "{} has to do with {other}, not with {}",
                    self.to, self.from
                )));
            }
        }
        must(self.source, &left, Standing::InService).await?;
        if json {
            return print_json(&serde_json::json!({ "in_service": self.from, "closed": self.to }));
        }
        print(&format!("{} is in service again, and {} is not\n", self.from, self.to))
    }

    /// Opens a target again that was in service and is closed, if it has what the source has not.
    async fn require_nothing_new(&self, closed: &Standing) -> Result<(), Failure> {
        let different = differences(self.source, self.target, PAGE).await;
        if !matches!(different, Ok(0)) {
            must(self.target, closed, Standing::InService).await?;
        }
        match different.map_err(Failure::because("the two cannot be compared"))? {
            0 => Ok(()),
            different => Err(Failure::new(format!(
                "{different} records in {} have changed since, which would be lost; it stays in service",
                self.to
            ))),
        }
    }
}

async fn standing(archive: &dyn Archive) -> Result<Standing, Failure> {
    archive.standing().await.map_err(Failure::because("a storage cannot be read"))
}

async fn stand(archive: &dyn Archive, from: &Standing, to: Standing) -> Result<bool, Failure> {
    archive.stand(from, to).await.map_err(Failure::because("a storage cannot be written to"))
}

/// Changes where it stands, unless somebody else has.
async fn must(archive: &dyn Archive, from: &Standing, to: Standing) -> Result<(), Failure> {
    if stand(archive, from, to).await? { Ok(()) } else { Err(another_run()) }
}

fn another_run() -> Failure {
    Failure::new("another acmed migrate is at work on this")
        .hint("look at what that one says, and run this again")
}

/// Everything has gone from the source to this target.
async fn require_left(source: &dyn Archive, from: &str, to: &str) -> Result<Standing, Failure> {
    match standing(source).await? {
        left @ Standing::Left { .. } if left == (Standing::Left { to: to.to_owned() }) => Ok(left),
        Standing::Left { to: other } => {
            Err(Failure::new(format!("everything has gone to {other}, not to {to}")))
        }
        Standing::InService | Standing::Arriving { .. } => {
            Err(Failure::new(format!("nothing has gone from {from}: it is in service")))
        }
    }
}

/// Opens the source again although nobody can ask the target what it has.
async fn without_target(source: &dyn Archive, from: &str, to: &str, json: bool) -> Result<(), Failure> {
    let left = require_left(source, from, to).await?;
    complain(&format!(
        "acmed: {to} is not asked. What was written there is lost: accounts, orders, and certificates, which nobody can \
         revoke here. If it comes back, nobody must serve from it."
    ));
    must(source, &left, Standing::InService).await?;
    if json {
        return print_json(&serde_json::json!({ "in_service": from, "lost": to }));
    }
    print(&format!("{from} is in service again\n"))
}

async fn is_empty(archive: &dyn Archive) -> Result<bool, Failure> {
    for kind in RecordKind::ALL {
        if archive.count(kind).await.map_err(Failure::because("a storage cannot be read"))? > 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

impl std::fmt::Display for Report<'_> {
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
