//! Wake-ups between replicas, by LISTEN and NOTIFY on a connection of their own.
//!
//! A NOTIFY in the transaction that it tells of would cost that transaction dearly: PostgreSQL lets transactions that
//! notify commit one at a time, each with its own wait for the disk. So it is sent after the commit, several at once, and
//! without a wait for the disk: nobody relies on it.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
    time::Duration,
};

use coyote_storage::{Bell, BoxError, DirectoryId, JobId, Wake, Wakes};
use diesel_async::SimpleAsyncConnection;
use futures_util::future::{Either, select};
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_postgres::{
    AsyncMessage, Client, Connection, NoTls, Notification, SimpleQueryMessage, Socket, tls::TlsStream,
};

use crate::{pool::Connector, url::Place};

/// The channel. Channels are a database's; what another schema in it tells wakes for nothing, and does no harm.
const CHANNEL: &str = "coyote_wakes";
/// Wake-ups that wait to be sent; further ones are dropped.
const MOST_UNSENT: usize = 1024;
/// Wake-ups that are sent together.
const BATCH: usize = 128;
/// Bytes that a NOTIFY takes, less than PostgreSQL's 8000.
const LONGEST: usize = 7000;
/// How long a test whether NOTIFY arrives may take.
const PROBE: Duration = Duration::from_secs(5);
/// How often a quiet connection is asked whether it lives.
const CHECK: Duration = Duration::from_secs(30);
/// How long it takes until a lost connection is made again.
const AGAIN: Duration = Duration::from_secs(1);
/// How long it takes until somebody looks whether NOTIFY arrives after all.
const LOOK_AGAIN: Duration = Duration::from_secs(300);

/// Carries wake-ups from and to the other replicas, in a task on the pool's runtime.
#[derive(Debug)]
pub(crate) struct Carrier {
    bell: Arc<Bell>,
    unsent: mpsc::Sender<Wake>,
}

/// Why nothing is carried.
enum Deaf {
    /// The connection is lost, or there is none.
    Lost(BoxError),
    /// There is a connection, and on it nothing arrives.
    Silent,
    /// Nobody is there any more to carry for.
    Over,
}

impl Carrier {
    pub(crate) fn start(connector: &Connector) -> Self {
        let (unsent, told) = mpsc::channel(MOST_UNSENT);
        let bell = Arc::new(Bell::default());
        connector.runtime.spawn(carry(connector.clone(), bell.clone(), told));
        Self { bell, unsent }
    }

    pub(crate) fn tell(&self, wake: Wake) {
        self.bell.ring(&wake);
        if self.unsent.try_send(wake).is_err() {
            tracing::debug!("a wake-up for other replicas was dropped");
        }
    }

    pub(crate) fn wakes(&self) -> Box<dyn Wakes> {
        self.bell.listen()
    }
}

async fn carry(connector: Connector, bell: Arc<Bell>, mut told: mpsc::Receiver<Wake>) {
    let mut complained = false;
    loop {
        let why = match Line::open(&connector, &bell).await {
            Ok(mut line) => {
                if complained {
                    tracing::info!("the wake-ups of other replicas are heard again");
                }
                complained = false;
                bell.ring(&Wake::Missed); // whatever was told in between
                line.pass_on(&mut told).await
            }
            Err(why) => why,
        };
        let pause = match why {
            Deaf::Over => return,
            Deaf::Silent if complained => LOOK_AGAIN,
            Deaf::Lost(_) if complained => AGAIN,
            Deaf::Silent => {
                tracing::warn!(
                    "the database carries no NOTIFY (is there a pooling proxy?): \
                     what other replicas do is found out by looking, in the interval for that"
                );
                LOOK_AGAIN
            }
            Deaf::Lost(error) => {
                tracing::warn!(%error, "the wake-ups of other replicas are not heard until the database is back");
                AGAIN
            }
        };
        complained = true;
        sleep(pause).await;
    }
}

/// A connection on which NOTIFY is known to arrive.
struct Line {
    client: Client,
    driver: JoinHandle<()>,
    patience: Duration,
}

impl Line {
    async fn open(connector: &Connector, bell: &Arc<Bell>) -> Result<Self, Deaf> {
        let ear = Arc::new(Ear { bell: bell.clone(), own: AtomicI32::new(0), probe: Notify::new() });
        let patience = connector.timeout;
        let opened = timeout(patience, connect(&connector.place, ear.clone())).await;
        let (client, driver) = opened.map_err(lost)?.map_err(Deaf::Lost)?;
        let line = Self { client, driver, patience };
        line.probe(connector, &ear).await?;
        let answer = line.ask(&format!("LISTEN {CHANNEL}; SELECT pg_backend_pid()")).await?;
        if let Some(pid) = answer.and_then(|pid| pid.parse().ok()) {
            ear.own.store(pid, Ordering::Relaxed);
        }
        Ok(line)
    }

    /// Looks whether what somebody else notifies arrives. A proxy that pools connections takes a LISTEN, and gives the
    /// connection that listens to others; so the channel is one that nobody uses again.
    async fn probe(&self, connector: &Connector, ear: &Ear) -> Result<(), Deaf> {
        let backend = self.ask("SELECT pg_backend_pid() || '_' || extract(epoch FROM now())::bigint").await?;
        let channel = format!("{PROBED}{}", backend.unwrap_or_default());
        self.ask(&format!("LISTEN {channel}")).await?;
        let other = connector.open().await.map_err(Deaf::Lost)?;
        (&mut &other).batch_execute(&format!("NOTIFY {channel}")).await.map_err(lost)?;
        if timeout(PROBE, ear.probe.notified()).await.is_err() {
            return Err(Deaf::Silent);
        }
        self.ask(&format!("UNLISTEN {channel}")).await?;
        Ok(())
    }

    /// Sends what is to be told, until the connection is lost.
    async fn pass_on(&mut self, told: &mut mpsc::Receiver<Wake>) -> Deaf {
        loop {
            let mut batch = Vec::new();
            let next = {
                let next = pin!(timeout(CHECK, told.recv_many(&mut batch, BATCH)));
                match select(next, &mut self.driver).await {
                    Either::Left((next, _)) => next,
                    Either::Right(_) => return Deaf::Lost("the connection was closed".into()),
                }
            };
            let sent = match next {
                Ok(0) => return Deaf::Over,
                Ok(_) => self.ask(&statements(&batch)).await,
                Err(_) => self.ask("").await,
            };
            if let Err(why) = sent {
                return why;
            }
        }
    }

    /// Runs statements, and answers the first column of the first row, if there is one.
    async fn ask(&self, statements: &str) -> Result<Option<String>, Deaf> {
        let answer = timeout(self.patience, self.client.simple_query(statements)).await.map_err(lost)?;
        Ok(answer.map_err(lost)?.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        }))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

fn lost(error: impl Into<BoxError>) -> Deaf {
    Deaf::Lost(error.into())
}

/// All wake-ups in one transaction, which the server need not have on its disk.
fn statements(batch: &[Wake]) -> String {
    let notify = |payload: String| format!("NOTIFY {CHANNEL}, '{}'; ", payload.replace('\'', "''"));
    let all: String = batch.iter().filter_map(payload).map(notify).collect();
    format!("BEGIN; SET LOCAL synchronous_commit = off; {all}COMMIT")
}

const PROBED: &str = "coyote_probe_";
const DUE: &str = "due ";
const SETTLED: &str = "settled ";

fn payload(wake: &Wake) -> Option<String> {
    let payload = match wake {
        Wake::Due(directory) => format!("{DUE}{directory}"),
        Wake::Settled(job) => format!("{SETTLED}{job}"),
        Wake::Missed => return None, // each knows for itself
    };
    (payload.len() <= LONGEST && !payload.contains(['\0', '\\'])).then_some(payload)
}

/// What a replica of another version tells is taken as something that was not understood.
fn wake(payload: &str) -> Wake {
    if let Some(directory) = payload.strip_prefix(DUE) {
        return Wake::Due(DirectoryId::new(directory));
    }
    let job = payload.strip_prefix(SETTLED).and_then(|job| job.parse::<JobId>().ok());
    job.map_or(Wake::Missed, Wake::Settled)
}

/// What becomes of what arrives.
struct Ear {
    bell: Arc<Bell>,
    /// The server's process for this connection: what it has sent itself everybody here has heard.
    own: AtomicI32,
    probe: Notify,
}

impl Ear {
    fn hear(&self, notification: &Notification) {
        if notification.channel().starts_with(PROBED) {
            self.probe.notify_one();
        } else if notification.process_id() != self.own.load(Ordering::Relaxed) {
            self.bell.ring(&wake(notification.payload()));
        }
    }
}

async fn connect(place: &Place, ear: Arc<Ear>) -> Result<(Client, JoinHandle<()>), BoxError> {
    Ok(match &place.tls {
        None => {
            let (client, connection) = place.config.connect(NoTls).await?;
            (client, tokio::spawn(drive(connection, ear)))
        }
        Some(tls) => {
            let (client, connection) = place.config.connect(tls.clone()).await?;
            (client, tokio::spawn(drive(connection, ear)))
        }
    })
}

/// Reads and writes the connection's socket until it is closed.
async fn drive<S: TlsStream + Unpin>(mut connection: Connection<Socket, S>, ear: Arc<Ear>) {
    while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
        if let AsyncMessage::Notification(notification) = message {
            ear.hear(&notification);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_up_arrives_as_it_was_sent() {
        for told in [Wake::Due(DirectoryId::new("it's due")), Wake::Settled(JobId::from_bytes([7; 16]))] {
            assert_eq!(wake(&payload(&told).unwrap()), told);
        }
        assert_eq!(wake("something new"), Wake::Missed);
    }

    #[test]
    fn a_directory_s_name_ends_no_statement() {
        let due = |name: &str| statements(&[Wake::Due(DirectoryId::new(name))]);
        assert!(due("it's").contains("NOTIFY coyote_wakes, 'due it''s'; "), "{}", due("it's"));
        for untold in ["a\0b", "a\\'b", &"x".repeat(8000)] {
            assert!(!due(untold).contains("NOTIFY"), "{untold}");
        }
    }
}
