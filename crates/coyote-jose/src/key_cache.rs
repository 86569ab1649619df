use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Error;
use crate::jwk::Jwk;
use crate::key::VerifyingKey;
use crate::thumbprint::Thumbprint;

/// The keys used lately, ready to verify with, by thumbprint: bounded, and shared by all threads.
///
/// Making an elliptic curve key ready costs about as much as verifying a signature with it.
#[derive(Debug)]
pub struct KeyCache {
    generations: Mutex<Generations>,
    /// How many keys a generation may hold.
    generation: usize,
}

/// Two generations stand in for an order of use: what was not used while the young one filled up is gone.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Thumbprint, Arc<VerifyingKey>>,
    old: HashMap<Thumbprint, Arc<VerifyingKey>>,
}

impl KeyCache {
    /// A cache for at most `capacity` keys, rounded up to an even number. With 0 it keeps none.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { generations: Mutex::default(), generation: capacity.div_ceil(2) }
    }

    /// The key that `jwk` stands for, made ready now or earlier.
    ///
    /// # Errors
    ///
    /// As [`VerifyingKey::new`]. Refusals are not remembered.
    pub fn verifying_key(&self, jwk: &Jwk) -> Result<Arc<VerifyingKey>, Error> {
        let thumbprint = jwk.thumbprint();
        if let Some(key) = self.lock().find(thumbprint, self.generation) {
            return Ok(key);
        }
        // Not under the lock: two threads may both do it, but none waits for the other.
        let key = Arc::new(VerifyingKey::new(jwk)?);
        self.lock().insert(thumbprint, Arc::clone(&key), self.generation);
        Ok(key)
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        // Nothing panics while holding it; and if something did, what it left is still a cache.
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn find(&mut self, thumbprint: Thumbprint, limit: usize) -> Option<Arc<VerifyingKey>> {
        if let Some(key) = self.young.get(&thumbprint) {
            return Some(Arc::clone(key));
        }
        let key = self.old.remove(&thumbprint)?;
        self.insert(thumbprint, Arc::clone(&key), limit);
        Some(key)
    }

    fn insert(&mut self, thumbprint: Thumbprint, key: Arc<VerifyingKey>, limit: usize) {
        if limit == 0 {
            return;
        }
        if self.young.len() >= limit {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(thumbprint, key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::Algorithm;
    use crate::signing_key::SigningKey;

    fn jwk() -> Jwk {
        SigningKey::generate(Algorithm::ES256).unwrap().jwk().clone()
    }

    #[test]
    fn what_is_used_all_the_time_stays_and_the_rest_is_bounded() {
        let cache = KeyCache::new(4);
        let favourite = jwk();
        let ready = cache.verifying_key(&favourite).unwrap();

        for _ in 0..12 {
            cache.verifying_key(&jwk()).unwrap();
            let again = cache.verifying_key(&favourite).unwrap();
            assert!(Arc::ptr_eq(&ready, &again), "the favourite is made once");
        }

        let generations = cache.lock();
        let kept = generations.young.len() + generations.old.len();
        assert!(kept <= 4, "at most 4 keys, but there are {kept}");
    }

    #[test]
    fn without_room_every_key_is_made_again() {
        let (cache, jwk) = (KeyCache::new(0), jwk());

        let first = cache.verifying_key(&jwk).unwrap();
        let second = cache.verifying_key(&jwk).unwrap();

        assert!(!Arc::ptr_eq(&first, &second));
        assert_eq!(first.jwk(), second.jwk());
    }

    #[test]
    fn a_bad_key_is_an_error_each_time() {
        let cache = KeyCache::new(4);
        let zero = "A".repeat(43);
        let off_curve = format!(r#"{{"kty":"EC","crv":"P-256","x":"{zero}","y":"{zero}"}}"#);
        let off_curve = Jwk::parse(&off_curve).unwrap();

        for _ in 0..2 {
            assert!(matches!(cache.verifying_key(&off_curve), Err(Error::BadKey(_))));
        }
    }
}
