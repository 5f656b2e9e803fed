//! What watches cost: the time that a write takes and the CPU that a commit takes, without and with watches that are told
//! of it or not, and the memory of each watch.
//!
//! ```text
//! cargo bench -p ops --bench watch             2,000 watches, 2,000 commits
//! cargo bench -p ops --bench watch -- 5000     5,000 watches
//! ```

#![expect(clippy::unwrap_used, reason = "a benchmark ends where something fails")]

use std::io::{Write as _, stdout};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use identity::Caller;
use model::{Operation, RelationshipUpdate, SystemClock};
use ops::watch::{Event, Filter, Request};
use ops::write::Write;
use ops::{Node, Settings, watch};
use store::SqliteStore;

const COMMITS: u64 = 2_000;
const SCHEMA: &str = "definition user {}\ndefinition doc {\n relation viewer: user\n}\n";

/// What is compared.
const CASES: [&str; 4] = [
    "no watch",
    "watches of something else",
    "watches of everything",
    "watches of something else, with checkpoints",
];

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|text| text != "--bench");
    let count = arguments.next().and_then(|text| text.parse().ok());
    let count: usize = count.unwrap_or(2_000);
    let Some(name) = arguments.next() else {
        // Each in a process of its own, which has no memory of the others.
        for name in CASES {
            let mut case = Command::new(std::env::current_exe().unwrap());
            case.args([&count.to_string(), name]);
            assert!(case.status().unwrap().success());
        }
        return;
    };
    let place = CASES.iter().position(|case| *case == name).unwrap();
    let all = Request::default();
    let other = Request {
        filter: Filter::Definitions(["other".parse().unwrap()].into()),
        has_checkpoints: place == 3,
        ..Request::default()
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(match place {
        0 => measure(&name, 0, &all),
        2 => measure(&name, count, &all),
        _ => measure(&name, count, &other),
    });
}

async fn measure(name: &str, count: usize, request: &Request) {
    let store = Arc::new(SqliteStore::memory().unwrap());
    let settings = Settings {
        watch: watch::Settings {
            watches_max: count,
            ..watch::Settings::default()
        },
        ..Settings::default()
    };
    let node = Node::start(store, Arc::new(SystemClock), settings)
        .await
        .unwrap();
    let caller = Caller::without_authentication();
    ops::schema::write(&node, &caller, SCHEMA).await.unwrap();
    let memory_before = process("VmRSS:", 1);
    let told = Arc::new(AtomicU64::new(0));
    for _ in 0..count {
        let mut watching = watch::watch(&node, &caller, request.clone()).await.unwrap();
        let told = Arc::clone(&told);
        tokio::spawn(async move {
            while let Some(Ok(event)) = watching.next().await {
                if matches!(event, Event::Updates(_)) {
                    told.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    let memory = process("VmRSS:", 1).saturating_sub(memory_before);
    let (begin, cpu_before) = (Instant::now(), cpu());
    let mut longest = Duration::ZERO;
    for n in 0..COMMITS {
        let begin = Instant::now();
        let row = format!("doc:d{n}#viewer@user:ann");
        let update = RelationshipUpdate {
            operation: Operation::Touch,
            relationship: row.parse().unwrap(),
        };
        let write = Write {
            updates: vec![update],
            ..Write::default()
        };
        ops::write::write(&node, &caller, write).await.unwrap();
        longest = longest.max(begin.elapsed());
    }
    let writing = begin.elapsed();
    let expected = match request.filter {
        Filter::All => COMMITS * count as u64,
        Filter::Definitions(_) | Filter::Relationships(_) => 0,
    };
    while told.load(Ordering::Relaxed) < expected {
        tokio::task::yield_now().await;
    }
    let told_after = begin.elapsed().saturating_sub(writing);
    let cpu = cpu().saturating_sub(cpu_before);
    let per_commit = |duration: Duration| duration.as_secs_f64() * 1e6 / COMMITS as f64;
    let kib_each = memory.checked_div(count as u64).unwrap_or(0);
    let line = format!(
        "{count} {name}: {:.0} us a write (longest {:.1} ms), {:.0} us of CPU a commit, all told {:.1} ms after the last \
         write, {kib_each} KiB a watch\n",
        per_commit(writing),
        longest.as_secs_f64() * 1e3,
        per_commit(cpu),
        told_after.as_secs_f64() * 1e3,
    );
    stdout().write_all(line.as_bytes()).unwrap();
    node.stop();
}

/// A number of `/proc/self/status`.
fn process(name: &str, place: usize) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(place).unwrap().parse().unwrap()
}

/// The CPU time of this process, in the clock ticks of 10 ms that Linux counts.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks = |place: usize| fields.get(place).unwrap().parse::<u64>().unwrap();
    Duration::from_millis(10 * (ticks(11) + ticks(12)))
}
