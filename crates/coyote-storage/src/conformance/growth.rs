//! How a store behaves as it grows: what an issuance costs when it holds little and when it holds much.
//!
//! Not a test: a measurement, for a bench. Figures of different machines, and of a busy one, do not compare.

#![allow(clippy::print_stdout, reason = "it is for whoever looks at a terminal")]

use std::{
    fs,
    io::{Write, stdout},
    time::{Duration, Instant},
};

use super::seeded::{DAY, NOW, account, cause, issue};
use crate::{Account, Creation, Storage, Sweep};

/// Orders of one account.
const ORDERS: u64 = 100;

/// Certificates that are issued for one figure.
const SAMPLE: u64 = 500;

/// Issues up to each of these numbers of certificates, and says at each of them what the next ones cost and how large the
/// store is; then has all of them removed, as retention does long after they have expired, and says how large it is
/// then. `size` answers bytes.
pub async fn measure(name: &str, storage: &dyn Storage, numbers: &[u64], size: impl AsyncFn() -> u64) {
    say(&format!("{name}\n  certificates  CPU-ms each  wall-ms each  RSS-MiB  store-MiB\n"));
    let mut issued = 0;
    for &number in numbers {
        grow(storage, &mut issued, number).await;
        let (cpu, wall) = (cpu_time(), Instant::now());
        grow(storage, &mut issued, number + SAMPLE).await;
        let each = |time: Duration| time.as_secs_f64() * 1_000.0 / SAMPLE as f64;
        let (cpu, wall) = (each(cpu_time().saturating_sub(cpu)), each(wall.elapsed()));
        say(&format!("  {number:>12}  {cpu:>11.3}  {wall:>12.3}  {}\n", room(&size).await));
    }
    let started = Instant::now();
    let removed = retain(storage).await;
    let seconds = started.elapsed().as_secs_f64();
    let room = room(&size).await;
    say(&format!("  after retention of {removed} certificates in {seconds:.1} s      {room}\n"));
}

async fn grow(storage: &dyn Storage, issued: &mut u64, number: u64) {
    while *issued < number {
        let owner = holder(storage, *issued / ORDERS).await;
        issue(storage, *issued, &owner).await;
        *issued += 1;
    }
}

async fn holder(storage: &dyn Storage, number: u64) -> Account {
    let new = account(1_000_000_000 + number);
    match storage.create_account(new, &cause(NOW)).await.unwrap() {
        Creation::Created(account) | Creation::Existing(account) => account,
    }
}

/// Sweeps until there is nothing to do, and answers how many certificates went.
async fn retain(storage: &dyn Storage) -> u64 {
    let later = NOW + 1_000 * DAY;
    let sweep = Sweep {
        remove_expired_before: later,
        remove_issued_before: later,
        remove_audit_before: later,
        remove_traces_before: later,
        batch: 1_000,
    };
    let mut removed = 0;
    loop {
        let report = storage.sweep(&sweep, &cause(later)).await.unwrap();
        removed += report.certificates_removed;
        if report.is_empty() {
            return removed;
        }
    }
}

async fn room(size: &impl AsyncFn() -> u64) -> String {
    let mebi = |bytes: u64| bytes as f64 / 1_048_576.0;
    format!("{:>7.1}  {:>9.1}", mebi(resident()), mebi(size().await))
}

/// What this process has used of the processors, where there is a `/proc`; in steps of 10 ms.
fn cpu_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    Duration::from_millis(fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * 10)
}

/// The bytes of memory that this process has, likewise.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibi = line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse().ok());
    kibi.map_or(0, |kibi: u64| kibi * 1_024)
}

fn say(line: &str) {
    let mut out = stdout().lock();
    out.write_all(line.as_bytes()).and_then(|()| out.flush()).ok();
}
