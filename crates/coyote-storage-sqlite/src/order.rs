//! Orders. RFC 8555 sections 7.1.3 and 7.4.

use async_trait::async_trait;
use coyote_protocol::{Identifier, OrderStatus, Problem, Timestamp};
use coyote_storage::{
    AccountId, Authorization, AuthorizationId, BeginIssuance, Cause, CertificateId, Conflict, Issuance,
    IssuanceBegun, IssuanceOutcome, Job, Lease, NewOrder, Order, OrderId, OrderPage, OrderStore, Result,
    Serial, StorageError, Work,
    sealing::{Column, Sealing},
};
use diesel::{dsl, prelude::*, sqlite::Sqlite};

use crate::{
    SqliteStorage, account, audit,
    authorization::{self, AuthorizationRow},
    certificate,
    column::{Bits, Json, Millis, Printed},
    error::{Failure, guarded, taken},
    job,
    schema::{authorizations, order_authorizations, orders},
    trace,
    update::update,
};

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = orders, check_for_backend(Sqlite))]
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

/// Which authorization an order needs for which of its identifiers.
#[derive(Insertable)]
#[diesel(table_name = order_authorizations)]
struct Need {
    order_id: Bits<OrderId>,
    position: i64,
    authorization_id: Bits<AuthorizationId>,
}

impl OrderRow {
    /// The order, with these authorizations.
    fn open(self, authorizations: Vec<Authorization>, sealing: &Sealing) -> Result<Order> {
        let id = self.id.0;
        let csr = self.csr.as_ref().map(|cell| sealing.open(&Column::CSR.of(id.as_bytes()), cell));
        let csr = csr.transpose()?.unwrap_or_default();
        let order = self.facts(authorizations);
        Ok(Order { issuance: order.issuance.map(|issuance| Issuance { csr, ..issuance }), ..order })
    }

    /// The same without its CSR, of which no rule knows.
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

pub(crate) fn find(connection: &mut SqliteConnection, id: &OrderId) -> Result<Option<OrderRow>, Failure> {
    Ok(orders::table.find(Bits(*id)).select(OrderRow::as_select()).get_result(connection).optional()?)
}

/// The order with its authorizations, as they are now.
fn load(
    connection: &mut SqliteConnection,
    account: &AccountId,
    id: &OrderId,
    sealing: &Sealing,
) -> Result<Order, Failure> {
    let (row, authorizations) = rows(connection, account, id)?;
    Ok(row.open(authorizations, sealing)?)
}

/// The same without its CSR, of which no rule knows.
pub(crate) fn facts(
    connection: &mut SqliteConnection,
    account: &AccountId,
    id: &OrderId,
) -> Result<Order, Failure> {
    let (row, authorizations) = rows(connection, account, id)?;
    Ok(row.facts(authorizations))
}

fn rows(
    connection: &mut SqliteConnection,
    account: &AccountId,
    id: &OrderId,
) -> Result<(OrderRow, Vec<Authorization>), Failure> {
    let row = find(connection, id)?.filter(|row| row.account_id.0 == *account);
    let row = row.ok_or(StorageError::NotFound)?;
    let authorizations = order_authorizations::table
        .inner_join(authorizations::table)
        .filter(order_authorizations::order_id.eq(Bits(*id)))
        .order(order_authorizations::position)
        .select(AuthorizationRow::as_select())
        .load(connection)?;
    Ok((row, authorizations.into_iter().map(Authorization::from).collect()))
}

/// The status of this account's order, if there is one.
pub(crate) fn status(
    connection: &mut SqliteConnection,
    account: &AccountId,
    id: &OrderId,
    now: Timestamp,
) -> Result<Option<OrderStatus>, Failure> {
    match facts(connection, account, id) {
        Err(Failure::Refused(StorageError::NotFound)) => Ok(None),
        order => Ok(Some(order?.status(now))),
    }
}

/// How many orders of the account are [open](Order::is_open).
fn open(connection: &mut SqliteConnection, account: &AccountId, now: Timestamp) -> QueryResult<i64> {
    orders::table
        .filter(orders::account_id.eq(Bits(*account)))
        .filter(orders::expires.gt(Millis(now)))
        .filter(orders::certificate_id.is_null())
        .filter(orders::error.is_null())
        .count()
        .get_result(connection)
}

fn insert(connection: &mut SqliteConnection, order: &Order, sealing: &Sealing) -> Result<(), Failure> {
    let new = diesel::insert_into(orders::table).values(OrderRow::new(order, sealing)?);
    new.execute(connection).map_err(taken(Conflict::IdInUse))?;
    for (position, authorization) in (0..).zip(&order.authorizations) {
        let authorization_id = Bits(authorization.id);
        let need = Need { order_id: Bits(order.id), position, authorization_id };
        diesel::insert_into(order_authorizations::table).values(need).execute(connection)?;
    }
    Ok(())
}

/// Removes an order that has no certificate any more, and remembers which authorizations have no order any more.
pub(crate) fn remove(connection: &mut SqliteConnection, id: &OrderId) -> Result<(), Failure> {
    let needs = order_authorizations::table.filter(order_authorizations::order_id.eq(Bits(*id)));
    let needed: Vec<Bits<AuthorizationId>> =
        needs.select(order_authorizations::authorization_id).load(connection)?;
    diesel::delete(needs).execute(connection)?;
    diesel::delete(orders::table.find(Bits(*id))).execute(connection)?;
    for authorization in needed {
        let others = order_authorizations::authorization_id.eq(authorization);
        let unneeded = dsl::not(dsl::exists(order_authorizations::table.filter(others)));
        let orphan = authorizations::id.eq(authorization).and(unneeded);
        update(connection, authorizations::table, authorizations::orphaned.eq(true), orphan)?;
    }
    Ok(())
}

pub(crate) fn export(
    connection: &mut SqliteConnection,
    after: Option<OrderId>,
    limit: u32,
    sealing: &Sealing,
) -> Result<Vec<(Order, Vec<AuthorizationId>)>, Failure> {
    let page = orders::table.order(orders::id).limit(limit.into()).select(OrderRow::as_select());
    let rows: Vec<OrderRow> = match after {
        Some(after) => page.filter(orders::id.gt(Bits(after))).load(connection)?,
        None => page.load(connection)?,
    };
    rows.into_iter()
        .map(|row| {
            let needed = order_authorizations::table
                .filter(order_authorizations::order_id.eq(row.id))
                .order(order_authorizations::position)
                .select(order_authorizations::authorization_id);
            let needed: Vec<Bits<AuthorizationId>> = needed.load(connection)?;
            Ok((row.open(Vec::new(), sealing)?, needed.into_iter().map(|id| id.0).collect()))
        })
        .collect()
}

/// `false` if one of its authorizations, or its account, is not there.
pub(crate) fn import(
    connection: &mut SqliteConnection,
    order: &Order,
    authorizations: &[AuthorizationId],
    sealing: &Sealing,
) -> Result<bool, Failure> {
    let ids = authorizations.iter().copied().map(Bits);
    let there = authorizations::table.filter(authorizations::id.eq_any(ids));
    let all_there = there.count().get_result::<i64>(connection)? == authorizations.len() as i64;
    if !all_there || !account::exists(connection, &order.account)? {
        return Ok(false);
    }
    let same = orders::id.eq(Bits(order.id));
    if update(connection, orders::table, OrderRow::new(order, sealing)?, same)? == 0 {
        diesel::insert_into(orders::table).values(OrderRow::new(order, sealing)?).execute(connection)?;
    }
    for (position, authorization) in (0..).zip(authorizations) {
        let need = Need { order_id: Bits(order.id), position, authorization_id: Bits(*authorization) };
        diesel::replace_into(order_authorizations::table).values(need).execute(connection)?;
        let adopted = authorizations::id.eq(Bits(*authorization));
        update(connection, authorizations::table, authorizations::orphaned.eq(false), adopted)?;
    }
    Ok(true)
}

/// Saves the issuance of an order that had none.
fn save_begun(
    connection: &mut SqliteConnection,
    order: &Order,
    now: Timestamp,
    sealing: &Sealing,
) -> Result<(), Failure> {
    let row = OrderRow::new(order, sealing)?;
    let untouched = orders::id
        .eq(row.id)
        .and(orders::began.is_null())
        .and(orders::certificate_id.is_null())
        .and(orders::error.is_null());
    let facts = (orders::csr.eq(row.csr), orders::serial.eq(row.serial), orders::began.eq(row.began));
    let saved = update(connection, orders::table, facts, untouched)?;
    guarded(saved, Conflict::OrderNotReady(order.status(now)))
}

/// Saves the serial, the certificate or the error of an order that was under way.
pub(crate) fn save_under_way(connection: &mut SqliteConnection, order: &Order) -> Result<(), Failure> {
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
    let saved = update(connection, orders::table, facts, under_way)?;
    guarded(saved, StorageError::LeaseLost)
}

#[async_trait]
impl OrderStore for SqliteStorage {
    async fn create_order(&self, new: NewOrder, cause: &Cause) -> Result<Order> {
        let NewOrder { mut order, reused, most_open } = new;
        let (now, sealing) = (cause.now, self.sealing());
        self.write("creating an order", move |connection| {
            account::require_valid(connection, &order.account)?;
            if open(connection, &order.account, now)? >= i64::from(most_open) {
                return Err(Conflict::TooManyOpen.into());
            }
            let held = reused.iter().map(|id| authorization::reuse(connection, &order.account, id, now));
            let held = held.collect::<Result<Vec<_>, Failure>>()?;
            certificate::replace(connection, &order, now)?;
            for new in &order.authorizations {
                authorization::insert(connection, new, false)?;
            }
            order.authorizations.extend(held);
            order.arrange();
            insert(connection, &order, &sealing)?;
            Ok(order)
        })
        .await
    }

    async fn order(&self, account: &AccountId, id: &OrderId) -> Result<Order> {
        self.look_up_together("loading an order", |connection| load(connection, account, id, &self.sealing))
    }

    async fn orders(&self, account: &AccountId, after: Option<&OrderId>, limit: u32) -> Result<OrderPage> {
        let (account, after) = (*account, after.copied());
        self.scan("listing orders", move |connection| page(connection, account, after, limit)).await
    }

    async fn begin_issuance(&self, begin: BeginIssuance, cause: &Cause) -> Result<IssuanceBegun> {
        let (now, sealing) = (cause.now, self.sealing());
        self.write("beginning an issuance", move |connection| {
            let mut order = facts(connection, &begin.account, &begin.order)?;
            let account = account::standing(connection, &begin.account)?;
            account.require_valid()?;
            order.begin_issuance(begin.csr, begin.serial.clone(), now)?;
            certificate::record_serial(connection, begin.serial, &order, now)?;
            save_begun(connection, &order, now, &sealing)?;
            let job = Job::new(account.directory, Work::issuance(&order), begin.lease, now);
            let lease = job.born_lease();
            job::insert(connection, job)?;
            Ok(IssuanceBegun { order, lease })
        })
        .await
    }

    async fn finish_issuance(&self, lease: Lease, outcome: IssuanceOutcome, cause: &Cause) -> Result<Order> {
        let (cause, sealing) = (cause.clone(), self.sealing());
        self.write("finishing an issuance", move |connection| {
            let job = job::end(connection, &lease, cause.now)?;
            trace::record(connection, &cause)?;
            let Work::Issue { account, order } = job.work else { return Err(StorageError::LeaseLost.into()) };
            let mut order = load(connection, &account, &order, &sealing)?;
            let Some(event) = order.finish_issuance(&outcome) else { return Ok(order) };
            if let IssuanceOutcome::Issued(certificate) = outcome {
                certificate::insert(connection, *certificate, &sealing)?;
            }
            save_under_way(connection, &order)?;
            audit::record(connection, event, &cause)?;
            Ok(order)
        })
        .await
    }
}

fn page(
    connection: &mut SqliteConnection,
    account: AccountId,
    after: Option<OrderId>,
    limit: u32,
) -> Result<OrderPage, Failure> {
    let own = orders::table
        .filter(orders::account_id.eq(Bits(account)))
        .order((orders::created.desc(), orders::id))
        .limit(i64::from(limit) + 1)
        .select(orders::id);
    let rows: Vec<Bits<OrderId>> = match after {
        None => own.load(connection)?,
        Some(after) => {
            let last = orders::table.find(Bits(after)).filter(orders::account_id.eq(Bits(account)));
            let Some(last) = last.select(orders::created).get_result::<Millis>(connection).optional()? else {
                return Ok(OrderPage { orders: Vec::new(), more: false });
            };
            // The first condition is for the index, the second for those of the same millisecond.
            let older = orders::created.lt(last).or(orders::id.gt(Bits(after)));
            own.filter(orders::created.le(last)).filter(older).load(connection)?
        }
    };
    let limit = limit as usize;
    let more = rows.len() > limit;
    Ok(OrderPage { orders: rows.into_iter().take(limit).map(|id| id.0).collect(), more })
}
