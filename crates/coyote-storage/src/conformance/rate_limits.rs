//! What [`RateLimitStore`] promises.

use std::sync::Arc;
use std::time::Duration;

use super::fixture::{MILLISECOND, NOW};
use super::race::{CONTENDERS, ROUNDS, race};
use crate::{Quota, RateLimitStore, Taken};

const QUOTA: Quota = Quota { amount: 3, period: Duration::from_secs(60) };

/// And says when there is more.
pub async fn a_quota_allows_its_amount_and_no_more(store: Arc<dyn RateLimitStore>) {
    for remaining in [2, 1, 0] {
        let taken = store.take("key", &QUOTA, 1, NOW).await.unwrap();
        assert_eq!((taken.allowed, taken.remaining), (true, remaining));
    }
    let refused = store.take("key", &QUOTA, 1, NOW).await.unwrap();
    let retry_after = Duration::from_secs(20);
    assert_eq!(refused, Taken { allowed: false, remaining: 0, retry_after, reset: QUOTA.period });
    let early = store.take("key", &QUOTA, 1, NOW + retry_after - MILLISECOND).await.unwrap();
    assert!(!early.allowed);
    let late = store.take("key", &QUOTA, 1, NOW + retry_after).await.unwrap();
    assert!(late.allowed);
}

/// Otherwise who asks too often would never be let in.
pub async fn what_is_refused_takes_nothing(store: Arc<dyn RateLimitStore>) {
    store.take("key", &QUOTA, 2, NOW).await.unwrap();
    for cost in [2, 3, 100, u32::MAX] {
        assert!(!store.take("key", &QUOTA, cost, NOW).await.unwrap().allowed, "there is no room for {cost}");
    }
    assert!(store.take("key", &QUOTA, 1, NOW).await.unwrap().allowed, "there is room for one");
}

/// Whatever they look like.
pub async fn each_key_has_a_quota_of_its_own(store: Arc<dyn RateLimitStore>) {
    let long = "x".repeat(1_000);
    let keys = [
        "a",
        "A",
        "a ",
        " a",
        "a:b",
        "a:*",
        "a'b",
        "a\"b",
        "a\r\nb",
        "{a}",
        "%",
        "_",
        "\u{e9}",
        "e\u{301}",
        "\u{1f43a}",
        "",
        &long,
    ];
    for key in keys {
        let taken = store.take(key, &QUOTA, 3, NOW).await.unwrap();
        assert!(taken.allowed, "{key:?} was not used before");
    }
    for key in keys {
        let taken = store.take(key, &QUOTA, 1, NOW).await.unwrap();
        assert!(!taken.allowed, "{key:?} is used up");
    }
}

/// However many take from it at the same time.
pub async fn of_many_who_take_no_more_are_allowed_than_there_is_room_for(store: Arc<dyn RateLimitStore>) {
    for round in 0..ROUNDS {
        let key = format!("round {round}");
        let taken = race((0..CONTENDERS).map(|_| {
            let (store, key) = (store.clone(), key.clone());
            async move { store.take(&key, &QUOTA, 1, NOW).await.unwrap() }
        }));
        let taken = taken.await;
        let mut left: Vec<_> =
            taken.iter().filter(|taken| taken.allowed).map(|taken| taken.remaining).collect();
        left.sort();
        assert_eq!(left, [0, 1, 2], "round {round}: each of three is told what it left");
    }
}

/// The rule decides; a store remembers.
pub async fn every_answer_is_the_rules_answer(store: Arc<dyn RateLimitStore>) {
    let quotas = [QUOTA, Quota { amount: 7, period: Duration::from_secs(1) }, Quota { amount: 0, ..QUOTA }];
    for (key, quota) in ["one", "two", "three"].into_iter().zip(quotas) {
        let (mut arrival, mut now) = (None, NOW);
        for step in 0..200u32 {
            let cost = step * 7 % 4;
            now = now + Duration::from_millis(u64::from(step * step * 31 % 9_000));
            let (expected, next) = quota.take(arrival, cost, now);
            arrival = next.or(arrival);
            let taken = store.take(key, &quota, cost, now).await.unwrap();
            assert_eq!(taken, expected, "{key}, step {step}");
        }
    }
}
