use std::fmt;
use std::sync::{Arc, Weak};

use coyote_storage::{Result, StorageError};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use crate::address::Address;
use crate::epoch::{Epochs, REVIEW};
use crate::error::Fault;
use crate::link::Link;
use crate::worker::Worker;
use crate::{ConnectError, RedisOptions};

/// In how many groups quotas are taken from one at a time.
const TURNS: usize = 64;

/// Nonces and rate limits in Redis. Clones share one connection.
///
/// It may be used on any runtime, and none is needed to make it: what talks to Redis is a thread of its own.
#[derive(Clone)]
pub struct RedisStore {
    pub(crate) shared: Arc<Shared>,
    worker: Arc<Worker>,
}

pub(crate) struct Shared {
    pub(crate) options: RedisOptions,
    pub(crate) link: Link,
    pub(crate) epochs: Epochs,
    pub(crate) turns: Vec<Mutex<()>>,
}

impl RedisStore {
    /// Connects to the Redis at a URL, and learns the epoch. It blocks, for [`RedisOptions::patience`] at most.
    ///
    /// | URL | what |
    /// | --- | --- |
    /// | `redis://USER:PASSWORD@HOST:PORT/DATABASE` | one server; all but the host may be left out |
    /// | `redis+unix:///PATH` | the same, by a socket |
    /// | `redis+sentinel://USER:PASSWORD@HOST,HOST,HOST/NAME/DATABASE` | the master of that name, as these sentinels see it; `?sentinel-password=…` (and `sentinel-username`) if they ask for one |
    /// | `redis+cluster://USER:PASSWORD@HOST,HOST,HOST` | a cluster, of which these are some nodes |
    ///
    /// With `rediss` in the place of `redis` it is by TLS, and each certificate is verified against the system's
    /// authorities (or those of `SSL_CERT_FILE`).
    ///
    /// # Errors
    ///
    /// [`ConnectError`]; the URL is never repeated in it.
    pub fn connect(url: &str, options: RedisOptions) -> Result<Self, ConnectError> {
        options.check()?;
        let link = Link::new(Address::parse(url, &options)?, &options);
        let worker = Worker::start().map_err(ConnectError::Worker)?;
        let patience = options.patience;
        let begin = async move {
            let begun = timeout(patience, Epochs::begin(&link, &options)).await;
            let (epochs, evicts) = begun.unwrap_or(Err(Fault::Late(patience)))?;
            let turns = (0..TURNS).map(|_| Mutex::new(())).collect();
            Ok((Arc::new(Shared { options, link, epochs, turns }), evicts))
        };
        let begun = worker.run_blocking(begin).unwrap_or(Err(Fault::Closed));
        let (shared, evicts) =
            begun.map_err(|fault| ConnectError::Unavailable(fault.while_("connecting to Redis")))?;
        if let Some(policy) = evicts {
            return Err(ConnectError::Evicts { policy });
        }
        worker.spawn(review(Arc::downgrade(&shared)));
        Ok(Self { shared, worker: Arc::new(worker) })
    }

    /// Does it on the worker, within the patience there is. It goes on if its caller goes away.
    pub(crate) async fn run<T, F>(
        &self,
        doing: &'static str,
        work: impl FnOnce(Arc<Shared>) -> F,
    ) -> Result<T, StorageError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Fault>> + Send + 'static,
    {
        let patience = self.shared.options.patience;
        let work = work(self.shared.clone());
        // The clock that ends it is the worker's, too: the caller may have none, or be busy.
        let done = match self.worker.run(async move { timeout(patience, work).await }).await {
            Some(Ok(done)) => done,
            Some(Err(_)) => Err(Fault::Late(patience)),
            None => Err(Fault::Closed),
        };
        done.map_err(|fault| fault.while_(doing))
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

/// Keeps the epoch in Redis, and known here, for as long as the store is there.
async fn review(shared: Weak<Shared>) {
    loop {
        sleep(REVIEW).await;
        let Some(shared) = shared.upgrade() else { return };
        let reviewed = timeout(shared.options.patience, shared.epochs.review(&shared.link)).await;
        if let Ok(Err(fault)) = reviewed {
            tracing::debug!(error = &fault as &dyn std::error::Error, "Redis cannot be asked for the epoch");
        }
    }
}
