//! Remit against the peer: random cases, asked of both over their wires. Needs `npm ci` in `e2e/peer`, so these tests
//! are run by `cargo xtask peer`.
//!
//! `PEER_CASES` says how many cases (1000), `PEER_SEED` which comes first (0). A difference without a row in
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
use difference::Table;
use outcome::Outcome;
use process::Peer;
use tally::Tally;
use tame::tame;

/// Calls that Remit may refuse as not implemented; nothing is compared then.
const NOT_YET_SERVED: &[&str] = &["LookupResources", "LookupSubjects", "ExpandPermissionTree"];

/// Cases that are asked at once, each of a peer of its own.
const WORKERS: u64 = 2;

/// Longest that a case is waited for, and how often it is tried.
const CASE_TIME_MAX: Duration = Duration::from_secs(15);
const TRIES: usize = 3;

/// Both answers to one call.
#[derive(Debug)]
struct Compared {
    call: Call,
    remit: Outcome,
    peer: Outcome,
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "asks the peer, which `cargo xtask peer` installs"]
async fn remit_and_the_peer_agree() {
    let first = number("PEER_SEED", 0);
    let last = first + number("PEER_CASES", 1_000);
    let next = Arc::new(AtomicU64::new(first));
    let workers = (0..WORKERS).map(|_| {
        let next = Arc::clone(&next);
        tokio::spawn(async move {
            let table = Table::read();
            let mut tally = Tally::default();
            let mut peer = Peer::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= last || tally.unexplained.len() >= 2000 {
                    return tally;
                }
                let case = case(seed);
                let compared = compare(&mut peer, &case, seed).await;
                tally.add(&table, seed, &case, &compared);
            }
        })
    });
    let mut tally = Tally::default();
    for worker in workers.collect::<Vec<_>>() {
        tally.merge(worker.await.unwrap());
    }
    println!("{tally}");
}

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

/// Asks a fresh Remit and a fresh peer; now and then the peer gets stuck, and another one is asked.
async fn compare(peer: &mut Peer, case: &Case, seed: u64) -> Vec<Compared> {
    for _ in 0..TRIES {
        match tokio::time::timeout(CASE_TIME_MAX, compare_once(peer, case, seed)).await {
            Ok(compared) => return compared,
            Err(_elapsed) => *peer = Peer::new(),
        }
    }
    panic!("the peer does not come to an end with the case of seed {seed}\n{case}");
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
    let both = remits.into_iter().zip(peers);
    both.map(|((call, remit), (same, peer))| {
        assert_eq!(call, same);
        Compared { call, remit, peer }
    })
    .collect()
}
