//! Sweeping the store, beside all other work.

use std::time::Duration;

use coyote_protocol::Timestamp;
use coyote_storage::Sweep;
use tokio::{sync::watch, time::sleep};

use crate::{acme::Acme, service::chain};

impl Acme {
    /// Sweeps the store now and then, until the sender is dropped. A batch that was begun is done.
    pub(super) async fn keep_swept(&self, mut stopped: watch::Receiver<()>) {
        while !has_stopped(&stopped) {
            let wait = self.sweep_in_turn(self.clock.now(), &stopped).await;
            tokio::select! {
                _ = stopped.changed() => return,
                () = sleep(wait.max(self.limits.job_poll_interval)) => {}
            }
        }
    }

    /// Sweeps the store, unless another replica has in this interval, and answers how long to wait until the next turn.
    async fn sweep_in_turn(&self, now: Timestamp, stopped: &watch::Receiver<()>) -> Duration {
        let interval = self.limits.sweep_interval;
        match self.rate_limiter.turn("sweep", interval, now).await {
            Ok(Some(wait)) => return wait,
            Ok(None) => {}
            // Twice is harmless, never is not.
            Err(error) => {
                tracing::warn!(error = %chain(&error), "whether another replica has swept is not known")
            }
        }
        self.sweep(now, stopped).await;
        interval
    }

    /// Sweeps the store: again and again while there is a whole batch to do, with room for others in between,
    /// unless it is to stop.
    async fn sweep(&self, now: Timestamp, stopped: &watch::Receiver<()>) {
        let sweep = Sweep {
            remove_expired_before: now - self.limits.keep_expired,
            remove_issued_before: now - self.limits.keep_issued,
            remove_audit_before: now - self.limits.keep_audit,
            remove_traces_before: now - self.limits.keep_traces,
            batch: self.limits.sweep_batch,
        };
        while !has_stopped(stopped) {
            let Ok(cause) = self.own_cause(self.clock.now()) else { return };
            match self.storage.sweep(&sweep, &cause).await {
                Ok(report) if report.is_empty() => return tracing::debug!("sweep: nothing to do"),
                Ok(report) => {
                    tracing::info!(?report, "sweep");
                    if !report.has_more(&sweep) {
                        return;
                    }
                }
                Err(error) => return tracing::error!(error = %chain(&error), "the sweep failed"),
            }
        }
    }
}

fn has_stopped(stopped: &watch::Receiver<()>) -> bool {
    stopped.has_changed().is_err()
}
