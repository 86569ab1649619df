//! Anti-replay nonces. RFC 8555 section 6.5.
//!
//! A nonce is sealed under a key that the database holds, so issuing one writes nothing and asks nobody; what is written
//! is that it was used. So nonces outlive the process, and replicas accept each other's.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use coyote_protocol::{Nonce, Timestamp};
use coyote_storage::{
    BoxError, NonceSealer, NonceStore, Result,
    sealing::{Column, Sealing},
};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, QueryResult};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::{
    PgStorage,
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
    /// With the key that the database holds, or with a new one that it holds from now on.
    pub(crate) async fn open(
        mut connection: &AsyncPgConnection,
        sealing: &Sealing,
        lifetime: Duration,
    ) -> Result<Self, BoxError> {
        let place = Column::SETTING.named(&[KEY]);
        let cell = match stored_key(connection).await? {
            Some(cell) => cell,
            None => {
                let new = (settings::name.eq(KEY), settings::value.eq(sealing.seal(&place, &random_key()?)?));
                // Whichever replica comes first: its key is everybody's.
                let new = diesel::insert_into(settings::table).values(new).on_conflict_do_nothing();
                new.execute(&mut connection).await?;
                stored_key(connection).await?.ok_or("the key of the nonces was not stored")?
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

async fn stored_key(mut connection: &AsyncPgConnection) -> QueryResult<Option<Vec<u8>>> {
    settings::table.find(KEY).select(settings::value).get_result(&mut connection).await.optional()
}

#[allow(clippy::disallowed_methods, reason = "a nonce store mints what it alone can recognise")]
fn random_key() -> Result<[u8; 32], BoxError> {
    let mut key = [0; 32];
    openssl::rand::rand_bytes(&mut key)?;
    Ok(key)
}

/// Forgets used nonces that are refused for their age by now, `limit` at most.
pub(crate) async fn forget(
    mut connection: &AsyncPgConnection,
    now: Timestamp,
    limit: i64,
) -> Result<usize, Failure> {
    let old = used_nonces::table.filter(used_nonces::expires.le(Millis(now))).order(used_nonces::expires);
    let old = old.select(used_nonces::id).limit(limit).for_update().skip_locked();
    let old: Vec<Vec<u8>> = old.load(&mut connection).await?;
    let forgotten = used_nonces::table.filter(used_nonces::id.eq_any(old));
    Ok(diesel::delete(forgotten).execute(&mut connection).await?)
}

#[async_trait]
impl NonceStore for PgStorage {
    async fn issue(&self, now: Timestamp) -> Result<Nonce> {
        self.nonces.sealer.seal(now)
    }

    async fn consume(&self, nonce: &Nonce, now: Timestamp) -> Result<bool> {
        let Some(opened) = self.nonces.sealer.open(nonce) else { return Ok(false) };
        if now.since(opened.issued) >= self.nonces.lifetime {
            return Ok(false);
        }
        let expires = opened.issued + self.nonces.lifetime;
        self.look_up("using a nonce", async |session| {
            let used = (used_nonces::id.eq(opened.id.to_vec()), used_nonces::expires.eq(Millis(expires)));
            let first = diesel::insert_into(used_nonces::table).values(used).on_conflict_do_nothing();
            Ok(first.execute(&mut session.connection()).await? == 1)
        })
        .await
    }
}
