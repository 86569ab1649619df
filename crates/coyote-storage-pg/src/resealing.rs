//! Sealing anew what is plain, or sealed under an older key.
//!
//! The tables are walked through by their keys, a page at a time, each cell guarded by what was read of it. When a whole
//! walk has found nothing to do, the marks of the older keys go: they are not needed any more. What a mark says is not
//! enough to be settled: who still had an older current key may have written since, so there is a walk each time that the
//! database is opened. Replicas may walk at the same time: who comes second finds nothing to do.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
};

use coyote_storage::{
    Result,
    sealing::{Column, KeyMark, MarksChecked, Place, Row, Sealing},
};
use diesel::{
    ExpressionMethods, QueryDsl, QueryResult, QueryableByName, TextExpressionMethods, sql_query,
    sql_types::{BigInt, Binary, Text},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use tokio::sync::Mutex;

use crate::{ConnectError, PgStorage, nonce, schema::settings};

/// How many rows of a table are looked at together.
const PAGE: i64 = 200;

/// Columns with cells, in the tables whose rows have an id.
const BY_ID: [Column; 4] = [Column::CONTACT, Column::CSR, Column::CHAIN, Column::ALTERNATES];

/// How far it has come.
pub(crate) struct Resealing {
    settled: AtomicBool,
    /// The marks that there were when the database was opened.
    seen: Vec<KeyMark>,
    walk: Mutex<Walk>,
}

/// A walk through the cells: first those with names, of which there are few, then `BY_ID`.
#[derive(Default)]
struct Walk {
    /// The place in `BY_ID`; `None` before.
    column: Option<usize>,
    /// The last id that was looked at, if there was one in this table.
    after: Vec<u8>,
    /// Whether anything was to do.
    changed: bool,
}

/// A cell to be replaced.
struct Renewal {
    column: Column,
    row: Key,
    old: Vec<u8>,
    new: Vec<u8>,
}

/// What names a row.
enum Key {
    Id(Vec<u8>),
    Names(Vec<String>),
}

#[derive(QueryableByName)]
struct CellOfId {
    #[diesel(sql_type = Binary)]
    id: Vec<u8>,
    #[diesel(sql_type = Binary)]
    cell: Vec<u8>,
}

#[derive(QueryableByName)]
struct CellOfKey {
    #[diesel(sql_type = Text)]
    directory: String,
    #[diesel(sql_type = Text)]
    kid: String,
    #[diesel(sql_type = Binary)]
    cell: Vec<u8>,
}

impl Resealing {
    /// What is left to do, if the database can be read with these keys.
    pub(crate) async fn open(
        mut connection: &AsyncPgConnection,
        sealing: &Sealing,
    ) -> Result<Self, ConnectError> {
        let failed = |error: diesel::result::Error| ConnectError::Database(error.into());
        let seen = marks(connection).await.map_err(failed)?;
        match sealing.check(&seen).map_err(ConnectError::Sealed)? {
            MarksChecked::Settled => {}
            MarksChecked::Stale(mark) => {
                let mark = (settings::name.eq(mark.name), settings::value.eq(mark.cell));
                let mark = diesel::insert_into(settings::table).values(mark).on_conflict_do_nothing();
                mark.execute(&mut connection).await.map_err(failed)?;
            }
        }
        Ok(Self { settled: sealing.ring().is_none().into(), seen, walk: Mutex::default() })
    }

    pub(crate) fn is_settled(&self) -> bool {
        AtomicBool::load(&self.settled, Ordering::Relaxed) // diesel has a method of that name
    }
}

/// The keys in use.
pub(crate) async fn marks(mut connection: &AsyncPgConnection) -> QueryResult<Vec<KeyMark>> {
    let named = settings::name.like(format!("{}%", KeyMark::PREFIX));
    let rows: Vec<(String, Vec<u8>)> = settings::table.filter(named).load(&mut connection).await?;
    Ok(rows.into_iter().map(|(name, cell)| KeyMark { name, cell }).collect())
}

/// Seals some cells anew, about `limit` at most, and answers how many.
pub(crate) async fn run(storage: &PgStorage, limit: u32) -> Result<u64> {
    let resealing = &storage.resealing;
    if resealing.is_settled() {
        return Ok(0);
    }
    let mut walk = resealing.walk.lock().await;
    let mut renewed = 0;
    while renewed < u64::from(limit) {
        let Some(page) = walk.next_page(storage).await? else {
            if !walk.changed {
                settle(storage).await?;
                resealing.settled.store(true, Ordering::Relaxed);
            }
            *walk = Walk::default();
            break;
        };
        walk.changed |= page.is_unclean();
        renewed += replace(storage, page.renewals).await?;
    }
    Ok(renewed)
}

/// What a page of cells comes to.
#[derive(Default)]
struct Page {
    renewals: Vec<Renewal>,
    unreadable: bool,
}

impl Page {
    fn is_unclean(&self) -> bool {
        self.unreadable || !self.renewals.is_empty()
    }

    fn look_at(&mut self, sealing: &Sealing, column: Column, row: Key, old: Vec<u8>) {
        match row.with_place(column, |place| sealing.renew(&place, &old)) {
            Ok(None) => {}
            Ok(Some(new)) => self.renewals.push(Renewal { column, row, old, new }),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "a cell cannot be sealed anew");
                self.unreadable = true;
            }
        }
    }
}

impl Key {
    fn with_place<T>(&self, column: Column, place: impl FnOnce(Place<'_>) -> T) -> T {
        match self {
            Self::Id(id) => {
                let id: [u8; 16] = id.as_slice().try_into().unwrap_or_default();
                place(column.of(&id))
            }
            Self::Names(names) => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                place(Place { column, row: Row::Names(&names) })
            }
        }
    }
}

impl Walk {
    /// The next cells, or `None` at the end.
    async fn next_page(&mut self, storage: &PgStorage) -> Result<Option<Page>> {
        const DOING: &str = "looking for cells to seal anew";
        let sealing = &storage.sealing;
        let Some(place) = self.column else {
            let page =
                storage.look_up(DOING, async |session| Ok(named_cells(session.connection(), sealing).await?));
            let page = page.await?;
            self.column = Some(0);
            return Ok(Some(page));
        };
        let Some(&column) = BY_ID.get(place) else { return Ok(None) };
        let after = &self.after;
        let page = storage.look_up(DOING, async |session| {
            Ok(cells_of(session.connection(), sealing, column, after).await?)
        });
        let (page, last) = page.await?;
        self.after = last.unwrap_or_else(|| {
            self.column = Some(place + 1);
            Vec::new()
        });
        Ok(Some(page))
    }
}

async fn named_cells(mut connection: &AsyncPgConnection, sealing: &Sealing) -> QueryResult<Page> {
    let mut page = Page::default();
    let of_ours: Vec<(String, Vec<u8>)> =
        settings::table.filter(settings::name.eq(nonce::KEY)).load(&mut connection).await?;
    for (name, cell) in of_ours {
        page.look_at(sealing, Column::SETTING, Key::Names(vec![name]), cell);
    }
    for column in [Column::SECRET, Column::COMMENT] {
        let Column { table, name } = column;
        let query = format!("SELECT directory, kid, {name} AS cell FROM {table} ORDER BY directory, kid");
        let of_keys: Vec<CellOfKey> = sql_query(query).load(&mut connection).await?;
        for CellOfKey { directory, kid, cell } in of_keys {
            page.look_at(sealing, column, Key::Names(vec![directory, kid]), cell);
        }
    }
    Ok(page)
}

/// The cells of this column in the rows after this id, and the last of these.
async fn cells_of(
    mut connection: &AsyncPgConnection,
    sealing: &Sealing,
    column: Column,
    after: &[u8],
) -> QueryResult<(Page, Option<Vec<u8>>)> {
    let Column { table, name } = column;
    let query = format!(
        "SELECT id, {name} AS cell FROM {table} WHERE id > $1 AND {name} IS NOT NULL ORDER BY id LIMIT $2"
    );
    let query = sql_query(query).bind::<Binary, _>(after).bind::<BigInt, _>(PAGE);
    let cells: Vec<CellOfId> = query.load(&mut connection).await?;
    let last = cells.last().map(|last| last.id.clone());
    let mut page = Page::default();
    for CellOfId { id, cell } in cells {
        page.look_at(sealing, column, Key::Id(id), cell);
    }
    Ok((page, last))
}

/// Replaces the cells that are still what they were, each in a transaction of its own: so none waits for a second lock
/// while it has one.
async fn replace(storage: &PgStorage, renewals: Vec<Renewal>) -> Result<u64> {
    if renewals.is_empty() {
        return Ok(0);
    }
    storage
        .look_up("sealing anew", async |session| {
            let mut replaced = 0;
            for renewal in &renewals {
                replaced += renewal.write(session.connection()).await?;
            }
            Ok(replaced as u64)
        })
        .await
}

impl Renewal {
    async fn write(&self, mut connection: &AsyncPgConnection) -> QueryResult<usize> {
        let Column { table, name } = self.column;
        let update = |key: &str| {
            sql_query(format!("UPDATE {table} SET {name} = $1 WHERE {name} = $2 AND {key}"))
                .bind::<Binary, _>(&self.new)
                .bind::<Binary, _>(&self.old)
        };
        match &self.row {
            Key::Id(id) => update("id = $3").bind::<Binary, _>(id).execute(&mut connection).await,
            Key::Names(names) => match names.as_slice() {
                [name] => update("name = $3").bind::<Text, _>(name).execute(&mut connection).await,
                [directory, kid] => {
                    let update = update("directory = $3 AND kid = $4").bind::<Text, _>(directory);
                    update.bind::<Text, _>(kid).execute(&mut connection).await
                }
                _ => Ok(0),
            },
        }
    }
}

/// Marks that all is sealed under the current key, and forgets the keys that were in use when the database was opened.
async fn settle(storage: &PgStorage) -> Result<()> {
    let Some(mark) = storage.sealing.settled()? else { return Ok(()) };
    let seen = storage.resealing.seen.iter().map(|mark| mark.name.as_str());
    let older: Vec<&str> = seen.filter(|name| *name != mark.name).collect();
    storage
        .look_up("marking the key in use", async |session| {
            let mut connection = session.connection();
            // First what must not be lost.
            let new = (settings::name.eq(&mark.name), settings::value.eq(&mark.cell));
            let new = diesel::insert_into(settings::table).values(new);
            let new = new.on_conflict(settings::name).do_update().set(settings::value.eq(&mark.cell));
            new.execute(&mut connection).await?;
            let older = settings::table.filter(settings::name.eq_any(&older));
            diesel::delete(older).execute(&mut connection).await?;
            Ok(())
        })
        .await
}

impl fmt::Debug for Resealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resealing").field("settled", &self.settled).finish_non_exhaustive()
    }
}
