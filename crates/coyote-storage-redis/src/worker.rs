//! The runtime that everything to do with Redis runs on.

use std::{io, thread};

use tokio::runtime::{Builder, Runtime};

/// A runtime of our own, with one thread.
///
/// A connection is driven by a task, on the runtime on which it was opened. Were that a web server's worker, which has
/// one thread, one slow request there would hold up all others that wait for Redis, and a worker that ends would take the
/// connection with it. And what is spawned goes on if its caller goes away.
pub(crate) struct Worker(Option<Runtime>);

impl Worker {
    pub(crate) fn start() -> io::Result<Self> {
        let mut runtime = Builder::new_multi_thread();
        runtime.worker_threads(1).thread_name("coyote-redis").enable_all();
        Ok(Self(Some(runtime.build()?)))
    }

    /// Runs it and answers what became of it; `None` if it did not come to its end.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        self.0.as_ref()?.spawn(work).await.ok()
    }

    /// The same, and blocks meanwhile, wherever it is called.
    pub(crate) fn run_blocking<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let handle = self.0.as_ref()?.handle();
        // A thread that is inside another runtime may not enter this one.
        thread::scope(|scope| scope.spawn(|| handle.block_on(work)).join().ok())
    }

    /// Lets it run.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.0 {
            runtime.spawn(work);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background(); // waiting is not allowed inside of another runtime
        }
    }
}
