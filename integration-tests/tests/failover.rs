//! PostgreSQL is gone for good, and a standby takes its place.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use integration_tests::{Acmed, Dns, Postgres, Responder, Setup, eventually};
use serde_json::json;

#[test]
fn a_standby_takes_over_and_nothing_that_was_answered_is_lost() {
    let Some(postgres) = Postgres::start() else { return };
    let both = postgres.with_standby();
    let (dns, responder) = (Dns::start(), Responder::start());
    let setup = Setup::new(&dns, &responder).with("", &format!("storage = \"{both}\""));
    let acmed = Acmed::serve(&setup);
    let account = acmed.client().account();
    let mut issued = Vec::new();
    for number in 0..20 {
        let order = account.ready_order(&[&format!("n{number}.example.org")], &responder);
        issued.push((order.url.clone(), account.certificate(&order)));
    }

    assert_eq!(postgres.query("SELECT sync_state FROM pg_stat_replication"), ["sync"]);
    let is_over = AtomicBool::new(false);
    let new_order = json!({"identifiers": [{"type": "dns", "value": "between.example.org"}]});
    let answered = thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|_| {
                let (account, is_over, new_order) = (acmed.client().account(), &is_over, &new_order);
                scope.spawn(move || {
                    let (mut answered, mut refused) = (Vec::new(), 0);
                    while !is_over.load(Ordering::Relaxed) {
                        let answer = account.post(&account.client.resource("newOrder"), new_order);
                        match answer.status {
                            201 => answered.push(answer.location()),
                            _ => {
                                answer.expect_problem(503, "serverInternal");
                                refused += 1;
                                account.client.forget_nonces();
                            }
                        }
                    }
                    (account, answered, refused)
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(500));
        postgres.stop();
        thread::sleep(Duration::from_secs(1));
        postgres.promote_standby();
        eventually("there is service again, by itself", Duration::from_secs(30), || {
            (acmed.http().get("/health/ready").status == 200).then_some(())
        });
        thread::sleep(Duration::from_millis(500));
        is_over.store(true, Ordering::Relaxed);
        let writers = writers.into_iter().map(|writer| writer.join().expect("a writer"));
        writers.collect::<Vec<_>>()
    });
    for (account, answered, refused) in &answered {
        assert!(*refused > 0, "it was never away");
        assert!(answered.len() > 20, "{}", answered.len());
        account.client.forget_nonces();
        answered.iter().for_each(|order| drop(account.read(order)));
    }

    account.client.forget_nonces();
    for (url, chain) in &issued {
        let certificate = account.read(url).text("certificate");
        assert_eq!(account.post_as_get(&certificate).expect(200).text(), *chain);
    }
    assert!(account.issue(&["after.example.org"], &responder).contains("BEGIN CERTIFICATE"));
}
