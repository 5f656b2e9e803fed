//! SQLite, beside what its disk can do.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use store::{SqliteStore, Store};

use crate::load::{ROWS, import, read, say, single_commits};

const DISK_MEASURED: Duration = Duration::from_secs(1);

pub(crate) fn run(folder: &Path) {
    import_and_open(&folder.join("import.db"));
    for writers in [1, 16, 64] {
        let path = folder.join(format!("writers{writers}.db"));
        // A shared disk changes by the second, so it is measured right before what is compared with it.
        let appends = raw_syncs(folder, u64::MAX);
        let overwrites = raw_syncs(folder, 256);
        say(&format!(
            "disk: {appends:.0} appends of 4 KiB with fdatasync a second, {overwrites:.0} overwrites"
        ));
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&path).unwrap());
        single_commits(&store, writers);
    }
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

fn import_and_open(path: &Path) {
    let store = SqliteStore::open(path).unwrap();
    import(&store);
    let bytes = std::fs::metadata(path).unwrap().len() / ROWS;
    say(&format!("the file: {bytes} bytes a relationship"));
    read(&store);
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
