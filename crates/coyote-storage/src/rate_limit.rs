//! Rate limits: the generic cell rate algorithm, which remembers one moment for each key.

use std::time::Duration;

use async_trait::async_trait;
use coyote_protocol::Timestamp;

use crate::Result;

/// How much is allowed in which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// How many at once, and in each period. Zero allows nothing.
    pub amount: u32,
    /// The time in which a wholly used quota is whole again.
    pub period: Duration,
}

/// The answer to taking from a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Whether it was allowed; if not, nothing was taken.
    pub allowed: bool,
    /// How many more would be allowed now.
    pub remaining: u32,
    /// If it was not allowed: how long to wait until it would be.
    pub retry_after: Duration,
    /// How long until the quota is whole again, if nobody takes from it.
    pub reset: Duration,
}

impl Quota {
    /// Takes `cost` from a quota whose theoretical arrival time is `arrival` (`None` for one that is whole), and
    /// answers the arrival time to remember. It is `None` if nothing was taken, as with a `cost` of 0, which only asks.
    pub fn take(&self, arrival: Option<Timestamp>, cost: u32, now: Timestamp) -> (Taken, Option<Timestamp>) {
        let period = i128::try_from(self.period.as_millis()).unwrap_or(i128::MAX).max(1);
        let amount = i128::from(self.amount);
        let now_ms = i128::from(now.as_millis());
        let arrival = arrival.map_or(now_ms, |arrival| i128::from(arrival.as_millis())).max(now_ms);
        // In units of 1/amount milliseconds, so that nothing is rounded in the client's favour.
        let used = (arrival - now_ms) * amount.max(1);
        let wanted = used + i128::from(cost) * period;
        let whole = amount * period;
        let in_units =
            |units: i128| u64::try_from((units + amount.max(1) - 1) / amount.max(1)).unwrap_or(u64::MAX);
        let left = |used: i128| u32::try_from(((whole - used) / period).max(0)).unwrap_or(u32::MAX);
        if wanted > whole {
            let retry_after = if i128::from(cost) > amount { u64::MAX } else { in_units(wanted - whole) };
            let taken = Taken {
                allowed: false,
                remaining: left(used),
                retry_after: Duration::from_millis(retry_after),
                reset: Duration::from_millis(in_units(used)),
            };
            return (taken, None);
        }
        let reset = in_units(wanted);
        let remember = (cost > 0).then(|| now + Duration::from_millis(reset)); // asking takes nothing
        let taken = Taken {
            allowed: true,
            remaining: left(wanted),
            retry_after: Duration::ZERO,
            reset: Duration::from_millis(reset),
        };
        (taken, remember)
    }
}

/// Remembers how much of each quota is used. The one trait to write for another store of rate limits.
#[async_trait]
pub trait RateLimitStore: Send + Sync + 'static {
    /// Takes `cost` from the quota of `key` by [`Quota::take`]. Of concurrent calls, no more are allowed than the
    /// quota has room for.
    async fn take(&self, key: &str, quota: &Quota, cost: u32, now: Timestamp) -> Result<Taken>;
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: Quota = Quota { amount: 3, period: Duration::from_secs(60) };

    #[test]
    fn a_quota_allows_its_amount_at_once_and_says_when_to_come_back() {
        let now = Timestamp::from_seconds(1_000);
        let mut arrival = None;
        for left in [2, 1, 0] {
            let (taken, next) = QUOTA.take(arrival, 1, now);
            assert!(taken.allowed);
            assert_eq!(taken.remaining, left);
            arrival = next;
        }

        let (refused, next) = QUOTA.take(arrival, 1, now);

        assert!(!refused.allowed);
        assert_eq!(next, None, "a refusal takes nothing");
        assert_eq!(refused.retry_after, Duration::from_secs(20));
        assert!(QUOTA.take(arrival, 1, now + refused.retry_after).0.allowed);
        assert!(!QUOTA.take(arrival, 1, now + refused.retry_after - Duration::from_millis(1)).0.allowed);
    }

    #[test]
    fn a_quota_is_whole_again_after_its_period() {
        let now = Timestamp::from_seconds(1_000);
        let (_, arrival) = QUOTA.take(None, 3, now);
        let (taken, _) = QUOTA.take(arrival, 3, now + QUOTA.period);
        assert!(taken.allowed);
    }

    #[test]
    fn asking_takes_nothing() {
        let (taken, next) = QUOTA.take(None, 0, Timestamp::from_seconds(1_000));
        assert!(taken.allowed);
        assert_eq!((taken.remaining, next), (3, None));
    }

    #[test]
    fn a_quota_of_nothing_allows_nothing() {
        let none = Quota { amount: 0, period: Duration::from_secs(1) };
        assert!(!none.take(None, 1, Timestamp::from_seconds(0)).0.allowed);
    }
}
