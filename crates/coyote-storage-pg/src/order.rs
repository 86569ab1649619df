//! Orders. RFC 8555 sections 7.1.3 and 7.4.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use coyote_protocol::{AuthorizationStatus, Identifier, OrderStatus, Problem, Timestamp};
use coyote_storage::{
    AccountId, Authorization, AuthorizationId, BeginIssuance, Cause, Certificate, CertificateId, Conflict,
    Issuance, IssuanceBegun, IssuanceOutcome, Job, Lease, NewOrder, Order, OrderId, OrderPage, OrderStore,
    Result, Serial, StorageError, Work,
    sealing::{Column, Sealing},
};
use diesel::{
    AsChangeset, BoolExpressionMethods, ExpressionMethods, Insertable, OptionalExtension, QueryDsl,
    Queryable, Selectable, SelectableHelper, dsl, pg::Pg,
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::{
    PgStorage, account, audit,
    authorization::{self, AuthorizationRow, Loaded},
    certificate,
    column::{Bits, Json, Millis, Printed},
    error::{Failure, taken},
    job,
    schema::{authorizations, order_authorizations, orders},
    session::{Session, Write, both, each, writes},
    trace,
    update::update,
};

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = orders, check_for_backend(Pg))]
#[diesel(treat_none_as_default_value = false, treat_none_as_null = true)]
pub(crate) struct OrderRow {
    id: Bits<OrderId>,
    account_id: Bits<AccountId>,
    identifiers: Json<Vec<Identifier>>,
    profile: Option<String>,
    not_before: Option<Millis>,
    not_after: Option<Millis>,
    replaces: Option<Bits<CertificateId>>,
    created: Millis,
    expires: Millis,
    csr: Option<Vec<u8>>,
    serial: Option<Printed<Serial>>,
    began: Option<Millis>,
    certificate_id: Option<Bits<CertificateId>>,
    error: Option<Json<Problem>>,
}

/// An order without its CSR, and the CSR as it is kept: no rule needs it, so it is opened for who asks for the order.
pub(crate) struct Kept {
    pub(crate) order: Order,
    csr: Option<Vec<u8>>,
}

/// Which authorization an order needs for which of its identifiers.
#[derive(Insertable)]
#[diesel(table_name = order_authorizations, treat_none_as_default_value = false)]
struct Need {
    order_id: Bits<OrderId>,
    position: i64,
    authorization_id: Bits<AuthorizationId>,
}

impl OrderRow {
    /// The order, with these authorizations, as it is kept.
    fn with(mut self, authorizations: Vec<Authorization>) -> Kept {
        let csr = self.csr.take();
        Kept { order: self.facts(authorizations), csr }
    }

    /// The order, with these authorizations, and without its CSR, of which no rule knows.
    pub(crate) fn facts(self, authorizations: Vec<Authorization>) -> Order {
        let issuance = match (self.serial, self.began) {
            (Some(serial), Some(began)) => {
                Some(Issuance { csr: Vec::new(), serial: serial.0, began: began.0 })
            }
            _ => None,
        };
        Order {
            id: self.id.0,
            account: self.account_id.0,
            identifiers: self.identifiers.0,
            profile: self.profile,
            not_before: self.not_before.map(|at| at.0),
            not_after: self.not_after.map(|at| at.0),
            replaces: self.replaces.map(|id| id.0),
            created: self.created.0,
            expires: self.expires.0,
            authorizations,
            issuance,
            certificate: self.certificate_id.map(|id| id.0),
            error: self.error.map(|problem| problem.0),
        }
    }
}

impl Kept {
    fn open(self, sealing: &Sealing) -> Result<Order> {
        let Self { mut order, csr } = self;
        if let (Some(issuance), Some(cell)) = (&mut order.issuance, csr) {
            issuance.csr = sealing.open(&Column::CSR.of(order.id.as_bytes()), &cell)?;
        }
        Ok(order)
    }
}

impl OrderRow {
    fn new(order: &Order, sealing: &Sealing) -> Result<Self> {
        let issuance = order.issuance.as_ref();
        let place = Column::CSR.of(order.id.as_bytes());
        let csr = issuance.map(|issuance| sealing.seal(&place, &issuance.csr)).transpose()?;
        Ok(Self {
            id: Bits(order.id),
            account_id: Bits(order.account),
            identifiers: Json(order.identifiers.clone()),
            profile: order.profile.clone(),
            not_before: order.not_before.map(Millis),
            not_after: order.not_after.map(Millis),
            replaces: order.replaces.map(Bits),
            created: Millis(order.created),
            expires: Millis(order.expires),
            csr,
            serial: issuance.map(|issuance| Printed(issuance.serial.clone())),
            began: issuance.map(|issuance| Millis(issuance.began)),
            certificate_id: order.certificate.map(Bits),
            error: order.error.clone().map(Json),
        })
    }
}

/// The order without its authorizations, if it is the account's.
async fn find(
    mut connection: &AsyncPgConnection,
    account: &AccountId,
    id: &OrderId,
) -> Result<OrderRow, Failure> {
    let query = orders::table.find(Bits(*id)).select(OrderRow::as_select());
    let row = query.get_result(&mut connection).await.optional()?;
    row.filter(|row| row.account_id.0 == *account).ok_or(StorageError::NotFound.into())
}

/// The same, while nobody else changes it.
async fn lock(
    mut connection: &AsyncPgConnection,
    account: &AccountId,
    id: &OrderId,
) -> Result<OrderRow, Failure> {
    let query = orders::table.find(Bits(*id)).select(OrderRow::as_select()).for_update();
    let row = query.get_result(&mut connection).await.optional()?;
    row.filter(|row| row.account_id.0 == *account).ok_or(StorageError::NotFound.into())
}

/// An order's authorizations, as they are now.
async fn authorizations(
    mut connection: &AsyncPgConnection,
    id: &OrderId,
) -> Result<Vec<Authorization>, Failure> {
    let query = order_authorizations::table
        .inner_join(authorizations::table)
        .filter(order_authorizations::order_id.eq(Bits(*id)))
        .order(order_authorizations::position)
        .select(AuthorizationRow::as_select());
    let rows: Vec<AuthorizationRow> = query.load(&mut connection).await?;
    Ok(rows.into_iter().map(Authorization::from).collect())
}

/// The order with its authorizations.
async fn load(connection: &AsyncPgConnection, account: &AccountId, id: &OrderId) -> Result<Kept, Failure> {
    let (row, authorizations) = both(find(connection, account, id), authorizations(connection, id)).await?;
    Ok(row.with(authorizations))
}

/// The order with its authorizations, while nobody else changes it; they may change.
async fn load_locked(
    connection: &AsyncPgConnection,
    account: &AccountId,
    id: &OrderId,
) -> Result<Kept, Failure> {
    let (row, authorizations) = both(lock(connection, account, id), authorizations(connection, id)).await?;
    Ok(row.with(authorizations))
}

/// The status of this account's order, if there is one.
async fn status(
    connection: &AsyncPgConnection,
    account: &AccountId,
    id: &OrderId,
    now: Timestamp,
) -> Result<Option<OrderStatus>, Failure> {
    match load(connection, account, id).await {
        Err(Failure::Refused(StorageError::NotFound)) => Ok(None),
        kept => Ok(Some(kept?.order.status(now))),
    }
}

/// The order that this work is about, if it is about one, while nobody else changes it.
pub(crate) async fn lock_of(connection: &AsyncPgConnection, work: &Work) -> Result<Option<Kept>, Failure> {
    match work {
        Work::Issue { account, order } => match load_locked(connection, account, order).await {
            Err(Failure::Refused(StorageError::NotFound)) => Ok(None),
            order => Ok(Some(order?)),
        },
        Work::Validate { .. } | Work::Revoke { .. } => Ok(None),
    }
}

/// An order to be settled, while nobody else changes it and its job, if the lease is still the right to.
pub(crate) async fn lock_leased(
    session: &Session,
    lease: &Lease,
    now: Timestamp,
) -> Result<(Job, Kept), Failure> {
    let connection = session.connection();
    let locked = both(job::lock(connection, &lease.job), lock_of(connection, &lease.work));
    let (job, mut order) = session.begin_with(locked).await?;
    let job = job::held(job, lease, now)?;
    if job.work != lease.work {
        order = session.then(lock_of(connection, &job.work)).await?; // the job knows better
    }
    match job.work {
        Work::Issue { .. } => Ok((job, order.ok_or(StorageError::NotFound)?)),
        Work::Validate { .. } | Work::Revoke { .. } => Err(StorageError::LeaseLost.into()),
    }
}

/// How many orders of the account are [open](Order::is_open).
async fn count_open(
    mut connection: &AsyncPgConnection,
    account: &AccountId,
    now: Timestamp,
) -> Result<i64, Failure> {
    let open = orders::table
        .filter(orders::account_id.eq(Bits(*account)))
        .filter(orders::expires.gt(Millis(now)))
        .filter(orders::certificate_id.is_null())
        .filter(orders::error.is_null());
    Ok(open.count().get_result(&mut connection).await?)
}

async fn insert(mut connection: &AsyncPgConnection, order: &Order, sealing: &Sealing) -> Result<(), Failure> {
    let new = diesel::insert_into(orders::table).values(OrderRow::new(order, sealing)?);
    new.execute(&mut connection).await.map_err(taken(Conflict::IdInUse))?;
    Ok(())
}

async fn insert_need(
    mut connection: &AsyncPgConnection,
    order: &OrderId,
    position: i64,
    authorization: &AuthorizationId,
) -> Result<(), Failure> {
    let need = Need { order_id: Bits(*order), position, authorization_id: Bits(*authorization) };
    diesel::insert_into(order_authorizations::table).values(need).execute(&mut connection).await?;
    Ok(())
}

pub(crate) async fn export(
    mut connection: &AsyncPgConnection,
    after: Option<OrderId>,
    limit: u32,
    sealing: &Sealing,
) -> Result<Vec<(Order, Vec<AuthorizationId>)>, Failure> {
    let page = orders::table.order(orders::id).limit(limit.into()).select(OrderRow::as_select());
    let rows: Vec<OrderRow> = match after {
        Some(after) => page.filter(orders::id.gt(Bits(after))).load(&mut connection).await?,
        None => page.load(&mut connection).await?,
    };
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    let needs = order_authorizations::table
        .filter(order_authorizations::order_id.eq_any(ids))
        .order((order_authorizations::order_id, order_authorizations::position))
        .select((order_authorizations::order_id, order_authorizations::authorization_id));
    let needs: Vec<(Bits<OrderId>, Bits<AuthorizationId>)> = needs.load(&mut connection).await?;
    let mut needed: BTreeMap<OrderId, Vec<AuthorizationId>> = BTreeMap::new();
    for (order, authorization) in needs {
        needed.entry(order.0).or_default().push(authorization.0);
    }
    let with_ids = |row: OrderRow| {
        let authorizations = needed.remove(&row.id.0).unwrap_or_default();
        Ok((row.with(Vec::new()).open(sealing)?, authorizations))
    };
    rows.into_iter().map(with_ids).collect()
}

/// Answers how many were stored: those whose account and authorizations are there.
pub(crate) async fn import(
    mut connection: &AsyncPgConnection,
    mut copies: Vec<(Order, Vec<AuthorizationId>)>,
    sealing: &Sealing,
) -> Result<usize, Failure> {
    let accounts = account::existing(connection, copies.iter().map(|(copy, _)| copy.account)).await?;
    let held = copies.iter().flat_map(|(_, held)| held).copied();
    let held = authorization::existing(connection, held).await?;
    copies.retain(|(copy, needed)| {
        accounts.contains(&copy.account) && needed.iter().all(|needed| held.contains(needed))
    });
    let there = existing(connection, copies.iter().map(|(copy, _)| copy.id)).await?;
    let (old, new): (Vec<_>, Vec<_>) = copies.iter().partition(|(copy, _)| there.contains(&copy.id));
    let rows = new.into_iter().map(|(copy, _)| OrderRow::new(copy, sealing));
    let rows = rows.collect::<Result<Vec<_>>>()?;
    diesel::insert_into(orders::table).values(rows).execute(&mut connection).await?;
    for (copy, _) in old {
        let row = OrderRow::new(copy, sealing)?;
        update(connection, orders::table, row, orders::id.eq(Bits(copy.id))).await?;
    }
    import_needs(connection, &copies).await?;
    Ok(copies.len())
}

/// Stores which authorizations these orders need, which never changes.
async fn import_needs(
    mut connection: &AsyncPgConnection,
    copies: &[(Order, Vec<AuthorizationId>)],
) -> Result<(), Failure> {
    /// A statement has 65535 parameters at most.
    const AT_A_TIME: usize = 10_000;

    let needs = copies.iter().flat_map(|(order, needed)| (0..).zip(needed).map(|need| (order.id, need)));
    let needs: Vec<_> = needs.map(|(order, (position, held))| (order, position, *held)).collect();
    for needs in needs.chunks(AT_A_TIME) {
        let row = |&(order, position, held): &(OrderId, i64, AuthorizationId)| Need {
            order_id: Bits(order),
            position,
            authorization_id: Bits(held),
        };
        let rows: Vec<_> = needs.iter().map(row).collect();
        let rows = diesel::insert_into(order_authorizations::table).values(rows).on_conflict_do_nothing();
        rows.execute(&mut connection).await?;
    }
    let adopted: Vec<_> = needs.iter().map(|(_, _, held)| Bits(*held)).collect();
    let adopted = authorizations::table.filter(authorizations::id.eq_any(adopted));
    diesel::update(adopted).set(authorizations::orphaned.eq(false)).execute(&mut connection).await?;
    Ok(())
}

/// Which of these orders there are.
pub(crate) async fn existing(
    mut connection: &AsyncPgConnection,
    ids: impl Iterator<Item = OrderId>,
) -> Result<BTreeSet<OrderId>, Failure> {
    let ids: Vec<_> = ids.map(Bits).collect();
    let query = orders::table.filter(orders::id.eq_any(ids)).select(orders::id);
    let existing: Vec<Bits<OrderId>> = query.load(&mut connection).await?;
    Ok(existing.into_iter().map(|id| id.0).collect())
}

/// Which of these authorizations an order needs.
pub(crate) async fn needed(
    mut connection: &AsyncPgConnection,
    ids: impl Iterator<Item = AuthorizationId>,
) -> Result<BTreeSet<AuthorizationId>, Failure> {
    let ids: Vec<_> = ids.map(Bits).collect();
    let needed = order_authorizations::table.filter(order_authorizations::authorization_id.eq_any(ids));
    let needed = needed.select(order_authorizations::authorization_id);
    let needed: Vec<Bits<AuthorizationId>> = needed.load(&mut connection).await?;
    Ok(needed.into_iter().map(|id| id.0).collect())
}

/// Removes orders that have no certificates any more, and remembers which authorizations have no order any more.
pub(crate) async fn remove(mut connection: &AsyncPgConnection, ids: &[Bits<OrderId>]) -> Result<(), Failure> {
    let needs = || order_authorizations::table.filter(order_authorizations::order_id.eq_any(ids));
    let freed = authorizations::table
        .filter(authorizations::id.eq_any(needs().select(order_authorizations::authorization_id)))
        .order(authorizations::id)
        .select(authorizations::id)
        .for_update(); // while no other order takes one to use again
    let freed: Vec<Bits<AuthorizationId>> = freed.load(&mut connection).await?;
    diesel::delete(needs()).execute(&mut connection).await?;
    diesel::delete(orders::table.filter(orders::id.eq_any(ids))).execute(&mut connection).await?;
    let others = order_authorizations::table
        .filter(order_authorizations::authorization_id.eq(authorizations::id))
        .select(order_authorizations::order_id);
    let orphans =
        authorizations::table.filter(authorizations::id.eq_any(freed)).filter(dsl::not(dsl::exists(others)));
    diesel::update(orphans).set(authorizations::orphaned.eq(true)).execute(&mut connection).await?;
    Ok(())
}

/// Saves the issuance of an order that had none.
async fn save_begun(connection: &AsyncPgConnection, order: &Order, sealing: &Sealing) -> Result<(), Failure> {
    let row = OrderRow::new(order, sealing)?;
    let untouched = orders::id
        .eq(row.id)
        .and(orders::began.is_null())
        .and(orders::certificate_id.is_null())
        .and(orders::error.is_null());
    let facts = (orders::csr.eq(row.csr), orders::serial.eq(row.serial), orders::began.eq(row.began));
    update(connection, orders::table, facts, untouched).await
}

/// Saves the serial, the certificate or the error of an order that was under way.
pub(crate) async fn save_under_way(connection: &AsyncPgConnection, order: &Order) -> Result<(), Failure> {
    let serial = order.issuance.as_ref().map(|issuance| Printed(issuance.serial.clone()));
    let under_way = orders::id
        .eq(Bits(order.id))
        .and(orders::began.is_not_null())
        .and(orders::certificate_id.is_null())
        .and(orders::error.is_null());
    let facts = (
        orders::serial.eq(serial),
        orders::certificate_id.eq(order.certificate.map(Bits)),
        orders::error.eq(order.error.clone().map(Json)),
    );
    update(connection, orders::table, facts, under_way).await
}

/// What a new order needs to know of what there is.
struct Found {
    open: i64,
    reused: Vec<Option<Loaded>>,
    replaced: Option<Certificate>,
}

/// Finds it, while nobody else changes it and no other order of the account is made.
async fn look_around(
    connection: &AsyncPgConnection,
    new: &NewOrder,
    now: Timestamp,
) -> Result<Found, Failure> {
    let account = &new.order.account;
    let reused = new.reused.iter().map(|id| authorization::lock(connection, account, id));
    let counted = both(account::lock_valid(connection, account), count_open(connection, account, now));
    let held = both(each(reused), certificate::lock_replaced(connection, &new.order));
    let ((_, open), (reused, replaced)) = both(counted, held).await?;
    Ok(Found { open, reused, replaced })
}

/// The authorizations to be used again, all of which must be valid.
fn require_valid(reused: &[Option<Loaded>], now: Timestamp) -> Result<Vec<Authorization>, Conflict> {
    let valid = |held: &Option<Loaded>| {
        let held = held.as_ref().map(|held| held.authorization.clone());
        let held = held.filter(|held| held.status(now) == AuthorizationStatus::Valid);
        held.ok_or(Conflict::AuthorizationNotValid)
    };
    reused.iter().map(valid).collect()
}

/// Has the certificate that was found replaced by the order, if it is to replace one.
async fn replace(
    session: &Session,
    by: &Order,
    found: Option<Certificate>,
    now: Timestamp,
) -> Result<Option<Certificate>, Failure> {
    if by.replaces.is_none() {
        return Ok(None);
    }
    let mut certificate = found.ok_or(Conflict::NothingToReplace)?;
    let before = match &certificate.replaced_by {
        Some(before) => session.then(status(session.connection(), &certificate.account, before, now)).await?,
        None => None,
    };
    certificate.replace(by, before)?;
    Ok(Some(certificate))
}

/// Stores a new order with all that it brings along. `order` has its authorizations, new and old.
fn insert_all<'a>(
    connection: &'a AsyncPgConnection,
    new: &'a [Authorization],
    adopted: &'a [AuthorizationId],
    order: &'a Order,
    sealing: &'a Sealing,
) -> Vec<Write<'a>> {
    let mut written = Vec::new();
    for new in new {
        written.push(Box::pin(authorization::insert(connection, new, false)) as Write<'_>);
    }
    for id in adopted {
        written.push(Box::pin(authorization::adopt(connection, id)));
    }
    written.push(Box::pin(insert(connection, order, sealing)));
    for (position, held) in (0..).zip(&order.authorizations) {
        written.push(Box::pin(insert_need(connection, &order.id, position, &held.id)));
    }
    written
}

#[async_trait]
impl OrderStore for PgStorage {
    async fn create_order(&self, new: NewOrder, cause: &Cause) -> Result<Order> {
        self.transaction("creating an order", async |session| {
            let (connection, now) = (session.connection(), cause.now);
            let found = session.begin_with(look_around(connection, &new, now)).await?;
            if found.open >= i64::from(new.most_open) {
                return Err(Conflict::TooManyOpen.into());
            }
            let reused = require_valid(&found.reused, now)?;
            let before = found.replaced.as_ref().and_then(|certificate| certificate.replaced_by);
            let replaced = replace(&session, &new.order, found.replaced, now).await?;
            let orphans = found.reused.iter().flatten().filter(|held| held.orphaned);
            let adopted: Vec<_> = orphans.map(|held| held.authorization.id).collect();
            let mut order = new.order.clone();
            order.authorizations.extend(reused);
            order.arrange();
            let mut written =
                insert_all(connection, &new.order.authorizations, &adopted, &order, &self.sealing);
            if let Some(certificate) = &replaced {
                written.push(Box::pin(certificate::save_replaced(connection, certificate, before)));
            }
            session.commit_with(written).await?;
            Ok(order)
        })
        .await
    }

    async fn order(&self, account: &AccountId, id: &OrderId) -> Result<Order> {
        self.look_up("loading an order", async |session| {
            Ok(session.snapshot(load(session.connection(), account, id)).await?.open(&self.sealing)?)
        })
        .await
    }

    async fn orders(&self, account: &AccountId, after: Option<&OrderId>, limit: u32) -> Result<OrderPage> {
        self.look_up("listing orders", async |session| {
            page(session.connection(), account, after, limit).await
        })
        .await
    }

    async fn begin_issuance(&self, begin: BeginIssuance, cause: &Cause) -> Result<IssuanceBegun> {
        self.transaction("beginning an issuance", async |session| {
            let connection = session.connection();
            let loaded = both(
                load_locked(connection, &begin.account, &begin.order),
                account::standing(connection, &begin.account),
            );
            let (Kept { mut order, .. }, account) = session.begin_with(loaded).await?;
            let account = account.ok_or(StorageError::NotFound)?;
            account.require_valid()?;
            order.begin_issuance(begin.csr.clone(), begin.serial.clone(), cause.now)?;
            let job = Job::new(account.directory, Work::issuance(&order), begin.lease, cause.now);
            let lease = job.born_lease();
            let written = writes![
                certificate::record_serial(connection, begin.serial.clone(), &order.id, cause.now),
                save_begun(connection, &order, &self.sealing),
                job::insert(connection, job),
            ];
            session.commit_with(written).await?;
            Ok(IssuanceBegun { order, lease })
        })
        .await
    }

    async fn finish_issuance(&self, lease: Lease, outcome: IssuanceOutcome, cause: &Cause) -> Result<Order> {
        self.transaction("finishing an issuance", async |session| {
            let connection = session.connection();
            let (_, mut kept) = lock_leased(&session, &lease, cause.now).await?;
            let order = &mut kept.order;
            let event = order.finish_issuance(&outcome);
            let mut written = writes![job::end(connection, &lease, cause.now)];
            written.extend(trace::of(connection, cause));
            if let Some(event) = event {
                if let IssuanceOutcome::Issued(new) = &outcome {
                    written.push(Box::pin(certificate::insert(connection, (**new).clone(), &self.sealing)));
                }
                written.push(Box::pin(save_under_way(connection, order)));
                written.push(Box::pin(audit::record(connection, event, cause)));
            }
            session.commit_with(written).await?;
            Ok(kept.open(&self.sealing)?)
        })
        .await
    }
}

async fn page(
    mut connection: &AsyncPgConnection,
    account: &AccountId,
    after: Option<&OrderId>,
    limit: u32,
) -> Result<OrderPage, Failure> {
    let own = orders::table
        .filter(orders::account_id.eq(Bits(*account)))
        .order((orders::created.desc(), orders::id))
        .limit(i64::from(limit) + 1)
        .select(orders::id);
    let rows: Vec<Bits<OrderId>> = match after {
        None => own.load(&mut connection).await?,
        Some(after) => {
            let last = orders::table.find(Bits(*after)).filter(orders::account_id.eq(Bits(*account)));
            let last = last.select(orders::created).get_result::<Millis>(&mut connection).await;
            let Some(last) = last.optional()? else {
                return Ok(OrderPage { orders: Vec::new(), more: false });
            };
            // The first condition is for the index, the second for those of the same millisecond.
            let older = orders::created.lt(last).or(orders::id.gt(Bits(*after)));
            own.filter(orders::created.le(last)).filter(older).load(&mut connection).await?
        }
    };
    let limit = limit as usize;
    let more = rows.len() > limit;
    Ok(OrderPage { orders: rows.into_iter().take(limit).map(|id| id.0).collect(), more })
}
