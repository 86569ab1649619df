//! Where things are kept: `storage` and `nonces`.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use super::section::string_setting;

/// What `storage` names.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum StorageUrl {
    /// `sqlite:PATH`.
    Sqlite(PathBuf),
    /// The PostgreSQL database at this URL.
    Postgres(String),
    /// `memory:`, forgotten with the process.
    Memory,
}

/// What `nonces` names.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) enum Nonces {
    /// What suits the storage.
    #[default]
    Auto,
    /// The process: nothing is written for a nonce, and a restart makes those handed out useless.
    Memory,
    /// The storage.
    Storage,
    /// The Redis at this URL, and the rate limits with them.
    Redis(String),
}

/// It names nothing that there is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidStore {
    /// It is for something else.
    #[error("Redis keeps nonces and rate limits only: name it as nonces; for storage use {0}")]
    NoncesOnly(&'static str),
    /// It is not.
    #[error("{0:?} is not a place to keep things; write {1}")]
    Unknown(String, &'static str),
}

impl StorageUrl {
    /// The same, with a relative path taken as below this directory.
    pub(crate) fn below(self, directory: &Path) -> Self {
        match self {
            Self::Sqlite(path) => Self::Sqlite(directory.join(path)),
            elsewhere => elsewhere,
        }
    }
}

impl StorageUrl {
    /// What people may read of it: where it is, without a password.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Sqlite(path) => {
                format!("sqlite:{}", std::path::absolute(path).as_deref().unwrap_or(path).display())
            }
            Self::Postgres(url) => {
                let (_, place) = url.split_once("://").unwrap_or_default();
                let (user, place) = place.split_once('@').unwrap_or(("", place));
                // Where a password has such characters in it, which it should not, nobody can say where it ends.
                if place.contains('@') || user.contains(['/', '?', '#']) {
                    return "postgres://…".to_owned();
                }
                let user = user.split(':').next().unwrap_or_default();
                let place = place.split(['?', '#']).next().unwrap_or_default();
                let (hosts, database) = place.split_once('/').unwrap_or((place, ""));
                let at = if user.is_empty() { "" } else { "@" };
                format!("postgres://{user}{at}{hosts}/{database}")
            }
            Self::Memory => "memory:".to_owned(),
        }
    }
}

impl FromStr for StorageUrl {
    type Err = InvalidStore;

    fn from_str(text: &str) -> Result<Self, InvalidStore> {
        const CHOICES: &str = "sqlite:PATH, postgres://HOST/DATABASE or memory:";
        match text.split_once(':') {
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("postgres" | "postgresql", place)) if place.starts_with("//") => {
                Ok(Self::Postgres(text.to_owned()))
            }
            Some(("redis" | "rediss", _)) => Err(InvalidStore::NoncesOnly(CHOICES)),
            // A password may be in what follows.
            Some((scheme, _)) => Err(InvalidStore::Unknown(format!("{scheme}:"), CHOICES)),
            None => Err(InvalidStore::Unknown(text.to_owned(), CHOICES)),
        }
    }
}

impl fmt::Display for StorageUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => f.write_str(url),
            Self::Memory => f.write_str("memory:"),
        }
    }
}

impl fmt::Debug for StorageUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres(_) => f.write_str("Postgres(..)"), // a password may be in it
            named => fmt::Display::fmt(named, f),
        }
    }
}

impl FromStr for Nonces {
    type Err = InvalidStore;

    fn from_str(text: &str) -> Result<Self, InvalidStore> {
        const CHOICES: &str = "auto, memory:, storage or redis://HOST";
        match text.split_once(':').unwrap_or((text, "")) {
            ("auto", "") => Ok(Self::Auto),
            ("memory", "") => Ok(Self::Memory),
            ("storage", "") => Ok(Self::Storage),
            // Its forms (Sentinel, Cluster, a socket) are told apart when it is opened.
            (scheme, rest) if is_redis(scheme) && rest.starts_with("//") => Ok(Self::Redis(text.to_owned())),
            // A password may be in what follows.
            (other, _) => Err(InvalidStore::Unknown(other.to_owned(), CHOICES)),
        }
    }
}

fn is_redis(scheme: &str) -> bool {
    matches!(scheme.split('+').next(), Some("redis" | "rediss"))
}

impl fmt::Display for Nonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Memory => "memory:",
            Self::Storage => "storage",
            Self::Redis(url) => url,
        })
    }
}

impl fmt::Debug for Nonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Redis(_) => f.write_str("Redis(..)"), // a password may be in it
            named => fmt::Display::fmt(named, f),
        }
    }
}

string_setting!(StorageUrl, Nonces);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_is_a_file_a_database_or_memory() {
        assert_eq!("sqlite:a/b.db".parse(), Ok(StorageUrl::Sqlite("a/b.db".into())));
        assert_eq!("memory:".parse(), Ok(StorageUrl::Memory));
        for text in ["postgres://u:secret@h/d?sslmode=verify-full", "postgresql://h"] {
            let storage: StorageUrl = text.parse().unwrap();
            assert_eq!(storage.to_string(), text);
            assert!(!format!("{storage:?}").contains("secret"));
        }
        for text in ["", "a.db", "sqlite:", "memory:x", "postgres", "postgres:d", "mysql://u:secret@h/d"] {
            let error = text.parse::<StorageUrl>().unwrap_err().to_string();
            assert!(
                error.contains("sqlite:PATH, postgres://HOST/DATABASE or memory:"),
                "{text} is answered with what there is: {error}"
            );
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_database_is_named_by_all_its_hosts_and_without_its_password() {
        let name = |url: &str| url.parse::<StorageUrl>().unwrap().name();
        let two =
            "postgresql://u:se:cret@one:5432,two:5433/d?target_session_attrs=read-write&password=secret";
        assert_eq!(name(two), "postgres://u@one:5432,two:5433/d");
        for odd in ["u:pa@ss@h/d", "u:pa/ss@h/d", "u:pa?ss@h/d", "h/d?password=pa@ss", "u@h/d?password=pa@ss"]
        {
            assert_eq!(name(&format!("postgres://{odd}")), "postgres://…");
        }
        assert_eq!(name("postgres://[::1]/d"), "postgres://[::1]/d");
        assert_eq!(name("postgres://%2Frun%2Fpostgresql"), "postgres://%2Frun%2Fpostgresql/");
    }

    #[test]
    fn redis_is_for_nonces_in_each_of_its_forms_and_shown_as_written_but_not_for_storage() {
        for text in
            ["redis://u:secret@h:1/2", "rediss://h", "redis+sentinel://a,b/main", "rediss+cluster://a,b"]
        {
            let nonces: Nonces = text.parse().unwrap();
            assert_eq!(nonces.to_string(), text);
            assert!(!format!("{nonces:?}").contains("secret"));
        }
        for text in ["redis", "redis:h", "rediss", "memcached://u:secret@h"] {
            let error = text.parse::<Nonces>().unwrap_err().to_string();
            assert!(error.contains("redis://HOST") && !error.contains("secret"), "{error}");
        }
        let error = "redis://u:secret@h".parse::<StorageUrl>().unwrap_err().to_string();
        assert!(error.contains("as nonces") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn a_path_is_below_the_directory_unless_it_is_absolute() {
        let below = |text: &str| text.parse::<StorageUrl>().unwrap().below(Path::new("/etc/ca")).to_string();
        assert_eq!(below("sqlite:a.db"), "sqlite:/etc/ca/a.db");
        assert_eq!(below("sqlite:/var/a.db"), "sqlite:/var/a.db");
    }
}
