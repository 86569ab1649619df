//! Opening the file: who may read it, how SQLite treats it, and whether it is ours.

use std::{
    fs::OpenOptions,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use coyote_storage::{
    BoxError,
    sealing::{SealFault, Sealing},
};
use diesel::{
    connection::SimpleConnection,
    migration::{MigrationSource, MigrationVersion},
    prelude::*,
    sql_query,
    sql_types::{BigInt, Text},
    sqlite::Sqlite,
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use crate::resealing::Resealing;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!();

/// Marks a file as ours: "coyo", in the header that `file` looks at.
const APPLICATION_ID: i64 = 0x636f_796f;

/// How long a reader waits for another process that recovers or closes the database; a look-up blocks its thread.
const READER_PATIENCE: Duration = Duration::from_secs(1);

/// How the database is kept.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// What an answered write survives.
    pub durability: Durability,
    /// How long a write waits for another process that writes to the same file.
    pub busy_timeout: Duration,
    /// How many writes can wait for the writer; one more is answered
    /// [`Unavailable`](coyote_storage::StorageError::Unavailable).
    pub waiting_writes: usize,
    /// How many connections for reading are kept open. Half of them at most read long lists at a time.
    pub readers: usize,
    /// How long a nonce is good.
    pub nonce_lifetime: Duration,
    /// Under which keys what is secret is sealed. By default it is not.
    pub sealing: Sealing,
    /// Whether a schema of an older version is brought up to date, as a server does; otherwise it is refused.
    pub migrate: bool,
}

/// What an answered write survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The end of the process, of the system and of the power. The default, and what a CA needs: a serial number that
    /// was signed with must stay on record.
    #[default]
    Full,
    /// The end of the process. If the power fails, the latest writes may be lost; the file stays sound.
    Process,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Full,
            busy_timeout: Duration::from_secs(5),
            waiting_writes: 4096,
            readers: 16,
            nonce_lifetime: Duration::from_secs(60 * 60),
            sealing: Sealing::none(),
            migrate: true,
        }
    }
}

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file cannot be opened or made.
    #[error("the file {} cannot be opened", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// SQLite does not take it: no database, damaged, or held by another process.
    #[error("the database {} cannot be opened", path.display())]
    Database {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// It is an SQLite database, but another program's.
    #[error("{} is not a coyote database", path.display())]
    NotOurs {
        /// Which.
        path: PathBuf,
    },
    /// A later version of coyote has used it, and this one would not know what it means.
    #[error("{} has schema version {found}, which this version of coyote does not know", path.display())]
    Newer {
        /// Which.
        path: PathBuf,
        /// The version of its schema.
        found: String,
    },
    /// Its schema is older than this version's, and was to be left as it is.
    #[error("{} has the schema of an older version of coyote, which a server brings up to date", path.display())]
    Older {
        /// Which.
        path: PathBuf,
    },
    /// What is in it is sealed, and the key ring is another, or there is none.
    #[error("{} cannot be read with this key ring", path.display())]
    Sealed {
        /// Which.
        path: PathBuf,
        /// What is the matter with the mark of a key.
        #[source]
        fault: SealFault,
    },
    /// The file's path is not UTF-8, which SQLite needs it to be.
    #[error("the path {} is not UTF-8", path.display())]
    Path {
        /// Which.
        path: PathBuf,
    },
}

/// Opens connections to one file.
#[derive(Clone, Debug)]
pub(crate) struct Opener {
    path: PathBuf,
    url: String,
    durability: Durability,
    busy_timeout: Duration,
    /// Whether what is deleted is overwritten with zeros.
    erase: bool,
    migrate: bool,
}

impl Opener {
    pub(crate) fn new(path: &Path, options: &SqliteOptions) -> Result<Self, OpenError> {
        let text = path.to_str().ok_or_else(|| OpenError::Path { path: path.to_owned() })?;
        let SqliteOptions { durability, busy_timeout, migrate, .. } = *options;
        let erase = options.sealing.ring().is_some();
        Ok(Self { path: path.to_owned(), url: url(text), durability, busy_timeout, erase, migrate })
    }

    /// The connection that writes, to a file that exists then, is ours, and has this version's schema.
    pub(crate) fn writer(&self) -> Result<SqliteConnection, OpenError> {
        self.create()?;
        let synchronous = match self.durability {
            Durability::Full => "FULL",
            Durability::Process => "NORMAL",
        };
        let mut connection = self.connect("rw", self.busy_timeout)?;
        self.require_ours(&mut connection)?;
        let pragmas = format!(
            "PRAGMA auto_vacuum = INCREMENTAL;
             PRAGMA journal_mode = WAL;
             PRAGMA synchronous = {synchronous};
             PRAGMA foreign_keys = ON;
             PRAGMA journal_size_limit = 67108864;
             PRAGMA secure_delete = {};
             PRAGMA cache_size = -16384;",
            if self.erase { "ON" } else { "OFF" }
        );
        self.set_up(&mut connection, &pragmas)?;
        if self.migrate {
            self.bring_up_to_date(&mut connection)?;
        } else {
            self.require_current(&mut connection)?;
        }
        Ok(connection)
    }

    /// Whether what is sealed can be read.
    pub(crate) fn check_keys(
        &self,
        connection: &mut SqliteConnection,
        sealing: &Sealing,
    ) -> Result<Resealing, OpenError> {
        let checked = connection.immediate_transaction(|connection| Resealing::open(connection, sealing));
        checked
            .map_err(|error: diesel::result::Error| self.refused(error))?
            .map_err(|fault| OpenError::Sealed { path: self.path.clone(), fault })
    }

    /// Runs the pragmas of the connection that writes. The first to open a file changes its journal mode, and who comes
    /// at the same moment is told that it is locked, whatever the busy timeout: so it is tried again for as long.
    #[allow(
        clippy::disallowed_methods,
        reason = "opening blocks its thread, and there is nothing to be woken by"
    )]
    fn set_up(&self, connection: &mut SqliteConnection, pragmas: &str) -> Result<(), OpenError> {
        let started = Instant::now();
        loop {
            match connection.batch_execute(pragmas) {
                Err(error) if is_locked(&error) && started.elapsed() < self.busy_timeout => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                done => return done.map_err(|error| self.refused(error)),
            }
        }
    }

    /// A connection for what cannot be part of a transaction of the one that writes.
    pub(crate) fn beside(&self) -> Result<SqliteConnection, OpenError> {
        self.connect("rw", self.busy_timeout)
    }

    /// A connection that reads, to a file that is ours and has this version's schema, which is left as it is; and the
    /// version.
    pub(crate) fn looker(&self) -> Result<(SqliteConnection, String), OpenError> {
        let mut connection = self.connect("ro", self.busy_timeout)?;
        self.require_ours(&mut connection)?;
        let version = self.require_current(&mut connection)?;
        Ok((connection, version))
    }

    /// The version of the schema, if it is this one's.
    fn require_current(&self, connection: &mut SqliteConnection) -> Result<String, OpenError> {
        let versions = connection.transaction(versions);
        let (known, applied) = versions.map_err(|error| self.refused(error))?;
        if let Some(found) = applied.iter().find(|version| !known.contains(version)) {
            return Err(OpenError::Newer { path: self.path.clone(), found: found.clone() });
        }
        match known.last() {
            Some(last) if known.len() == applied.len() => Ok(last.clone()),
            _ => Err(OpenError::Older { path: self.path.clone() }),
        }
    }

    /// A connection that reads.
    pub(crate) fn reader(&self) -> Result<SqliteConnection, OpenError> {
        self.connect("ro", self.busy_timeout.min(READER_PATIENCE))
    }

    /// Does what is left to do before the database is open.
    pub(crate) fn prepare<T>(&self, step: impl FnOnce() -> Result<T, BoxError>) -> Result<T, OpenError> {
        step().map_err(|error| self.refused(error))
    }

    /// Makes the file if there is none, for its owner's eyes only. SQLite gives its companions (-wal, -shm) the same
    /// permissions.
    fn create(&self) -> Result<(), OpenError> {
        let mut options = OpenOptions::new();
        // A file that is there is left alone: closing it would drop the locks that this process has on it.
        options.create_new(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(&self.path) {
            Err(source) if source.kind() != ErrorKind::AlreadyExists => {
                Err(OpenError::File { path: self.path.clone(), source })
            }
            _ => Ok(()),
        }
    }

    fn connect(&self, mode: &str, busy_timeout: Duration) -> Result<SqliteConnection, OpenError> {
        let url = format!("{}?mode={mode}", self.url);
        let mut connection = SqliteConnection::establish(&url).map_err(|error| self.refused(error))?;
        let pragmas = format!(
            "PRAGMA busy_timeout = {}; PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY;",
            busy_timeout.as_millis()
        );
        connection.batch_execute(&pragmas).map_err(|error| self.refused(error))?;
        Ok(connection)
    }

    fn require_ours(&self, connection: &mut SqliteConnection) -> Result<(), OpenError> {
        #[derive(QueryableByName)]
        struct Header {
            #[diesel(sql_type = BigInt)]
            application: i64,
            #[diesel(sql_type = BigInt)]
            objects: i64,
        }
        let query = "SELECT application_id AS application, (SELECT count(*) FROM sqlite_schema) AS objects
                     FROM pragma_application_id";
        let header: Header = sql_query(query).get_result(connection).map_err(|error| self.refused(error))?;
        let ours = header.application == APPLICATION_ID;
        let empty = header.application == 0 && header.objects == 0;
        if ours || empty { Ok(()) } else { Err(OpenError::NotOurs { path: self.path.clone() }) }
    }

    /// Brings the schema up to date.
    fn bring_up_to_date(&self, connection: &mut SqliteConnection) -> Result<(), OpenError> {
        // One transaction that starts by taking the write lock, so that of two processes one waits for the other.
        let unknown = connection.immediate_transaction(migrate).map_err(|error| self.refused(error))?;
        match unknown {
            Some(found) => Err(OpenError::Newer { path: self.path.clone(), found }),
            None => Ok(()),
        }
    }

    fn refused(&self, source: impl Into<BoxError>) -> OpenError {
        OpenError::Database { path: self.path.clone(), source: source.into() }
    }
}

/// The versions of the schema that are known, and those that were run, without a change to the file.
fn versions(connection: &mut SqliteConnection) -> Result<(Vec<String>, Vec<String>), BoxError> {
    #[derive(QueryableByName)]
    struct Name {
        #[diesel(sql_type = Text)]
        name: String,
    }
    let names = |connection: &mut SqliteConnection, query: &str| -> QueryResult<Vec<String>> {
        let rows: Vec<Name> = sql_query(query).load(connection)?;
        Ok(rows.into_iter().map(|row| row.name).collect())
    };
    let migrations = MigrationSource::<Sqlite>::migrations(&MIGRATIONS)?;
    let known = migrations.iter().map(|known| known.name().version().to_string()).collect();
    // Asked first, as an empty file is a database without tables.
    let table = "SELECT name FROM sqlite_schema WHERE name = '__diesel_schema_migrations'";
    let applied = if names(connection, table)?.is_empty() {
        Vec::new()
    } else {
        names(connection, "SELECT version AS name FROM __diesel_schema_migrations")?
    };
    Ok((known, applied))
}

fn is_locked(error: &diesel::result::Error) -> bool {
    matches!(error, diesel::result::Error::DatabaseError(_, info) if info.message() == "database is locked")
}

/// The path as a `file:` URL, which is how SQLite is told not to make the file.
fn url(path: &str) -> String {
    // With an empty authority, lest a path that starts with two slashes be taken to have one.
    let mut url = String::from(if path.starts_with('/') { "file://" } else { "file:" });
    for character in path.chars() {
        match character {
            '%' => url.push_str("%25"),
            '?' => url.push_str("%3f"),
            '#' => url.push_str("%23"),
            other => url.push(other),
        }
    }
    url
}

/// Runs the migrations that have not been run, or answers one that was run and is unknown.
fn migrate(connection: &mut SqliteConnection) -> Result<Option<String>, BoxError> {
    let migrations = MigrationSource::<Sqlite>::migrations(&MIGRATIONS)?;
    let known = |version: &MigrationVersion<'_>| {
        migrations.iter().any(|migration| migration.name().version() == *version)
    };
    let applied = connection.applied_migrations()?;
    if let Some(unknown) = applied.iter().find(|version| !known(version)) {
        return Ok(Some(unknown.to_string()));
    }
    if !connection.run_pending_migrations(MIGRATIONS)?.is_empty() {
        connection.batch_execute(&format!("PRAGMA application_id = {APPLICATION_ID}"))?;
    }
    Ok(None)
}
