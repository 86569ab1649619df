//! Where things are kept: `storage` and `nonces`.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use super::section::string_setting;

/// What `storage` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StorageUrl {
    /// `sqlite:PATH`.
    Sqlite(PathBuf),
    /// `memory:`, forgotten with the process.
    Memory,
}

/// What `nonces` names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Nonces {
    /// What suits the storage.
    #[default]
    Auto,
    /// The process: nothing is written for a nonce, and a restart makes those handed out useless.
    Memory,
    /// The storage.
    Storage,
}

/// It names nothing that there is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidStore {
    /// It is planned.
    #[error("{0} is not in this build yet; use {1}")]
    NotYet(&'static str, &'static str),
    /// It is not.
    #[error("{0:?} is not a place to keep things; write {1}")]
    Unknown(String, &'static str),
}

impl StorageUrl {
    /// The same, with a relative path taken as below this directory.
    pub(crate) fn below(self, directory: &Path) -> Self {
        match self {
            Self::Sqlite(path) => Self::Sqlite(directory.join(path)),
            Self::Memory => Self::Memory,
        }
    }
}

impl FromStr for StorageUrl {
    type Err = InvalidStore;

    fn from_str(text: &str) -> Result<Self, InvalidStore> {
        const CHOICES: &str = "sqlite:PATH or memory:";
        match text.split_once(':') {
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("postgres" | "postgresql", _)) => Err(InvalidStore::NotYet("PostgreSQL", CHOICES)),
            Some(("redis" | "rediss", _)) => Err(InvalidStore::NotYet("Redis", CHOICES)),
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
            Self::Memory => f.write_str("memory:"),
        }
    }
}

impl FromStr for Nonces {
    type Err = InvalidStore;

    fn from_str(text: &str) -> Result<Self, InvalidStore> {
        const CHOICES: &str = "auto, memory: or storage";
        match text.split_once(':').unwrap_or((text, "")) {
            ("auto", "") => Ok(Self::Auto),
            ("memory", "") => Ok(Self::Memory),
            ("storage", "") => Ok(Self::Storage),
            ("redis" | "rediss", _) => Err(InvalidStore::NotYet("Redis", CHOICES)),
            (other, _) => Err(InvalidStore::Unknown(other.to_owned(), CHOICES)),
        }
    }
}

impl fmt::Display for Nonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Memory => "memory:",
            Self::Storage => "storage",
        })
    }
}

string_setting!(StorageUrl, Nonces);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_is_a_file_or_memory() {
        assert_eq!("sqlite:a/b.db".parse(), Ok(StorageUrl::Sqlite("a/b.db".into())));
        assert_eq!("memory:".parse(), Ok(StorageUrl::Memory));
        for text in ["", "a.db", "sqlite:", "memory:x", "mysql://u:secret@h/d"] {
            let error = text.parse::<StorageUrl>().unwrap_err().to_string();
            assert!(
                error.contains("sqlite:PATH or memory:"),
                "{text} is answered with what there is: {error}"
            );
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn what_is_planned_is_not_in_this_build_yet() {
        for text in ["postgres://u:secret@h/d", "postgresql://h", "redis://h"] {
            let error = text.parse::<StorageUrl>().unwrap_err().to_string();
            assert!(error.contains("not in this build yet") && !error.contains("secret"), "{text}: {error}");
        }
        assert_eq!(
            "redis://h".parse::<Nonces>().map_err(|e| e.to_string()).unwrap_err().split(';').next(),
            Some("Redis is not in this build yet")
        );
    }

    #[test]
    fn a_path_is_below_the_directory_unless_it_is_absolute() {
        let below = |text: &str| text.parse::<StorageUrl>().unwrap().below(Path::new("/etc/ca")).to_string();
        assert_eq!(below("sqlite:a.db"), "sqlite:/etc/ca/a.db");
        assert_eq!(below("sqlite:/var/a.db"), "sqlite:/var/a.db");
    }
}
