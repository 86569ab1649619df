//! What [`ExternalAccountStore`](crate::ExternalAccountStore) promises, and what
//! [`create_account`](crate::AccountStore::create_account) does of accounts that are bound to an external account.

use super::World;
use super::fixture::{
    DAY, MILLISECOND, MINUTE, NOW, cause, cause_at, expect_conflict, expect_not_found, expect_one_success,
};
use super::race::{CONTENDERS, ROUNDS, race};
use crate::{Account, Conflict, Creation, DirectoryId, ExternalAccountKey};

/// With its secret.
pub async fn a_new_external_account_key_reads_back_as_it_was_stored(world: World) {
    let key = ExternalAccountKey {
        expires: Some(NOW + DAY),
        most_accounts: Some(7),
        accounts: 3,
        domains: ["b.test", "a.test"].map(|name| name.parse().unwrap()).to_vec(),
        revoked: Some(NOW + MINUTE),
        ..world.new_external_account_key()
    };
    for key in [key, world.new_external_account_key()] {
        world.store_external_account_key(key.clone()).await;
        assert_eq!(world.reload_external_account_key(&key).await, key);
    }
}

/// Neither by a part of it nor in another directory.
pub async fn an_external_account_key_is_found_by_its_very_kid_in_its_directory(world: World) {
    let key = ExternalAccountKey { kid: "Kid-1".into(), ..world.new_external_account_key() };
    world.store_external_account_key(key.clone()).await;
    let other = DirectoryId::new("other");
    for (directory, kid) in
        [(&other, "Kid-1"), (&key.directory, "kid-1"), (&key.directory, "Kid"), (&key.directory, "Kid-1 ")]
    {
        expect_not_found(world.storage.external_account_key(directory, kid).await);
        expect_not_found(world.storage.revoke_external_account_key(directory, kid, &cause()).await);
    }
    assert_eq!(world.reload_external_account_key(&key).await, key);
}

/// And each counts for itself.
pub async fn one_kid_may_name_an_external_account_key_in_each_directory(world: World) {
    let here = world.external_account_key(None).await;
    let directory = DirectoryId::new("other");
    let there = ExternalAccountKey { kid: here.kid.clone(), directory, ..world.new_external_account_key() };
    world.store_external_account_key(there.clone()).await;
    world.store_account(world.new_account_of(&there)).await;
    world.storage.revoke_external_account_key(&there.directory, &there.kid, &cause()).await.unwrap();
    assert_eq!(world.reload_external_account_key(&here).await, here);
    assert_eq!(world.reload_external_account_key(&there).await.accounts, 1);
}

/// Also when it cannot be used any more.
pub async fn an_external_account_key_whose_kid_is_in_use_is_refused_and_the_first_unharmed(world: World) {
    let key = world.external_account_key(None).await;
    let key = world.storage.revoke_external_account_key(&key.directory, &key.kid, &cause()).await.unwrap();
    let second = ExternalAccountKey { kid: key.kid.clone(), ..world.new_external_account_key() };
    expect_conflict(world.storage.create_external_account_key(second, &cause()).await, Conflict::IdInUse);
    assert_eq!(world.reload_external_account_key(&key).await, key);
}

/// However many are stored at the same time.
pub async fn of_many_new_external_account_keys_with_one_kid_one_is_stored(world: World) {
    for _ in 0..ROUNDS {
        let kid = world.new_external_account_key().kid;
        let stored =
            race(
                (0..CONTENDERS).map(|_| {
                    let world = world.clone();
                    let key = ExternalAccountKey { kid: kid.clone(), ..world.new_external_account_key() };
                    async move {
                        world.storage.create_external_account_key(key.clone(), &cause()).await.map(|()| key)
                    }
                }),
            );
        let stored = expect_one_success(stored.await, Conflict::IdInUse);
        assert_eq!(world.reload_external_account_key(&stored).await, stored);
    }
}

/// In the order of the bytes of their `kid`, from any on, whether there is a key of that `kid` or not.
pub async fn pages_of_external_account_keys_make_up_the_whole_list(world: World) {
    let directory = DirectoryId::default();
    let other = DirectoryId::new("defaulu");
    let mut keys = Vec::new();
    for kid in ["b", "B", "", "ab", "a", "a b", "\u{e9}", "z", "10", "9", "\u{1f43a}", "\u{feff}"] {
        let key = ExternalAccountKey { kid: kid.into(), ..world.new_external_account_key() };
        let foreign = ExternalAccountKey { directory: other.clone(), ..key.clone() };
        world.store_external_account_key(key.clone()).await;
        world.store_external_account_key(foreign).await;
        keys.push(key);
    }
    keys.sort_by(|one, other| one.kid.as_bytes().cmp(other.kid.as_bytes()));
    let page = async |after: Option<&str>, limit| {
        world.storage.external_account_keys(&directory, after, limit).await.unwrap()
    };
    assert_eq!(page(None, 0).await, []);
    for length in [1, 5, keys.len(), 100] {
        let mut seen: Vec<ExternalAccountKey> = Vec::new();
        loop {
            let next = page(seen.last().map(|key| key.kid.as_str()), length as u32).await;
            assert!(next.len() <= length, "pages of {length}");
            if next.is_empty() {
                break;
            }
            seen.extend(next);
            assert!(seen.len() <= keys.len(), "pages of {length} have an end");
        }
        assert_eq!(seen, keys, "pages of {length}");
    }
    let rest = keys.iter().filter(|key| key.kid.as_str() > "aa").cloned();
    assert_eq!(page(Some("aa"), 100).await, rest.collect::<Vec<_>>());
}

/// What it opened stays as it is; what it would open is refused.
pub async fn an_external_account_key_that_is_revoked_opens_no_account_any_more(world: World) {
    let key = world.external_account_key(None).await;
    let account = world.store_account(world.new_account_of(&key)).await;
    let now = NOW + MINUTE;
    let revoked = world.storage.revoke_external_account_key(&key.directory, &key.kid, &cause_at(now)).await;
    let expected = ExternalAccountKey { accounts: 1, revoked: Some(now), ..key };
    assert_eq!(revoked.unwrap(), expected);
    assert_eq!(world.reload_external_account_key(&expected).await, expected);

    expect_refused(&world, &world.new_account_of(&expected), now).await;
    assert_eq!(world.reload_external_account_key(&expected).await, expected);
    assert_eq!(world.storage.account(&account.directory, &account.id).await.unwrap(), account);
}

/// It was revoked when it was revoked first.
pub async fn an_external_account_key_that_is_revoked_again_stays_as_it_is(world: World) {
    let key = world.external_account_key(None).await;
    let first = world.storage.revoke_external_account_key(&key.directory, &key.kid, &cause()).await.unwrap();
    let later = cause_at(NOW + DAY);
    let again = world.storage.revoke_external_account_key(&key.directory, &key.kid, &later).await.unwrap();
    assert_eq!(first, ExternalAccountKey { revoked: Some(NOW), ..key });
    assert_eq!(again, first);
    assert_eq!(world.reload_external_account_key(&first).await, first);
}

/// RFC 8555 section 7.3.4. Whoever asks for an account that exists is not counted again, nor is who gets none.
pub async fn an_account_is_counted_once_by_its_external_account_key(world: World) {
    let key = world.external_account_key(None).await;
    let account = world.store_account(world.new_account_of(&key)).await;
    assert_eq!(world.storage.account(&account.directory, &account.id).await.unwrap(), account);
    let expected = ExternalAccountKey { accounts: 1, ..key.clone() };
    assert_eq!(world.reload_external_account_key(&key).await, expected);

    let again = Account { key: account.key.clone(), ..world.new_account_of(&key) };
    let answer = world.storage.create_account(again, &cause()).await.unwrap();
    assert_eq!(answer, Creation::Existing(account.clone()));
    let intruder = Account { id: account.id, ..world.new_account_of(&key) };
    expect_conflict(world.storage.create_account(intruder, &cause()).await, Conflict::IdInUse);
    world.account().await;
    assert_eq!(world.reload_external_account_key(&key).await, expected);
}

/// And the key is not counted.
pub async fn an_account_is_refused_if_its_external_account_key_cannot_be_used(world: World) {
    let usable = world.new_external_account_key();
    let unknown = usable.clone();
    let expired = ExternalAccountKey { expires: Some(NOW + MINUTE), ..world.new_external_account_key() };
    let revoked = ExternalAccountKey { revoked: Some(NOW), ..world.new_external_account_key() };
    let used_up =
        ExternalAccountKey { most_accounts: Some(2), accounts: 2, ..world.new_external_account_key() };
    let elsewhere =
        ExternalAccountKey { directory: DirectoryId::new("other"), ..world.new_external_account_key() };
    for key in [&expired, &revoked, &used_up, &elsewhere] {
        world.store_external_account_key(key.clone()).await;
        let account = Account { directory: DirectoryId::default(), ..world.new_account_of(key) };
        expect_refused(&world, &account, NOW + MINUTE).await;
        assert_eq!(world.reload_external_account_key(key).await, *key);
    }
    expect_refused(&world, &world.new_account_of(&unknown), NOW + MINUTE).await;

    let account = world.new_account_of(&expired);
    let last = cause_at(NOW + MINUTE - MILLISECOND);
    world.storage.create_account(account, &last).await.expect("until it expires it can be used");
}

/// RFC 8555 section 7.3.1: who has an account needs nothing to find it.
pub async fn an_account_that_exists_is_the_answer_whatever_became_of_its_external_account_key(world: World) {
    let key = world.external_account_key(Some(1)).await;
    let account = world.store_account(world.new_account_of(&key)).await;
    world.storage.revoke_external_account_key(&key.directory, &key.kid, &cause()).await.unwrap();
    for kid in [key.kid.clone(), "unknown".into()] {
        let other = ExternalAccountKey { kid, ..key.clone() };
        let again = Account { key: account.key.clone(), ..world.new_account_of(&other) };
        let answer = world.storage.create_account(again, &cause()).await.unwrap();
        assert_eq!(answer, Creation::Existing(account.clone()));
    }
}

/// And the others have no account.
pub async fn of_many_who_use_an_external_account_key_for_the_last_time_one_succeeds(world: World) {
    for _ in 0..ROUNDS {
        let key = world.external_account_key(Some(1)).await;
        let accounts: Vec<_> = (0..CONTENDERS).map(|_| world.new_account_of(&key)).collect();
        let created = race(accounts.iter().cloned().map(|account| {
            let world = world.clone();
            async move { world.storage.create_account(account, &cause()).await }
        }));
        let created = expect_one_success(created.await, Conflict::ExternalAccountKeyNotUsable);
        for account in accounts {
            let found = world.storage.account_by_key(&account.directory, &account.key.thumbprint()).await;
            let won = matches!(&created, Creation::Created(winner) if winner.id == account.id);
            assert_eq!(found.is_ok(), won, "only who was counted has an account");
        }
        assert_eq!(world.reload_external_account_key(&key).await.accounts, 1);
    }
}

/// None is forgotten.
pub async fn of_many_accounts_that_an_external_account_key_opens_at_once_all_are_counted(world: World) {
    for round in 0..ROUNDS {
        let key = world.external_account_key(None).await;
        let created = race((0..CONTENDERS).map(|_| {
            let (world, account) = (world.clone(), world.new_account_of(&key));
            async move { world.storage.create_account(account, &cause()).await.unwrap() }
        }));
        created.await;
        let counted = world.reload_external_account_key(&key).await.accounts;
        assert_eq!(counted as usize, CONTENDERS, "round {round}");
    }
}

/// The client repeated its request.
pub async fn of_many_requests_for_one_account_its_external_account_key_counts_one(world: World) {
    for round in 0..ROUNDS {
        let key = world.external_account_key(Some(1)).await;
        let account_key = world.key();
        let created = race((0..CONTENDERS).map(|_| {
            let account = Account { key: account_key.clone(), ..world.new_account_of(&key) };
            let world = world.clone();
            async move { world.storage.create_account(account, &cause()).await.unwrap() }
        }));
        let created = created.await;
        let created = created.iter().filter(|answer| matches!(answer, Creation::Created(_))).count();
        let counted = world.reload_external_account_key(&key).await.accounts;
        assert_eq!((created, counted), (1, 1), "round {round}");
    }
}

/// Whichever comes first: an account that is not counted there is not opened after it.
pub async fn an_external_account_key_that_is_revoked_while_it_is_used_counts_what_it_opened(world: World) {
    for round in 0..ROUNDS {
        let key = world.external_account_key(None).await;
        let (opens, revokes, account) = (world.clone(), world.clone(), world.new_account_of(&key));
        let (directory, kid) = (key.directory.clone(), key.kid.clone());
        let open = tokio::spawn(async move { opens.storage.create_account(account, &cause()).await });
        let revoke = tokio::spawn(async move {
            revokes.storage.revoke_external_account_key(&directory, &kid, &cause()).await
        });
        let (opened, revoked) = (open.await.unwrap(), revoke.await.unwrap().unwrap());
        let expected =
            ExternalAccountKey { accounts: u32::from(opened.is_ok()), revoked: Some(NOW), ..key.clone() };
        assert_eq!(revoked, expected, "round {round}");
        assert_eq!(world.reload_external_account_key(&key).await, expected, "round {round}");
    }
}

async fn expect_refused(world: &World, account: &Account, now: coyote_protocol::Timestamp) {
    let answer = world.storage.create_account(account.clone(), &cause_at(now)).await;
    expect_conflict(answer, Conflict::ExternalAccountKeyNotUsable);
    expect_not_found(world.storage.account(&account.directory, &account.id).await);
    expect_not_found(world.storage.account_by_key(&account.directory, &account.key.thumbprint()).await);
}
