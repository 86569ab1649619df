//! Wake-ups: how replicas learn of one another's changes before they look. Never relied on.
//!
//! The rows are the truth, and whoever waits for one looks again after a while. A wake-up only makes that while
//! shorter. One that is lost, late, or for nothing does no harm.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Poll, Waker},
};

use async_trait::async_trait;

use crate::{DirectoryId, JobId};

/// Wake-ups that one listener may leave unheard; beyond that it is told that it missed some.
const MOST_UNHEARD: usize = 1024;

/// Why somebody is woken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wake {
    /// A job of this directory can be had earlier than whoever looked last may know.
    Due(DirectoryId),
    /// What this job was to change is changed, or will be later than thought: who waits for it may look.
    Settled(JobId),
    /// Something may have gone unheard.
    Missed,
}

/// One who listens.
#[async_trait]
pub trait Wakes: Send {
    /// The next wake-up. It may never come.
    ///
    /// It can be dropped before it has come, and nothing is lost.
    async fn next(&mut self) -> Wake;
}

/// Where nobody wakes anybody.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoWakes;

#[async_trait]
impl Wakes for NoWakes {
    async fn next(&mut self) -> Wake {
        std::future::pending().await
    }
}

/// Wakes all who listen in this process. For backends: whatever brings wake-ups from elsewhere rings it.
#[derive(Debug, Default)]
pub struct Bell(Mutex<Vec<Weak<Mutex<Unheard>>>>);

#[derive(Debug, Default)]
struct Unheard {
    wakes: VecDeque<Wake>,
    waker: Option<Waker>,
}

struct Listener(Arc<Mutex<Unheard>>);

impl Bell {
    /// Wakes everybody.
    pub fn ring(&self, wake: &Wake) {
        self.listeners().retain(|listener| match listener.upgrade() {
            Some(unheard) => {
                lock(&unheard).push(wake.clone());
                true
            }
            None => false,
        });
    }

    /// Somebody who hears it ring from now on.
    pub fn listen(&self) -> Box<dyn Wakes> {
        let unheard = Arc::default();
        self.listeners().push(Arc::downgrade(&unheard));
        Box::new(Listener(unheard))
    }

    fn listeners(&self) -> MutexGuard<'_, Vec<Weak<Mutex<Unheard>>>> {
        lock(&self.0)
    }
}

impl Unheard {
    fn push(&mut self, wake: Wake) {
        if self.wakes.len() >= MOST_UNHEARD {
            self.wakes.clear();
            self.wakes.push_back(Wake::Missed);
        }
        self.wakes.push_back(wake);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

#[async_trait]
impl Wakes for Listener {
    async fn next(&mut self) -> Wake {
        poll_fn(|context| {
            let mut unheard = lock(&self.0);
            match unheard.wakes.pop_front() {
                Some(wake) => Poll::Ready(wake),
                None => {
                    unheard.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing above can leave it half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLED: Wake = Wake::Settled(JobId::from_bytes([1; 16]));

    #[tokio::test]
    async fn everybody_who_listens_hears_the_bell_also_before_they_ask() {
        let bell = Bell::default();
        let (mut one, mut other) = (bell.listen(), bell.listen());
        let waiting = tokio::spawn(async move { other.next().await });
        bell.ring(&SETTLED);
        assert_eq!(one.next().await, SETTLED);
        assert_eq!(waiting.await.unwrap(), SETTLED);
    }

    #[tokio::test]
    async fn who_does_not_keep_up_is_told_so_and_takes_no_more_room() {
        let bell = Bell::default();
        let mut slow = bell.listen();
        for _ in 0..MOST_UNHEARD + 2 {
            bell.ring(&SETTLED);
        }
        let heard = [slow.next().await, slow.next().await, slow.next().await];
        assert_eq!(heard, [Wake::Missed, SETTLED, SETTLED]);
    }

    #[test]
    fn who_has_gone_is_forgotten() {
        let bell = Bell::default();
        drop(bell.listen());
        bell.ring(&SETTLED);
        assert_eq!(bell.listeners().len(), 0);
    }
}
