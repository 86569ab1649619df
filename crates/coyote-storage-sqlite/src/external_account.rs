//! External account keys. RFC 8555 section 7.3.4.

use async_trait::async_trait;
use coyote_protocol::{DnsName, Timestamp};
use coyote_storage::{
    AuditEvent, Cause, Conflict, DirectoryId, ExternalAccountKey, ExternalAccountStore, Result, StorageError,
    sealing::{Column, Sealing},
};
use diesel::{prelude::*, sqlite::Sqlite};

use crate::{
    SqliteStorage, audit, cell,
    column::{Count, Json, Millis},
    error::{Failure, guarded, taken},
    schema::external_account_keys,
    update::update,
};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = external_account_keys, check_for_backend(Sqlite), treat_none_as_default_value = false)]
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

fn load(
    connection: &mut SqliteConnection,
    directory: &DirectoryId,
    kid: &str,
    sealing: &Sealing,
) -> Result<ExternalAccountKey, Failure> {
    let query = external_account_keys::table.find((directory.as_str(), kid)).select(KeyRow::as_select());
    let row = query.get_result(connection).optional()?;
    Ok(row.ok_or(StorageError::NotFound)?.open(sealing)?)
}

/// Counts an account that the key opens.
pub(crate) fn bind(
    connection: &mut SqliteConnection,
    directory: &DirectoryId,
    kid: &str,
    now: Timestamp,
    sealing: &Sealing,
) -> Result<(), Failure> {
    let mut key = match load(connection, directory, kid, sealing) {
        Err(Failure::Refused(StorageError::NotFound)) => {
            return Err(Conflict::ExternalAccountKeyNotUsable.into());
        }
        key => key?,
    };
    let before = Count(key.accounts);
    key.bind(now)?;
    let as_loaded = external_account_keys::directory
        .eq(directory.as_str())
        .and(external_account_keys::kid.eq(kid))
        .and(external_account_keys::accounts.eq(before))
        .and(external_account_keys::revoked.is_null());
    let counted = external_account_keys::accounts.eq(Count(key.accounts));
    let saved = update(connection, external_account_keys::table, counted, as_loaded)?;
    guarded(saved, Failure::Changed)
}

pub(crate) fn export(
    connection: &mut SqliteConnection,
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
            page.filter(directory.gt(last).or(in_it)).load(connection)?
        }
        None => page.load(connection)?,
    };
    let opened = rows.into_iter().map(|row| row.open(sealing));
    Ok(opened.collect::<Result<_>>()?)
}

pub(crate) fn import(
    connection: &mut SqliteConnection,
    key: ExternalAccountKey,
    sealing: &Sealing,
) -> Result<(), Failure> {
    let row = KeyRow::new(key, sealing)?;
    diesel::replace_into(external_account_keys::table).values(row).execute(connection)?;
    Ok(())
}

#[async_trait]
impl ExternalAccountStore for SqliteStorage {
    async fn create_external_account_key(&self, key: ExternalAccountKey, cause: &Cause) -> Result<()> {
        let (cause, sealing) = (cause.clone(), self.sealing());
        self.write("creating an external account key", move |connection| {
            let event = AuditEvent::ExternalAccountKeyCreated { kid: key.kid.clone() };
            let new = diesel::insert_into(external_account_keys::table).values(KeyRow::new(key, &sealing)?);
            new.execute(connection).map_err(taken(Conflict::IdInUse))?;
            audit::record(connection, event, &cause)
        })
        .await
    }

    async fn external_account_key(&self, directory: &DirectoryId, kid: &str) -> Result<ExternalAccountKey> {
        self.look_up("loading an external account key", |connection| {
            load(connection, directory, kid, &self.sealing)
        })
    }

    async fn external_account_keys(
        &self,
        directory: &DirectoryId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<ExternalAccountKey>> {
        let (directory, after, sealing) = (directory.clone(), after.map(str::to_owned), self.sealing());
        self.scan("listing external account keys", move |connection| {
            let own = external_account_keys::table
                .filter(external_account_keys::directory.eq(directory.as_str()))
                .order(external_account_keys::kid)
                .limit(limit.into())
                .select(KeyRow::as_select());
            let rows: Vec<KeyRow> = match after {
                None => own.load(connection)?,
                Some(after) => own.filter(external_account_keys::kid.gt(after)).load(connection)?,
            };
            let opened = rows.into_iter().map(|row| row.open(&sealing));
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
        let (directory, kid, cause) = (directory.clone(), kid.to_owned(), cause.clone());
        let sealing = self.sealing();
        self.write("revoking an external account key", move |connection| {
            let mut key = load(connection, &directory, &kid, &sealing)?;
            let event = key.revoke(cause.now);
            let same = external_account_keys::directory
                .eq(directory.as_str())
                .and(external_account_keys::kid.eq(kid.as_str()));
            let revoked = external_account_keys::revoked.eq(key.revoked.map(Millis));
            guarded(update(connection, external_account_keys::table, revoked, same)?, Failure::Changed)?;
            audit::record(connection, event, &cause)?;
            Ok(key)
        })
        .await
    }
}
