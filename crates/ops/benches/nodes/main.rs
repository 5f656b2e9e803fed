//! What nodes on PostgreSQL cost: a node's first load, how far one is behind another, and what comes of one node more. The server is
//! the bench's own, with its data in the temporary folder, and on the same machine.
//!
//! ```text
//! cargo bench -p ops --bench nodes               1,000,000 relationships
//! cargo bench -p ops --bench nodes -- 10000000
//! cargo bench -p ops --bench nodes -- 1000000 growth     only what comes of one node more
//! cargo bench -p ops --bench nodes -- 100000000 large    only the size and the first load, of a store that was filled quickly
//! ```

#![expect(clippy::unwrap_used, reason = "a benchmark ends where something fails")]

mod child;
mod growth;
mod large;

use std::io::{Write as _, stdout};
use std::sync::Arc;
use std::time::{Duration, Instant};

use identity::Caller;
use model::{Operation, RelationshipUpdate, SystemClock};
use ops::write::Write;
use ops::{Consistency, Node, Settings};
use store::{Base, ChangeRequest, CommitRequest, PostgresConfig, PostgresStore, Provenance, Store};
use testkit::postgres::Server;

const SCHEMA: &str = "definition user {}\ndefinition document {\n relation viewer: user\n}\n";
const COMMIT_ROWS: u64 = 20_000;
const LOADS: usize = 3;
const COMMITS: u64 = 2_000;
/// Commits a second whose lag is measured; each is acknowledged before the next.
const RATES: [u32; 2] = [50, 500];

fn main() {
    let arguments = std::env::args().skip(1).filter(|text| text != "--bench");
    let arguments: Vec<String> = arguments.collect();
    if let [first, url, load] = arguments.as_slice()
        && first == child::ARGUMENT
    {
        return child::run(url, load.parse().unwrap());
    }
    let rows = arguments.first().and_then(|text| text.parse().ok());
    let only = arguments.get(1).map(String::as_str);
    let is_all = only.is_none();
    let server = Server::start(&[]);
    let url = server.database();
    let config: PostgresConfig = url.parse().unwrap();
    PostgresStore::migrate(&config, None).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        if only == Some("large") {
            return large::measure(&server, &url, &config, rows.unwrap_or(100_000_000)).await;
        }
        fill(&open(&config), rows.unwrap_or(1_000_000)).await;
        if is_all {
            let size = "SELECT pg_total_relation_size('remit.relationship') / count(*) FROM remit.relationship";
            say(&format!("{} bytes a relationship, with its index", server.query(&url, size)));
            first_load(&config).await;
            lag(&config).await;
        }
        growth::measure(&url).await;
    });
}

async fn first_load(config: &PostgresConfig) {
    for _ in 0..LOADS {
        let (store, begun) = (open(config), Instant::now());
        let node = start(store).await;
        let count = node.snapshot().relationship_count();
        let rate = count as f64 / begun.elapsed().as_secs_f64();
        say(&format!("first load: {rate:.0} relationships a second"));
        node.stop();
    }
}

fn say(line: &str) {
    stdout().write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn open(config: &PostgresConfig) -> Arc<dyn Store> {
    Arc::new(PostgresStore::open(config).unwrap())
}

async fn start(store: Arc<dyn Store>) -> Arc<Node> {
    let node = Node::start(store, Arc::new(SystemClock), Settings::default());
    node.await.unwrap()
}

/// Documents with UUIDs and users with e-mail addresses, in base64 as ids have no `@`.
fn row(number: u64) -> RelationshipUpdate {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let text = format!(
        "document:{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}#viewer@user:ZW1wbG95ZWUtMDAw{:06}QGhhcmJvdXI",
        mixed >> 32,
        (mixed >> 16) & 0xffff,
        (mixed >> 4) & 0xfff,
        mixed & 0xfff,
        number,
        number % 50_000,
    );
    RelationshipUpdate {
        operation: Operation::Touch,
        relationship: text.parse().unwrap(),
    }
}

async fn fill(store: &Arc<dyn Store>, rows: u64) {
    let begun = Instant::now();
    let schema = commit(store, vec![ChangeRequest::Schema(SCHEMA.to_owned())], 0);
    let schema_revision = schema.await;
    for first in (0..rows).step_by(usize::try_from(COMMIT_ROWS).unwrap()) {
        let changes = (first..rows.min(first + COMMIT_ROWS))
            .map(|number| ChangeRequest::Relationship(row(number)))
            .collect();
        commit(store, changes, schema_revision).await;
    }
    let rate = rows as f64 / begun.elapsed().as_secs_f64();
    say(&format!("{rows} relationships written, {rate:.0} a second"));
}

async fn commit(store: &Arc<dyn Store>, changes: Vec<ChangeRequest>, schema_revision: u64) -> u64 {
    let committed = store.commit(CommitRequest {
        base: Base::of_schema(model::Revision(schema_revision)),
        preconditions: Vec::new(),
        changes,
        idempotency_key: None,
        provenance: Provenance {
            actor: "bench".to_owned(),
            reason: None,
            metadata: None,
            origin: None,
        },
        now: model::Timestamp::EPOCH,
    });
    committed.await.unwrap().revision.0
}

/// From the acknowledgement on one node until another answers from the commit.
async fn lag(config: &PostgresConfig) {
    let (one, other) = (start(open(config)).await, start(open(config)).await);
    let caller = Caller::without_authentication();
    for rate in RATES {
        let mut turns = tokio::time::interval(Duration::from_secs(1) / rate);
        let mut lags = Vec::new();
        for number in 0..COMMITS / 2 {
            turns.tick().await;
            let write = Write {
                updates: vec![row(u64::MAX / 2 + number)],
                ..Write::default()
            };
            let token = ops::write::write(&one, &caller, write).await.unwrap();
            let acknowledged = Instant::now();
            let seen = other.view(Consistency::AtLeastAsFresh(token)).await;
            seen.unwrap();
            lags.push(acknowledged.elapsed());
        }
        let (half, most) = (millis_at(&mut lags, 0.5), millis_at(&mut lags, 0.99));
        say(&format!(
            "lag at up to {rate} commits a second: p50 {half:.2} ms, p99 {most:.2} ms"
        ));
    }
}

/// What such a part is not above, in milliseconds; not a number where there is nothing.
fn millis_at(durations: &mut [Duration], part: f64) -> f64 {
    durations.sort_unstable();
    let place = (durations.len() as f64 * part) as usize;
    durations
        .get(place)
        .map_or(f64::NAN, |found| found.as_secs_f64() * 1e3)
}
