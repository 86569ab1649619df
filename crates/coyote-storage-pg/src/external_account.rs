//! External account keys. RFC 8555 section 7.3.4.

use async_trait::async_trait;
use coyote_protocol::{DnsName, Timestamp};
use coyote_storage::{
    AuditEvent, Cause, Conflict, DirectoryId, ExternalAccountKey, ExternalAccountStore, Result, StorageError,
    sealing::{Column, Sealing},
};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, Insertable, OptionalExtension, QueryDsl, Queryable, Selectable,
    SelectableHelper, pg::Pg,
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::{
    PgStorage, audit, cell,
    column::{Count, Json, Millis, is_storable},
    error::{Failure, taken},
    schema::external_account_keys,
    session::writes,
    update::update,
};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = external_account_keys, check_for_backend(Pg), treat_none_as_default_value = false)]
struct KeyRow {
    directory: String,
    kid: String,
    secret: Vec<u8>,
    comment: Vec<u8>,
    created: Millis,
    expires: Option<Millis>,
    most_accounts: Option<Count>,
    accounts: Count,
    domains: Json<Vec<DnsName>>,
    revoked: Option<Millis>,
}

impl KeyRow {
    fn new(key: ExternalAccountKey, sealing: &Sealing) -> Result<Self> {
        let row = [key.directory.as_str(), &key.kid];
        Ok(Self {
            secret: sealing.seal(&Column::SECRET.named(&row), &key.secret)?,
            comment: sealing.seal(&Column::COMMENT.named(&row), key.comment.as_bytes())?,
            directory: key.directory.as_str().to_owned(),
            kid: key.kid,
            created: Millis(key.created),
            expires: key.expires.map(Millis),
            most_accounts: key.most_accounts.map(Count),
            accounts: Count(key.accounts),
            domains: Json(key.domains),
            revoked: key.revoked.map(Millis),
        })
    }

    fn open(self, sealing: &Sealing) -> Result<ExternalAccountKey> {
        let row = [self.directory.as_str(), &self.kid];
        Ok(ExternalAccountKey {
            secret: sealing.open(&Column::SECRET.named(&row), &self.secret)?,
            comment: cell::open_text(sealing, &Column::COMMENT.named(&row), &self.comment)?,
            kid: self.kid,
            directory: DirectoryId::new(self.directory),
            created: self.created.0,
            expires: self.expires.map(|at| at.0),
            most_accounts: self.most_accounts.map(|most| most.0),
            accounts: self.accounts.0,
            domains: self.domains.0,
            revoked: self.revoked.map(|at| at.0),
        })
    }
}

async fn find(
    mut connection: &AsyncPgConnection,
    directory: &DirectoryId,
    kid: &str,
    sealing: &Sealing,
) -> Result<Option<ExternalAccountKey>, Failure> {
    if !is_storable(kid) {
        return Ok(None);
    }
    let query = external_account_keys::table.find((directory.as_str(), kid)).select(KeyRow::as_select());
    let row = query.get_result(&mut connection).await.optional()?;
    Ok(row.map(|row: KeyRow| row.open(sealing)).transpose()?)
}

/// The key, while nobody else changes it.
async fn lock(
    mut connection: &AsyncPgConnection,
    directory: &DirectoryId,
    kid: &str,
    sealing: &Sealing,
) -> Result<Option<ExternalAccountKey>, Failure> {
    if !is_storable(kid) {
        return Ok(None);
    }
    let query = external_account_keys::table.find((directory.as_str(), kid)).select(KeyRow::as_select());
    let row = query.for_update().get_result(&mut connection).await.optional()?;
    Ok(row.map(|row: KeyRow| row.open(sealing)).transpose()?)
}

/// The key that an account is opened with, if it is opened with one and there is such a key.
pub(crate) async fn lock_if(
    connection: &AsyncPgConnection,
    directory: &DirectoryId,
    kid: Option<&str>,
    sealing: &Sealing,
) -> Result<Option<ExternalAccountKey>, Failure> {
    match kid {
        Some(kid) => lock(connection, directory, kid, sealing).await,
        None => Ok(None),
    }
}

/// Counts an account that the key opens, if it is opened with one.
pub(crate) fn bound(
    kid: Option<&str>,
    key: Option<ExternalAccountKey>,
    now: Timestamp,
) -> Result<Option<ExternalAccountKey>, Conflict> {
    match (kid, key) {
        (None, _) => Ok(None),
        (Some(_), None) => Err(Conflict::ExternalAccountKeyNotUsable),
        (Some(_), Some(mut key)) => {
            key.bind(now)?;
            Ok(Some(key))
        }
    }
}

/// Saves a key that has counted an account.
pub(crate) async fn save_bound(
    connection: &AsyncPgConnection,
    key: &ExternalAccountKey,
) -> Result<(), Failure> {
    let as_loaded = external_account_keys::directory
        .eq(key.directory.as_str())
        .and(external_account_keys::kid.eq(&key.kid))
        .and(external_account_keys::accounts.eq(Count(key.accounts.saturating_sub(1))))
        .and(external_account_keys::revoked.is_null());
    let counted = external_account_keys::accounts.eq(Count(key.accounts));
    update(connection, external_account_keys::table, counted, as_loaded).await
}

async fn insert(
    mut connection: &AsyncPgConnection,
    key: ExternalAccountKey,
    sealing: &Sealing,
) -> Result<(), Failure> {
    let new = diesel::insert_into(external_account_keys::table).values(KeyRow::new(key, sealing)?);
    new.execute(&mut connection).await.map_err(taken(Conflict::IdInUse))?;
    Ok(())
}

pub(crate) async fn export(
    mut connection: &AsyncPgConnection,
    after: Option<(DirectoryId, String)>,
    limit: u32,
    sealing: &Sealing,
) -> Result<Vec<ExternalAccountKey>, Failure> {
    use external_account_keys::{directory, kid};

    let page = external_account_keys::table.order((directory, kid)).limit(limit.into());
    let page = page.select(KeyRow::as_select());
    let rows: Vec<KeyRow> = match after {
        Some((last, after)) => {
            let last = last.as_str().to_owned();
            let in_it = directory.eq(last.clone()).and(kid.gt(after));
            page.filter(directory.gt(last).or(in_it)).load(&mut connection).await?
        }
        None => page.load(&mut connection).await?,
    };
    let opened = rows.into_iter().map(|row| row.open(sealing));
    Ok(opened.collect::<Result<_>>()?)
}

pub(crate) async fn import(
    mut connection: &AsyncPgConnection,
    copies: Vec<ExternalAccountKey>,
    sealing: &Sealing,
) -> Result<(), Failure> {
    for copy in &copies {
        remove(connection, &copy.directory, &copy.kid).await?;
    }
    let rows = copies.into_iter().map(|key| KeyRow::new(key, sealing));
    let rows = rows.collect::<Result<Vec<_>>>()?;
    diesel::insert_into(external_account_keys::table).values(rows).execute(&mut connection).await?;
    Ok(())
}

pub(crate) async fn remove(
    mut connection: &AsyncPgConnection,
    directory: &DirectoryId,
    kid: &str,
) -> Result<(), Failure> {
    let key = external_account_keys::table.find((directory.as_str(), kid));
    diesel::delete(key).execute(&mut connection).await?;
    Ok(())
}

#[async_trait]
impl ExternalAccountStore for PgStorage {
    async fn create_external_account_key(&self, key: ExternalAccountKey, cause: &Cause) -> Result<()> {
        self.transaction("creating an external account key", async |session| {
            let connection = session.connection();
            let event = AuditEvent::ExternalAccountKeyCreated { kid: key.kid.clone() };
            let inserted = insert(connection, key.clone(), &self.sealing);
            session.write_at_once(writes![inserted, audit::record(connection, event, cause)]).await
        })
        .await
    }

    async fn external_account_key(&self, directory: &DirectoryId, kid: &str) -> Result<ExternalAccountKey> {
        self.look_up("loading an external account key", async |session| {
            let key = find(session.connection(), directory, kid, &self.sealing).await?;
            key.ok_or(StorageError::NotFound.into())
        })
        .await
    }

    async fn external_account_keys(
        &self,
        directory: &DirectoryId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<ExternalAccountKey>> {
        self.look_up("listing external account keys", async |session| {
            let mut connection = session.connection();
            let own = external_account_keys::table
                .filter(external_account_keys::directory.eq(directory.as_str()))
                .order(external_account_keys::kid)
                .limit(limit.into())
                .select(KeyRow::as_select());
            let rows: Vec<KeyRow> = match after {
                None => own.load(&mut connection).await?,
                Some(after) => own.filter(external_account_keys::kid.gt(after)).load(&mut connection).await?,
            };
            let opened = rows.into_iter().map(|row| row.open(&self.sealing));
            Ok(opened.collect::<Result<_>>()?)
        })
        .await
    }

    async fn revoke_external_account_key(
        &self,
        directory: &DirectoryId,
        kid: &str,
        cause: &Cause,
    ) -> Result<ExternalAccountKey> {
        self.transaction("revoking an external account key", async |session| {
            let connection = session.connection();
            let key = session.begin_with(lock(connection, directory, kid, &self.sealing)).await?;
            let mut key = key.ok_or(StorageError::NotFound)?;
            let event = key.revoke(cause.now);
            let same = external_account_keys::directory
                .eq(directory.as_str())
                .and(external_account_keys::kid.eq(kid));
            let revoked = external_account_keys::revoked.eq(key.revoked.map(Millis));
            let saved = update(connection, external_account_keys::table, revoked, same);
            session.commit_with(writes![saved, audit::record(connection, event, cause)]).await?;
            Ok(key)
        })
        .await
    }
}
