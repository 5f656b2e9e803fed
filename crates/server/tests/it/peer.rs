//! Remit against the peer: random cases, asked of both over their wires. Needs `npm ci` in `e2e/peer`, so these tests
//! are run by `cargo xtask peer`.
//!
//! `PEER_CASES` says how many cases (2,000), `PEER_SEED` which comes first (0). A difference without a row in
//! `differences.toml` fails; it is printed with its seed and as small as it gets, as a scenario.

mod call;
mod difference;
mod outcome;
mod process;
mod tally;
mod tame;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::{Limits, SystemClock, Timestamp};
use store::SqliteStore;
use testkit::{Case, generate};

use crate::running::start_on;
use crate::wire::RemitWire;
use call::{Call, Server, ask};
use difference::{Situation, Table};
use outcome::{Differing, Outcome};
use process::Peer;
use tally::Tally;
use tame::tame;

/// Cases that are asked at once, each of a peer of its own.
const WORKERS: u64 = 4;

/// Longest that a case is waited for, with and without a circle, and how often it is tried if no circle explains the wait.
const CIRCLE_TIME_MAX: Duration = Duration::from_secs(12);
const CASE_TIME_MAX: Duration = Duration::from_secs(30);
const TRIES: usize = 2;

/// Among so many cases one may be such that the peer does not come to an end.
const CASES_FOR_ONE_STUCK: usize = 50;

/// Cases from which on the shares of answers are asserted, and that every known cause is met.
const CASES_FOR_SHARES: u64 = 200;
const CASES_FOR_EVERY_CAUSE: u64 = 5_000;

/// Failing cases after which a worker stops.
const FAILURES_MAX: usize = 2;

/// Both answers to one call.
#[derive(Debug)]
struct Compared {
    call: Call,
    remit: Outcome,
    peer: Outcome,
    /// What the peer's own check says of each object over which two look-ups differ, in the order of `differing`.
    checked: Vec<Outcome>,
}

impl Compared {
    /// What the two give where they differ: for the question, or object by object.
    fn differing(&self) -> Vec<Differing> {
        self.remit.beside(&self.peer)
    }

    fn differs(&self) -> bool {
        !self.remit.agrees_with(&self.peer)
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "asks the peer, which `cargo xtask peer` installs"]
async fn remit_and_the_peer_agree() {
    let first = number("PEER_SEED", 0);
    let count = number("PEER_CASES", 2_000);
    let next = Arc::new(AtomicU64::new(first));
    let workers = (0..WORKERS).map(|_| tokio::spawn(work(Arc::clone(&next), first + count)));
    let mut tally = Tally::default();
    for worker in workers.collect::<Vec<_>>() {
        tally.merge(worker.await.unwrap());
    }
    eprintln!("{tally}");
    assert!(tally.unexplained.is_empty(), "{tally}");
    assert!(
        tally.stuck.len() <= 1 + tally.cases / CASES_FOR_ONE_STUCK,
        "{tally}"
    );
    if count >= CASES_FOR_SHARES {
        tally.assert_shares();
    }
    if count >= CASES_FOR_EVERY_CAUSE {
        for cause in Table::read().causes() {
            assert!(
                tally.explained.contains_key(cause),
                "`{cause}` is never met"
            );
        }
    }
}

/// Compares the next cases until there are none left or enough failed.
async fn work(next: Arc<AtomicU64>, end: u64) -> Tally {
    let table = Table::read();
    let mut tally = Tally::default();
    let mut peer = Peer::new();
    while tally.unexplained.len() < FAILURES_MAX {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            break;
        }
        let case = case(seed);
        let Some(compared) = compare(&mut peer, &case, seed).await else {
            tally.stuck.push(seed);
            continue;
        };
        tally.add(&table, &case, &compared);
        if let Some(method) = unexplained(&table, &case, &compared).map(|one| one.call.method()) {
            let small = shrunk(&mut peer, &table, case, seed, method);
            tally.unexplained.push((seed, small));
        }
    }
    tally
}

/// A difference without a known cause.
fn unexplained<'a>(table: &Table, case: &Case, all: &'a [Compared]) -> Option<&'a Compared> {
    all.iter().find(|one| {
        let situation = Situation { case, all, one };
        one.differs() && table.cause(&situation).is_none()
    })
}

/// The smallest case in which `method` differs as well, and how.
fn shrunk(peer: &mut Peer, table: &Table, case: Case, seed: u64, method: &str) -> String {
    let mut how = String::new();
    let small = testkit::shrink(case, |smaller| {
        let compared = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(compare(peer, smaller, seed))
        });
        let Some(compared) = compared else {
            return false;
        };
        let found = unexplained(table, smaller, &compared);
        let found = found.filter(|one| one.call.method() == method);
        if let Some(one) = found {
            how = format!(
                "{}\n  remit: {}\n  peer:  {}",
                one.call, one.remit, one.peer
            );
        }
        found.is_some()
    });
    format!("{how}\n{small}")
}

#[expect(
    clippy::disallowed_methods,
    reason = "how many cases to run is said by whoever runs them"
)]
fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// The case of `seed`, with expirations as far from the present as both servers' clocks demand, and their depth limit.
fn case(seed: u64) -> Case {
    let mut case = generate::case(seed);
    let noon: Timestamp = "2030-01-01T12:00:00Z".parse().unwrap();
    let (gone, valid) = ("2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z");
    for row in &mut case.relationships {
        row.expires_at = row.expires_at.map(|at| {
            let at = if at <= noon { gone } else { valid };
            at.parse().unwrap()
        });
    }
    for question in &mut case.questions {
        question.now = noon;
    }
    case.depth_max = Limits::default().depth_max;
    tame(&mut case);
    case
}

/// Asks a fresh Remit and a fresh peer. None if the peer does not come to an end, as in some circles.
async fn compare(peer: &mut Peer, case: &Case, seed: u64) -> Option<Vec<Compared>> {
    let has_circle = tame::has_circle(case);
    let time_max = if has_circle {
        CIRCLE_TIME_MAX
    } else {
        CASE_TIME_MAX
    };
    for left in (0..TRIES).rev() {
        match tokio::time::timeout(time_max, compare_once(peer, case, seed)).await {
            Ok(compared) => {
                let is_slow = compared.iter().any(|one| one.peer.is_given_up());
                if !is_slow || left == 0 || has_circle {
                    return Some(compared);
                }
            }
            Err(_elapsed) => *peer = Peer::new(),
        }
        if has_circle {
            return None;
        }
    }
    panic!("the peer does not come to an end with seed {seed}, in no circle\n{case}");
}

async fn compare_once(peer: &mut Peer, case: &Case, seed: u64) -> Vec<Compared> {
    let store = Arc::new(SqliteStore::memory().unwrap());
    let running = start_on(store, Arc::new(SystemClock), None).await;
    let mut remit = Server::Remit(RemitWire::connect(&running).await);
    peer.start().await;
    let mut other = Server::Peer(peer);
    let (remits, peers) = tokio::join!(ask(&mut remit, case, seed), ask(&mut other, case, seed));
    drop(remit);
    running.stop().await;
    let mut all = Vec::new();
    for ((call, remit), (same, peer)) in remits.into_iter().zip(peers) {
        assert_eq!(call, same);
        let mut checked = Vec::new();
        for differing in remit.beside(&peer) {
            if let Some(item) = call.check_of(differing.id_or_other()) {
                checked.push(other.check(&item).await);
            }
        }
        all.push(Compared {
            call,
            remit,
            peer,
            checked,
        });
    }
    all
}
