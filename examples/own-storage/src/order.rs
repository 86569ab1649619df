//! Orders. RFC 8555 sections 7.1.3 and 7.4.

use async_trait::async_trait;
use coyote_protocol::AuthorizationStatus;
use coyote_storage::{
    AccountId, AuthorizationId, BeginIssuance, Cause, Conflict, IssuanceBegun, IssuanceOutcome, Job, Lease,
    NewOrder, Order, OrderId, OrderPage, OrderStore, Result, StorageError, Work,
};
use serde::{Deserialize, Serialize};

use crate::{
    RedbStorage, account, audit, authorization, certificate, job,
    table::{
        ACCOUNTS, AUTHORIZATIONS, JOBS, OPEN_ORDERS, ORDERS, ORDERS_OF_ACCOUNT, ORDERS_OF_AUTHORIZATION,
        Range, Transaction,
    },
    trace,
};

/// An order without its authorizations, which orders may share, and their ids.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredOrder {
    pub(crate) order: Order,
    pub(crate) authorizations: Vec<AuthorizationId>,
}

impl StoredOrder {
    fn from(mut order: Order) -> Self {
        let authorizations = std::mem::take(&mut order.authorizations);
        Self { order, authorizations: authorizations.iter().map(|held| held.id).collect() }
    }

    /// The order with its authorizations, as they are now.
    pub(crate) fn join(self, transaction: &Transaction) -> Result<Order> {
        let Self { mut order, authorizations } = self;
        for id in authorizations {
            order.authorizations.push(transaction.load(&AUTHORIZATIONS, id.as_bytes())?);
        }
        Ok(order)
    }
}

/// The account's order.
pub(crate) fn load(transaction: &Transaction, account: &AccountId, id: &OrderId) -> Result<Order> {
    let stored = transaction.load(&ORDERS, id.as_bytes())?;
    if stored.order.account != *account {
        return Err(StorageError::NotFound);
    }
    stored.join(transaction)
}

/// Saves an order; once it has come to an end, it counts as open no more.
pub(crate) fn save(transaction: &Transaction, order: &Order) -> Result<()> {
    transaction.put(&ORDERS, order.id.as_bytes(), &StoredOrder::from(order.clone()))?;
    if order.certificate.is_some() || order.error.is_some() {
        transaction.remove(&OPEN_ORDERS, &of_account(&order.account, order.id.as_bytes()))?;
    }
    Ok(())
}

/// Removes an order, which has no certificate any more.
pub(crate) fn remove(
    transaction: &Transaction,
    StoredOrder { order, authorizations }: StoredOrder,
) -> Result<()> {
    transaction.remove(&ORDERS, order.id.as_bytes())?;
    transaction.remove(&ORDERS_OF_ACCOUNT, &listed(&order))?;
    transaction.remove(&OPEN_ORDERS, &of_account(&order.account, order.id.as_bytes()))?;
    for held in authorizations {
        transaction.remove(&ORDERS_OF_AUTHORIZATION, &[*held.as_bytes(), *order.id.as_bytes()].concat())?;
    }
    Ok(())
}

/// A key that begins with an account.
pub(crate) fn of_account(account: &AccountId, key: &[u8]) -> Vec<u8> {
    [account.as_bytes(), key].concat()
}

/// Where an order is in its account's list: the newest first, those of one millisecond by their ids.
fn listed(order: &Order) -> Vec<u8> {
    let age = !(order.created.as_millis() as u64 ^ (1 << 63));
    of_account(&order.account, &[age.to_be_bytes().as_slice(), order.id.as_bytes()].concat())
}

fn insert(transaction: &Transaction, order: &Order) -> Result<()> {
    if transaction.find(&ORDERS, order.id.as_bytes())?.is_some() {
        return Err(Conflict::IdInUse.into());
    }
    transaction.put(&ORDERS_OF_ACCOUNT, &listed(order), &order.id)?;
    transaction.put(&OPEN_ORDERS, &of_account(&order.account, order.id.as_bytes()), &order.id)?;
    for held in &order.authorizations {
        let key = [*held.id.as_bytes(), *order.id.as_bytes()].concat();
        transaction.put(&ORDERS_OF_AUTHORIZATION, &key, &order.id)?;
    }
    save(transaction, order)
}

#[async_trait]
impl OrderStore for RedbStorage {
    async fn create_order(&self, new: NewOrder, cause: &Cause) -> Result<Order> {
        let (NewOrder { mut order, reused, most_open }, now) = (new, cause.now);
        self.write(move |transaction| {
            account::require_valid(transaction, &order.account)?;
            let mut open = 0;
            for id in transaction.all(&OPEN_ORDERS, order.account.as_bytes())? {
                open += u32::from(transaction.load(&ORDERS, id.as_bytes())?.order.is_open(now));
            }
            if open >= most_open {
                return Err(Conflict::TooManyOpen.into());
            }
            let mut held = Vec::new();
            for id in &reused {
                let one = transaction.find(&AUTHORIZATIONS, id.as_bytes())?;
                let own = one.filter(|one| one.account == order.account);
                let valid = own.filter(|one| one.status(now) == AuthorizationStatus::Valid);
                held.push(valid.ok_or(Conflict::AuthorizationNotValid)?);
            }
            certificate::replace(transaction, &order, now)?;
            for new in &order.authorizations {
                authorization::insert(transaction, new)?;
            }
            order.authorizations.extend(held);
            order.arrange();
            insert(transaction, &order)?;
            Ok(order)
        })
        .await
    }

    async fn order(&self, account: &AccountId, id: &OrderId) -> Result<Order> {
        self.read(|transaction| load(transaction, account, id))
    }

    async fn orders(&self, account: &AccountId, after: Option<&OrderId>, limit: u32) -> Result<OrderPage> {
        self.read(|transaction| {
            let last = after.map(|after| load(transaction, account, after)).transpose();
            let last = match last {
                Err(StorageError::NotFound) => return Ok(OrderPage { orders: Vec::new(), more: false }),
                last => last?.as_ref().map(listed),
            };
            let limit = limit as usize;
            let page =
                Range { prefix: account.as_bytes(), after: last.as_deref(), limit: limit.saturating_add(1) };
            let mut orders = transaction.select(&ORDERS_OF_ACCOUNT, page, |_| Ok(true))?;
            let more = orders.len() > limit;
            orders.truncate(limit);
            Ok(OrderPage { orders, more })
        })
    }

    async fn begin_issuance(&self, begin: BeginIssuance, cause: &Cause) -> Result<IssuanceBegun> {
        let now = cause.now;
        self.write(move |transaction| {
            let mut order = load(transaction, &begin.account, &begin.order)?;
            let account = transaction.load(&ACCOUNTS, order.account.as_bytes())?;
            account.require_valid()?;
            order.begin_issuance(begin.csr, begin.serial.clone(), now)?;
            certificate::record_serial(transaction, &begin.serial, &order.id)?;
            save(transaction, &order)?;
            let job = Job::new(account.directory, Work::issuance(&order), begin.lease, now);
            let lease = job.born_lease();
            transaction.put(&JOBS, job.id.as_bytes(), &job)?;
            Ok(IssuanceBegun { order, lease })
        })
        .await
    }

    async fn finish_issuance(&self, lease: Lease, outcome: IssuanceOutcome, cause: &Cause) -> Result<Order> {
        let cause = cause.clone();
        self.write(move |transaction| {
            let job = job::held(transaction, &lease, cause.now)?;
            let Work::Issue { account, order } = job.work else { return Err(StorageError::LeaseLost) };
            let mut order = load(transaction, &account, &order)?;
            transaction.remove(&JOBS, job.id.as_bytes())?;
            trace::keep(transaction, &cause)?;
            let Some(event) = order.finish_issuance(&outcome) else { return Ok(order) };
            if let IssuanceOutcome::Issued(certificate) = outcome {
                certificate::insert(transaction, &certificate)?;
            }
            save(transaction, &order)?;
            audit::record(transaction, event, &cause)?;
            Ok(order)
        })
        .await
    }
}
