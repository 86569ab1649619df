use std::time::Duration;

use crate::ConnectError;

/// How Redis is used. All replicas of a server need the same `prefix` and `nonce_lifetime`.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// What every key begins with: 1 to 64 letters, digits and `-_.:`. Deployments that share a Redis need a prefix
    /// each, or a database each.
    pub prefix: String,
    /// How long a nonce is good. Replicas that disagree do not take each other's nonces.
    pub nonce_lifetime: Duration,
    /// How long an operation may take, all attempts and connecting included. After that the answer is
    /// [`Unavailable`](coyote_storage::StorageError::Unavailable).
    pub patience: Duration,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            prefix: "coyote".to_owned(),
            nonce_lifetime: Duration::from_secs(60 * 60),
            patience: Duration::from_secs(1),
        }
    }
}

impl RedisOptions {
    pub(crate) fn check(&self) -> Result<(), ConnectError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        if self.prefix.is_empty() || self.prefix.len() > 64 || !self.prefix.bytes().all(fits) {
            return Err(ConnectError::Prefix);
        }
        Ok(())
    }

    /// The key of the epoch. It and the used nonces are in one slot of a cluster, which what is in braces decides.
    pub(crate) fn epoch_key(&self) -> String {
        format!("{{{}}}:nonces:epoch", self.prefix)
    }

    /// The key that exists if the nonce with this id was used.
    pub(crate) fn used_key(&self, id: &str) -> String {
        format!("{{{}}}:nonces:used:{id}", self.prefix)
    }

    /// The key of a quota.
    pub(crate) fn quota_key(&self, digest: &str) -> String {
        format!("{}:quotas:{digest}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_short_and_cannot_choose_the_slot_or_be_a_pattern() {
        for prefix in ["coyote", "a", "prod:ca-1.example_x"] {
            assert!(with(prefix).check().is_ok(), "{prefix}");
        }
        for prefix in ["", "{a}", "a*", "a b", "a\r\n", "\u{e9}", &"x".repeat(65)] {
            assert!(matches!(with(prefix).check(), Err(ConnectError::Prefix)), "{prefix:?}");
        }
    }

    fn with(prefix: &str) -> RedisOptions {
        RedisOptions { prefix: prefix.to_owned(), ..RedisOptions::default() }
    }
}
