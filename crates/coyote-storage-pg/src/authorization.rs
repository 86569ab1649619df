//! Authorizations and their challenges. RFC 8555 sections 7.1.4, 7.1.5 and 7.5.

use std::collections::BTreeSet;

use async_trait::async_trait;
use coyote_protocol::{AuthorizationStatus, Identifier, Problem, Timestamp};
use coyote_storage::{
    AccountId, Authorization, AuthorizationId, AuthorizationStore, BeginValidation, Cause, Challenge,
    ChallengeId, Conflict, Job, Lease, Result, StorageError, ValidationBegun, ValidationOutcome, Work,
};
use diesel::{
    AsChangeset, BoolExpressionMethods, ExpressionMethods, Insertable, OptionalExtension, QueryDsl,
    Queryable, Selectable, SelectableHelper, pg::Pg,
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::{
    PgStorage, account,
    column::{Bits, Json, Millis, Named},
    error::{Failure, taken},
    job, order,
    schema::authorizations,
    session::{Session, both, each, writes},
    trace,
    update::update,
};

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = authorizations, check_for_backend(Pg))]
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
pub(crate) struct Loaded {
    pub(crate) authorization: Authorization,
    version: i64,
    pub(crate) orphaned: bool,
}

impl From<AuthorizationRow> for Loaded {
    fn from(row: AuthorizationRow) -> Self {
        Self { version: row.version, orphaned: row.orphaned, authorization: row.into() }
    }
}

impl Loaded {
    /// Saves it, if it is still the version that was loaded.
    async fn save(&self, connection: &AsyncPgConnection) -> Result<(), Failure> {
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
        update(connection, authorizations::table, changes, as_loaded).await
    }
}

async fn load(
    mut connection: &AsyncPgConnection,
    account: &AccountId,
    id: &AuthorizationId,
) -> Result<Authorization, Failure> {
    let query = authorizations::table.find(Bits(*id)).select(AuthorizationRow::as_select());
    let row = query.get_result(&mut connection).await.optional()?;
    let own = row.filter(|row| row.account_id.0 == *account);
    own.map(Authorization::from).ok_or(StorageError::NotFound.into())
}

/// The authorization, while nobody else changes it.
pub(crate) async fn lock(
    mut connection: &AsyncPgConnection,
    account: &AccountId,
    id: &AuthorizationId,
) -> Result<Option<Loaded>, Failure> {
    let query = authorizations::table.find(Bits(*id)).select(AuthorizationRow::as_select()).for_update();
    let row = query.get_result(&mut connection).await.optional()?;
    Ok(row.filter(|row| row.account_id.0 == *account).map(Loaded::from))
}

/// Stores a new one, which an order has, unless it is an orphan from birth.
pub(crate) async fn insert(
    mut connection: &AsyncPgConnection,
    authorization: &Authorization,
    orphaned: bool,
) -> Result<(), Failure> {
    let row = AuthorizationRow { orphaned, ..AuthorizationRow::from(authorization) };
    let new = diesel::insert_into(authorizations::table).values(row);
    new.execute(&mut connection).await.map_err(taken(Conflict::IdInUse))?;
    Ok(())
}

pub(crate) async fn export(
    mut connection: &AsyncPgConnection,
    after: Option<AuthorizationId>,
    limit: u32,
) -> Result<Vec<Authorization>, Failure> {
    let page = authorizations::table.order(authorizations::id).limit(limit.into());
    let page = page.select(AuthorizationRow::as_select());
    let rows: Vec<AuthorizationRow> = match after {
        Some(after) => page.filter(authorizations::id.gt(Bits(after))).load(&mut connection).await?,
        None => page.load(&mut connection).await?,
    };
    Ok(rows.into_iter().map(Authorization::from).collect())
}

/// Answers how many were stored: those whose account is there.
pub(crate) async fn import(
    mut connection: &AsyncPgConnection,
    mut copies: Vec<Authorization>,
) -> Result<usize, Failure> {
    let accounts = account::existing(connection, copies.iter().map(|copy| copy.account)).await?;
    copies.retain(|copy| accounts.contains(&copy.account));
    let ids = || copies.iter().map(|copy| copy.id);
    let there = existing(connection, ids()).await?;
    let needed = order::needed(connection, ids()).await?;
    let row = |copy: &Authorization| {
        let orphaned = !needed.contains(&copy.id);
        AuthorizationRow { orphaned, ..AuthorizationRow::from(copy) }
    };
    let (old, new): (Vec<_>, Vec<_>) = copies.iter().partition(|copy| there.contains(&copy.id));
    let rows: Vec<_> = new.into_iter().map(row).collect();
    diesel::insert_into(authorizations::table).values(rows).execute(&mut connection).await?;
    for copy in old {
        let same = authorizations::id.eq(Bits(copy.id));
        update(connection, authorizations::table, row(copy), same).await?;
    }
    Ok(copies.len())
}

/// Which of these authorizations there are.
pub(crate) async fn existing(
    mut connection: &AsyncPgConnection,
    ids: impl Iterator<Item = AuthorizationId>,
) -> Result<BTreeSet<AuthorizationId>, Failure> {
    let ids: Vec<_> = ids.map(Bits).collect();
    let query = authorizations::table.filter(authorizations::id.eq_any(ids)).select(authorizations::id);
    let existing: Vec<Bits<AuthorizationId>> = query.load(&mut connection).await?;
    Ok(existing.into_iter().map(|id| id.0).collect())
}

/// Notes that an order has it, from now on.
pub(crate) async fn adopt(connection: &AsyncPgConnection, id: &AuthorizationId) -> Result<(), Failure> {
    let same = authorizations::id.eq(Bits(*id));
    update(connection, authorizations::table, authorizations::orphaned.eq(false), same).await
}

/// How many authorizations of the account are in no order and have not expired.
async fn count_alone(
    mut connection: &AsyncPgConnection,
    account: &AccountId,
    now: Timestamp,
) -> Result<i64, Failure> {
    let alone = authorizations::table
        .filter(authorizations::account_id.eq(Bits(*account)))
        .filter(authorizations::expires.gt(Millis(now)))
        .filter(authorizations::orphaned);
    Ok(alone.count().get_result(&mut connection).await?)
}

/// The authorization of the account for this identifier that holds longest.
async fn longest(
    mut connection: &AsyncPgConnection,
    account: &AccountId,
    identifier: &Identifier,
) -> Result<Vec<Authorization>, Failure> {
    let query = authorizations::table
        .filter(authorizations::account_id.eq(Bits(*account)))
        .filter(authorizations::identifier.eq(Named(identifier.clone())))
        .filter(authorizations::validated.is_not_null())
        .filter(authorizations::deactivated.is_null())
        .filter(authorizations::revoked.is_null())
        .order((authorizations::expires.desc(), authorizations::id))
        .limit(Authorization::MAX_REUSABLE as i64)
        .select(AuthorizationRow::as_select());
    Ok(query.load(&mut connection).await?.into_iter().map(Authorization::from).collect())
}

/// The authorization that this work is about, if it is about one, while nobody else changes it.
async fn lock_of(connection: &AsyncPgConnection, work: &Work) -> Result<Option<Loaded>, Failure> {
    match work {
        Work::Validate { account, authorization, .. } => lock(connection, account, authorization).await,
        Work::Issue { .. } | Work::Revoke { .. } => Ok(None),
    }
}

/// A challenge to be settled and its authorization, while nobody else changes it and its job, if the lease is still the
/// right to.
async fn lock_leased(
    session: &Session,
    lease: &Lease,
    now: Timestamp,
) -> Result<(Job, Loaded, ChallengeId), Failure> {
    let connection = session.connection();
    let locked = both(job::lock(connection, &lease.job), lock_of(connection, &lease.work));
    let (job, mut loaded) = session.begin_with(locked).await?;
    let job = job::held(job, lease, now)?;
    if job.work != lease.work {
        loaded = session.then(lock_of(connection, &job.work)).await?; // the job knows better
    }
    match job.work {
        Work::Validate { challenge, .. } => Ok((job, loaded.ok_or(StorageError::NotFound)?, challenge)),
        Work::Issue { .. } | Work::Revoke { .. } => Err(StorageError::LeaseLost.into()),
    }
}

#[async_trait]
impl AuthorizationStore for PgStorage {
    async fn authorization(&self, account: &AccountId, id: &AuthorizationId) -> Result<Authorization> {
        let loaded = async |session: Session| load(session.connection(), account, id).await;
        self.look_up("loading an authorization", loaded).await
    }

    async fn create_authorization(
        &self,
        authorization: Authorization,
        most_alone: u32,
        cause: &Cause,
    ) -> Result<()> {
        let account = &authorization.account;
        self.transaction("creating an authorization", async |session| {
            let connection = session.connection();
            let valid = account::lock_valid(connection, account);
            let (_, alone) =
                session.begin_with(both(valid, count_alone(connection, account, cause.now))).await?;
            if alone >= i64::from(most_alone) {
                return Err(Conflict::TooManyOpen.into());
            }
            session.commit_with(writes![insert(connection, &authorization, true)]).await
        })
        .await
    }

    async fn reusable_authorizations(
        &self,
        account: &AccountId,
        identifiers: &[Identifier],
        until: Timestamp,
    ) -> Result<Vec<Authorization>> {
        self.look_up("looking for authorizations to use again", async |session| {
            let connection = session.connection();
            let longest = identifiers.iter().map(|identifier| longest(connection, account, identifier));
            let longest = session.snapshot(each(longest)).await?;
            let valid = |held: &Authorization| held.status(until) == AuthorizationStatus::Valid;
            Ok(longest.into_iter().flatten().filter(valid).collect())
        })
        .await
    }

    async fn begin_validation(&self, begin: BeginValidation, cause: &Cause) -> Result<ValidationBegun> {
        self.transaction("beginning a validation", async |session| {
            let connection = session.connection();
            let locked = lock(connection, &begin.account, &begin.authorization);
            let account = account::standing(connection, &begin.account);
            let (loaded, account) = session.begin_with(both(locked, account)).await?;
            let (mut loaded, account) = loaded.zip(account).ok_or(StorageError::NotFound)?;
            account.require_valid()?;
            if !loaded.authorization.begin_validation(&begin.challenge, cause.now)? {
                return Ok(ValidationBegun { authorization: loaded.authorization, lease: None });
            }
            let work = Work::validation(&loaded.authorization, begin.challenge);
            let job = Job::new(account.directory, work, begin.lease, cause.now);
            let lease = job.born_lease();
            session.commit_with(writes![job::insert(connection, job), loaded.save(connection)]).await?;
            Ok(ValidationBegun { authorization: loaded.authorization, lease })
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
        self.transaction("putting off a validation", async |session| {
            let connection = session.connection();
            let (mut job, mut loaded, challenge) = lock_leased(&session, &lease, cause.now).await?;
            if !loaded.authorization.retry_validation(&challenge, problem.clone(), cause.now) {
                let mut written = writes![job::end(connection, &lease, cause.now)];
                written.extend(trace::of(connection, cause));
                session.commit_with(written).await?;
                return Ok(loaded.authorization);
            }
            job.release(due);
            let released = job::save_held(connection, job, &lease, cause.now);
            let mut written = writes![released, loaded.save(connection)];
            written.extend(trace::of(connection, cause));
            session.commit_with(written).await?;
            Ok(loaded.authorization)
        })
        .await
    }

    async fn finish_validation(
        &self,
        lease: Lease,
        outcome: ValidationOutcome,
        cause: &Cause,
    ) -> Result<Authorization> {
        self.transaction("finishing a validation", async |session| {
            let connection = session.connection();
            let (_, mut loaded, challenge) = lock_leased(&session, &lease, cause.now).await?;
            let mut written = writes![job::end(connection, &lease, cause.now)];
            written.extend(trace::of(connection, cause));
            if loaded.authorization.finish_validation(&challenge, outcome.clone(), cause.now) {
                written.push(Box::pin(loaded.save(connection)));
            }
            session.commit_with(written).await?;
            Ok(loaded.authorization)
        })
        .await
    }

    async fn deactivate_authorization(
        &self,
        account: &AccountId,
        id: &AuthorizationId,
        cause: &Cause,
    ) -> Result<Authorization> {
        self.transaction("deactivating an authorization", async |session| {
            let connection = session.connection();
            let loaded = session.begin_with(lock(connection, account, id)).await?;
            let mut loaded = loaded.ok_or(StorageError::NotFound)?;
            loaded.authorization.deactivate(cause.now)?;
            session.commit_with(writes![loaded.save(connection)]).await?;
            Ok(loaded.authorization)
        })
        .await
    }
}
