//! PostgreSQL is gone for good, and a standby takes its place.

use std::time::Duration;

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

    postgres.stop();
    let new_order = json!({"identifiers": [{"type": "dns", "value": "between.example.org"}]});
    let between = account.post(&account.client.resource("newOrder"), &new_order);
    between.expect_problem(503, "serverInternal");
    postgres.promote_standby();
    eventually("there is service again, by itself", Duration::from_secs(30), || {
        (acmed.http().get("/health/ready").status == 200).then_some(())
    });

    account.client.forget_nonces();
    for (url, chain) in &issued {
        let certificate = account.read(url).text("certificate");
        assert_eq!(account.post_as_get(&certificate).expect(200).text(), *chain);
    }
    assert!(account.issue(&["after.example.org"], &responder).contains("BEGIN CERTIFICATE"));
}
