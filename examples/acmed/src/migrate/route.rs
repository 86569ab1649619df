//! How everything goes from one storage to another and back, so that never more than one is in service.
//!
//! Two storages cannot change in one step. So each run has a name, and puts it on both before it opens either:
//!
//! - A move takes the target (it *arrives*, under the run's name), then closes the source (it has *left*, under the run's
//!   name, also if an earlier run has closed it), copies the rest, and opens the target if that still bears its name.
//! - A way back puts its name on the source, which has left, then on the target, looks at the source once more, and opens
//!   one of the two if that still bears its name.
//!
//! A run that finds another's name where its own was stops. Suppose that one run opened the target, and another the
//! source. Each has put its name on both before, and the other's on neither between that and the opening: so on the target
//! the first was last, and on the source the second. Who opens the source is a way back, and had named it before it named
//! the target; the first named the target after that, and then the source, or looked at it once more: it found the second's
//! name there, or the source open, and stopped.
//!
//! Only where the target is said to be lost nobody can put a name on it. A run that is just about to open it, and is held up
//! there, cannot be stopped then.
//!
//! A database that is lost and made anew is in service like any other. So one that knows none of the accounts that the other has
//! is not taken for the one that everything went to, nor is anything removed for its sake.

use std::collections::BTreeSet;

use coyote_server::{
    Clock, SystemClock,
    storage::{
        Archive, Conflict, Record, RecordKey, RecordKind, Standing, StorageError,
        archive::{Copied, copy, differences},
    },
};
use serde::Serialize;

use super::progress::Progress;
use crate::{failure::Failure, output::complain};

#[cfg(test)]
mod tests;

/// Records in memory, and in a transaction, at a time.
const PAGE: u32 = 500;

/// So many copies are made at most before the source is closed: each has less to do than the last.
const LIVE_COPIES: u32 = 5;

/// So many may be necessary when it is closed, where accounts have exchanged their keys.
const LAST_COPIES: u32 = 5;

/// From where to where, in words for people, and who does it.
pub(super) struct Move {
    pub(super) from: String,
    pub(super) to: String,
    /// What tells this run from others.
    pub(super) run: String,
}

/// A move with both ends.
pub(super) struct Route<'a> {
    pub(super) source: &'a dyn Archive,
    pub(super) target: &'a dyn Archive,
    pub(super) names: Move,
    /// Whether nobody is told how far it is.
    pub(super) is_quiet: bool,
}

/// What came of a move.
pub(super) enum Moved {
    /// It had been done before.
    Already,
    /// It was done now.
    Now(Report),
}

/// What was done.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) from: String,
    pub(super) to: String,
    /// How many of each kind both have.
    pub(super) records: Vec<Copied>,
    /// How often everything was compared.
    pub(super) copies: u32,
    /// For how long neither took a write.
    pub(super) closed_for_ms: u64,
}

impl Move {
    /// The target, as long as this run fills it.
    fn arriving(&self) -> Standing {
        Standing::Arriving { from: self.from.clone(), run: self.run.clone() }
    }

    /// The source, once this run has closed it.
    fn left(&self) -> Standing {
        Standing::Left { to: self.to.clone(), run: self.run.clone() }
    }

    /// The target, once this run has closed it again.
    fn gone_back(&self) -> Standing {
        Standing::Left { to: self.from.clone(), run: self.run.clone() }
    }

    /// Puts this run's name on a source from which everything has gone to this target.
    async fn take_closed(&self, source: &dyn Archive) -> Result<(), Failure> {
        match standing(source).await? {
            seen @ Standing::Left { .. } if is_gone_to(&seen, &self.to) => {
                must(source, &seen, self.left()).await
            }
            Standing::Left { to: other, .. } => {
                Err(Failure::new(format!("everything has gone to {other}, not to {}", self.to)))
            }
            Standing::InService => {
                Err(Failure::new(format!("nothing has gone from {}: it is in service", self.from)))
            }
            Standing::Arriving { from: other, .. } => Err(Failure::new(format!(
                "nothing has gone from {}: it is being filled from {other}",
                self.from
            ))),
        }
    }

    /// Opens the source again although nobody can ask the target what it has.
    pub(super) async fn without_target(&self, source: &dyn Archive) -> Result<(), Failure> {
        self.take_closed(source).await?;
        must(source, &self.left(), Standing::InService).await
    }
}

impl Route<'_> {
    /// Moves everything.
    pub(super) async fn there(&self) -> Result<Moved, Failure> {
        if self.is_done().await? {
            return Ok(Moved::Already);
        }
        self.take_room().await?;
        if standing(self.source).await? == self.names.arriving() {
            must(self.target, &self.names.arriving(), Standing::InService).await?;
            return Err(self.same());
        }
        let mut copies = 0;
        while copies < LIVE_COPIES && standing(self.source).await? == Standing::InService {
            copies += 1;
            let copied = self.copy(copies).await?;
            if copied.iter().map(|copied| copied.stored + copied.removed).sum::<u64>() < u64::from(PAGE) {
                break;
            }
        }
        if !self.is_quiet {
            complain(&format!("acmed: {} is closed from now on; the rest is copied", self.names.from));
        }
        let closed = SystemClock.now();
        self.close().await?;
        let records = self
            .copy_rest(&mut copies)
            .await
            .map_err(|failure| failure.hint("run this again, or with --undo to open what was there"))?;
        // Somebody may have said that the target is lost.
        must(self.source, &self.names.left(), self.names.left()).await?;
        must(self.target, &self.names.arriving(), Standing::InService).await?;
        let closed_for = SystemClock.now().since(closed);

        let closed_for_ms = u64::try_from(closed_for.as_millis()).unwrap_or(u64::MAX);
        let Move { from, to, .. } = &self.names;
        Ok(Moved::Now(Report { from: from.clone(), to: to.clone(), records, copies, closed_for_ms }))
    }

    /// Whether it was done before.
    async fn is_done(&self) -> Result<bool, Failure> {
        let Move { from, to, .. } = &self.names;
        match standing(self.source).await? {
            seen @ Standing::Left { .. } if is_gone_to(&seen, to) => {
                let is_open = standing(self.target).await? == Standing::InService;
                if is_open && !knows(self.target, self.source).await? {
                    return Err(Failure::new(format!(
                        "everything has gone from {from} to {to}, which knows nothing of it; if it was lost, open {from} again \
                         with --undo --target-is-lost"
                    )));
                }
                Ok(is_open)
            }
            Standing::Left { to: other, .. } => {
                Err(Failure::new(format!("everything has gone from {from} to {other}")))
            }
            // An earlier run has not lived to say so.
            seen @ Standing::Arriving { .. } if is_from(&seen, from) => {
                must(self.source, &seen, Standing::InService).await?;
                Err(self.same())
            }
            Standing::Arriving { from: other, .. } => {
                Err(Failure::new(format!("{from} is not whole: finish the move from {other} first")))
            }
            Standing::InService => Ok(false),
        }
    }

    /// Takes the target. It has to be empty, or what an earlier run has made of it, whose name it then bears no more.
    async fn take_room(&self) -> Result<(), Failure> {
        let seen = standing(self.target).await?;
        let Move { from, to, .. } = &self.names;
        let other = match &seen {
            Standing::Arriving { .. } if is_from(&seen, from) => {
                self.require_heir().await?;
                None
            }
            // It was a copy when it was closed, and nobody has written to it since. What it has may be newer than what the
            // source has as long as that is closed, too.
            Standing::Left { .. } if is_gone_to(&seen, from) => {
                if standing(self.source).await? != Standing::InService {
                    return Err(Failure::new(
                        "it was being taken back: run this with --undo, which says what came of it",
                    ));
                }
                self.require_heir().await?;
                None
            }
            Standing::Arriving { from: other, .. } => Some(format!("is being filled from {other}")),
            Standing::Left { to: other, .. } => Some(format!("has gone to {other}")),
            Standing::InService => match self.target.stand(&seen, self.names.arriving()).await {
                Ok(true) => return Ok(()),
                Ok(false) => return Err(another_run()),
                Err(StorageError::Conflict(Conflict::NotEmpty)) => Some("is in use".to_owned()),
                Err(error) => return Err(unwritable(error)),
            },
        };
        match other {
            None => must(self.target, &seen, self.names.arriving()).await,
            Some(other) => Err(Failure::new(format!("{to} {other}; choose an empty database"))),
        }
    }

    fn same(&self) -> Failure {
        let Move { from, to, .. } = &self.names;
        Failure::new(format!("{from} and {to} are the same; choose another --to"))
    }

    /// What is in the target came from the source, or went there.
    async fn require_heir(&self) -> Result<(), Failure> {
        if knows(self.source, self.target).await? {
            return Ok(());
        }
        let Move { from, to, .. } = &self.names;
        Err(Failure::new(format!(
            "{from} knows nothing of what is in {to}, which would be removed there: is it the database that it was? If so, \
             choose an empty one"
        )))
    }

    /// Closes the source, or puts this run's name on it if it is closed.
    async fn close(&self) -> Result<(), Failure> {
        if stand(self.source, &Standing::InService, self.names.left()).await? {
            return Ok(());
        }
        self.names.take_closed(self.source).await
    }

    /// One copy of everything.
    async fn copy(&self, number: u32) -> Result<Vec<Copied>, Failure> {
        let mut progress = Progress::new(number, self.is_quiet);
        for kind in RecordKind::ALL {
            let total = self.source.count(kind).await;
            progress.expect(kind, total.map_err(|error| unreadable(&self.names.from, error))?);
        }
        let (arriving, tell) = (self.names.arriving(), |copied: &_| progress.show(copied));
        let copied = copy(self.source, self.target, &arriving, PAGE, tell).await;
        progress.end();
        copied.map_err(|error| match error {
            StorageError::Conflict(Conflict::MovedOn) => another_run(),
            error => Failure::because("not everything could be copied")(error),
        })
    }

    /// Copies a source that does not change any more, until the target is equal.
    async fn copy_rest(&self, copies: &mut u32) -> Result<Vec<Copied>, Failure> {
        for _ in 0..LAST_COPIES {
            *copies += 1;
            let copied = self.copy(*copies).await?;
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
            let kept = kept.map_err(|error| unreadable(&self.names.to, error))?;
            if kept != *records {
                let kind = kind.plural();
                return Err(Failure::new(format!(
                    "there were {records} {kind} to copy, and there are {kept}"
                )));
            }
        }
        Ok(())
    }

    /// Opens the source again, if the target has nothing that it has not.
    pub(super) async fn back(&self) -> Result<(), Failure> {
        let Move { from, to, .. } = &self.names;
        self.names.take_closed(self.source).await?;
        let seen = standing(self.target).await?;
        match &seen {
            Standing::Arriving { from: other, .. } | Standing::Left { to: other, .. } if other != from => {
                return Err(Failure::new(format!("{to} has to do with {other}, not with {from}")));
            }
            // It never was in service. Whoever fills it is stopped.
            Standing::Arriving { .. } => {
                must(self.target, &seen, self.names.arriving()).await?;
                self.require_ours().await?;
            }
            Standing::InService | Standing::Left { .. } => {
                must(self.target, &seen, self.names.gone_back()).await?;
                self.require_ours().await?;
                self.require_nothing_new().await?;
            }
        }
        must(self.source, &self.names.left(), Standing::InService).await
    }

    /// The source still bears this run's name, now that the target does.
    async fn require_ours(&self) -> Result<(), Failure> {
        if standing(self.source).await? == self.names.left() { Ok(()) } else { Err(another_run()) }
    }

    /// Opens a target again that was in service and is closed, if it has what the source has not.
    async fn require_nothing_new(&self) -> Result<(), Failure> {
        let different = differences(self.source, self.target, PAGE).await;
        if matches!(different, Ok(0)) {
            return Ok(());
        }
        // Somebody may have said that the target is lost, and opened the source.
        let is_ours = stand(self.source, &self.names.left(), self.names.left()).await;
        if matches!(is_ours, Ok(true)) {
            must(self.target, &self.names.gone_back(), Standing::InService).await?;
        }
        let different = different.map_err(|error| {
            Failure::because("the two cannot be compared")(error).hint("run this again, with --undo")
        })?;
        if !is_ours? {
            return Err(another_run());
        }
        Err(Failure::new(format!(
            "{different} records in {} have changed since, which would be lost; it stays in service",
            self.names.to
        )))
    }
}

/// Whether this one has any of the accounts and external account keys that the other has, if that has any: one that was lost
/// and made anew has not.
async fn knows(archive: &dyn Archive, other: &dyn Archive) -> Result<bool, Failure> {
    let heritage = owners(other).await?;
    Ok(heritage.is_empty() || !owners(archive).await?.is_disjoint(&heritage))
}

async fn owners(archive: &dyn Archive) -> Result<BTreeSet<RecordKey>, Failure> {
    let mut owners = BTreeSet::new();
    for kind in [RecordKind::Account, RecordKind::ExternalAccountKey] {
        let mut last = None;
        loop {
            let page = archive.export(kind, last.as_ref(), PAGE).await;
            let page = page.map_err(Failure::because("a storage cannot be read"))?;
            let Some(end) = page.last() else { break };
            last = Some(end.key());
            owners.extend(page.iter().map(Record::key));
        }
    }
    Ok(owners)
}

fn is_from(standing: &Standing, name: &str) -> bool {
    matches!(standing, Standing::Arriving { from, .. } if from == name)
}

fn is_gone_to(standing: &Standing, name: &str) -> bool {
    matches!(standing, Standing::Left { to, .. } if to == name)
}

async fn standing(archive: &dyn Archive) -> Result<Standing, Failure> {
    archive.standing().await.map_err(Failure::because("a storage cannot be read"))
}

async fn stand(archive: &dyn Archive, from: &Standing, to: Standing) -> Result<bool, Failure> {
    archive.stand(from, to).await.map_err(unwritable)
}

/// Changes where it stands, unless somebody else has.
async fn must(archive: &dyn Archive, from: &Standing, to: Standing) -> Result<(), Failure> {
    if stand(archive, from, to).await? { Ok(()) } else { Err(another_run()) }
}

fn unreadable(name: &str, error: StorageError) -> Failure {
    Failure::because(format!("{name} cannot be read"))(error)
}

fn unwritable(error: StorageError) -> Failure {
    Failure::because("a storage cannot be written to")(error)
}

fn another_run() -> Failure {
    Failure::new("another acmed migrate is at work on this")
        .hint("look at what that one says, and run this again")
}
