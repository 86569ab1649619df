//! Authorizations and their challenges. RFC 8555 sections 7.1.4, 7.1.5 and 7.5.

use async_trait::async_trait;
use coyote_protocol::{AuthorizationStatus, Identifier, Problem, Timestamp};
use coyote_storage::{
    AccountId, Authorization, AuthorizationId, AuthorizationStore, BeginValidation, Cause, Challenge,
    ChallengeId, Conflict, Job, Lease, Result, StorageError, ValidationBegun, ValidationOutcome, Work,
};
use diesel::{dsl, prelude::*, sqlite::Sqlite};

use crate::{
    SqliteStorage, account,
    column::{Bits, Json, Millis, Named},
    error::{Failure, guarded, taken},
    job,
    schema::{authorizations, order_authorizations},
    trace,
    update::update,
};

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = authorizations, check_for_backend(Sqlite))]
#[diesel(treat_none_as_default_value = false, treat_none_as_null = true)]
pub(crate) struct AuthorizationRow {
    id: Bits<AuthorizationId>,
    account_id: Bits<AccountId>,
    identifier: Named,
    created: Millis,
    expires: Millis,
    challenges: Json<Vec<Challenge>>,
    deactivated: Option<Millis>,
    revoked: Option<Millis>,
    validated: Option<Millis>,
    owed: bool,
    orphaned: bool,
    version: i64,
}

/// What can change in an authorization.
#[derive(AsChangeset)]
#[diesel(table_name = authorizations, treat_none_as_null = true)]
struct Changes {
    expires: Millis,
    challenges: Json<Vec<Challenge>>,
    deactivated: Option<Millis>,
    revoked: Option<Millis>,
    validated: Option<Millis>,
    owed: bool,
    version: i64,
}

impl From<AuthorizationRow> for Authorization {
    fn from(row: AuthorizationRow) -> Self {
        Self {
            id: row.id.0,
            account: row.account_id.0,
            identifier: row.identifier.0,
            created: row.created.0,
            expires: row.expires.0,
            challenges: row.challenges.0,
            deactivated: row.deactivated.map(|at| at.0),
            revoked: row.revoked.map(|at| at.0),
        }
    }
}

impl From<&Authorization> for AuthorizationRow {
    fn from(authorization: &Authorization) -> Self {
        Self {
            id: Bits(authorization.id),
            account_id: Bits(authorization.account),
            identifier: Named(authorization.identifier.clone()),
            created: Millis(authorization.created),
            expires: Millis(authorization.expires),
            challenges: Json(authorization.challenges.clone()),
            deactivated: authorization.deactivated.map(Millis),
            revoked: authorization.revoked.map(Millis),
            validated: authorization.challenges.iter().find_map(Challenge::validated).map(Millis),
            owed: is_owed(authorization),
            orphaned: false,
            version: 0,
        }
    }
}

/// When nothing had expired: an index cannot know what time it is.
const BEGINNING: Timestamp = Timestamp::from_millis(i64::MIN);

/// Whether a validation is awaited, as long as the authorization has not expired.
fn is_owed(authorization: &Authorization) -> bool {
    !authorization.owed(BEGINNING).is_empty()
}

/// An authorization, and which version of it that is.
struct Loaded {
    authorization: Authorization,
    version: i64,
}

impl Loaded {
    fn by_id(
        connection: &mut SqliteConnection,
        account: &AccountId,
        id: &AuthorizationId,
    ) -> Result<Self, Failure> {
        let row = find(connection, id)?.filter(|row| row.account_id.0 == *account);
        let row = row.ok_or(StorageError::NotFound)?;
        Ok(Self { version: row.version, authorization: row.into() })
    }

    /// Saves it, unless it is not the version any more that was loaded.
    fn save(
        self,
        connection: &mut SqliteConnection,
        refusal: impl Into<Failure>,
    ) -> Result<Authorization, Failure> {
        let row = AuthorizationRow::from(&self.authorization);
        let changes = Changes {
            expires: row.expires,
            challenges: row.challenges,
            deactivated: row.deactivated,
            revoked: row.revoked,
            validated: row.validated,
            owed: row.owed,
            version: self.version.wrapping_add(1),
        };
        let as_loaded = authorizations::id.eq(row.id).and(authorizations::version.eq(self.version));
        guarded(update(connection, authorizations::table, changes, as_loaded)?, refusal)?;
        Ok(self.authorization)
    }
}

pub(crate) fn find(
    connection: &mut SqliteConnection,
    id: &AuthorizationId,
) -> Result<Option<AuthorizationRow>, Failure> {
    let query = authorizations::table.find(Bits(*id)).select(AuthorizationRow::as_select());
    Ok(query.get_result(connection).optional()?)
}

/// Stores a new one, which an order has, unless it is an orphan from birth.
pub(crate) fn insert(
    connection: &mut SqliteConnection,
    authorization: &Authorization,
    orphaned: bool,
) -> Result<(), Failure> {
    let row = AuthorizationRow { orphaned, ..AuthorizationRow::from(authorization) };
    let new = diesel::insert_into(authorizations::table).values(row);
    new.execute(connection).map_err(taken(Conflict::IdInUse))?;
    Ok(())
}

pub(crate) fn export(
    connection: &mut SqliteConnection,
    after: Option<AuthorizationId>,
    limit: u32,
) -> Result<Vec<Authorization>, Failure> {
    let page = authorizations::table.order(authorizations::id).limit(limit.into());
    let page = page.select(AuthorizationRow::as_select());
    let rows: Vec<AuthorizationRow> = match after {
        Some(after) => page.filter(authorizations::id.gt(Bits(after))).load(connection)?,
        None => page.load(connection)?,
    };
    Ok(rows.into_iter().map(Authorization::from).collect())
}

pub(crate) fn import(
    connection: &mut SqliteConnection,
    authorization: &Authorization,
) -> Result<(), Failure> {
    let needs =
        order_authorizations::table.filter(order_authorizations::authorization_id.eq(Bits(authorization.id)));
    let needed: bool = diesel::select(dsl::exists(needs)).get_result(connection)?;
    let row = || AuthorizationRow { orphaned: !needed, ..AuthorizationRow::from(authorization) };
    let same = authorizations::id.eq(Bits(authorization.id));
    if update(connection, authorizations::table, row(), same)? == 0 {
        diesel::insert_into(authorizations::table).values(row()).execute(connection)?;
    }
    Ok(())
}

/// How many authorizations of the account are in no order and have not expired.
fn count_alone(connection: &mut SqliteConnection, account: &AccountId, now: Timestamp) -> QueryResult<i64> {
    authorizations::table
        .filter(authorizations::account_id.eq(Bits(*account)))
        .filter(authorizations::expires.gt(Millis(now)))
        .filter(authorizations::orphaned)
        .count()
        .get_result(connection)
}

/// Removes an authorization that no order has any more.
pub(crate) fn remove(connection: &mut SqliteConnection, id: &AuthorizationId) -> Result<(), Failure> {
    diesel::delete(authorizations::table.find(Bits(*id))).execute(connection)?;
    Ok(())
}

/// The authorization of this account, to be used for one more order.
pub(crate) fn reuse(
    connection: &mut SqliteConnection,
    account: &AccountId,
    id: &AuthorizationId,
    now: Timestamp,
) -> Result<Authorization, Failure> {
    let row = find(connection, id)?.filter(|row| row.account_id.0 == *account);
    let row = row.ok_or(Conflict::AuthorizationNotValid)?;
    let orphaned = row.orphaned;
    let authorization = Authorization::from(row);
    if authorization.status(now) != AuthorizationStatus::Valid {
        return Err(Conflict::AuthorizationNotValid.into());
    }
    if orphaned {
        let adopted = authorizations::orphaned.eq(false);
        update(connection, authorizations::table, adopted, authorizations::id.eq(Bits(*id)))?;
    }
    Ok(authorization)
}

/// What a lease on a validation is about.
fn of_validation(connection: &mut SqliteConnection, job: &Job) -> Result<(Loaded, ChallengeId), Failure> {
    match &job.work {
        Work::Validate { account, authorization, challenge } => {
            Ok((Loaded::by_id(connection, account, authorization)?, *challenge))
        }
        Work::Issue { .. } | Work::Revoke { .. } => Err(StorageError::LeaseLost.into()),
    }
}

#[async_trait]
impl AuthorizationStore for SqliteStorage {
    async fn authorization(&self, account: &AccountId, id: &AuthorizationId) -> Result<Authorization> {
        self.look_up("loading an authorization", |connection| {
            Ok(Loaded::by_id(connection, account, id)?.authorization)
        })
    }

    async fn create_authorization(
        &self,
        authorization: Authorization,
        most_alone: u32,
        cause: &Cause,
    ) -> Result<()> {
        let now = cause.now;
        self.write("creating an authorization", move |connection| {
            account::require_valid(connection, &authorization.account)?;
            if count_alone(connection, &authorization.account, now)? >= i64::from(most_alone) {
                return Err(Conflict::TooManyOpen.into());
            }
            insert(connection, &authorization, true)
        })
        .await
    }

    async fn reusable_authorizations(
        &self,
        account: &AccountId,
        identifiers: &[Identifier],
        until: Timestamp,
    ) -> Result<Vec<Authorization>> {
        self.look_up_together("looking for authorizations to use again", |connection| {
            let mut reusable = Vec::new();
            for identifier in identifiers {
                let query = authorizations::table
                    .filter(authorizations::account_id.eq(Bits(*account)))
                    .filter(authorizations::identifier.eq(Named(identifier.clone())))
                    .filter(authorizations::validated.is_not_null())
                    .filter(authorizations::deactivated.is_null())
                    .filter(authorizations::revoked.is_null())
                    .order((authorizations::expires.desc(), authorizations::id))
                    .limit(Authorization::MAX_REUSABLE as i64);
                let longest = query.select(AuthorizationRow::as_select()).load(connection)?;
                let longest = longest.into_iter().map(Authorization::from);
                reusable.extend(longest.filter(|held| held.status(until) == AuthorizationStatus::Valid));
            }
            Ok(reusable)
        })
    }

    async fn begin_validation(&self, begin: BeginValidation, cause: &Cause) -> Result<ValidationBegun> {
        let now = cause.now;
        self.write("beginning a validation", move |connection| {
            let mut loaded = Loaded::by_id(connection, &begin.account, &begin.authorization)?;
            let account = account::standing(connection, &begin.account)?;
            account.require_valid()?;
            if !loaded.authorization.begin_validation(&begin.challenge, now)? {
                return Ok(ValidationBegun { authorization: loaded.authorization, lease: None });
            }
            let work = Work::validation(&loaded.authorization, begin.challenge);
            let job = Job::new(account.directory, work, begin.lease, now);
            let lease = job.born_lease();
            job::insert(connection, job)?;
            Ok(ValidationBegun { authorization: loaded.save(connection, Failure::Changed)?, lease })
        })
        .await
    }

    async fn retry_validation(
        &self,
        lease: Lease,
        problem: Problem,
        due: Timestamp,
        cause: &Cause,
    ) -> Result<Authorization> {
        let (cause, now) = (cause.clone(), cause.now);
        self.write("putting off a validation", move |connection| {
            let mut job = job::held(connection, &lease, now)?;
            trace::record(connection, &cause)?;
            let (mut loaded, challenge) = of_validation(connection, &job)?;
            if !loaded.authorization.retry_validation(&challenge, problem, now) {
                job::end(connection, &lease, now)?;
                return Ok(loaded.authorization);
            }
            job.release(due);
            job::save_held(connection, job, &lease, now)?;
            loaded.save(connection, StorageError::LeaseLost)
        })
        .await
    }

    async fn finish_validation(
        &self,
        lease: Lease,
        outcome: ValidationOutcome,
        cause: &Cause,
    ) -> Result<Authorization> {
        let (cause, now) = (cause.clone(), cause.now);
        self.write("finishing a validation", move |connection| {
            let job = job::end(connection, &lease, now)?;
            trace::record(connection, &cause)?;
            let (mut loaded, challenge) = of_validation(connection, &job)?;
            if !loaded.authorization.finish_validation(&challenge, outcome, now) {
                return Ok(loaded.authorization);
            }
            loaded.save(connection, StorageError::LeaseLost)
        })
        .await
    }

    async fn deactivate_authorization(
        &self,
        account: &AccountId,
        id: &AuthorizationId,
        cause: &Cause,
    ) -> Result<Authorization> {
        let (account, id, now) = (*account, *id, cause.now);
        self.write("deactivating an authorization", move |connection| {
            let mut loaded = Loaded::by_id(connection, &account, &id)?;
            loaded.authorization.deactivate(now)?;
            loaded.save(connection, Failure::Changed)
        })
        .await
    }
}
