//! Names that never answer, beside names that do.
//!
//! `COYOTE_HANGING` says how many validations hang, `COYOTE_RATE` how many good orders are asked for each second, and
//! `COYOTE_SECONDS` for how long, once without and once with those that hang. `ACMED_BIN` names the program.

use std::{
    env,
    net::{Ipv4Addr, TcpListener},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use integration_tests::{DnsAnswer, World};
use serde_json::json;

/// Where nobody answers.
const SILENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// How many clients there are of each sort.
const CLIENTS: usize = 16;

fn setting(name: &str, default: usize) -> usize {
    env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// What good orders came to.
struct Good {
    asked: usize,
    issued: usize,
    took: Duration,
    times: Vec<Duration>,
}

impl Good {
    fn rate(&self) -> f64 {
        self.issued as f64 / self.took.as_secs_f64()
    }

    fn slowest(&self, part: f64) -> Duration {
        self.times[((self.times.len() - 1) as f64 * part) as usize]
    }
}

/// Asks for a good order each so often, whatever becomes of those before, and waits for all of them.
fn good(world: &World, rate: usize, seconds: usize, numbers: &AtomicUsize) -> Good {
    let asked = rate * seconds;
    let (next, times) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..CLIENTS * 2 {
            scope.spawn(|| {
                let account = world.acmed.client().account();
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= asked {
                        return;
                    }
                    let due = start + Duration::from_secs_f64(at as f64 / rate as f64);
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    let name = format!("good{}.example.org", numbers.fetch_add(1, Ordering::Relaxed));
                    let _ = account.issue(&[&name], &world.responder);
                    times.lock().unwrap().push(due.elapsed());
                }
            });
        }
    });
    let took = start.elapsed();
    let mut times = times.into_inner().unwrap();
    times.sort();
    Good { asked, issued: times.len(), took, times }
}

/// Has this many names validated that do not answer. Answers when all have been asked for.
fn hang(world: &World, count: usize) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..CLIENTS * 4 {
            scope.spawn(|| {
                let account = world.acmed.client().account();
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count {
                        return;
                    }
                    let name = format!("silent{at}.example.org");
                    world.dns.answer(&name, DnsAnswer::Addresses(vec![SILENT]));
                    let order = account.order(&[&name]);
                    let challenge = account.authorizations(&order).remove(0).challenge("http-01");
                    let _ = account.post(&challenge.url, &json!({})).expect(200);
                }
            });
        }
    });
}

#[test]
fn names_that_never_answer_do_not_slow_down_those_that_do() {
    let (hanging, rate, seconds) =
        (setting("COYOTE_HANGING", 300), setting("COYOTE_RATE", 5), setting("COYOTE_SECONDS", 4));
    let world = World::with(|setup| {
        setup.replacing("validation", "allow", "[\"127.0.0.0/8\"]").with("validation", "timeout = \"20s\"")
    });
    let silence = TcpListener::bind((SILENT, world.responder.port())).expect("the port is free there, too");
    let connections = Arc::new(Mutex::new(Vec::new()));
    let held = connections.clone();
    thread::spawn(move || {
        for stream in silence.incoming().flatten() {
            held.lock().unwrap().push(stream);
        }
    });
    let numbers = AtomicUsize::new(0);

    let without = good(&world, rate, seconds, &numbers);
    hang(&world, hanging);
    let begun = connections.lock().unwrap().len();
    let with = good(&world, rate, seconds, &numbers);

    let ratio = with.rate() / without.rate();
    for (what, good) in [("without", &without), ("with", &with)] {
        println!(
            "{what} {hanging} that hang: {} of {} issued in {:.1?}, {:.1} orders/s, p50 {:.0?}, p99 {:.0?}",
            good.issued,
            good.asked,
            good.took,
            good.rate(),
            good.slowest(0.5),
            good.slowest(0.99)
        );
    }
    println!("{begun} connections hung when the second part began; ratio of the rates {ratio:.3}");
    assert_eq!(begun, hanging, "each of them is being looked at");
    assert!(ratio >= 0.95, "the good ones keep {ratio:.3} of their rate");
}
