//! Anti-replay nonces. RFC 8555 section 6.5.
//!
//! A nonce is sealed under a key that the file holds, so issuing one writes nothing; what is written is that it was
//! used. So nonces outlive the process, and several processes on one file accept each other's.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use coyote_protocol::{Nonce, Timestamp};
use coyote_storage::{
    BoxError, NonceSealer, NonceStore, Result,
    sealing::{Column, Sealing},
};
use diesel::prelude::*;

use crate::{
    SqliteStorage,
    column::Millis,
    error::Failure,
    schema::{settings, used_nonces},
};

pub(crate) const KEY: &str = "nonce_key";

/// How nonces are made and judged.
pub(crate) struct Nonces {
    sealer: NonceSealer,
    lifetime: Duration,
}

impl Nonces {
    /// With the key that the file holds, or with a new one that it holds from now on.
    pub(crate) fn open(
        connection: &mut SqliteConnection,
        sealing: &Sealing,
        lifetime: Duration,
    ) -> Result<Self, BoxError> {
        let place = Column::SETTING.named(&[KEY]);
        let cell = match stored_key(connection)? {
            Some(cell) => cell,
            None => {
                let new = (settings::name.eq(KEY), settings::value.eq(sealing.seal(&place, &random_key()?)?));
                // Whichever process comes first: its key is everybody's.
                diesel::insert_or_ignore_into(settings::table).values(new).execute(connection)?;
                stored_key(connection)?.ok_or("the key of the nonces was not stored")?
            }
        };
        let key: [u8; 32] =
            sealing.open(&place, &cell)?.try_into().map_err(|_| "the key of the nonces is damaged")?;
        Ok(Self { sealer: NonceSealer::new(key)?, lifetime })
    }
}

impl fmt::Debug for Nonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nonces").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

fn stored_key(connection: &mut SqliteConnection) -> QueryResult<Option<Vec<u8>>> {
    settings::table.find(KEY).select(settings::value).get_result(connection).optional()
}

#[allow(clippy::disallowed_methods, reason = "a nonce store mints what it alone can recognise")]
fn random_key() -> Result<[u8; 32], BoxError> {
    let mut key = [0; 32];
    openssl::rand::rand_bytes(&mut key)?;
    Ok(key)
}

/// Forgets used nonces that are refused for their age by now, `limit` at most.
pub(crate) fn forget(
    connection: &mut SqliteConnection,
    now: Timestamp,
    limit: i64,
) -> Result<usize, Failure> {
    let old = used_nonces::table.filter(used_nonces::expires.le(Millis(now))).order(used_nonces::expires);
    let old: Vec<Vec<u8>> = old.select(used_nonces::id).limit(limit).load(connection)?;
    for id in &old {
        diesel::delete(used_nonces::table.find(id)).execute(connection)?;
    }
    Ok(old.len())
}

#[async_trait]
impl NonceStore for SqliteStorage {
    async fn issue(&self, now: Timestamp) -> Result<Nonce> {
        self.nonces.sealer.seal(now)
    }

    async fn consume(&self, nonce: &Nonce, now: Timestamp) -> Result<bool> {
        let Some(opened) = self.nonces.sealer.open(nonce) else { return Ok(false) };
        if now.since(opened.issued) >= self.nonces.lifetime {
            return Ok(false);
        }
        let expires = opened.issued + self.nonces.lifetime;
        self.write("using a nonce", move |connection| {
            let used = (used_nonces::id.eq(opened.id.to_vec()), used_nonces::expires.eq(Millis(expires)));
            let first = diesel::insert_or_ignore_into(used_nonces::table).values(used).execute(connection)?;
            Ok(first == 1)
        })
        .await
    }
}
