use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use coyote_protocol::{Nonce, Timestamp};

use super::{NonceSealer, NonceStore};
use crate::Result;

/// Nonces for one process: the default, and enough for one.
///
/// Issuing one costs no memory; of the ones used, a window of the latest is remembered, one bit each. What has left
/// the window counts as used, and a restart forgets the key: in both cases an honest client is told `badNonce`
/// once, and goes on with the nonce that comes with it.
pub struct SealedNonces {
    sealer: NonceSealer,
    lifetime: Duration,
    used: Mutex<Window>,
}

impl SealedNonces {
    /// How long a nonce is good, by default.
    pub const LIFETIME: Duration = Duration::from_secs(60 * 60);

    /// How many of the latest nonces can be told from used ones, by default. It takes 128 KiB of memory.
    pub const WINDOW: usize = 1 << 20;

    /// Nonces that are good for so long, while they are among the [`WINDOW`](Self::WINDOW) latest.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::StorageError::Unavailable) if the system has no randomness to give.
    pub fn new(lifetime: Duration) -> Result<Self> {
        Self::with_window(lifetime, Self::WINDOW)
    }

    /// Nonces that are good for so long, while they are among the `window` latest; it is rounded up to a multiple of
    /// 64.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::StorageError::Unavailable) if the system has no randomness to give.
    pub fn with_window(lifetime: Duration, window: usize) -> Result<Self> {
        Ok(Self { sealer: NonceSealer::generate()?, lifetime, used: Mutex::new(Window::new(window)) })
    }
}

#[async_trait]
impl NonceStore for SealedNonces {
    async fn issue(&self, now: Timestamp) -> Result<Nonce> {
        self.sealer.seal(now)
    }

    async fn consume(&self, nonce: &Nonce, now: Timestamp) -> Result<bool> {
        let Some(opened) = self.sealer.open(nonce) else { return Ok(false) };
        if now.since(opened.issued) >= self.lifetime {
            return Ok(false);
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(used.insert(opened.sequence))
    }
}

/// Which of the latest numbers were seen: a ring of blocks, of which the block of the highest number is the newest.
/// (The anti-replay window of RFC 6479.)
struct Window {
    blocks: Box<[u64]>,
    newest: u64,
}

impl Window {
    fn new(size: usize) -> Self {
        // One block more, because the newest is partly in the future.
        Self { blocks: vec![0; size.div_ceil(64) + 1].into_boxed_slice(), newest: 0 }
    }

    /// `true` if the number was not seen before, for as long as it can be told.
    fn insert(&mut self, number: u64) -> bool {
        let block = number / 64;
        let length = self.blocks.len() as u64;
        if block.saturating_add(length) <= self.newest {
            return false;
        }
        for overtaken in (self.newest + 1..=block).take(self.blocks.len()) {
            *self.block(overtaken) = 0;
        }
        self.newest = self.newest.max(block);
        let bit = 1 << (number % 64);
        let block = self.block(block);
        let unseen = *block & bit == 0;
        *block |= bit;
        unseen
    }

    #[allow(clippy::indexing_slicing, reason = "the index is a remainder of the length, which is not zero")]
    fn block(&mut self, block: u64) -> &mut u64 {
        let place = block % self.blocks.len() as u64;
        &mut self.blocks[place as usize]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Barrier;
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);
    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn a_nonce_is_good_once() {
        let nonces = SealedNonces::new(HOUR).unwrap();
        let (first, second) = (nonces.issue(NOW).await.unwrap(), nonces.issue(NOW).await.unwrap());
        assert!(nonces.consume(&second, NOW).await.unwrap());
        assert!(nonces.consume(&first, NOW).await.unwrap(), "an older one is good, too");
        assert!(!nonces.consume(&second, NOW).await.unwrap());
        assert!(!nonces.consume(&first, NOW).await.unwrap());
    }

    #[tokio::test]
    async fn a_nonce_expires() {
        let nonces = SealedNonces::new(HOUR).unwrap();
        let (early, late) = (nonces.issue(NOW).await.unwrap(), nonces.issue(NOW).await.unwrap());
        assert!(nonces.consume(&early, NOW + HOUR - Duration::from_millis(1)).await.unwrap());
        assert!(!nonces.consume(&late, NOW + HOUR).await.unwrap());
    }

    #[tokio::test]
    async fn a_nonce_of_another_process_is_refused() {
        let (one, other) = (SealedNonces::new(HOUR).unwrap(), SealedNonces::new(HOUR).unwrap());
        let nonce = one.issue(NOW).await.unwrap();
        assert!(!other.consume(&nonce, NOW).await.unwrap());
    }

    #[tokio::test]
    async fn a_nonce_that_has_left_the_window_is_refused_used_or_not() {
        let nonces = SealedNonces::with_window(HOUR, 64).unwrap();
        let mut issued = Vec::new();
        for _ in 0..1_000 {
            issued.push(nonces.issue(NOW).await.unwrap());
        }
        assert!(nonces.consume(&issued[999], NOW).await.unwrap());
        assert!(nonces.consume(&issued[936], NOW).await.unwrap(), "the 64th from the end is remembered");
        assert!(!nonces.consume(&issued[800], NOW).await.unwrap());
    }

    #[test]
    fn of_64_threads_with_one_nonce_exactly_one_is_told_that_it_is_good() {
        let nonces = SealedNonces::new(HOUR).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for round in 0..200 {
            let nonce = runtime.block_on(nonces.issue(NOW)).unwrap();
            let barrier = Barrier::new(64);
            let attempt = || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                barrier.wait();
                runtime.block_on(nonces.consume(&nonce, NOW)).unwrap()
            };
            let good = thread::scope(|scope| {
                let threads: Vec<_> = (0..64).map(|_| scope.spawn(attempt)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).filter(|good| *good).count()
            });
            assert_eq!(good, 1, "round {round}");
        }
    }

    proptest! {
        /// Compared with a set that forgets nothing.
        #[test]
        fn a_window_never_takes_a_number_twice_and_takes_each_recent_one_once(
            numbers in prop::collection::vec(0u64..2_000, 1..300)
        ) {
            let mut window = Window::new(256);
            let mut seen = BTreeSet::new();
            for number in numbers {
                let recent = seen.last().is_none_or(|highest| number + 256 > *highest);
                let taken = window.insert(number);
                let new = seen.insert(number);
                prop_assert!(new || !taken, "{} was taken twice", number);
                prop_assert!(taken || !new || !recent, "{} was not taken", number);
            }
        }

        #[test]
        fn a_window_takes_a_jump_of_any_length(first: u32, jump in 1u64..1 << 47) {
            let mut window = Window::new(128);
            prop_assert!(window.insert(first.into()));
            prop_assert!(window.insert(u64::from(first) + jump));
            prop_assert!(!window.insert(u64::from(first) + jump));
            prop_assert!(!window.insert(first.into()));
        }
    }
}
