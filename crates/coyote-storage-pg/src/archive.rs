//! Copies: out of this database and into it, and what keeps it from being written to once it has gone elsewhere.

use async_trait::async_trait;
use coyote_protocol::Timestamp;
use coyote_storage::{
    Account, Archive, AuditRecord, Authorization, AuthorizationId, Certificate, Conflict, ExternalAccountKey,
    Job, Order, OrderId, Record, RecordKey, RecordKind, Result, Serial, Standing, sealing::Sealing,
};
use diesel::{
    ExpressionMethods, OptionalExtension, QueryDsl, QueryResult, define_sql_function, select,
    sql_types::{Bool, Text},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};

use crate::{
    PgStorage, account, audit, authorization, certificate,
    column::Bits,
    error::Failure,
    external_account, job, order,
    schema::{
        accounts, audit as audit_table, authorizations, certificates, external_account_keys, jobs, orders,
        serials, settings,
    },
};

const STANDING: &str = "standing";

/// All tables but `settings`, which says where everything has gone.
const TABLES: [&str; 12] = [
    "accounts",
    "external_account_keys",
    "orders",
    "authorizations",
    "order_authorizations",
    "serials",
    "certificates",
    "jobs",
    "audit",
    "traces",
    "used_nonces",
    "rate_limits",
];

#[async_trait]
impl Archive for PgStorage {
    async fn export(&self, kind: RecordKind, after: Option<&RecordKey>, limit: u32) -> Result<Vec<Record>> {
        self.look_up("copying records", async |session| {
            export(session.connection(), kind, after.cloned(), limit, &self.sealing).await
        })
        .await
    }

    async fn count(&self, kind: RecordKind) -> Result<u64> {
        self.look_up("counting records", async |session| {
            Ok(count(session.connection(), kind).await?.unsigned_abs())
        })
        .await
    }

    async fn import(&self, standing: &Standing, records: Vec<Record>) -> Result<u64> {
        self.transaction("storing copies", async |session| {
            session.begin_with(to_take_copies(session.connection(), standing)).await?;
            let stored = session.then(import(session.connection(), records.clone(), &self.sealing)).await?;
            session.commit_with(Vec::new()).await?;
            Ok(stored)
        })
        .await
    }

    async fn remove(&self, standing: &Standing, keys: Vec<RecordKey>) -> Result<()> {
        self.transaction("removing copies", async |session| {
            session.begin_with(to_take_copies(session.connection(), standing)).await?;
            session.then(remove(session.connection(), keys.clone())).await?;
            session.commit_with(Vec::new()).await
        })
        .await
    }

    async fn standing(&self) -> Result<Standing> {
        self.look_up("asking where the storage stands", async |session| {
            let query = settings::table.find(STANDING).select(settings::value);
            read(query.get_result(&mut session.connection()).await.optional()?)
        })
        .await
    }

    async fn stand(&self, from: &Standing, to: Standing) -> Result<bool> {
        self.transaction("saying where the storage stands", async |session| {
            let stands = session.begin_with(locked(session.connection())).await? == *from;
            if stands {
                session.then(stand(session.connection(), &to)).await?;
                // Nobody writes any more.
                let to_be_filled = matches!((from, &to), (Standing::InService, Standing::Arriving { .. }));
                if to_be_filled && !session.then(is_empty(session.connection(), &self.sealing)).await? {
                    return Err(Failure::Refused(Conflict::NotEmpty.into()));
                }
            }
            session.commit_with(Vec::new()).await?;
            Ok(stands)
        })
        .await
    }
}

fn read(stored: Option<Vec<u8>>) -> Result<Standing, Failure> {
    let standing = stored.map(|stored| serde_json::from_slice(&stored)).transpose();
    Ok(standing.map_err(unreadable)?.unwrap_or_default())
}

/// Where it stands, until the end of the transaction.
async fn locked(mut connection: &AsyncPgConnection) -> Result<Standing, Failure> {
    // There is a row to be locked, whoever comes first.
    let value = serde_json::to_vec(&Standing::default()).map_err(unreadable)?;
    let row = (settings::name.eq(STANDING), settings::value.eq(value));
    diesel::insert_into(settings::table)
        .values(row)
        .on_conflict_do_nothing()
        .execute(&mut connection)
        .await?;
    let query = settings::table.find(STANDING).select(settings::value).for_update();
    read(query.get_result(&mut connection).await.optional()?)
}

/// That it stands like this until the end of the transaction, which stores copies.
async fn to_take_copies(mut connection: &AsyncPgConnection, expected: &Standing) -> Result<(), Failure> {
    if locked(connection).await? != *expected {
        return Err(Failure::Refused(Conflict::MovedOn.into()));
    }
    if let Standing::Arriving { run, .. } = expected {
        let filling = select(set_config("coyote.filling", filling(run), true));
        filling.execute(&mut connection).await?;
    }
    Ok(())
}

define_sql_function! {
    /// Sets a parameter, here until the end of the transaction.
    fn set_config(name: Text, value: Text, is_local: Bool) -> Text;
}

/// What a transaction calls itself that stores copies. A parameter that is not set can be empty.
fn filling(run: &str) -> String {
    format!("run {run}")
}

async fn is_empty(connection: &AsyncPgConnection, sealing: &Sealing) -> Result<bool, Failure> {
    for kind in RecordKind::ALL {
        if !export(connection, kind, None, 1, sealing).await?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn unreadable(error: serde_json::Error) -> Failure {
    Failure::Database(diesel::result::Error::DeserializationError(Box::new(error)))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// With a trigger the server itself refuses every write, whoever's. Making one waits for the writes under way.
async fn stand(mut connection: &AsyncPgConnection, standing: &Standing) -> Result<(), Failure> {
    let value = serde_json::to_vec(standing).map_err(unreadable)?;
    let row = (settings::name.eq(STANDING), settings::value.eq(value.clone()));
    let said = diesel::insert_into(settings::table).values(row).on_conflict(settings::name);
    said.do_update().set(settings::value.eq(value)).execute(&mut connection).await?;
    let but_copies = match standing {
        Standing::Arriving { run, .. } => {
            let filling = literal(&filling(run));
            format!("WHEN (current_setting('coyote.filling', true) IS DISTINCT FROM {filling})")
        }
        Standing::InService | Standing::Left { .. } => String::new(),
    };
    for table in TABLES {
        let open = format!("DROP TRIGGER IF EXISTS not_in_service ON {table}");
        connection.batch_execute(&open).await?;
        if let Some(refusal) = standing.refusal() {
            let shut = format!(
                "CREATE TRIGGER not_in_service BEFORE INSERT OR UPDATE OR DELETE ON {table}
                 FOR EACH ROW {but_copies} EXECUTE FUNCTION refuse_write({})",
                literal(&refusal)
            );
            connection.batch_execute(&shut).await?;
        }
    }
    Ok(())
}

async fn export(
    connection: &AsyncPgConnection,
    kind: RecordKind,
    after: Option<RecordKey>,
    limit: u32,
    sealing: &Sealing,
) -> Result<Vec<Record>, Failure> {
    /// What this kind's key holds, if `after` is one.
    macro_rules! after {
        ($key:ident) => {
            match after {
                Some(RecordKey::$key(last)) => Some(last),
                _ => None,
            }
        };
    }
    Ok(match kind {
        RecordKind::Account => {
            let page = account::export(connection, after!(Account), limit, sealing).await?;
            page.into_iter().map(Record::Account).collect()
        }
        RecordKind::ExternalAccountKey => {
            let after = match after {
                Some(RecordKey::ExternalAccountKey(directory, kid)) => Some((directory, kid)),
                _ => None,
            };
            let page = external_account::export(connection, after, limit, sealing).await?;
            page.into_iter().map(Record::ExternalAccountKey).collect()
        }
        RecordKind::Authorization => {
            let page = authorization::export(connection, after!(Authorization), limit).await?;
            page.into_iter().map(Record::Authorization).collect()
        }
        RecordKind::Order => {
            let page = order::export(connection, after!(Order), limit, sealing).await?;
            let record = |(order, authorizations)| Record::Order { order, authorizations };
            page.into_iter().map(record).collect()
        }
        RecordKind::Certificate => {
            let page = certificate::export(connection, after!(Certificate), limit, sealing).await?;
            page.into_iter().map(Record::Certificate).collect()
        }
        RecordKind::Serial => {
            let page = certificate::export_serials(connection, after!(Serial), limit).await?;
            let record = |(serial, order, reserved)| Record::Serial { serial, order, reserved };
            page.into_iter().map(record).collect()
        }
        RecordKind::Job => {
            let page = job::export(connection, after!(Job), limit).await?;
            page.into_iter().map(Record::Job).collect()
        }
        RecordKind::Audit => {
            let page = audit::export(connection, after!(Audit), limit).await?;
            page.into_iter().map(|(number, record)| Record::Audit { number, record }).collect()
        }
    })
}

async fn count(mut connection: &AsyncPgConnection, kind: RecordKind) -> QueryResult<i64> {
    let connection = &mut connection;
    match kind {
        RecordKind::Account => accounts::table.count().get_result(connection).await,
        RecordKind::ExternalAccountKey => external_account_keys::table.count().get_result(connection).await,
        RecordKind::Authorization => authorizations::table.count().get_result(connection).await,
        RecordKind::Order => orders::table.count().get_result(connection).await,
        RecordKind::Certificate => certificates::table.count().get_result(connection).await,
        RecordKind::Serial => serials::table.count().get_result(connection).await,
        RecordKind::Job => jobs::table.count().get_result(connection).await,
        RecordKind::Audit => audit_table::table.count().get_result(connection).await,
    }
}

/// Answers how many were stored. The records are usually of one kind; if not, each kind comes after those that it
/// refers to.
async fn import(
    connection: &AsyncPgConnection,
    records: Vec<Record>,
    sealing: &Sealing,
) -> Result<u64, Failure> {
    let mut copies = Copies::default();
    records.into_iter().for_each(|record| copies.add(record));
    let mut stored = 0;
    if !copies.accounts.is_empty() {
        account::import(connection, &copies.accounts, sealing).await?;
        stored += copies.accounts.len();
    }
    if !copies.external_account_keys.is_empty() {
        stored += copies.external_account_keys.len();
        external_account::import(connection, copies.external_account_keys, sealing).await?;
    }
    if !copies.authorizations.is_empty() {
        stored += authorization::import(connection, copies.authorizations).await?;
    }
    if !copies.orders.is_empty() {
        stored += order::import(connection, copies.orders, sealing).await?;
    }
    if !copies.certificates.is_empty() {
        stored += certificate::import(connection, copies.certificates, sealing).await?;
    }
    if !copies.serials.is_empty() {
        stored += copies.serials.len();
        certificate::import_serials(connection, copies.serials).await?;
    }
    if !copies.jobs.is_empty() {
        stored += copies.jobs.len();
        job::import(connection, copies.jobs).await?;
    }
    if !copies.audit.is_empty() {
        stored += copies.audit.len();
        audit::import(connection, copies.audit).await?;
    }
    Ok(stored as u64)
}

/// Records by their kinds.
#[derive(Default)]
struct Copies {
    accounts: Vec<Account>,
    external_account_keys: Vec<ExternalAccountKey>,
    authorizations: Vec<Authorization>,
    orders: Vec<(Order, Vec<AuthorizationId>)>,
    certificates: Vec<Certificate>,
    serials: Vec<(Serial, OrderId, Timestamp)>,
    jobs: Vec<Job>,
    audit: Vec<(u64, AuditRecord)>,
}

impl Copies {
    fn add(&mut self, record: Record) {
        match record {
            Record::Account(account) => self.accounts.push(account),
            Record::ExternalAccountKey(key) => self.external_account_keys.push(key),
            Record::Authorization(authorization) => self.authorizations.push(authorization),
            Record::Order { order, authorizations } => self.orders.push((order, authorizations)),
            Record::Certificate(certificate) => self.certificates.push(certificate),
            Record::Serial { serial, order, reserved } => self.serials.push((serial, order, reserved)),
            Record::Job(job) => self.jobs.push(job),
            Record::Audit { number, record } => self.audit.push((number, record)),
        }
    }
}

async fn remove(mut connection: &AsyncPgConnection, keys: Vec<RecordKey>) -> Result<(), Failure> {
    for key in keys {
        match key {
            RecordKey::Account(id) => {
                diesel::delete(accounts::table.find(Bits(id))).execute(&mut connection).await?;
            }
            RecordKey::ExternalAccountKey(directory, kid) => {
                external_account::remove(connection, &directory, &kid).await?;
            }
            RecordKey::Authorization(id) => {
                diesel::delete(authorizations::table.find(Bits(id))).execute(&mut connection).await?;
            }
            RecordKey::Order(id) => order::remove(connection, &[Bits(id)]).await?,
            RecordKey::Certificate(id) => certificate::remove(connection, vec![id]).await?,
            RecordKey::Serial(serial) => certificate::remove_serials(connection, vec![serial]).await?,
            RecordKey::Job(id) => job::remove(connection, vec![id]).await?,
            RecordKey::Audit(seq) => audit::remove_copies(connection, [seq].into_iter()).await?,
        }
    }
    Ok(())
}
