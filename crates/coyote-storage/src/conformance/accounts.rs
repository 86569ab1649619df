//! What [`AccountStore`](crate::AccountStore) promises.

use coyote_protocol::AccountStatus;

use super::World;
use super::fixture::{MINUTE, NOW, cause, cause_at, expect_conflict, expect_not_found, expect_one_success};
use super::race::{CONTENDERS, ROUNDS, race};
use crate::{AccountChange, AccountId, Conflict, Creation, DirectoryId};

/// By its id and by its key.
pub async fn a_new_account_reads_back_as_it_was_stored(world: World) {
    let account = world.account().await;
    assert_eq!(world.storage.account(&account.directory, &account.id).await.unwrap(), account);
    let thumbprint = account.key.thumbprint();
    assert_eq!(world.storage.account_by_key(&account.directory, &thumbprint).await.unwrap(), account);
}

/// However many ask at the same time.
pub async fn of_many_new_accounts_with_one_key_one_is_created_and_all_get_it(world: World) {
    for round in 0..ROUNDS {
        let key = world.key();
        let created = race((0..CONTENDERS).map(|_| {
            let world = world.clone();
            let account = crate::Account { key: key.clone(), ..world.new_account() };
            async move { world.storage.create_account(account, &cause()).await.unwrap() }
        }));
        let (created, existing): (Vec<_>, Vec<_>) =
            created.await.into_iter().partition(|creation| matches!(creation, Creation::Created(_)));
        assert_eq!(created.len(), 1, "round {round}: one account is created");
        let [Creation::Created(account)] = &created[..] else { unreachable!() };
        assert!(existing.iter().all(|answer| *answer == Creation::Existing(account.clone())), "{existing:?}");
    }
}

/// RFC 8555 section 7.3.1: also if the account is closed, and its contacts stay.
pub async fn a_key_that_has_an_account_gets_that_account_also_a_closed_one(world: World) {
    let account = world.account().await;
    let again = || crate::Account { key: account.key.clone(), contact: Vec::new(), ..world.new_account() };

    let answer = world.storage.create_account(again(), &cause()).await.unwrap();
    assert_eq!(answer, Creation::Existing(account.clone()));

    let closed = world.close(&account).await;
    let answer = world.storage.create_account(again(), &cause()).await.unwrap();
    assert_eq!(answer, Creation::Existing(closed));
}

/// Directories share nothing but the storage.
pub async fn one_key_may_have_an_account_in_each_directory(world: World) {
    let here = world.account().await;
    let there =
        crate::Account { directory: DirectoryId::new("other"), key: here.key.clone(), ..world.new_account() };
    let there = world.store_account(there).await;
    for account in [&here, &there] {
        let found = world.storage.account_by_key(&account.directory, &here.key.thumbprint()).await;
        assert_eq!(found.unwrap(), *account);
    }
}

/// Not by its id, and not by its key.
pub async fn an_account_is_not_found_in_another_directory(world: World) {
    let account = world.account().await;
    let other = DirectoryId::new("other");
    expect_not_found(world.storage.account(&other, &account.id).await);
    expect_not_found(world.storage.account_by_key(&other, &account.key.thumbprint()).await);
}

/// By whichever operation.
pub async fn an_unknown_account_is_not_found(world: World) {
    let unknown = world.new_account();
    let thumbprint = unknown.key.thumbprint();
    expect_not_found(world.storage.account(&unknown.directory, &unknown.id).await);
    expect_not_found(world.storage.account_by_key(&unknown.directory, &thumbprint).await);
    let change = AccountChange { deactivate: true, ..Default::default() };
    expect_not_found(world.storage.update_account(&unknown.id, change, &cause()).await);
    expect_not_found(world.storage.change_account_key(&unknown.id, &thumbprint, world.key(), &cause()).await);
}

/// Also one of another directory.
pub async fn an_account_id_in_use_is_refused_and_its_account_unharmed(world: World) {
    let account = world.account().await;
    for directory in [DirectoryId::default(), DirectoryId::new("other")] {
        let intruder = crate::Account { id: account.id, directory, ..world.new_account() };
        let key = intruder.key.thumbprint();
        expect_conflict(world.storage.create_account(intruder.clone(), &cause()).await, Conflict::IdInUse);
        expect_not_found(world.storage.account_by_key(&intruder.directory, &key).await);
    }
    assert_eq!(world.storage.account(&account.directory, &account.id).await.unwrap(), account);
}

/// However many ask at the same time.
pub async fn of_many_new_accounts_with_one_id_one_is_created(world: World) {
    for _ in 0..ROUNDS {
        let id = AccountId::from_bytes(world.bits());
        let created = race((0..CONTENDERS).map(|_| {
            let world = world.clone();
            let account = crate::Account { id, ..world.new_account() };
            async move { world.storage.create_account(account, &cause()).await }
        }));
        let created = expect_one_success(created.await, Conflict::IdInUse);
        let stored = world.storage.account(&DirectoryId::default(), &id).await.unwrap();
        assert_eq!(created, Creation::Created(stored));
    }
}

/// RFC 8555 sections 7.3.2 and 7.3.3.
pub async fn an_update_changes_what_it_names_and_nothing_else(world: World) {
    let mut expected = world.account().await;
    let contact = vec!["mailto:new@example.org".to_owned(), "tel:+4912345".to_owned()];
    let now = NOW + MINUTE;

    let change = AccountChange { contact: Some(contact.clone()), ..Default::default() };
    let updated = world.storage.update_account(&expected.id, change, &cause_at(now)).await.unwrap();
    expected.contact = contact;
    assert_eq!(updated, expected);

    let change = AccountChange { agree_to_terms_of_service: true, ..Default::default() };
    world.storage.update_account(&expected.id, change, &cause_at(now)).await.unwrap();
    expected.terms_of_service_agreed = Some(now);

    let change = AccountChange { contact: Some(Vec::new()), ..Default::default() };
    let updated = world.storage.update_account(&expected.id, change, &cause_at(now)).await.unwrap();
    expected.contact = Vec::new();
    assert_eq!(updated, expected);
    assert_eq!(world.storage.account(&expected.directory, &expected.id).await.unwrap(), expected);
}

/// Two that change different members both have their way.
pub async fn of_concurrent_updates_none_is_lost(world: World) {
    for round in 0..ROUNDS {
        let account = world.account().await;
        let contact = AccountChange { contact: Some(Vec::new()), ..Default::default() };
        let terms = AccountChange { agree_to_terms_of_service: true, ..Default::default() };
        let updates = race([contact, terms].map(|change| {
            let world = world.clone();
            async move { world.storage.update_account(&account.id, change, &cause()).await.unwrap() }
        }));
        updates.await;
        let account = world.storage.account(&account.directory, &account.id).await.unwrap();
        assert_eq!(account.contact, Vec::<String>::new(), "round {round}: the contacts were changed");
        assert_eq!(account.terms_of_service_agreed, Some(NOW), "round {round}: the terms were agreed to");
    }
}

/// RFC 8555 section 7.3.6: for ever.
pub async fn a_closed_account_stays_closed_and_cannot_be_changed(world: World) {
    let account = world.account().await;
    let closed = world.close(&account).await;
    assert_eq!(closed.status(), AccountStatus::Deactivated);

    for change in [
        AccountChange { contact: Some(Vec::new()), ..Default::default() },
        AccountChange { deactivate: true, ..Default::default() },
        AccountChange::default(),
    ] {
        let answer = world.storage.update_account(&account.id, change, &cause()).await;
        expect_conflict(answer, Conflict::AccountNotValid);
    }
    let old = account.key.thumbprint();
    let answer = world.storage.change_account_key(&account.id, &old, world.key(), &cause()).await;
    expect_conflict(answer, Conflict::AccountNotValid);
    assert_eq!(world.storage.account(&account.directory, &account.id).await.unwrap(), closed);
}

/// RFC 8555 section 7.3.5. The key it had before is free again.
pub async fn an_account_answers_to_its_new_key_and_to_no_other(world: World) {
    let account = world.account().await;
    let (old, key) = (account.key.thumbprint(), world.key());

    let changed = world.storage.change_account_key(&account.id, &old, key.clone(), &cause()).await.unwrap();
    assert_eq!(changed, crate::Account { key: key.clone(), ..account.clone() });
    let found = world.storage.account_by_key(&account.directory, &key.thumbprint()).await.unwrap();
    assert_eq!(found, changed);
    expect_not_found(world.storage.account_by_key(&account.directory, &old).await);

    let successor = crate::Account { key: account.key, ..world.new_account() };
    world.store_account(successor).await;
}

/// RFC 8555 section 7.3.5: the 409 names the account.
pub async fn a_key_that_has_an_account_is_refused_as_a_new_key_and_the_account_is_named(world: World) {
    let (account, other) = (world.account().await, world.account().await);
    let closed = world.account().await;
    world.close(&closed).await;

    let old = account.key.thumbprint();
    for holder in [&other, &closed, &account] {
        let answer = world.storage.change_account_key(&account.id, &old, holder.key.clone(), &cause()).await;
        expect_conflict(answer, Conflict::KeyInUse(holder.id));
    }
    assert_eq!(world.storage.account_by_key(&account.directory, &old).await.unwrap(), account);
}

/// In another directory it counts for nothing.
pub async fn a_key_of_another_directory_may_become_an_accounts_new_key(world: World) {
    let account = world.account().await;
    let there = crate::Account { directory: DirectoryId::new("other"), ..world.new_account() };
    let there = world.store_account(there).await;
    let old = account.key.thumbprint();
    let changed =
        world.storage.change_account_key(&account.id, &old, there.key.clone(), &cause()).await.unwrap();
    assert_eq!(changed.key, there.key);
}

/// The change was signed with a key that is no longer the account's.
pub async fn a_key_change_from_a_key_that_was_changed_meanwhile_is_refused(world: World) {
    let account = world.account().await;
    let (old, key) = (account.key.thumbprint(), world.key());
    world.storage.change_account_key(&account.id, &old, key.clone(), &cause()).await.unwrap();
    let late = world.storage.change_account_key(&account.id, &old, world.key(), &cause()).await;
    expect_conflict(late, Conflict::KeyChanged);
    let stored = world.storage.account(&account.directory, &account.id).await.unwrap();
    assert_eq!(stored.key, key);
}

/// And from then on the account answers to that one's key only.
pub async fn of_many_key_changes_from_one_key_one_succeeds(world: World) {
    for _ in 0..ROUNDS {
        let account = world.account().await;
        let (id, old) = (account.id, account.key.thumbprint());
        let keys: Vec<_> = (0..CONTENDERS).map(|_| world.key()).collect();
        let changes = race(keys.clone().into_iter().map(|key| {
            let world = world.clone();
            async move { world.storage.change_account_key(&id, &old, key, &cause()).await }
        }));
        let winner = expect_one_success(changes.await, Conflict::KeyChanged);
        for key in keys {
            let found = world.storage.account_by_key(&account.directory, &key.thumbprint()).await;
            assert_eq!(found.is_ok(), key == winner.key, "only the winner's key has an account");
        }
    }
}

/// Several accounts, one new key.
pub async fn of_many_accounts_that_change_to_one_key_one_succeeds(world: World) {
    for round in 0..ROUNDS {
        let key = world.key();
        let mut changes = Vec::new();
        for _ in 0..4 {
            let (world, key, account) = (world.clone(), key.clone(), world.account().await);
            changes.push(async move {
                let old = account.key.thumbprint();
                world.storage.change_account_key(&account.id, &old, key, &cause()).await
            });
        }
        let results = race(changes).await;
        let holder = world.storage.account_by_key(&DirectoryId::default(), &key.thumbprint()).await.unwrap();
        let winner = expect_one_success(results, Conflict::KeyInUse(holder.id));
        assert_eq!(winner, holder, "round {round}");
    }
}

/// Whichever comes first has the key.
pub async fn a_new_account_and_a_key_change_do_not_both_get_one_key(world: World) {
    for round in 0..ROUNDS {
        let (account, key) = (world.account().await, world.key());
        let newcomer = crate::Account { key: key.clone(), ..world.new_account() };
        let (opens, changes, wanted) = (world.clone(), world.clone(), key.clone());
        let open = tokio::spawn(async move { opens.storage.create_account(newcomer, &cause()).await });
        let change = tokio::spawn(async move {
            let old = account.key.thumbprint();
            changes.storage.change_account_key(&account.id, &old, wanted, &cause()).await
        });
        let (opened, changed) = (open.await.unwrap().unwrap(), change.await.unwrap());
        let holder = world.storage.account_by_key(&DirectoryId::default(), &key.thumbprint()).await.unwrap();
        match opened {
            Creation::Created(created) => {
                assert_eq!(created, holder, "round {round}");
                expect_conflict(changed, Conflict::KeyInUse(created.id));
            }
            Creation::Existing(existing) => assert_eq!(existing, changed.unwrap(), "round {round}"),
        }
    }
}
