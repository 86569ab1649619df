//! Two views of the same names, by real name servers. Inside, Knot has them at 127.0.0.1, takes updates, and is asked for
//! the zone `test`; outside, Unbound, which is asked for everything else, finds them in another Knot at an address where
//! nobody may be dialled.

use integration_tests::{Knot, Setup, Unbound, World};
use serde_json::json;

/// The zone that is different inside.
const ZONE: &str = "test";

/// The view from outside, which all clients' servers share. It ends with this value.
pub struct Outside {
    unbound: Unbound,
    _knot: Knot,
}

impl Outside {
    /// Starts it.
    pub fn start() -> Self {
        let knot = Knot::start(&[ZONE]);
        knot.add(ZONE, "*.test. 0 A 127.0.0.9");
        Self { unbound: Unbound::start(&[(ZONE, &knot)], &[]), _knot: knot }
    }

    /// Where it is asked.
    pub fn address(&self) -> String {
        self.unbound.address()
    }
}

/// The view from inside: one for each client, as they use the same names.
pub fn inside() -> Knot {
    let knot = Knot::start(&[ZONE]);
    knot.add(ZONE, "*.test. 0 A 127.0.0.1");
    knot
}

/// A server that asks the one for the zone, and the other for the rest.
pub fn split(setup: Setup, inside: &Knot, outside: &str) -> Setup {
    let zone = format!("name = \"{ZONE}\"\nresolvers = [\"{}\"]", inside.address());
    setup.replacing("validation", "resolvers", &format!("[\"{outside}\"]")).with("[validation.zone]", &zone)
}

/// Sees that it matters who is asked: without the zone, nothing can be proved.
///
/// # Panics
///
/// If something is proved.
pub fn assert_that_it_matters(outside: &str) {
    let servers = format!("[\"{outside}\"]");
    let world = World::with(|setup| {
        setup.replacing("validation", "resolvers", &servers).with("limits", "validation_attempts = 1")
    });
    let account = world.client.account();
    let order = account.order(&["a.test"]);
    let authorization = account.authorizations(&order).remove(0);
    let challenge = account.provision(&authorization, &world.responder);
    let _ = account.post(&challenge.url, &json!({})).expect(200);
    let end = account.settled(&authorization.url);
    assert_eq!(end.status(), "invalid", "outside, a.test is elsewhere: {}", end.json);
    assert!(world.acmed.log().contains("refused    127.0.0.9"), "{}", world.acmed.log());
}
