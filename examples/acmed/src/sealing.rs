//! `acmed sealing`: keys for sealing, and what is sealed under them.

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io::{self, Write},
    path::Path,
};

use coyote_server::{
    Entropy, SystemEntropy,
    storage::{
        CellCount,
        sealing::{KeyId, KeyRing, Resealed, Seal, SealingKey},
    },
};
use serde::Serialize;

use crate::{
    cli::{Look, NewKey, Rotate, SealingArgs, SealingCommand},
    config::StorageUrl,
    db,
    failure::Failure,
    output::{complain, print, print_json},
    store,
};

/// Cells that are sealed anew between two looks at how far it has come.
const BATCH: u32 = 1_000;

pub(crate) fn run(sealing: SealingArgs) -> Result<(), Failure> {
    match sealing.command {
        SealingCommand::NewKey(new_key) => self::new_key(&new_key),
        SealingCommand::Status(look) => store::block_on(status(look)),
        SealingCommand::Rotate(rotate) => store::block_on(self::rotate(rotate)),
    }
}

fn new_key(new_key: &NewKey) -> Result<(), Failure> {
    let entropy: &dyn Entropy = &SystemEntropy;
    let bits: [u8; 32] = entropy.bytes().map_err(Failure::because("no key could be made"))?;
    let key = SealingKey::new(bits).map_err(Failure::because("no key could be made"))?;
    let digits: String = bits.iter().map(|byte| format!("{byte:02x}")).collect();
    let line = format!("{digits}  # {}\n", key.id());
    let Some(path) = &new_key.append else { return print(&line) };
    append(path, &line).map_err(Failure::because(format!("{} cannot be written to", path.display())))?;
    print(&format!(
        "{} is the current key of {}; it takes effect at the next start\n",
        key.id(),
        path.display()
    ))
}

fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    // An editor may have left the last line without an end.
    file.write_all(format!("\n{line}").as_bytes())?;
    file.sync_all()
}

/// Cells that are kept in one way.
#[derive(Serialize)]
struct Kept {
    /// `None`: plain.
    key: Option<String>,
    in_ring: bool,
    current: bool,
    cells: BTreeMap<String, u64>,
}

async fn status(look: Look) -> Result<(), Failure> {
    let config = look.beside.config()?;
    let sealing = config.sealing.sealing()?;
    let statistics = db::statistics(&config).await?;
    let kept = by_key(sealing.ring(), &statistics.cells);
    if look.json { print_json(&kept) } else { print(&table(&kept)) }
}

fn by_key(ring: Option<&KeyRing>, cells: &[CellCount]) -> Vec<Kept> {
    let kept = |seal: Seal, key: Option<KeyId>| Kept {
        key: key.map(|id| id.to_string()),
        in_ring: key.is_none_or(|id| ring.is_some_and(|ring| ring.key(id).is_some())),
        current: key.is_some() && ring.map(|ring| ring.current().id()) == key,
        cells: cells
            .iter()
            .filter(|count| count.seal == Some(seal))
            .map(|count| (count.column.to_string(), count.cells))
            .collect(),
    };
    let in_ring = ring.into_iter().flat_map(KeyRing::ids);
    let used = cells.iter().filter_map(|count| match count.seal {
        Some(Seal::Under(id)) => Some(id),
        _ => None,
    });
    let mut ids: Vec<KeyId> = in_ring.chain(used).collect();
    ids.sort_unstable();
    ids.dedup();
    let under = ids.into_iter().map(|id| kept(Seal::Under(id), Some(id)));
    [kept(Seal::Plain, None)].into_iter().chain(under).collect()
}

fn table(all: &[Kept]) -> String {
    let mut text = String::from("KEY               CELLS      \n");
    for kept in all {
        let count: u64 = kept.cells.values().sum();
        let role = match (&kept.key, kept.current, kept.in_ring) {
            (None, ..) => "",
            (_, true, _) => "the current key",
            (_, _, true) if count == 0 => "an older key, which can be removed",
            (_, _, true) => "an older key",
            (_, _, false) => "NOT IN THE KEY RING",
        };
        let key = kept.key.as_deref().unwrap_or("(plain)");
        let columns: Vec<_> = kept.cells.iter().map(|(column, cells)| format!("{column} {cells}")).collect();
        let line = format!(
            "{key:<16}  {count:<9}  {role}{}{}",
            if role.is_empty() { "" } else { "  " },
            columns.join(", ")
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

async fn rotate(rotate: Rotate) -> Result<(), Failure> {
    let config = rotate.beside.config()?;
    let sealing = config.sealing.sealing()?;
    let Some(ring) = sealing.ring() else {
        return Err(Failure::new("there are no sealing keys; name a file of keys in [sealing]"));
    };
    let current = ring.current().id();
    let failed = || Failure::because("not everything could be sealed");
    let cells = match config.storage() {
        StorageUrl::Sqlite(path) => {
            let storage = store::existing_file(&path, sealing.clone())?;
            let cells = until_settled(async || storage.reseal(BATCH).await).await?;
            storage.compact().await.map_err(Failure::because(
                "all is sealed, but the file could not be written anew, and may still have something plain in it",
            ))?;
            cells
        }
        StorageUrl::Postgres(url) => {
            let storage = store::existing_database(&url, sealing.clone()).await?;
            let cells = until_settled(async || storage.reseal(BATCH).await).await?;
            if cells > 0 {
                complain("acmed: VACUUM FULL removes what PostgreSQL keeps of the rows as they were before");
            }
            cells
        }
        StorageUrl::Memory => return Err(failed()(io::Error::other("what is in memory: is not sealed"))),
    };
    print(&format!("{cells} values were sealed anew; all are under {current} now\n"))
}

/// Seals until there is nothing left, and answers how much that was.
async fn until_settled<E: std::error::Error>(
    mut step: impl AsyncFnMut() -> Result<Resealed, E>,
) -> Result<u64, Failure> {
    let (mut cells, mut idle) = (0, 0);
    loop {
        let done = step().await.map_err(Failure::because("not everything could be sealed"))?;
        cells += done.cells;
        if done.settled {
            return Ok(cells);
        }
        // A walk that changes nothing and yet does not settle has met what it cannot open.
        idle = if done.cells == 0 { idle + 1 } else { 0 };
        if idle > 2 {
            return Err(Failure::new(format!(
                "{cells} values were sealed anew, but some cannot be opened; the server's log names them at each sweep"
            )));
        }
    }
}
