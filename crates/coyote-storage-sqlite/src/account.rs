//! Accounts. RFC 8555 sections 7.1.2 and 7.3.

use async_trait::async_trait;
use coyote_jose::{Jwk, Thumbprint};
use coyote_protocol::Timestamp;
use coyote_storage::{
    Account, AccountChange, AccountId, AccountStore, AuditEvent, Cause, Conflict, Creation, DirectoryId,
    ExternalAccount, Result, StorageError,
    sealing::{Column, Sealing},
};
use diesel::{dsl, prelude::*, sqlite::Sqlite};

use crate::{
    SqliteStorage, audit, cell,
    column::{Bits, Json, Millis, Printed},
    error::{Failure, guarded, taken},
    external_account,
    schema::accounts,
    update::update,
};

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = accounts, check_for_backend(Sqlite))]
#[diesel(treat_none_as_default_value = false, treat_none_as_null = true)]
struct AccountRow {
    id: Bits<AccountId>,
    directory: String,
    thumbprint: Printed<Thumbprint>,
    key: Json<Jwk>,
    contact: Vec<u8>,
    terms_agreed: Option<Millis>,
    external_account: Option<Json<ExternalAccount>>,
    created: Millis,
    deactivated: Option<Millis>,
    revoked: Option<Millis>,
}

impl AccountRow {
    fn new(account: &Account, sealing: &Sealing) -> Result<Self> {
        Ok(Self {
            id: Bits(account.id),
            directory: account.directory.as_str().to_owned(),
            thumbprint: Printed(account.key.thumbprint()),
            key: Json(account.key.clone()),
            contact: cell::seal_json(sealing, &Column::CONTACT.of(account.id.as_bytes()), &account.contact)?,
            terms_agreed: account.terms_of_service_agreed.map(Millis),
            external_account: account.external_account.clone().map(Json),
            created: Millis(account.created),
            deactivated: account.deactivated.map(Millis),
            revoked: account.revoked.map(Millis),
        })
    }

    fn open(self, sealing: &Sealing) -> Result<Account> {
        let place = Column::CONTACT.of(self.id.0.as_bytes());
        let contact = cell::open_json(sealing, &place, &self.contact)?;
        Ok(Account { contact, ..self.without_contact() })
    }

    fn without_contact(self) -> Account {
        Account {
            id: self.id.0,
            directory: DirectoryId::new(self.directory),
            key: self.key.0,
            contact: Vec::new(),
            terms_of_service_agreed: self.terms_agreed.map(|at| at.0),
            external_account: self.external_account.map(|account| account.0),
            created: self.created.0,
            deactivated: self.deactivated.map(|at| at.0),
            revoked: self.revoked.map(|at| at.0),
        }
    }
}

fn find(connection: &mut SqliteConnection, id: &AccountId) -> Result<AccountRow, Failure> {
    let query = accounts::table.find(Bits(*id)).select(AccountRow::as_select());
    query.get_result(connection).optional()?.ok_or(StorageError::NotFound.into())
}

/// The account with this id, in whatever directory.
fn load(connection: &mut SqliteConnection, id: &AccountId, sealing: &Sealing) -> Result<Account, Failure> {
    Ok(find(connection, id)?.open(sealing)?)
}

/// The same without its contacts, of which no rule knows.
pub(crate) fn standing(connection: &mut SqliteConnection, id: &AccountId) -> Result<Account, Failure> {
    Ok(find(connection, id)?.without_contact())
}

/// Whoever asks for something new must have an account, and it must be valid.
pub(crate) fn require_valid(connection: &mut SqliteConnection, id: &AccountId) -> Result<(), Failure> {
    match standing(connection, id) {
        Err(Failure::Refused(StorageError::NotFound)) => Err(Conflict::AccountNotValid.into()),
        account => Ok(account?.require_valid()?),
    }
}

fn load_by_key(
    connection: &mut SqliteConnection,
    directory: &DirectoryId,
    key: Thumbprint,
) -> Result<Option<AccountRow>, Failure> {
    let with_key = accounts::directory.eq(directory.as_str()).and(accounts::thumbprint.eq(Printed(key)));
    let query = accounts::table.filter(with_key).select(AccountRow::as_select());
    Ok(query.get_result(connection).optional()?)
}

/// Saves an account that was valid and had this key.
fn save(
    connection: &mut SqliteConnection,
    account: &Account,
    key: Thumbprint,
    sealing: &Sealing,
) -> Result<(), Failure> {
    let as_loaded = accounts::id
        .eq(Bits(account.id))
        .and(accounts::thumbprint.eq(Printed(key)))
        .and(accounts::deactivated.is_null())
        .and(accounts::revoked.is_null());
    let saved = update(connection, accounts::table, AccountRow::new(account, sealing)?, as_loaded)?;
    guarded(saved, Conflict::AccountNotValid)
}

pub(crate) fn export(
    connection: &mut SqliteConnection,
    after: Option<AccountId>,
    limit: u32,
    sealing: &Sealing,
) -> Result<Vec<Account>, Failure> {
    let page = accounts::table.order(accounts::id).limit(limit.into()).select(AccountRow::as_select());
    let rows: Vec<AccountRow> = match after {
        Some(after) => page.filter(accounts::id.gt(Bits(after))).load(connection)?,
        None => page.load(connection)?,
    };
    let opened = rows.into_iter().map(|row| row.open(sealing));
    Ok(opened.collect::<Result<_>>()?)
}

pub(crate) fn import(
    connection: &mut SqliteConnection,
    account: &Account,
    sealing: &Sealing,
) -> Result<(), Failure> {
    let holder = load_by_key(connection, &account.directory, account.key.thumbprint())?;
    if let Some(holder) = holder.filter(|holder| holder.id.0 != account.id) {
        // Nothing has the digest of two ids, and nothing that is outdated is older than time.
        let nobodys: [u8; 32] =
            std::array::from_fn(|at| holder.id.0.as_bytes().get(at % 16).copied().unwrap_or(0));
        let outdated = (
            accounts::thumbprint.eq(Printed(Thumbprint::from_bytes(nobodys))),
            accounts::created.eq(Millis(Timestamp::from_millis(i64::MIN))),
        );
        update(connection, accounts::table, outdated, accounts::id.eq(holder.id))?;
    }
    let same = accounts::id.eq(Bits(account.id));
    if update(connection, accounts::table, AccountRow::new(account, sealing)?, same)? == 0 {
        diesel::insert_into(accounts::table)
            .values(AccountRow::new(account, sealing)?)
            .execute(connection)?;
    }
    Ok(())
}

pub(crate) fn exists(connection: &mut SqliteConnection, id: &AccountId) -> QueryResult<bool> {
    diesel::select(dsl::exists(accounts::table.find(Bits(*id)))).get_result(connection)
}

#[async_trait]
impl AccountStore for SqliteStorage {
    async fn create_account(&self, account: Account, cause: &Cause) -> Result<Creation> {
        let (cause, sealing) = (cause.clone(), self.sealing());
        self.write("creating an account", move |connection| {
            let key = account.key.thumbprint();
            if let Some(existing) = load_by_key(connection, &account.directory, key)? {
                return Ok(Creation::Existing(existing.open(&sealing)?));
            }
            let new = diesel::insert_into(accounts::table).values(AccountRow::new(&account, &sealing)?);
            new.execute(connection).map_err(taken(Conflict::IdInUse))?;
            if let Some(external) = &account.external_account {
                external_account::bind(connection, &account.directory, &external.kid, cause.now, &sealing)?;
            }
            audit::record(connection, AuditEvent::AccountCreated { account: account.id, key }, &cause)?;
            Ok(Creation::Created(account))
        })
        .await
    }

    async fn account(&self, directory: &DirectoryId, id: &AccountId) -> Result<Account> {
        self.look_up("loading an account", |connection| {
            let account = load(connection, id, &self.sealing)?;
            if account.directory == *directory { Ok(account) } else { Err(StorageError::NotFound.into()) }
        })
    }

    async fn account_by_key(&self, directory: &DirectoryId, key: &Thumbprint) -> Result<Account> {
        self.look_up("looking for a key's account", |connection| {
            let row = load_by_key(connection, directory, *key)?.ok_or(StorageError::NotFound)?;
            Ok(row.open(&self.sealing)?)
        })
    }

    async fn update_account(&self, id: &AccountId, change: AccountChange, cause: &Cause) -> Result<Account> {
        let (id, cause, sealing) = (*id, cause.clone(), self.sealing());
        self.write("changing an account", move |connection| {
            let mut account = load(connection, &id, &sealing)?;
            let event = account.update(change, cause.now)?;
            save(connection, &account, account.key.thumbprint(), &sealing)?;
            audit::record(connection, event, &cause)?;
            Ok(account)
        })
        .await
    }

    async fn change_account_key(
        &self,
        id: &AccountId,
        old: &Thumbprint,
        new: Jwk,
        cause: &Cause,
    ) -> Result<Account> {
        let (id, old, cause, sealing) = (*id, *old, cause.clone(), self.sealing());
        self.write("changing an account's key", move |connection| {
            let mut account = load(connection, &id, &sealing)?;
            let event = account.change_key(&old, new)?;
            if let Some(holder) = load_by_key(connection, &account.directory, account.key.thumbprint())? {
                return Err(Conflict::KeyInUse(holder.id.0).into());
            }
            save(connection, &account, old, &sealing)?;
            audit::record(connection, event, &cause)?;
            Ok(account)
        })
        .await
    }
}
