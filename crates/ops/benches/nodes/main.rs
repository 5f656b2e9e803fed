//! What nodes on PostgreSQL cost: a node's first load, and how far one is behind another. The server is the bench's own, with its
//! data in the temporary folder, and on the same machine.
//!
//! ```text
//! cargo bench -p ops --bench nodes               1,000,000 relationships
//! cargo bench -p ops --bench nodes -- 10000000
//! ```

#![expect(clippy::unwrap_used, reason = "a benchmark ends where something fails")]

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
    let mut arguments = std::env::args().skip(1).filter(|text| text != "--bench");
    let rows = arguments.next().and_then(|text| text.parse().ok());
    let server = Server::start(&[]);
    let url = server.database();
    let config: PostgresConfig = url.parse().unwrap();
    PostgresStore::migrate(&config, None).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        fill(&open(&config), rows.unwrap_or(1_000_000)).await;
        let size = "SELECT pg_total_relation_size('remit.relationship') / count(*) FROM remit.relationship";
        say(&format!("{} bytes a relationship, with its index", server.query(&url, size)));
        for _ in 0..LOADS {
            let (store, begun) = (open(&config), Instant::now());
            let node = start(store).await;
            let count = node.snapshot().relationship_count();
            say(&format!("first load: {:.0} relationships a second", count as f64 / begun.elapsed().as_secs_f64()));
            node.stop();
        }
        lag(&config).await;
    });
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
        lags.sort_unstable();
        let at = |part: f64| {
            let place = (lags.len() as f64 * part) as usize;
            lags.get(place).unwrap().as_secs_f64() * 1e3
        };
        say(&format!(
            "lag at up to {rate} commits a second: p50 {:.2} ms, p99 {:.2} ms",
            at(0.5),
            at(0.99)
        ));
    }
}
