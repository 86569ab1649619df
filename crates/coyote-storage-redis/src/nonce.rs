//! Anti-replay nonces. RFC 8555 section 6.5.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use coyote_jose::base64url;
use coyote_protocol::{Nonce, Timestamp};
use coyote_storage::{NonceStore, OpenedNonce, Result};

use crate::epoch::{self, Epoch};
use crate::error::Fault;
use crate::store::{RedisStore, Shared};
use crate::{RedisOptions, script};

/// By how much the clocks of two replicas may differ.
pub(crate) const SKEW: Duration = Duration::from_secs(10 * 60);

#[async_trait]
impl NonceStore for RedisStore {
    /// Asks nobody and writes nothing, so it works, too, while Redis does not answer.
    async fn issue(&self, now: Timestamp) -> Result<Nonce> {
        self.shared.epochs.current().seal(now)
    }

    async fn consume(&self, nonce: &Nonce, now: Timestamp) -> Result<bool> {
        const DOING: &str = "using a nonce";
        let known = self.shared.epochs.current();
        let (epoch, opened) = match known.open(nonce) {
            Some(opened) => (known, opened),
            None => {
                let look =
                    async move |shared: Arc<Shared>| shared.epochs.instead_of(&known, &shared.link).await;
                let epoch = self.run(DOING, look).await?;
                let Some(opened) = epoch.open(nonce) else { return Ok(false) };
                (epoch, opened)
            }
        };
        let Some(needed) = needed(&opened, now, &self.shared.options) else { return Ok(false) };
        self.run(DOING, async move |shared| mark(&shared, epoch, &opened, needed).await).await
    }
}

/// For how long some replica may take the nonce to be good, or `None` if this one does not.
fn needed(nonce: &OpenedNonce, now: Timestamp, options: &RedisOptions) -> Option<Duration> {
    let end = nonce.issued + options.nonce_lifetime;
    // One from too far in the future would outlive its mark.
    let good = now < end && nonce.issued <= now + SKEW;
    good.then(|| end.since(now) + SKEW)
}

/// Marks the nonce as used, and answers whether it was good until then.
async fn mark(
    shared: &Shared,
    epoch: Arc<Epoch>,
    nonce: &OpenedNonce,
    needed: Duration,
) -> Result<bool, Fault> {
    let used = shared.options.used_key(&base64url::encode(nonce.id));
    let keys = [shared.epochs.key(), &used];
    let arguments = [epoch.name.clone(), (needed + epoch::LIFE).as_millis().to_string()];
    let answer: i64 = script::run(&script::CONSUME, &keys, &arguments, &shared.link).await?;
    if answer < 0 {
        // So that the nonce that goes out with the refusal is a good one.
        if let Err(error) = shared.epochs.after(&epoch, &shared.link).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "the new epoch is not known yet");
        }
    }
    Ok(answer == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);
    const HOUR: Duration = Duration::from_secs(3600);
    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn a_mark_is_needed_until_the_slowest_clock_says_that_the_nonce_is_too_old() {
        assert_eq!(needed_for(NOW), Some(HOUR + SKEW));
        assert_eq!(needed_for(NOW - (HOUR - MILLISECOND)), Some(MILLISECOND + SKEW));
        assert_eq!(needed_for(NOW - HOUR), None);
        assert_eq!(needed_for(NOW + SKEW), Some(HOUR + SKEW * 2));
        assert_eq!(needed_for(NOW + SKEW + MILLISECOND), None);
    }

    fn needed_for(issued: Timestamp) -> Option<Duration> {
        let nonce = OpenedNonce { id: [0; 12], issued, sequence: 0 };
        needed(&nonce, NOW, &RedisOptions { nonce_lifetime: HOUR, ..RedisOptions::default() })
    }
}
