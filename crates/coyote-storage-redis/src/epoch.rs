//! Epochs: what a nonce belongs to, and what ends when Redis may have forgotten which nonces were used.

use std::sync::{Arc, Mutex as ShortMutex, PoisonError};
use std::time::{Duration, Instant};

use coyote_protocol::{Nonce, Timestamp};
use coyote_storage::{NonceSealer, OpenedNonce, Result, StorageError};
use openssl::sha::Sha256;
use tokio::sync::Mutex;

use crate::{RedisOptions, error::Fault, link::Link, script};

/// How long Redis remembers the epoch after it was last asked for it.
///
/// The mark of a used nonce is kept so much longer than it is needed. So if the clock of Redis jumps ahead, no mark that is
/// needed is forgotten before the epoch is.
pub(crate) const LIFE: Duration = Duration::from_secs(15 * 60);

/// How often Redis is asked for the epoch.
pub(crate) const REVIEW: Duration = Duration::from_secs(5);

/// How often it is asked at most because of nonces that are not of the epoch that is known: anyone can make some up.
const PAUSE: Duration = Duration::from_millis(50);

/// An uninterrupted history of one Redis, as far as this server knows. Nonces of another one are worth nothing.
pub(crate) struct Epoch {
    /// What Redis calls it.
    pub(crate) name: String,
    sealer: NonceSealer,
}

impl Epoch {
    /// Whoever knows the name can make its nonces, and only Redis and the replicas do.
    fn named(name: String, lifetime: Duration) -> Result<Self> {
        let mut key = Sha256::new();
        key.update(b"coyote nonces\0");
        key.update(&lifetime.as_millis().to_be_bytes());
        key.update(name.as_bytes());
        Ok(Self { name, sealer: NonceSealer::new(key.finish())? })
    }

    /// A nonce of this epoch.
    pub(crate) fn seal(&self, now: Timestamp) -> Result<Nonce> {
        self.sealer.seal(now)
    }

    /// What a nonce says, if it is one of this epoch.
    pub(crate) fn open(&self, nonce: &Nonce) -> Option<OpenedNonce> {
        self.sealer.open(nonce)
    }
}

/// The epoch, as far as this replica knows.
pub(crate) struct Epochs {
    key: String,
    lifetime: Duration,
    current: ShortMutex<Arc<Epoch>>,
    learned: Mutex<Instant>,
}

impl Epochs {
    /// Learns which epoch it is, and of a Redis that does not keep what it should.
    pub(crate) async fn begin(link: &Link, options: &RedisOptions) -> Result<(Self, Option<String>), Fault> {
        let (key, lifetime) = (options.epoch_key(), options.nonce_lifetime);
        let Learned { name, evicts } = learn(link, &key).await?;
        let epoch = Arc::new(Epoch::named(name, lifetime)?);
        let learned = Mutex::new(Instant::now());
        Ok((Self { key, lifetime, current: ShortMutex::new(epoch), learned }, evicts))
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    pub(crate) fn current(&self) -> Arc<Epoch> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The epoch after one that is over.
    pub(crate) async fn after(&self, over: &Arc<Epoch>, link: &Link) -> Result<Arc<Epoch>, Fault> {
        let mut learned = self.learned.lock().await;
        if !Arc::ptr_eq(&self.current(), over) {
            return Ok(self.current());
        }
        self.learn(link, &mut learned).await
    }

    /// The epoch that a nonce may be of which is not of this one: another replica may have learned of a new one first.
    pub(crate) async fn instead_of(&self, known: &Arc<Epoch>, link: &Link) -> Result<Arc<Epoch>, Fault> {
        let mut learned = self.learned.lock().await;
        if !Arc::ptr_eq(&self.current(), known) || learned.elapsed() < PAUSE {
            return Ok(self.current());
        }
        self.learn(link, &mut learned).await
    }

    /// Makes sure that Redis remembers the epoch, and that this replica knows it.
    pub(crate) async fn review(&self, link: &Link) -> Result<(), Fault> {
        let mut learned = self.learned.lock().await;
        self.learn(link, &mut learned).await.map(drop)
    }

    async fn learn(&self, link: &Link, learned: &mut Instant) -> Result<Arc<Epoch>, Fault> {
        let Learned { name, evicts } = learn(link, &self.key).await?;
        *learned = Instant::now();
        let known = self.current();
        if known.name == name {
            return Ok(known);
        }
        tracing::warn!("Redis has lost its memory, or is another one now: older nonces are refused");
        if let Some(policy) = evicts {
            tracing::error!(policy, "Redis may evict keys; each time it does, all nonces become useless");
        }
        let epoch = Arc::new(Epoch::named(name, self.lifetime)?);
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = epoch.clone();
        Ok(epoch)
    }
}

struct Learned {
    name: String,
    /// The policy by which Redis evicts keys, if it does.
    evicts: Option<String>,
}

async fn learn(link: &Link, key: &str) -> Result<Learned, Fault> {
    let arguments = [secret()?, LIFE.as_millis().to_string()];
    let answer: (String, Option<String>, Option<String>) =
        script::run(&script::LEARN, &[key], &arguments, link).await?;
    let (name, memory, policy) = answer;
    let unbounded = memory.is_none_or(|memory| memory == "0");
    let evicts = policy.filter(|policy| !unbounded && policy != "noeviction");
    Ok(Learned { name, evicts })
}

/// 256 random bits in 64 characters, the length by which the scripts know where it ends.
#[allow(clippy::disallowed_methods, reason = "a nonce store mints what it alone can recognise")]
fn secret() -> Result<String> {
    let mut bits = [0; 32];
    openssl::rand::rand_bytes(&mut bits)
        .map_err(|error| StorageError::Unavailable { doing: "making an epoch", source: error.into() })?;
    Ok(bits.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);
    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn replicas_recognise_each_others_nonces_if_they_agree_on_epoch_and_lifetime() {
        let nonce = epoch("a", HOUR).seal(NOW).unwrap();
        assert_eq!(epoch("a", HOUR).open(&nonce).map(|opened| opened.issued), Some(NOW));
        assert_eq!(epoch("b", HOUR).open(&nonce), None);
        assert_eq!(epoch("a", HOUR * 2).open(&nonce), None, "its mark would not be kept for long enough");
    }

    #[test]
    fn a_secret_has_64_characters_and_is_never_the_same() {
        let (one, other) = (secret().unwrap(), secret().unwrap());
        assert_eq!(one.len(), 64);
        assert_ne!(one, other);
    }

    fn epoch(name: &str, lifetime: Duration) -> Epoch {
        Epoch::named(name.to_owned(), lifetime).unwrap()
    }
}
