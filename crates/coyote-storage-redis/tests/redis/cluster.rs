//! A cluster of three masters, and one replica of the one that has the nonces.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use coyote_storage::conformance::{NONCES, RATE_LIMITS};
use coyote_storage::{NonceStore, Quota, RateLimitStore};
use coyote_storage_redis::{RedisOptions, RedisStore};

use super::server::{Server, wait_until};
use super::{NOW, consume, expect_one_refusal, is_unavailable, issue, used_and_unused};

struct Cluster {
    masters: Vec<Server>,
    next: AtomicUsize,
}

impl Cluster {
    fn start() -> Self {
        let masters: Vec<_> = (0..3).map(|_| node()).collect();
        for (master, slots) in masters.iter().zip([("0", "5460"), ("5461", "10922"), ("10923", "16383")]) {
            let () = master.tell(&["CLUSTER", "ADDSLOTSRANGE", slots.0, slots.1]);
            meet(&masters[0], master);
        }
        let cluster = Self { masters, next: AtomicUsize::new(0) };
        cluster.wait();
        cluster
    }

    fn wait(&self) {
        for master in &self.masters {
            wait_until("the cluster is whole", || {
                let state: String = master.tell(&["CLUSTER", "INFO"]);
                state.contains("cluster_state:ok")
                    && (state.contains("known_nodes:3") || state.contains("known_nodes:4"))
            });
        }
    }

    /// The last is given first, for it is to find the others.
    fn url(&self) -> String {
        let hosts: Vec<_> = self.masters.iter().rev().map(Server::address).collect();
        format!("redis+cluster://{}", hosts.join(","))
    }

    fn connect(&self, prefix: &str) -> RedisStore {
        let options = RedisOptions { prefix: prefix.to_owned(), ..RedisOptions::default() };
        RedisStore::connect(&self.url(), options).unwrap()
    }

    /// With a prefix that was not used before.
    fn fresh(&self) -> Arc<RedisStore> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Arc::new(self.connect(&format!("fresh{number}")))
    }

    /// The place of the master that has the nonces.
    fn of_nonces(&self) -> usize {
        let slot: usize = self.masters[0].tell(&["CLUSTER", "KEYSLOT", "{coyote}:nonces:epoch"]);
        slot / 5_461
    }
}

fn node() -> Server {
    Server::with(&["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"])
}

fn meet(one: &Server, other: &Server) {
    let () = one.tell(&["CLUSTER", "MEET", "127.0.0.1", &other.port().to_string()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cluster_keeps_every_promise() {
    let cluster = Cluster::start();
    for promise in NONCES {
        println!("{}", promise.name);
        (promise.keep)([cluster.fresh(), cluster.fresh()]).await;
    }
    for promise in RATE_LIMITS {
        println!("{}", promise.name);
        (promise.keep)(cluster.fresh()).await;
    }
    let sizes: Vec<_> = cluster.masters.iter().map(|master| master.keys().len()).collect();
    assert!(sizes.iter().all(|size| *size > 10), "the keys are spread over the nodes: {sizes:?}");
}

#[tokio::test]
async fn after_a_failover_in_the_cluster_no_older_nonce_is_good() {
    let cluster = Cluster::start();
    let master = &cluster.masters[cluster.of_nonces()];
    let understudy = node();
    meet(master, &understudy);
    let id: String = master.tell(&["CLUSTER", "MYID"]);
    wait_until("it knows the master", || understudy.try_tell::<()>(&["CLUSTER", "REPLICATE", &id]).is_ok());
    wait_until("it is in step", || understudy.info("replication", "master_link_status") == "up");
    let (store, other) = (cluster.connect("coyote"), cluster.connect("coyote"));
    let old = used_and_unused(&store).await;

    let () = understudy.tell(&["CLUSTER", "FAILOVER", "TAKEOVER"]);
    wait_until("it has taken over", || understudy.info("replication", "role") == "master");
    wait_until("the old master knows", || master.info("replication", "role") == "slave");

    expect_one_refusal(&store, &old).await;
    assert!(!consume(&other, &old[0]).await);
    let fresh = issue(&store).await;
    assert!(consume(&other, &fresh).await, "the replicas agree again");
}

#[tokio::test]
async fn a_cluster_without_the_node_of_the_nonces_is_unavailable_and_so_is_one_without_any() {
    let mut cluster = Cluster::start();
    let store = cluster.connect("coyote");
    let nonce = issue(&store).await;
    let place = cluster.of_nonces();
    cluster.masters[place].kill();
    is_unavailable(store.consume(&nonce, NOW).await);
    for master in &mut cluster.masters {
        master.kill();
    }
    is_unavailable(store.consume(&nonce, NOW).await);
    for master in &mut cluster.masters {
        master.start_again();
    }
    cluster.wait();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(!consume(&store, &nonce).await);
    let fresh = issue(&store).await;
    assert!(store.consume(&fresh, NOW).await.unwrap());
    let quota = Quota { amount: 1, period: std::time::Duration::from_secs(60) };
    assert!(store.take("key", &quota, 1, NOW).await.unwrap().allowed);
}

/// The README says which commands are needed.
#[tokio::test]
async fn a_user_who_may_only_do_what_is_needed_can() {
    let cluster = Cluster::start();
    let rules = "ACL SETUSER coyote on >pw resetkeys ~{coyote}:* ~coyote:* resetchannels -@all +info +get +set +evalsha +script|load +cluster|slots";
    for master in &cluster.masters {
        let () = master.tell(&rules.split(' ').collect::<Vec<_>>());
    }
    let url = cluster.url().replace("://", "://coyote:pw@");
    let store = RedisStore::connect(&url, RedisOptions::default()).unwrap();
    let nonce = issue(&store).await;
    assert!(consume(&store, &nonce).await);
}
