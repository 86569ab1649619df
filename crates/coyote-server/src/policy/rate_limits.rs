//! Rate limits. RFC 8555 section 6.6.

use std::{net::IpAddr, sync::Arc, time::Duration};

use coyote_protocol::{Identifier, Problem, ProblemType, Timestamp};
use coyote_storage::{AccountId, DirectoryId, Quota, RateLimitStore, StorageError, Taken};

/// How much is allowed in which time. `None`, the default of each, allows all: inside a company a limit is more often in
/// the way than of use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimits {
    /// New orders of an account. An order that renews a certificate when that is due (RFC 9773) is not counted.
    pub orders_per_account: Option<Quota>,
    /// New accounts from an address; of IPv6, from a network of 64 bits.
    pub accounts_per_address: Option<Quota>,
    /// Failed validations of a name for an account. Whoever has used it up gets no new orders for the name.
    pub failed_validations: Option<Quota>,
    /// The same over weeks: a name that goes on failing is paused, but for an attempt now and then.
    pub failing_names: Option<Quota>,
    /// Where the client is told to read about the limits.
    pub help: Option<String>,
}

/// Rate limits, and where they are counted.
#[derive(Clone)]
pub(crate) struct RateLimiter {
    store: Arc<dyn RateLimitStore>,
    directory: DirectoryId,
    limits: RateLimits,
}

/// A request was refused because its quota is used up.
#[derive(Clone, Debug, PartialEq)]
pub struct RateLimited {
    /// What the client is told.
    pub problem: Problem,
    /// How long it has to wait.
    pub retry_after: Duration,
    /// Where it is told to read about the limits.
    pub help: Option<String>,
    /// What it is told about the quota.
    pub fields: RateLimitFields,
}

/// The `RateLimit` and `RateLimit-Policy` header fields. draft-ietf-httpapi-ratelimit-headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimitFields {
    /// `RateLimit-Policy`: what is allowed.
    pub policy: String,
    /// `RateLimit`: what is left.
    pub limit: String,
}

/// What came of asking for something that is limited.
pub(crate) type Allowance = Result<Option<RateLimitFields>, Box<RateLimited>>;

impl RateLimiter {
    /// Directories that share a store are counted apart.
    pub(crate) fn new(store: Arc<dyn RateLimitStore>, directory: DirectoryId, limits: RateLimits) -> Self {
        Self { store, directory, limits }
    }

    /// Counts a new order.
    pub(crate) async fn new_order(
        &self,
        account: &AccountId,
        now: Timestamp,
    ) -> Result<Allowance, StorageError> {
        self.take("new-order", self.limits.orders_per_account, account.to_string(), 1, now).await
    }

    /// Whether a new order would be allowed; nothing is counted.
    pub(crate) async fn may_order(
        &self,
        account: &AccountId,
        now: Timestamp,
    ) -> Result<Allowance, StorageError> {
        self.take("new-order", self.limits.orders_per_account, account.to_string(), 0, now).await
    }

    /// Counts a new account. Those whose address is not known share one limit.
    pub(crate) async fn new_account(
        &self,
        client: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<Allowance, StorageError> {
        let client = client.map_or_else(|| "unknown".to_owned(), network);
        self.take("new-account", self.limits.accounts_per_address, client, 1, now).await
    }

    /// Where the client is told to read about the limits.
    pub(crate) fn help(&self) -> Option<&str> {
        self.limits.help.as_deref()
    }

    /// Whether a new account would be allowed; nothing is counted.
    pub(crate) async fn may_join(
        &self,
        client: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<Allowance, StorageError> {
        let Some(client) = client else { return Ok(Ok(None)) };
        self.take("new-account", self.limits.accounts_per_address, network(client), 0, now).await
    }

    /// Whether failed validations are counted at all.
    pub(crate) fn limits_failures(&self) -> bool {
        self.limits.failed_validations.is_some() || self.limits.failing_names.is_some()
    }

    /// Counts a failed validation.
    pub(crate) async fn failed_validation(
        &self,
        account: &AccountId,
        name: &Identifier,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        for (what, quota) in self.failures() {
            drop(self.take(what, quota, format!("{account}:{name}"), 1, now).await?);
        }
        Ok(())
    }

    /// Whether validations of a name have failed too often; nothing is counted.
    pub(crate) async fn may_fail(
        &self,
        account: &AccountId,
        name: &Identifier,
        now: Timestamp,
    ) -> Result<Allowance, StorageError> {
        let mut allowed = None;
        for (what, quota) in self.failures() {
            match self.take(what, quota, format!("{account}:{name}"), 0, now).await? {
                Ok(fields) => allowed = allowed.or(fields),
                refused => return Ok(refused),
            }
        }
        Ok(Ok(allowed))
    }

    /// In how many ways failures are counted.
    fn failures(&self) -> [(&'static str, Option<Quota>); 2] {
        [("failed-validation", self.limits.failed_validations), ("failing-name", self.limits.failing_names)]
    }

    /// Takes the one turn at something that all servers over the store have together in each interval, or answers how long to wait
    /// for the next.
    pub(crate) async fn turn(
        &self,
        what: &str,
        interval: Duration,
        now: Timestamp,
    ) -> Result<Option<Duration>, StorageError> {
        let quota = Quota { amount: 1, period: interval };
        let taken = self.store.take(&format!("turn:{what}"), &quota, 1, now).await?;
        Ok((!taken.allowed).then_some(taken.retry_after))
    }

    async fn take(
        &self,
        what: &str,
        quota: Option<Quota>,
        whose: String,
        cost: u32,
        now: Timestamp,
    ) -> Result<Allowance, StorageError> {
        let Some(quota) = quota else { return Ok(Ok(None)) };
        let taken = self.store.take(&format!("{}:{what}:{whose}", self.directory), &quota, cost, now).await?;
        let fields = fields(what, &quota, &taken);
        if taken.allowed && (cost > 0 || taken.remaining > 0) {
            return Ok(Ok(Some(fields)));
        }
        // Where nothing was to be taken, the wait is for the next one to come free.
        let wait = if taken.allowed { taken.reset / quota.amount.max(1) } else { taken.retry_after };
        let detail = format!("too many of {what}; the limit is {} in {:?}", quota.amount, quota.period);
        Ok(Err(Box::new(RateLimited {
            problem: Problem::new(ProblemType::RateLimited, detail),
            retry_after: wait,
            help: self.limits.help.clone(),
            fields,
        })))
    }
}

fn fields(what: &str, quota: &Quota, taken: &Taken) -> RateLimitFields {
    RateLimitFields {
        policy: format!("\"{what}\";q={};w={}", quota.amount, quota.period.as_secs()),
        limit: format!("\"{what}\";r={};t={}", taken.remaining, taken.reset.as_millis().div_ceil(1000)),
    }
}

/// An IPv6 host has at least a network of 64 bits to itself, and as many addresses as it likes.
fn network(client: IpAddr) -> String {
    match client.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

#[cfg(test)]
mod tests {
    use coyote_storage::MemoryStorage;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_000);
    const ACCOUNT: AccountId = AccountId::from_bytes([1; 16]);

    fn limiter(limits: RateLimits) -> RateLimiter {
        RateLimiter::new(Arc::new(MemoryStorage::new()), DirectoryId::default(), limits)
    }

    #[tokio::test]
    async fn without_a_quota_everything_is_allowed_and_nothing_is_said() {
        let limiter = limiter(RateLimits::default());
        assert_eq!(limiter.new_order(&ACCOUNT, NOW).await.unwrap(), Ok(None));
    }

    #[tokio::test]
    async fn a_used_up_quota_says_when_to_come_back() {
        let quota = Some(Quota { amount: 1, period: Duration::from_secs(60) });
        let limiter = limiter(RateLimits { orders_per_account: quota, ..RateLimits::default() });

        let fields = limiter.new_order(&ACCOUNT, NOW).await.unwrap().unwrap().unwrap();
        assert_eq!(fields.policy, "\"new-order\";q=1;w=60");
        assert_eq!(fields.limit, "\"new-order\";r=0;t=60");
        let refused = limiter.new_order(&ACCOUNT, NOW).await.unwrap().unwrap_err();
        assert_eq!(refused.retry_after, Duration::from_secs(60));
        assert_eq!(refused.problem.status, 429);
    }

    #[tokio::test]
    async fn who_has_failed_too_often_is_refused_before_failing_again() {
        let quota = Some(Quota { amount: 2, period: Duration::from_secs(60) });
        let limiter = limiter(RateLimits { failed_validations: quota, ..RateLimits::default() });
        let name = Identifier::parse("dns", "a.example").unwrap();
        for _ in 0..2 {
            assert!(limiter.may_fail(&ACCOUNT, &name, NOW).await.unwrap().is_ok());
            limiter.failed_validation(&ACCOUNT, &name, NOW).await.unwrap();
        }
        let refused = limiter.may_fail(&ACCOUNT, &name, NOW).await.unwrap().unwrap_err();
        assert_eq!(refused.retry_after, Duration::from_secs(30));
        let other = Identifier::parse("dns", "b.example").unwrap();
        assert!(limiter.may_fail(&ACCOUNT, &other, NOW).await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn a_name_that_goes_on_failing_is_paused_however_slowly_it_fails() {
        let quota = |amount, period| Some(Quota { amount, period: Duration::from_secs(period) });
        let (hour, day) = (Duration::from_secs(3_600), Duration::from_secs(86_400));
        let limits = RateLimits {
            failed_validations: quota(5, 3_600),
            failing_names: quota(10, 20 * 86_400),
            ..RateLimits::default()
        };
        let (limiter, name) = (limiter(limits), Identifier::parse("dns", "a.example").unwrap());
        let (mut now, mut failed) = (NOW, 0);
        for _ in 0..200 {
            if limiter.may_fail(&ACCOUNT, &name, now).await.unwrap().is_ok() {
                limiter.failed_validation(&ACCOUNT, &name, now).await.unwrap();
                failed += 1;
            }
            now = now + hour * 12;
        }
        assert_eq!(failed, 10 + 100 / 2 - 1, "ten, and then one in two days, in a hundred days");
        let refused = limiter.may_fail(&ACCOUNT, &name, now).await.unwrap();
        assert!(refused.as_ref().err().is_none_or(|refused| refused.retry_after <= day * 2), "{refused:?}");
    }

    #[tokio::test]
    async fn of_all_servers_over_a_store_one_has_the_turn_in_each_interval() {
        let store = Arc::new(MemoryStorage::new());
        let replica = || RateLimiter::new(store.clone(), DirectoryId::default(), RateLimits::default());
        let (one, other, minute) = (replica(), replica(), Duration::from_secs(60));
        assert_eq!(one.turn("sweep", minute, NOW).await.unwrap(), None);
        assert_eq!(other.turn("sweep", minute, NOW + minute / 4).await.unwrap(), Some(minute / 4 * 3));
        assert_eq!(other.turn("sweep", minute, NOW + minute).await.unwrap(), None);
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_as_one() {
        assert_eq!(
            network("2001:db8:1:2::3".parse().unwrap()),
            network("2001:db8:1:2:ffff::".parse().unwrap())
        );
        assert_eq!(network("::ffff:192.0.2.1".parse().unwrap()), "192.0.2.1");
    }
}
