use std::collections::BTreeMap;
use std::ops::Bound;

use async_trait::async_trait;
use coyote_protocol::Timestamp;

use super::{MemoryStorage, State, StoredOrder};
use crate::{
    Account, Archive, AuthorizationId, Conflict, Order, Record, RecordKey, RecordKind, Result, Standing,
    StorageError,
};

#[async_trait]
impl Archive for MemoryStorage {
    async fn export(&self, kind: RecordKind, after: Option<&RecordKey>, limit: u32) -> Result<Vec<Record>> {
        self.read(|state| {
            let records = state.records(kind);
            let from = after.filter(|after| records.keys().next().is_some_and(|first| *after >= first));
            let range = (from.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
            Ok(records
                .range::<RecordKey, _>(range)
                .take(limit as usize)
                .map(|(_, one)| one.clone())
                .collect())
        })
    }

    async fn count(&self, kind: RecordKind) -> Result<u64> {
        self.read(|state| Ok(state.records(kind).len() as u64))
    }

    async fn import(&self, standing: &Standing, records: Vec<Record>) -> Result<u64> {
        let mut state = self.lock();
        state.require_to_take_copies(standing)?;
        Ok(records.into_iter().map(|record| u64::from(state.import(record))).sum())
    }

    async fn remove(&self, standing: &Standing, keys: Vec<RecordKey>) -> Result<()> {
        let mut state = self.lock();
        state.require_to_take_copies(standing)?;
        keys.iter().for_each(|key| state.forget(key));
        Ok(())
    }

    async fn standing(&self) -> Result<Standing> {
        self.read(|state| Ok(state.standing.clone()))
    }

    async fn stand(&self, from: &Standing, to: Standing) -> Result<bool> {
        let mut state = self.lock();
        if state.standing != *from {
            return Ok(false);
        }
        let to_be_filled = matches!((from, &to), (Standing::InService, Standing::Arriving { .. }));
        if to_be_filled && RecordKind::ALL.iter().any(|kind| !state.records(*kind).is_empty()) {
            return Err(Conflict::NotEmpty.into());
        }
        state.standing = to;
        Ok(true)
    }
}

impl State {
    /// Nothing is written where not everything is yet, or from where everything has gone elsewhere.
    pub(super) fn require_in_service(&self) -> Result<()> {
        match self.standing.refusal() {
            Some(refusal) => Err(StorageError::Unavailable { doing: "writing", source: refusal.into() }),
            None => Ok(()),
        }
    }

    fn require_to_take_copies(&self, standing: &Standing) -> Result<()> {
        if self.standing != *standing {
            return Err(Conflict::MovedOn.into());
        }
        if matches!(standing, Standing::Arriving { .. }) { Ok(()) } else { self.require_in_service() }
    }

    fn records(&self, kind: RecordKind) -> BTreeMap<RecordKey, Record> {
        let records: Vec<Record> = match kind {
            RecordKind::Account => self.accounts.values().cloned().map(Record::Account).collect(),
            RecordKind::ExternalAccountKey => {
                self.external_account_keys.values().cloned().map(Record::ExternalAccountKey).collect()
            }
            RecordKind::Authorization => {
                self.authorizations.values().cloned().map(Record::Authorization).collect()
            }
            RecordKind::Order => {
                let orders = self.orders.values().cloned();
                let record = |StoredOrder { order, authorizations }| Record::Order { order, authorizations };
                orders.map(record).collect()
            }
            RecordKind::Certificate => self.certificates.values().cloned().map(Record::Certificate).collect(),
            RecordKind::Serial => {
                let serials = self.serials.iter();
                let record = |(serial, (order, reserved)): (&_, &(_, _))| Record::Serial {
                    serial: Clone::clone(serial),
                    order: *order,
                    reserved: *reserved,
                };
                serials.map(record).collect()
            }
            RecordKind::Job => self.jobs.values().cloned().map(Record::Job).collect(),
            RecordKind::Audit => {
                let audit = self.audit.iter();
                audit
                    .map(|(number, record)| Record::Audit { number: *number, record: record.clone() })
                    .collect()
            }
        };
        records.into_iter().map(|record| (record.key(), record)).collect()
    }

    /// Whether it was stored: not if something is missing that it refers to.
    fn import(&mut self, record: Record) -> bool {
        match record {
            Record::Account(account) => self.import_account(account),
            Record::ExternalAccountKey(key) => self.save_external_account_key(key),
            Record::Authorization(authorization) => {
                if !self.accounts.contains_key(&authorization.account) {
                    return false;
                }
                self.save_authorization(authorization);
            }
            Record::Order { order, authorizations } => return self.import_order(order, authorizations),
            Record::Certificate(certificate) => {
                if !self.orders.contains_key(&certificate.order) {
                    return false;
                }
                self.certificate_serials.insert(certificate.serial.clone(), certificate.id);
                self.certificates.insert(certificate.id, certificate);
            }
            Record::Serial { serial, order, reserved } => {
                self.serials.insert(serial, (order, reserved));
            }
            Record::Job(job) => {
                self.jobs.insert(job.id, job);
            }
            Record::Audit { number, record } => {
                self.audit.insert(number, record);
            }
        }
        true
    }

    fn import_account(&mut self, account: Account) {
        self.forget(&RecordKey::Account(account.id));
        let key = (account.directory.clone(), account.key.thumbprint());
        let holder = self.keys.insert(key, account.id);
        if let Some(outdated) = holder.and_then(|holder| self.accounts.get_mut(&holder)) {
            outdated.created = Timestamp::from_millis(i64::MIN);
        }
        self.accounts.insert(account.id, account);
    }

    fn import_order(&mut self, order: Order, authorizations: Vec<AuthorizationId>) -> bool {
        let all_here = authorizations.iter().all(|id| self.authorizations.contains_key(id));
        let complete = all_here && self.accounts.contains_key(&order.account);
        if complete {
            self.orders.insert(order.id, StoredOrder { order, authorizations });
        }
        complete
    }

    fn forget(&mut self, key: &RecordKey) {
        match key {
            RecordKey::Account(id) => {
                let key =
                    self.accounts.remove(id).map(|gone| (gone.directory.clone(), gone.key.thumbprint()));
                if let Some(key) = key.filter(|key| self.keys.get(key) == Some(id)) {
                    self.keys.remove(&key);
                }
            }
            RecordKey::ExternalAccountKey(directory, kid) => {
                self.external_account_keys.remove(&(directory.clone(), kid.clone()));
            }
            RecordKey::Authorization(id) => {
                self.authorizations.remove(id);
            }
            RecordKey::Order(id) => {
                self.orders.remove(id);
            }
            RecordKey::Certificate(id) => {
                if let Some(certificate) = self.certificates.remove(id) {
                    self.certificate_serials.remove(&certificate.serial);
                }
            }
            RecordKey::Serial(serial) => {
                self.serials.remove(serial);
            }
            RecordKey::Job(id) => {
                self.jobs.remove(id);
            }
            RecordKey::Audit(number) => {
                self.audit.remove(number);
            }
        }
    }
}
