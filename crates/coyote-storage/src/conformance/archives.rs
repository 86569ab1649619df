//! Promises of [`Archive`]: what is copied into a storage, and out of it again, is what it was.

use std::any::Any;
use std::sync::Arc;

use coyote_protocol::RevocationReason;

use super::Subject;
use super::fixture::{DAY, NOW, PENDING, World, cause, placing, problem, sweep};
use crate::archive::{copy, differences};
use crate::{
    Account, AccountChange, Archive, AuditFilter, Conflict, IssuanceOutcome, Lease, MemoryStorage, Record,
    RecordKey, RecordKind, Standing, Storage, StorageError, Sweep,
};

/// A storage to be tested, in which there is nothing.
pub struct Archived {
    storage: Arc<dyn Storage>,
    archive: Arc<dyn Archive>,
    kept: Vec<Box<dyn Any + Send + Sync>>,
}

impl Archived {
    /// Tests this storage.
    pub fn new(storage: Arc<impl Storage + Archive>) -> Self {
        Self { storage: storage.clone(), archive: storage, kept: Vec::new() }
    }

    /// Keeps something, like a temporary directory, until the test is over.
    pub fn keeping(mut self, guard: impl Any + Send + Sync) -> Self {
        self.kept.push(Box::new(guard));
        self
    }
}

/// Where records come from: a memory store with some of each kind.
struct Origin {
    memory: Arc<MemoryStorage>,
    world: World,
    accounts: [Account; 2],
    processing: Lease,
}

impl Origin {
    async fn new() -> Self {
        let memory = Arc::new(MemoryStorage::new());
        let world = World::from(Subject::new(memory.clone(), |_| std::future::ready(())));
        let key = world.external_account_key(Some(3)).await;
        let accounts = [world.account().await, world.store_account(world.new_account_of(&key)).await];
        let [account, other] = &accounts;
        world.close(&world.account().await).await;
        let certificate = world.certificate(account).await;
        world.certificate(other).await;
        let reason = RevocationReason::Superseded;
        world.revoke(&certificate.id, reason, &cause()).await.unwrap();
        let order = world.order(account, &["b.test", "a.test"]).await;
        let _lease = world.begin_validation(&order.authorizations[0]).await;
        world.authorization(other).await;
        let (_, refused) = world.processing_order(other).await;
        let outcome = IssuanceOutcome::Refused(problem("no"));
        world.storage.finish_issuance(refused, outcome, &cause()).await.unwrap();
        let (_, processing) = world.processing_order(account).await;
        Self { memory, world, accounts, processing }
    }
}

/// Copies it out into a memory store.
async fn taken_out(archived: &Archived) -> MemoryStorage {
    let memory = MemoryStorage::new();
    copy(&*archived.archive, &memory, &Standing::InService, 7, |_| {}).await.unwrap();
    memory
}

async fn all(archive: &dyn Archive, kind: RecordKind) -> Vec<Record> {
    archive.export(kind, None, u32::MAX >> 1).await.unwrap()
}

async fn assert_equal(origin: &MemoryStorage, archived: &Archived) {
    for kind in RecordKind::ALL {
        let (here, there) = (all(origin, kind).await, all(&*archived.archive, kind).await);
        assert_eq!(here, there, "{kind:?}");
        assert_eq!(archived.archive.count(kind).await.unwrap(), there.len() as u64, "{kind:?}");
    }
    assert_eq!(differences(origin, &*archived.archive, 3).await.unwrap(), 0);
    assert_eq!(origin.dump(), taken_out(archived).await.dump());
}

/// There is one of each kind, at least.
pub async fn what_is_copied_reads_back_as_it_was(archived: Archived) {
    let origin = Origin::new().await;
    let copied = copy(&*origin.memory, &*archived.archive, &Standing::InService, 5, |_| {}).await.unwrap();
    for (kind, copied) in RecordKind::ALL.into_iter().zip(&copied) {
        assert!(copied.records > 0 && copied.stored == copied.records, "{kind:?}: {copied:?}");
    }
    assert_equal(&origin.memory, &archived).await;
}

/// It can be interrupted anywhere, and done again.
pub async fn what_is_copied_again_changes_nothing(archived: Archived) {
    let origin = Origin::new().await;
    for kind in [RecordKind::Account, RecordKind::Authorization] {
        archived.archive.import(&Standing::InService, all(&*origin.memory, kind).await).await.unwrap();
    }
    copy(&*origin.memory, &*archived.archive, &Standing::InService, 100, |_| {}).await.unwrap();
    let again = copy(&*origin.memory, &*archived.archive, &Standing::InService, 2, |_| {}).await.unwrap();
    assert!(again.iter().all(|copied| copied.is_unchanged()), "{again:?}");
    for kind in RecordKind::ALL {
        archived.archive.import(&Standing::InService, all(&*origin.memory, kind).await).await.unwrap();
    }
    assert_equal(&origin.memory, &archived).await;
}

/// Of each kind.
pub async fn what_changed_since_is_changed_and_what_is_gone_is_removed(archived: Archived) {
    let origin = Origin::new().await;
    copy(&*origin.memory, &*archived.archive, &Standing::InService, 4, |_| {}).await.unwrap();

    let Origin { memory, world, accounts: [account, other], processing } = origin;
    let change = AccountChange { contact: Some(vec![]), ..AccountChange::default() };
    world.storage.update_account(&account.id, change, &cause()).await.unwrap();
    world.storage.release_job(processing, NOW + DAY, &cause()).await.unwrap();
    let certificate = world.certificate(&other).await;
    let removed = Sweep {
        remove_expired_before: NOW + PENDING * 2,
        remove_issued_before: certificate.not_after,
        remove_audit_before: NOW - DAY,
        ..sweep()
    };
    world.storage.sweep(&removed, &cause()).await.unwrap();
    let replacing = crate::Order { replaces: Some(certificate.id), ..world.new_order(&other, &["a.test"]) };
    world.storage.create_order(placing(replacing), &cause()).await.unwrap();

    let copied = copy(&*memory, &*archived.archive, &Standing::InService, 4, |_| {}).await.unwrap();
    assert!(copied.iter().any(|copied| copied.removed > 0), "{copied:?}");
    assert_equal(&memory, &archived).await;
}

/// Whatever the order in which they come.
pub async fn accounts_that_have_exchanged_their_keys_are_copied(archived: Archived) {
    let Origin { memory, world, accounts: [one, other], .. } = Origin::new().await;
    copy(&*memory, &*archived.archive, &Standing::InService, 100, |_| {}).await.unwrap();
    let change = async |account: &Account, old: &Account, new| {
        let old = old.key.thumbprint();
        world.storage.change_account_key(&account.id, &old, new, &cause()).await.unwrap()
    };
    let between = change(&one, &one, world.key()).await;
    change(&other, &other, one.key.clone()).await;
    change(&one, &between, other.key.clone()).await;

    copy(&*memory, &*archived.archive, &Standing::InService, 1, |_| {}).await.unwrap();
    copy(&*memory, &*archived.archive, &Standing::InService, 1, |_| {}).await.unwrap();
    assert_equal(&memory, &archived).await;
    let found = archived.storage.account_by_key(&one.directory, &other.key.thumbprint()).await.unwrap();
    assert_eq!(found.id, one.id);
}

/// So that no page is ever refused because another came late.
pub async fn what_refers_to_a_record_that_is_not_there_waits_for_it(archived: Archived) {
    let origin = Origin::new().await;
    for kind in [RecordKind::Authorization, RecordKind::Order, RecordKind::Certificate] {
        let records = all(&*origin.memory, kind).await;
        assert_eq!(
            archived.archive.import(&Standing::InService, records).await.unwrap(),
            0,
            "{kind:?} without accounts"
        );
        assert_eq!(archived.archive.count(kind).await.unwrap(), 0);
    }
    archived
        .archive
        .import(&Standing::InService, all(&*origin.memory, RecordKind::Account).await)
        .await
        .unwrap();
    let orders = all(&*origin.memory, RecordKind::Order).await;
    assert_eq!(
        archived.archive.import(&Standing::InService, orders).await.unwrap(),
        0,
        "orders without authorizations"
    );
    copy(&*origin.memory, &*archived.archive, &Standing::InService, 3, |_| {}).await.unwrap();
    assert_equal(&origin.memory, &archived).await;
}

/// In the order of the keys.
pub async fn pages_of_any_length_make_up_the_whole_archive(archived: Archived) {
    let origin = Origin::new().await;
    copy(&*origin.memory, &*archived.archive, &Standing::InService, 100, |_| {}).await.unwrap();
    for kind in RecordKind::ALL {
        let whole = all(&*archived.archive, kind).await;
        assert!(whole.is_sorted_by_key(Record::key), "{kind:?}");
        for limit in 1..=3 {
            let mut pages = Vec::new();
            loop {
                let last = pages.last().map(Record::key);
                let page = archived.archive.export(kind, last.as_ref(), limit).await.unwrap();
                assert!(page.len() <= limit as usize);
                if page.is_empty() {
                    break;
                }
                pages.extend(page);
            }
            assert_eq!(pages, whole, "{kind:?} in pages of {limit}");
        }
    }
}

/// Also with a lease that the source gave.
pub async fn work_goes_on_in_the_copy(archived: Archived) {
    let Origin { memory, world, accounts: [account, _], processing } = Origin::new().await;
    copy(&*memory, &*archived.archive, &Standing::InService, 100, |_| {}).await.unwrap();
    let crate::Work::Issue { order, .. } = processing.work else { panic!("an issuance") };
    let order = archived.storage.order(&account.id, &order).await.unwrap();
    let certificate = world.new_certificate(&order);
    let outcome = IssuanceOutcome::Issued(Box::new(certificate.clone()));
    let finished = archived.storage.finish_issuance(processing, outcome, &cause()).await.unwrap();
    assert_eq!(finished.certificate, Some(certificate.id));

    let new = archived.storage.create_account(world.new_account(), &cause()).await;
    let Ok(crate::Creation::Created(new)) = new else { panic!("{new:?}") };
    let latest = archived.storage.audit(&AuditFilter { subject: None, limit: 2 }).await.unwrap();
    let subjects: Vec<_> = latest.iter().map(|record| record.event.subject()).collect();
    assert_eq!(
        subjects,
        [new.id.to_string(), order.id.to_string()],
        "the log goes on behind what was copied"
    );
}

/// And is told what it was told.
pub async fn a_storage_that_has_left_refuses_every_write_until_it_is_back(archived: Archived) {
    let Origin { memory, world, accounts: [account, _], processing } = Origin::new().await;
    assert_eq!(archived.archive.standing().await.unwrap(), Standing::InService);
    let arriving = Standing::Arriving { from: "elsewhere".into(), run: "1".into() };
    assert!(archived.archive.stand(&Standing::InService, arriving.clone()).await.unwrap());
    assert_eq!(archived.archive.standing().await.unwrap(), arriving);
    copy(&*memory, &*archived.archive, &arriving, 100, |_| {}).await.unwrap();

    let left = |run: &str| Standing::Left { to: "a better place".into(), run: run.into() };
    assert!(archived.archive.stand(&arriving, left("1")).await.unwrap());
    assert!(archived.archive.stand(&left("1"), left("2")).await.unwrap());
    assert!(!archived.archive.stand(&left("1"), Standing::InService).await.unwrap(), "it is the second's");
    let left = left("2");
    let new = world.new_account();
    let refused = archived.storage.create_account(new.clone(), &cause()).await.map(|_| ());
    let told = format!("{refused:?}");
    assert!(matches!(refused, Err(StorageError::Unavailable { .. })), "{told}");
    assert!(told.contains("a better place"), "it says where everything is: {told}");
    let lease = super::fixture::copy(&processing);
    let refused = archived.storage.release_job(lease, NOW, &cause()).await;
    assert!(matches!(refused, Err(StorageError::Unavailable { .. })), "{refused:?}");
    assert_eq!(archived.storage.account(&account.directory, &account.id).await.unwrap(), account);
    assert_equal(&memory, &archived).await;

    assert!(archived.archive.stand(&left, Standing::InService).await.unwrap());
    archived.storage.create_account(new, &cause()).await.unwrap();
    archived.storage.release_job(processing, NOW, &cause()).await.unwrap();
}

/// So that two who fill it, or fill it and open it, are never in each other's way unnoticed.
pub async fn a_storage_is_filled_by_one_who_is_stopped_when_another_takes_it_over(archived: Archived) {
    let Origin { memory, .. } = Origin::new().await;
    let arriving = |run: &str| Standing::Arriving { from: "elsewhere".into(), run: run.into() };
    let (first, second, archive) = (arriving("1"), arriving("2"), &archived.archive);
    assert!(archive.stand(&Standing::InService, first.clone()).await.unwrap());
    assert!(!archive.stand(&Standing::InService, second.clone()).await.unwrap(), "it is the first's");
    assert!(archive.stand(&first, second.clone()).await.unwrap());

    let late = copy(&*memory, &**archive, &first, 100, |_| {}).await;
    assert!(matches!(late, Err(StorageError::Conflict(Conflict::MovedOn))), "{late:?}");
    let late = archive.remove(&first, Vec::new()).await;
    assert!(matches!(late, Err(StorageError::Conflict(Conflict::MovedOn))), "{late:?}");
    assert_eq!(archive.count(RecordKind::Account).await.unwrap(), 0, "nothing was stored");
    assert!(!archive.stand(&first, Standing::InService).await.unwrap(), "nor can it be opened");

    copy(&*memory, &**archive, &second, 100, |_| {}).await.unwrap();
    assert!(archive.stand(&second, Standing::InService).await.unwrap());
    assert!(!archive.stand(&second, Standing::InService).await.unwrap(), "once");
}

/// A server that runs on it, or is pointed at it too early, does not spoil what arrives.
pub async fn a_storage_that_arrives_takes_copies_and_nothing_else(archived: Archived) {
    let Origin { memory, world, accounts: [account, _], processing } = Origin::new().await;
    let arriving = Standing::Arriving { from: "an older place".into(), run: "1".into() };
    assert!(archived.archive.stand(&Standing::InService, arriving.clone()).await.unwrap());
    for _ in 0..2 {
        copy(&*memory, &*archived.archive, &arriving, 100, |_| {}).await.unwrap();
        let refused = archived.storage.create_account(world.new_account(), &cause()).await.map(|_| ());
        let told = format!("{refused:?}");
        assert!(matches!(refused, Err(StorageError::Unavailable { .. })), "{told}");
        assert!(told.contains("an older place"), "it says where everything comes from: {told}");
        let lease = super::fixture::copy(&processing);
        let refused = archived.storage.release_job(lease, NOW, &cause()).await;
        assert!(matches!(refused, Err(StorageError::Unavailable { .. })), "{refused:?}");
        let keys = vec![RecordKey::Audit(u64::MAX >> 1)];
        archived.archive.remove(&arriving, keys).await.unwrap();
    }
    assert_eq!(archived.storage.account(&account.directory, &account.id).await.unwrap(), account);
    assert_equal(&memory, &archived).await;
}

/// Whoever gives the wrong name to be moved to loses nothing, and does not even notice: nobody is kept from writing.
pub async fn a_storage_with_anything_in_it_does_not_begin_to_arrive(archived: Archived) {
    let Origin { memory, world, .. } = Origin::new().await;
    let arriving = Standing::Arriving { from: "elsewhere".into(), run: "1".into() };
    for kind in RecordKind::ALL {
        let records = all(&*memory, kind).await;
        if archived.archive.import(&Standing::InService, records).await.unwrap() == 0 {
            continue;
        }
        let refused = archived.archive.stand(&Standing::InService, arriving.clone()).await;
        assert!(matches!(refused, Err(StorageError::Conflict(Conflict::NotEmpty))), "{kind:?}: {refused:?}");
    }
    assert_eq!(archived.archive.standing().await.unwrap(), Standing::InService);
    archived.storage.create_account(world.new_account(), &cause()).await.unwrap();

    let left = Standing::Left { to: "elsewhere".into(), run: "2".into() };
    assert!(archived.archive.stand(&Standing::InService, left.clone()).await.unwrap());
    assert!(archived.archive.stand(&left, arriving).await.unwrap(), "what it has is elsewhere, too");
}
