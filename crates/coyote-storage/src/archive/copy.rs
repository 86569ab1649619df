//! Making one storage equal to another.

use std::{cmp::Ordering, collections::VecDeque};

use serde::Serialize;

use super::{Archive, Record, RecordKey, RecordKind, Standing};
use crate::Result;

/// What became of the records of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Copied {
    /// The kind.
    pub kind: RecordKind,
    /// How many the source has, of which each was compared.
    pub records: u64,
    /// How many were missing or different, and stored.
    pub stored: u64,
    /// How many the source has no more, and were removed.
    pub removed: u64,
    /// How many refer to one that has not been copied yet, and have to wait for the next time.
    pub waiting: u64,
}

impl Copied {
    fn none(kind: RecordKind) -> Self {
        Self { kind, records: 0, stored: 0, removed: 0, waiting: 0 }
    }

    /// Whether it was equal before.
    pub fn is_unchanged(&self) -> bool {
        (self.stored, self.removed, self.waiting) == (0, 0, 0)
    }
}

/// Makes `target` equal to `source`, as far as it is not, and answers what there was to do: so it can be interrupted,
/// and done again.
///
/// The source may be in service: then what changes meanwhile is copied or not, and is copied the next time. Once a copy
/// of a source that has [left](super::Standing::Left) finds [nothing to do](Copied::is_unchanged), the two are equal.
/// Nobody else may write to the target, which stands like this as long as it is ours to fill.
///
/// `page` records are in memory and in a transaction at a time; `tell` is called after each, with what has been done
/// with that kind so far.
///
/// # Errors
///
/// Of either storage, [`Conflict::MovedOn`](crate::Conflict::MovedOn) among them. What was copied until then stays.
pub async fn copy(
    source: &dyn Archive,
    target: &dyn Archive,
    standing: &Standing,
    page: u32,
    mut tell: impl FnMut(&Copied),
) -> Result<Vec<Copied>> {
    let mut done = Vec::new();
    for kind in RecordKind::ALL {
        done.push(copy_kind(source, Target { archive: target, standing }, kind, page, &mut tell).await?);
    }
    // What refers to others goes before them.
    for (_, gone) in done.iter_mut().rev() {
        for keys in gone.chunks(page.max(1) as usize) {
            target.remove(standing, keys.to_vec()).await?;
        }
    }
    Ok(done.into_iter().map(|(copied, _)| copied).collect())
}

/// How many records are missing, different or left over in `target`; it writes nothing.
///
/// # Errors
///
/// Of either storage.
pub async fn differences(source: &dyn Archive, target: &dyn Archive, page: u32) -> Result<u64> {
    let mut different = 0;
    for kind in RecordKind::ALL {
        let mut pairs = Pairs::new(source, target, kind, page);
        while let Some(pair) = pairs.next().await? {
            different += u64::from(!matches!(pair, Pair::Equal));
        }
    }
    Ok(different)
}

/// What is made equal, and where it stands meanwhile.
#[derive(Clone, Copy)]
struct Target<'a> {
    archive: &'a dyn Archive,
    standing: &'a Standing,
}

/// Stores what is missing or different, and answers also what is to be removed.
async fn copy_kind(
    source: &dyn Archive,
    target: Target<'_>,
    kind: RecordKind,
    page: u32,
    tell: &mut impl FnMut(&Copied),
) -> Result<(Copied, Vec<RecordKey>)> {
    let (mut copied, mut different, mut gone) = (Copied::none(kind), Vec::new(), Vec::new());
    let mut pairs = Pairs::new(source, target.archive, kind, page);
    loop {
        let pair = pairs.next().await?;
        let over = pair.is_none();
        copied.records += u64::from(matches!(pair, Some(Pair::Equal | Pair::Different(_))));
        match pair {
            Some(Pair::Different(record)) => different.push(*record),
            Some(Pair::LeftOver(key)) => gone.push(key),
            Some(Pair::Equal) | None => {}
        }
        let full = different.len() >= page.max(1) as usize;
        if (full || over) && !different.is_empty() {
            let wanted = different.len() as u64;
            let stored = target.archive.import(target.standing, std::mem::take(&mut different)).await?;
            copied.stored += stored;
            copied.waiting += wanted.saturating_sub(stored);
        }
        if over || copied.records.is_multiple_of(u64::from(page.max(1))) {
            tell(&copied);
        }
        if over {
            copied.removed = gone.len() as u64;
            return Ok((copied, gone));
        }
    }
}

/// What both have under one key.
enum Pair {
    /// The same.
    Equal,
    /// The target has nothing there, or something else than this.
    Different(Box<Record>),
    /// The source has nothing there.
    LeftOver(RecordKey),
}

/// The records of a kind in two storages, side by side in the order of their keys.
struct Pairs<'a> {
    source: Records<'a>,
    target: Records<'a>,
}

impl<'a> Pairs<'a> {
    fn new(source: &'a dyn Archive, target: &'a dyn Archive, kind: RecordKind, page: u32) -> Self {
        Self { source: Records::new(source, kind, page), target: Records::new(target, kind, page) }
    }

    async fn next(&mut self) -> Result<Option<Pair>> {
        // Each look is ahead of what is stored for it: a record that is stored is not met again as one of the target's.
        let order = match (self.source.peek().await?, self.target.peek().await?) {
            (None, None) => return Ok(None),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(here), Some(there)) => here.key().cmp(&there.key()),
        };
        let source = if order == Ordering::Greater { None } else { self.source.take() };
        let target = if order == Ordering::Less { None } else { self.target.take() };
        Ok(match (source, target) {
            (Some(here), Some(there)) if here == there => Some(Pair::Equal),
            (Some(here), _) => Some(Pair::Different(Box::new(here))),
            (None, there) => there.map(|there| Pair::LeftOver(there.key())),
        })
    }
}

/// The records of a kind, read page by page.
struct Records<'a> {
    archive: &'a dyn Archive,
    kind: RecordKind,
    limit: u32,
    page: VecDeque<Record>,
    last: Option<RecordKey>,
    over: bool,
}

impl<'a> Records<'a> {
    fn new(archive: &'a dyn Archive, kind: RecordKind, limit: u32) -> Self {
        Self { archive, kind, limit: limit.max(1), page: VecDeque::new(), last: None, over: false }
    }

    async fn peek(&mut self) -> Result<Option<&Record>> {
        if self.page.is_empty() && !self.over {
            self.page = self.archive.export(self.kind, self.last.as_ref(), self.limit).await?.into();
            self.over = self.page.len() < self.limit as usize;
            self.last = self.page.back().map(Record::key);
        }
        Ok(self.page.front())
    }

    fn take(&mut self) -> Option<Record> {
        self.page.pop_front()
    }
}
