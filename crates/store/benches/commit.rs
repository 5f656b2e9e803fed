//! How fast commits become durable, and how fast they are read back, beside what the disk itself can do.
//!
//! ```text
//! cargo bench -p store --bench commit            in a folder of the system's temporary one
//! cargo bench -p store --bench commit -- FOLDER  on the disk that holds FOLDER
//! ```

#![expect(clippy::unwrap_used, reason = "a benchmark ends where something fails")]

use std::fs::File;
use std::io::{Seek, Write, stdout};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use model::{Operation, Relationship, RelationshipUpdate, Revision, Timestamp};
use store::{Base, ChangeRequest, CommitRequest, LogQuery, Provenance, SqliteStore, Store};

const ROWS: u64 = 1_000_000;
const IMPORT_COMMIT_ROWS: u64 = 50_000;
const MEASURED: Duration = Duration::from_secs(3);
const DISK_MEASURED: Duration = Duration::from_secs(1);

fn main() {
    let folder = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with("--"));
    let folder = folder.map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(folder).unwrap();
    import_and_scan(&folder.path().join("import.db"));
    for writers in [1, 16, 64] {
        let path = folder.path().join(format!("writers{writers}.db"));
        // A shared disk changes by the second, so it is measured right before what is compared with it.
        let appends = raw_syncs(folder.path(), u64::MAX);
        let overwrites = raw_syncs(folder.path(), 256);
        say(&format!(
            "disk: {appends:.0} appends of 4 KiB with fdatasync a second, {overwrites:.0} overwrites"
        ));
        single_commits(&path, writers);
    }
}

fn say(line: &str) {
    stdout().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Writes and syncs blocks one after the other, and begins anew after `blocks`, as a write-ahead log does.
fn raw_syncs(folder: &Path, blocks: u64) -> f64 {
    let mut file = File::create(folder.join("raw")).unwrap();
    let (begin, mut count) = (Instant::now(), 0u64);
    while begin.elapsed() < DISK_MEASURED {
        if count % blocks == 0 {
            file.rewind().unwrap();
        }
        file.write_all(&[7; 4096]).unwrap();
        file.sync_data().unwrap();
        count += 1;
    }
    count as f64 / begin.elapsed().as_secs_f64()
}

fn import_and_scan(path: &Path) {
    let store = SqliteStore::open(path).unwrap();
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
    let bytes = std::fs::metadata(path).unwrap().len() / ROWS;
    say(&format!(
        "import: {ROWS} relationships in commits of {IMPORT_COMMIT_ROWS}: {took:.2} s, {bytes} bytes each in the file"
    ));

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

    let begin = Instant::now();
    drop(store);
    let closed = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    drop(SqliteStore::open(path).unwrap());
    say(&format!(
        "close: {closed:.2} s, open: {:.3} s",
        begin.elapsed().as_secs_f64()
    ));
}

fn single_commits(path: &Path, writers: u64) {
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(path).unwrap());
    let next = AtomicU64::new(0);
    let begin = Instant::now();
    let mut latencies: Vec<Duration> = std::thread::scope(|scope| {
        let (store, next) = (&store, &next);
        let writers: Vec<_> = (0..writers)
            .map(|_| scope.spawn(move || write_until(store, next, begin)))
            .collect();
        writers
            .into_iter()
            .flat_map(|writer| writer.join().unwrap())
            .collect()
    });
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
}

fn write_until(store: &Arc<dyn Store>, next: &AtomicU64, begin: Instant) -> Vec<Duration> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let mut latencies = Vec::new();
    while begin.elapsed() < MEASURED {
        let row = row_at(next.fetch_add(1, Ordering::Relaxed));
        let asked = Instant::now();
        runtime.block_on(store.commit(request(vec![row]))).unwrap();
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
        base: Base {
            schema_revision: Revision(0),
            head: None,
        },
        preconditions: Vec::new(),
        changes,
        idempotency_key: None,
        provenance: Provenance {
            actor: "bench".to_owned(),
            reason: None,
            metadata: None,
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
