//! `acmed eab`: keys for external account binding, beside the server. RFC 8555 section 7.3.4.

use std::path::Path;

use coyote_server::{
    Clock, Entropy, ExternalAccountGrant, SystemClock, SystemEntropy, Urls,
    jose::base64url,
    path::DIRECTORY,
    storage::{
        Actor, Cause, DirectoryId, ExternalAccountKey, ExternalAccountStore, RequestId, StorageError,
        sealing::Sealing,
    },
};
use coyote_storage_pg::{PgOptions, PgStorage};
use coyote_storage_sqlite::{SqliteOptions, SqliteStorage};

use crate::{
    cli::{CreateKey, Eab, EabCommand, ListKeys, RevokeKey},
    config::{Config, StorageUrl},
    failure::Failure,
    output::{complain, print, print_json},
    store::{self, require_in_service},
};

mod holder;
mod shown;

use holder::Handout;
use shown::Shown;

/// Keys that are read at a time.
const PAGE: u32 = 1_000;

/// Does what was asked with the keys of a server.
pub(crate) fn run(eab: Eab) -> Result<(), Failure> {
    store::block_on(async {
        match eab.command {
            EabCommand::Create(create) => self::create(create).await,
            EabCommand::List(list) => self::list(list).await,
            EabCommand::Revoke(revoke) => self::revoke(revoke).await,
        }
    })
}

async fn create(create: CreateKey) -> Result<(), Failure> {
    let CreateKey { comment, expires, accounts, domain, by, json, beside } = create;
    let config = beside.config()?;
    config.check()?;
    let cause = cause(by.operator())?;
    let expires = expires.map(|expiry| expiry.at(cause.now));
    if let Some(over) = expires.filter(|expires| *expires <= cause.now) {
        return Err(Failure::new(format!("{over} is over; choose another --expires")));
    }
    let base_url = config.base_url(config.listen);
    let urls = Urls::new(&base_url).map_err(Failure::because("the base URL cannot be read"))?;

    let grant = ExternalAccountGrant { comment, expires, most_accounts: accounts, domains: domain };
    let key = grant.mint(DirectoryId::default(), cause.now, &SystemEntropy);
    let key = key.map_err(Failure::because("no key could be made"))?;
    let storage = open(&config, Missing::IsMade).await?;
    let stored = storage.create_external_account_key(key.clone(), &cause).await;
    stored.map_err(Failure::because("the key could not be stored"))?;
    if !config.directory.external_account_required {
        complain(
            "acmed: unless external_account_required is set in the server's configuration, accounts need no key",
        );
    }

    let handout =
        Handout { kid: &key.kid, secret: &base64url::encode(&key.secret), directory: &urls.at(DIRECTORY) };
    if json {
        print_json(&shown::Created { key: Shown::new(&key, cause.now), handout })
    } else {
        print(&handout.to_string())
    }
}

async fn list(list: ListKeys) -> Result<(), Failure> {
    let storage = open(&list.beside.config()?, Missing::IsRefused).await?;
    let keys = all(&*storage).await.map_err(Failure::because("the keys could not be read"))?;
    let now = SystemClock.now();
    let shown: Vec<_> = keys.iter().map(|key| Shown::new(key, now)).collect();
    if list.json { print_json(&shown) } else { print(&shown::table(&shown)) }
}

/// All keys, the oldest first.
async fn all(storage: &dyn ExternalAccountStore) -> Result<Vec<ExternalAccountKey>, StorageError> {
    let mut keys: Vec<ExternalAccountKey> = Vec::new();
    loop {
        let last = keys.last().map(|key| key.kid.as_str());
        let page = storage.external_account_keys(&DirectoryId::default(), last, PAGE).await?;
        if page.is_empty() {
            keys.sort_by_key(|key| key.created);
            return Ok(keys);
        }
        keys.extend(page);
    }
}

async fn revoke(revoke: RevokeKey) -> Result<(), Failure> {
    let RevokeKey { kid, by, json, beside } = revoke;
    let storage = open(&beside.config()?, Missing::IsRefused).await?;
    let cause = cause(by.operator())?;
    let revoked = storage.revoke_external_account_key(&DirectoryId::default(), &kid, &cause).await;
    let key = match revoked {
        Ok(key) => key,
        Err(StorageError::NotFound) => {
            return Err(Failure::new(format!("there is no key {kid:?}; `acmed eab list` lists them")));
        }
        Err(error) => return Err(Failure::because("the key could not be revoked")(error)),
    };
    if json {
        return print_json(&Shown::new(&key, cause.now));
    }
    let accounts = match key.accounts {
        0 => "it opened none".to_owned(),
        1 => "the one that it opened stays".to_owned(),
        many => format!("the {many} that it opened stay"),
    };
    print(&format!("{kid} is revoked: it opens no further account; {accounts}\n"))
}

/// What is to happen where there is no database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missing {
    /// It is made, in a directory that is there: a server is about to be started.
    IsMade,
    /// It is refused.
    IsRefused,
}

/// Opens the database of a server, which may be running, and leaves its schema as it is.
async fn open(config: &Config, missing: Missing) -> Result<Box<dyn ExternalAccountStore>, Failure> {
    let sealing = config.sealing.sealing()?;
    match config.storage() {
        StorageUrl::Sqlite(path) => {
            let storage = open_file(&path, missing, sealing)?;
            require_in_service(&storage).await?;
            Ok(Box::new(storage))
        }
        StorageUrl::Postgres(url) => {
            let storage = match missing {
                Missing::IsMade => {
                    let options = PgOptions { sealing, ..PgOptions::default() };
                    PgStorage::connect(&url, options).await.map_err(store::no_database)?
                }
                Missing::IsRefused => store::existing_database(&url, sealing).await?,
            };
            require_in_service(&storage).await?;
            Ok(Box::new(storage))
        }
        StorageUrl::Memory => Err(Failure::new(
            "what is in memory: is the server's alone; keys need a storage that this process can open",
        )),
    }
}

fn open_file(path: &Path, missing: Missing, sealing: Sealing) -> Result<SqliteStorage, Failure> {
    let can_be_made = path.parent().is_some_and(|parent| parent.join(".").is_dir());
    if path.exists() || missing == Missing::IsRefused || !can_be_made {
        return store::existing_file(path, sealing);
    }
    let options = SqliteOptions { sealing, ..SqliteOptions::default() };
    SqliteStorage::open(path, options).map_err(store::no_file)
}

fn cause(operator: &str) -> Result<Cause, Failure> {
    let entropy: &dyn Entropy = &SystemEntropy;
    let request = entropy.bytes().map_err(Failure::because("no key could be made"))?;
    Ok(Cause {
        now: SystemClock.now(),
        request: RequestId::from_bytes(request),
        actor: Actor::Operator(operator.to_owned()),
        client: None,
        trace: None,
    })
}
