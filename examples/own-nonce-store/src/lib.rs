//! Anti-replay nonces in a directory that any number of processes share. RFC 8555 section 6.5.
//!
//! A nonce is sealed under a key that lies in the directory, so issuing one writes nothing. Using one makes an empty
//! file of its name: of all who try, the file system lets one do it.

use std::{
    error::Error,
    fs,
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use coyote_server::{
    Entropy, SystemEntropy,
    jose::base64url,
    protocol::{Nonce, Timestamp},
    storage::{NonceSealer, NonceStore, OpenedNonce, Result, StorageError},
};
use tokio::{
    fs::{create_dir_all, read_dir, remove_dir_all},
    task::spawn_blocking,
};

/// Nonces in a directory.
pub struct DirectoryNonces {
    directory: PathBuf,
    sealer: NonceSealer,
}

impl DirectoryNonces {
    /// How long a nonce is good. Its file is kept for longer, and never for twice as long and a sweep.
    pub const LIFETIME: Duration = Duration::from_secs(60 * 60);

    /// Those of this directory, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// If the directory cannot be written to, or has a key that is none.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let directory = directory.into();
        fs::create_dir_all(&directory)?;
        let key = shared_key(&directory)?.try_into().map_err(|_| "the key is damaged")?;
        Ok(Self { directory, sealer: NonceSealer::new(key)? })
    }

    /// Removes the files of nonces that are refused for their age by now. To be called now and then, by any process.
    ///
    /// # Errors
    ///
    /// If the directory cannot be read or written to.
    pub async fn sweep(&self, now: Timestamp) -> io::Result<()> {
        let mut periods = read_dir(&self.directory).await?;
        while let Some(entry) = periods.next_entry().await? {
            let number = entry.file_name().to_str().and_then(|name| name.parse::<u64>().ok());
            if number.is_some_and(|number| number + 1 < period(now)) {
                match remove_dir_all(entry.path()).await {
                    Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                    _ => {} // another process may sweep as well
                }
            }
        }
        Ok(())
    }

    /// Makes the file of a nonce. `false` if it is there.
    async fn mark(&self, nonce: OpenedNonce) -> io::Result<bool> {
        // In the subdirectory of its time, so that what is old can be removed without looking at each file.
        let directory = self.directory.join(period(nonce.issued).to_string());
        create_dir_all(&directory).await?;
        let file = directory.join(base64url::encode(nonce.id));
        match tokio::fs::OpenOptions::new().write(true).create_new(true).open(file).await {
            Ok(file) => {
                // A power cut must not make it good again.
                file.sync_all().await?;
                let (own, all) = (directory.clone(), self.directory.clone());
                let synced = spawn_blocking(move || sync_entries(&own).and_then(|()| sync_entries(&all)));
                synced.await.map_err(io::Error::other)??;
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl NonceStore for DirectoryNonces {
    async fn issue(&self, now: Timestamp) -> Result<Nonce> {
        self.sealer.seal(now)
    }

    async fn consume(&self, nonce: &Nonce, now: Timestamp) -> Result<bool> {
        let Some(opened) = self.sealer.open(nonce) else { return Ok(false) };
        if now.since(opened.issued) >= Self::LIFETIME {
            return Ok(false);
        }
        // Whoever cannot tell whether a nonce was used must not accept it.
        let marked = self.mark(opened).await;
        marked.map_err(|error| StorageError::Unavailable { doing: "using a nonce", source: error.into() })
    }
}

/// The number of a time, counted in lifetimes.
fn period(at: Timestamp) -> u64 {
    at.as_seconds().unsigned_abs() / DirectoryNonces::LIFETIME.as_secs()
}

/// The key in the directory. Of all who find none, the first to link its own there has made everybody's.
fn shared_key(directory: &Path) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
    let path = directory.join("key");
    if !path.exists() {
        let entropy: &dyn Entropy = &SystemEntropy;
        let new = directory.join(format!("key.{}", base64url::encode(entropy.bytes::<16>()?)));
        let mut file = private_file(&new)?;
        file.write_all(&entropy.bytes::<32>()?)?;
        file.sync_all()?;
        let linked = fs::hard_link(&new, &path);
        fs::remove_file(&new)?;
        linked.or_else(|error| if path.exists() { Ok(()) } else { Err(error) })?;
    }
    // Also if another process has linked it: it may not have come so far.
    sync_entries(directory)?;
    Ok(fs::read(path)?)
}

/// Waits until the disk has the names of the files in a directory.
fn sync_entries(directory: &Path) -> io::Result<()> {
    // Elsewhere a directory cannot be opened, and its names are the file system's own business.
    if cfg!(unix) { fs::File::open(directory)?.sync_all() } else { Ok(()) }
}

/// A new file for its owner's eyes only.
fn private_file(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
