//! The load: an import that is read back, and writers of one relationship a commit.

use std::io::{Write, stdout};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use model::{Operation, Relationship, RelationshipUpdate, Revision, Timestamp};
use store::{Base, ChangeRequest, CommitRequest, LogQuery, Provenance, Store};

pub(crate) const ROWS: u64 = 1_000_000;
const IMPORT_COMMIT_ROWS: u64 = 50_000;
/// The next row that a writer creates; no round creates one again.
static NEXT: AtomicU64 = AtomicU64::new(0);
const MEASURED: Duration = Duration::from_secs(2);

pub(crate) fn say(line: &str) {
    stdout().write_all(format!("{line}\n").as_bytes()).unwrap();
}

pub(crate) fn import(store: &dyn Store) {
    let requests: Vec<_> = (0..ROWS / IMPORT_COMMIT_ROWS)
        .map(|part| {
            request(
                (0..IMPORT_COMMIT_ROWS)
                    .map(|row| row_at(part * IMPORT_COMMIT_ROWS + row))
                    .collect(),
            )
        })
        .collect();
    let begin = Instant::now();
    for request in requests {
        block_on(store.commit(request)).unwrap();
    }
    let took = begin.elapsed().as_secs_f64();
    say(&format!(
        "import: {ROWS} relationships in commits of {IMPORT_COMMIT_ROWS}: {took:.2} s"
    ));
}

/// Reads the rows and the log.
pub(crate) fn read(store: &dyn Store) {
    let begin = Instant::now();
    let (mut rows, mut bytes) = (0u64, 0);
    let scanned = store.scan(&mut |_, row| {
        rows += 1;
        bytes += row.resource_id.len() + row.subject_id.len();
        ControlFlow::Continue(())
    });
    scanned.unwrap();
    say(&format!(
        "scan: {rows} rows: {:.2} s ({bytes} bytes of ids)",
        begin.elapsed().as_secs_f64()
    ));

    let begin = Instant::now();
    let query = LogQuery {
        after: Revision(0),
        entries_max: usize::MAX,
        bytes_max: usize::MAX,
    };
    let changes: usize = block_on(store.log(query))
        .unwrap()
        .iter()
        .map(|entry| entry.changes.len())
        .sum();
    say(&format!(
        "log: {changes} changes: {:.2} s",
        begin.elapsed().as_secs_f64()
    ));
}

/// Commits of one relationship each; how many a second.
pub(crate) fn single_commits(store: &Arc<dyn Store>, writers: u64) -> f64 {
    let begin = Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let running: Vec<_> = (0..writers)
        .map(|_| runtime.spawn(write_until(Arc::clone(store), begin)))
        .collect();
    let mut latencies: Vec<Duration> = running
        .into_iter()
        .flat_map(|writer| runtime.block_on(writer).unwrap())
        .collect();
    let rate = latencies.len() as f64 / begin.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let at = |part: f64| {
        latencies
            .get((latencies.len() as f64 * part) as usize)
            .unwrap()
            .as_secs_f64()
            * 1e3
    };
    say(&format!(
        "{writers} writers: {rate:.0} durable commits a second, p50 {:.2} ms, p99 {:.2} ms",
        at(0.5),
        at(0.99)
    ));
    rate
}

async fn write_until(store: Arc<dyn Store>, begin: Instant) -> Vec<Duration> {
    let mut latencies = Vec::new();
    while begin.elapsed() < MEASURED {
        let row = row_at(NEXT.fetch_add(1, Ordering::Relaxed));
        let asked = Instant::now();
        store.commit(request(vec![row])).await.unwrap();
        latencies.push(asked.elapsed());
    }
    latencies
}

/// A plausible mixture: documents with viewers from a large company, in the order of documents.
fn row_at(row: u64) -> ChangeRequest {
    let text = format!(
        "document:doc-{:07}#viewer@user:employee-{:05}",
        row / 4,
        row.wrapping_mul(7_919) % 50_000
    );
    let relationship: Relationship = text.parse().unwrap();
    ChangeRequest::Relationship(RelationshipUpdate {
        operation: Operation::Create,
        relationship,
    })
}

fn request(changes: Vec<ChangeRequest>) -> CommitRequest {
    CommitRequest {
        base: Base::of_schema(Revision(0)),
        preconditions: Vec::new(),
        changes,
        idempotency_key: None,
        provenance: Provenance {
            actor: "bench".to_owned(),
            reason: None,
            metadata: None,
            origin: None,
        },
        now: Timestamp::EPOCH,
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}
