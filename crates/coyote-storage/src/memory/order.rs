use std::cmp::Reverse;
use std::collections::BTreeSet;

use async_trait::async_trait;
use coyote_protocol::AuthorizationStatus;

use super::{MemoryStorage, State, StoredOrder};
use crate::{
    AccountId, BeginIssuance, Cause, Certificate, Conflict, IssuanceBegun, IssuanceOutcome, Job, Lease,
    NewOrder, Order, OrderId, OrderPage, OrderStore, Result, StorageError, Work,
};

#[async_trait]
impl OrderStore for MemoryStorage {
    async fn create_order(&self, new: NewOrder, cause: &Cause) -> Result<Order> {
        let NewOrder { mut order, reused, most_open } = new;
        self.write(|state| {
            state.require_valid_account(&order.account)?;
            let orders = state.orders.values().map(|stored| &stored.order);
            let open = orders.filter(|other| other.account == order.account && other.is_open(cause.now));
            if open.count() >= most_open as usize {
                return Err(Conflict::TooManyOpen.into());
            }
            for id in &reused {
                let held =
                    state.authorization(&order.account, id).map_err(|_| Conflict::AuthorizationNotValid)?;
                if held.status(cause.now) != AuthorizationStatus::Valid {
                    return Err(Conflict::AuthorizationNotValid.into());
                }
            }
            let replaced = replace(state, &order, cause)?;
            require_new_ids(state, &order)?;

            state.certificates.extend(replaced.map(|certificate| (certificate.id, certificate)));
            let authorizations = std::mem::take(&mut order.authorizations);
            let ids = authorizations.iter().map(|new| new.id).chain(reused).collect();
            state.authorizations.extend(authorizations.into_iter().map(|new| (new.id, new)));
            let mut stored = StoredOrder { order, authorizations: ids };
            let joined = state.join(&stored)?;
            stored.authorizations = joined.authorizations.iter().map(|held| held.id).collect();
            state.orders.insert(joined.id, stored);
            Ok(joined)
        })
    }

    async fn order(&self, account: &AccountId, id: &OrderId) -> Result<Order> {
        self.read(|state| state.order(account, id))
    }

    async fn orders(&self, account: &AccountId, after: Option<&OrderId>, limit: u32) -> Result<OrderPage> {
        self.read(|state| {
            let orders = state.orders.values().map(|stored| &stored.order);
            let mut own: Vec<_> = orders.filter(|order| order.account == *account).collect();
            own.sort_by_key(|order| (Reverse(order.created), order.id));
            let mut ids = own.into_iter().map(|order| order.id);
            if let Some(after) = after {
                ids.by_ref().find(|id| id == after);
            }
            let orders = ids.by_ref().take(limit as usize).collect();
            Ok(OrderPage { orders, more: ids.next().is_some() })
        })
    }

    async fn begin_issuance(&self, begin: BeginIssuance, cause: &Cause) -> Result<IssuanceBegun> {
        self.write(|state| {
            let mut order = state.order(&begin.account, &begin.order)?;
            let account = state.account(&order.account)?;
            account.require_valid()?;
            let directory = account.directory.clone();
            order.begin_issuance(begin.csr, begin.serial.clone(), cause.now)?;
            if state.serials.contains_key(&begin.serial) {
                return Err(Conflict::SerialInUse.into());
            }
            let order = state.save_order(order)?;
            state.serials.insert(begin.serial, (order.id, cause.now));
            let job = Job::new(directory, Work::issuance(&order), begin.lease, cause.now);
            let lease = job.born_lease();
            state.jobs.insert(job.id, job);
            Ok(IssuanceBegun { order, lease })
        })
    }

    async fn finish_issuance(&self, lease: Lease, outcome: IssuanceOutcome, cause: &Cause) -> Result<Order> {
        self.write(|state| {
            let job = state.leased_job(&lease, cause)?;
            let Work::Issue { account, order } = job.work else { return Err(StorageError::LeaseLost) };
            let mut order = state.order(&account, &order)?;
            let event = order.finish_issuance(&outcome);
            if let (Some(_), IssuanceOutcome::Issued(certificate)) = (&event, outcome) {
                if state.certificates.contains_key(&certificate.id) {
                    return Err(Conflict::IdInUse.into());
                }
                if state.certificate_serials.contains_key(&certificate.serial) {
                    return Err(Conflict::SerialInUse.into());
                }
                state.certificate_serials.insert(certificate.serial.clone(), certificate.id);
                state.certificates.insert(certificate.id, *certificate);
            }
            state.jobs.remove(&job.id);
            state.keep_trace(cause);
            if let Some(event) = event {
                state.record(event, cause);
            }
            state.save_order(order)
        })
    }
}

/// The certificate that the order replaces, with that noted.
fn replace(state: &State, order: &Order, cause: &Cause) -> Result<Option<Certificate>> {
    let Some(id) = &order.replaces else { return Ok(None) };
    let mut certificate = state.certificates.get(id).ok_or(Conflict::NothingToReplace)?.clone();
    let before = certificate.replaced_by.and_then(|id| state.orders.get(&id));
    let before = before.map(|stored| state.join(stored)).transpose()?;
    certificate.replace(order, before.map(|order| order.status(cause.now)))?;
    Ok(Some(certificate))
}

fn require_new_ids(state: &State, order: &Order) -> Result<(), Conflict> {
    let mut new = BTreeSet::new();
    let is_new = |id| !state.authorizations.contains_key(&id) && new.insert(id);
    let all_new = order.authorizations.iter().map(|authorization| authorization.id).all(is_new);
    if all_new && !state.orders.contains_key(&order.id) { Ok(()) } else { Err(Conflict::IdInUse) }
}
