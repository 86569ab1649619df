//! Accounts. RFC 8555 sections 7.1.2 and 7.3.

use std::collections::BTreeSet;

use async_trait::async_trait;
use coyote_jose::{Jwk, Thumbprint};
use coyote_protocol::Timestamp;
use coyote_storage::{
    Account, AccountChange, AccountId, AccountStore, AuditEvent, Cause, Conflict, Creation, DirectoryId,
    ExternalAccount, Result, StorageError,
    sealing::{Column, Sealing},
};
use diesel::{
    AsChangeset, BoolExpressionMethods, ExpressionMethods, Insertable, OptionalExtension, QueryDsl,
    Queryable, Selectable, SelectableHelper, pg::Pg,
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::{
    PgStorage, audit, cell,
    column::{Bits, Json, Millis, Printed},
    error::{Failure, or_taken_since, taken_since},
    external_account,
    schema::accounts,
    session::{both, writes},
    update::update,
};

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = accounts, check_for_backend(Pg))]
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

/// The account with this id, in whatever directory.
async fn find(mut connection: &AsyncPgConnection, id: &AccountId) -> Result<Option<AccountRow>, Failure> {
    let query = accounts::table.find(Bits(*id)).select(AccountRow::as_select());
    Ok(query.get_result(&mut connection).await.optional()?)
}

/// The same without its contacts, of which no rule knows.
pub(crate) async fn standing(
    connection: &AsyncPgConnection,
    id: &AccountId,
) -> Result<Option<Account>, Failure> {
    Ok(find(connection, id).await?.map(AccountRow::without_contact))
}

/// The account, while nobody else changes it.
async fn lock(
    mut connection: &AsyncPgConnection,
    id: &AccountId,
    sealing: &Sealing,
) -> Result<Account, Failure> {
    let query = accounts::table.find(Bits(*id)).select(AccountRow::as_select()).for_update();
    let row = query.get_result(&mut connection).await.optional()?;
    Ok(row.ok_or(StorageError::NotFound)?.open(sealing)?)
}

/// Whoever asks for something new must have an account, and it must be valid. Whoever asks for the same account waits,
/// so that what it has can be counted.
pub(crate) async fn lock_valid(mut connection: &AsyncPgConnection, id: &AccountId) -> Result<(), Failure> {
    let query = accounts::table.find(Bits(*id)).select(AccountRow::as_select()).for_no_key_update();
    let row = query.get_result(&mut connection).await.optional()?;
    let account = row.map(AccountRow::without_contact).ok_or(Conflict::AccountNotValid)?;
    Ok(account.require_valid()?)
}

async fn find_by_key(
    mut connection: &AsyncPgConnection,
    directory: &DirectoryId,
    key: Thumbprint,
) -> Result<Option<AccountRow>, Failure> {
    let with_key = accounts::directory.eq(directory.as_str()).and(accounts::thumbprint.eq(Printed(key)));
    let query = accounts::table.filter(with_key).select(AccountRow::as_select());
    Ok(query.get_result(&mut connection).await.optional()?)
}

async fn insert(
    mut connection: &AsyncPgConnection,
    account: &Account,
    sealing: &Sealing,
) -> Result<(), Failure> {
    let new = diesel::insert_into(accounts::table).values(AccountRow::new(account, sealing)?);
    new.execute(&mut connection).await.map_err(taken_since)?;
    Ok(())
}

/// Saves an account that was valid and had this key.
async fn save(
    connection: &AsyncPgConnection,
    account: &Account,
    key: Thumbprint,
    sealing: &Sealing,
) -> Result<(), Failure> {
    let as_loaded = accounts::id
        .eq(Bits(account.id))
        .and(accounts::thumbprint.eq(Printed(key)))
        .and(accounts::deactivated.is_null())
        .and(accounts::revoked.is_null());
    let row = AccountRow::new(account, sealing)?;
    update(connection, accounts::table, row, as_loaded).await.map_err(or_taken_since)
}

pub(crate) async fn export(
    mut connection: &AsyncPgConnection,
    after: Option<AccountId>,
    limit: u32,
    sealing: &Sealing,
) -> Result<Vec<Account>, Failure> {
    let page = accounts::table.order(accounts::id).limit(limit.into()).select(AccountRow::as_select());
    let rows: Vec<AccountRow> = match after {
        Some(after) => page.filter(accounts::id.gt(Bits(after))).load(&mut connection).await?,
        None => page.load(&mut connection).await?,
    };
    let opened = rows.into_iter().map(|row| row.open(sealing));
    Ok(opened.collect::<Result<_>>()?)
}

pub(crate) async fn import(
    mut connection: &AsyncPgConnection,
    copies: &[Account],
    sealing: &Sealing,
) -> Result<(), Failure> {
    give_up_keys(connection, copies).await?;
    let there = existing(connection, copies.iter().map(|account| account.id)).await?;
    let (old, new): (Vec<_>, Vec<_>) = copies.iter().partition(|account| there.contains(&account.id));
    let rows = new.into_iter().map(|account| AccountRow::new(account, sealing));
    let rows = rows.collect::<Result<Vec<_>>>()?;
    diesel::insert_into(accounts::table).values(rows).execute(&mut connection).await?;
    for account in old {
        let same = accounts::id.eq(Bits(account.id));
        update(connection, accounts::table, AccountRow::new(account, sealing)?, same).await?;
    }
    Ok(())
}

/// Takes their keys away from other accounts, which are outdated.
async fn give_up_keys(mut connection: &AsyncPgConnection, copies: &[Account]) -> Result<(), Failure> {
    let keys: Vec<_> = copies.iter().map(|account| Printed(account.key.thumbprint())).collect();
    let query = accounts::table.filter(accounts::thumbprint.eq_any(keys)).select(AccountRow::as_select());
    let holders: Vec<AccountRow> = query.load(&mut connection).await?;
    for holder in holders.into_iter().map(AccountRow::without_contact) {
        let takes = |account: &Account| {
            account.id != holder.id && account.directory == holder.directory && account.key == holder.key
        };
        if !copies.iter().any(takes) {
            continue;
        }
        // Nothing has the digest of two ids, and nothing that is outdated is older than time.
        let id = holder.id.as_bytes();
        let nobodys: [u8; 32] = std::array::from_fn(|at| id.get(at % 16).copied().unwrap_or(0));
        let outdated = (
            accounts::thumbprint.eq(Printed(Thumbprint::from_bytes(nobodys))),
            accounts::created.eq(Millis(Timestamp::from_millis(i64::MIN))),
        );
        update(connection, accounts::table, outdated, accounts::id.eq(Bits(holder.id))).await?;
    }
    Ok(())
}

/// Which of these accounts there are.
pub(crate) async fn existing(
    mut connection: &AsyncPgConnection,
    ids: impl Iterator<Item = AccountId>,
) -> Result<BTreeSet<AccountId>, Failure> {
    let ids: Vec<_> = ids.map(Bits).collect();
    let query = accounts::table.filter(accounts::id.eq_any(ids)).select(accounts::id);
    let existing: Vec<Bits<AccountId>> = query.load(&mut connection).await?;
    Ok(existing.into_iter().map(|id| id.0).collect())
}

#[async_trait]
impl AccountStore for PgStorage {
    async fn create_account(&self, account: Account, cause: &Cause) -> Result<Creation> {
        let (id, directory, key) = (&account.id, &account.directory, account.key.thumbprint());
        let external = account.external_account.as_ref().map(|external| external.kid.as_str());
        self.transaction("creating an account", async |session| {
            let connection = session.connection();
            // First the lock: whoever opens the same account with the same external key has it, or is done.
            let looked = both(
                external_account::lock_if(connection, directory, external, &self.sealing),
                both(find_by_key(connection, directory, key), find(connection, id)),
            );
            let (external_key, (existing, same_id)) = session.begin_with(looked).await?;
            if let Some(existing) = existing {
                return Ok(Creation::Existing(existing.open(&self.sealing)?));
            }
            if same_id.is_some() {
                return Err(Conflict::IdInUse.into());
            }
            let bound = external_account::bound(external, external_key, cause.now)?;
            let event = AuditEvent::AccountCreated { account: *id, key };
            let mut written = writes![insert(connection, &account, &self.sealing)];
            if let Some(key) = &bound {
                written.push(Box::pin(external_account::save_bound(connection, key)));
            }
            written.push(Box::pin(audit::record(connection, event, cause)));
            session.commit_with(written).await?;
            Ok(Creation::Created(account.clone()))
        })
        .await
    }

    async fn account(&self, directory: &DirectoryId, id: &AccountId) -> Result<Account> {
        self.look_up("loading an account", async |session| {
            let account = find(session.connection(), id).await?;
            let account = account.filter(|account| account.directory == directory.as_str());
            Ok(account.ok_or(StorageError::NotFound)?.open(&self.sealing)?)
        })
        .await
    }

    async fn account_by_key(&self, directory: &DirectoryId, key: &Thumbprint) -> Result<Account> {
        self.look_up("looking for a key's account", async |session| {
            let row = find_by_key(session.connection(), directory, *key).await?;
            Ok(row.ok_or(StorageError::NotFound)?.open(&self.sealing)?)
        })
        .await
    }

    async fn update_account(&self, id: &AccountId, change: AccountChange, cause: &Cause) -> Result<Account> {
        self.transaction("changing an account", async |session| {
            let connection = session.connection();
            let mut account = session.begin_with(lock(connection, id, &self.sealing)).await?;
            let event = account.update(change.clone(), cause.now)?;
            let saved = save(connection, &account, account.key.thumbprint(), &self.sealing);
            session.commit_with(writes![saved, audit::record(connection, event, cause)]).await?;
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
        self.transaction("changing an account's key", async |session| {
            let connection = session.connection();
            let mut account = session.begin_with(lock(connection, id, &self.sealing)).await?;
            let event = account.change_key(old, new.clone())?;
            let key = account.key.thumbprint();
            if let Some(holder) = session.then(find_by_key(connection, &account.directory, key)).await? {
                return Err(Conflict::KeyInUse(holder.id.0).into());
            }
            let saved = save(connection, &account, *old, &self.sealing);
            session.commit_with(writes![saved, audit::record(connection, event, cause)]).await?;
            Ok(account)
        })
        .await
    }
}
