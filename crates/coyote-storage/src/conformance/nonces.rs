//! What [`NonceStore`] promises. RFC 8555 section 6.5.
//!
//! Each test is given two stores that have nothing in common: what one issued is nothing to the other.

use std::sync::Arc;
use std::time::Duration;

use coyote_protocol::Nonce;

use super::fixture::{DAY, NOW, tally};
use super::race::{CONTENDERS, ROUNDS, race};
use crate::NonceStore;

type Stores = [Arc<dyn NonceStore>; 2];

/// In whatever order they are used.
pub async fn a_nonce_is_good_once([store, _]: Stores) {
    let mut nonces = Vec::new();
    for _ in 0..10 {
        nonces.push(store.issue(NOW).await.unwrap());
    }
    nonces.swap(0, 7);
    nonces.swap(3, 9);
    for nonce in &nonces {
        assert!(store.consume(nonce, NOW).await.unwrap(), "{nonce} was not used before");
    }
    for nonce in &nonces {
        assert!(!store.consume(nonce, NOW).await.unwrap(), "{nonce} was used before");
    }
}

/// However many use it at the same time.
pub async fn of_many_who_use_a_nonce_one_succeeds([store, _]: Stores) {
    for round in 0..ROUNDS {
        let nonce = store.issue(NOW).await.unwrap();
        let used = race((0..CONTENDERS * 4).map(|_| {
            let (store, nonce) = (store.clone(), nonce.clone());
            async move { store.consume(&nonce, NOW).await.unwrap() }
        }));
        let good = used.await.into_iter().filter(|good| *good).count();
        assert_eq!(good, 1, "round {round}: exactly one is told that it is good");
    }
}

/// Nor can one be guessed from another: there are 128 bits in each at least.
pub async fn no_nonce_is_issued_twice([store, _]: Stores) {
    let issued = race((0..CONTENDERS).map(|_| {
        let store = store.clone();
        async move {
            let mut nonces = Vec::new();
            for _ in 0..100 {
                nonces.push(store.issue(NOW).await.unwrap());
            }
            nonces
        }
    }));
    let issued = tally(issued.await.into_iter().flatten());
    assert!(issued.values().all(|times| *times == 1), "a nonce was issued twice");
    assert!(issued.keys().all(|nonce| nonce.as_str().len() >= 22), "a nonce has less than 128 bits");
}

/// Whether it resembles one that was, or not.
pub async fn a_nonce_that_was_never_issued_is_refused([store, _]: Stores) {
    let genuine = store.issue(NOW).await.unwrap().as_str().to_owned();
    let mut forged: Vec<_> = ["AA", "AAAAAAAAAAAAAAAAAAAAAA"].map(String::from).to_vec();
    forged.push("A".repeat(Nonce::MAX_LENGTH));
    forged.push(genuine.clone() + "AAAA");
    forged.push(genuine[..genuine.len() / 4 * 2].to_owned());
    for place in 0..genuine.len() - 1 {
        let other = if genuine.as_bytes()[place] == b'A' { "B" } else { "A" };
        let mut text = genuine.clone();
        text.replace_range(place..=place, other);
        forged.push(text);
    }
    for text in forged {
        let Ok(nonce) = Nonce::parse(&text) else { continue };
        assert!(!store.consume(&nonce, NOW).await.unwrap(), "{text} was never issued, {genuine} was");
    }
    assert!(
        store.consume(&Nonce::parse(&genuine).unwrap(), NOW).await.unwrap(),
        "the genuine one is still good"
    );
}

/// It is another deployment's.
pub async fn a_nonce_of_another_store_is_refused([one, other]: Stores) {
    for (issues, refuses) in [(&one, &other), (&other, &one)] {
        refuses.issue(NOW).await.unwrap();
        let nonce = issues.issue(NOW).await.unwrap();
        assert!(!refuses.consume(&nonce, NOW).await.unwrap());
        assert!(issues.consume(&nonce, NOW).await.unwrap());
    }
}

/// Not before a client has had time to use it, and before the store would have to remember it for ever.
pub async fn a_nonce_expires([store, _]: Stores) {
    let (soon, late) = (store.issue(NOW).await.unwrap(), store.issue(NOW).await.unwrap());
    assert!(
        store.consume(&soon, NOW + Duration::from_secs(60)).await.unwrap(),
        "it is good for a minute at least"
    );
    assert!(!store.consume(&late, NOW + DAY * 30).await.unwrap(), "it is not good for a month");
    assert!(!store.consume(&soon, NOW + DAY * 30).await.unwrap(), "and a used one is not good again");
}
